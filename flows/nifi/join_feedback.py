"""JoinFeedback: what operators say in, stored, and out with the verdicts that it is about."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson

from flows.mqtt.requests import FeedbackRequest, read_opfeedback
from flows.nifi.database import pool_of
from flows.nifi.messages import identities_of, messages_of, place_of
from flows.nifi.outcome import JSON_LINES, MIME, REJECTS
from flows.nifi.plant import plant_errors
from flows.nifi.properties import settings_from
from flows.nifi.step import SUCCESS, Properties, StepResult
from flows.opfeedback import coil_of, coils_repeated, said_now, written
from processors.decode import structured_line
from schemas.coils import CoilKey, Truth
from schemas.errors import SourceError
from schemas.rejects import Reject
from schemas.settings import Settings
from schemas.verdicts import Label
from store.connection import Connection, store_errors
from store.deadletters import record_dead_letters
from store.feedback import Feedback, record_feedback
from store.pool import Pool, borrowed
from store.verdicts import verdict_of

JOINED, WAITING, REPEATED = "joined", "waiting", "repeated"
_COUNTS = {state: f"coilflow.feedback.{state}" for state in (JOINED, WAITING, REPEATED)}
_REMEDY = 'send {"COILID": ...} with LABEL 1 or 2, or operator.feedback events: one, one a line, or a JSON array'


@dataclass(frozen=True, kw_only=True, slots=True)
class _Word:
    """What one message says: told here, or written in the plant's table."""

    payload: bytes
    said: FeedbackRequest | None  # None: it is an event, or stands in the plant's table
    message: str | None  # what tells it from others also when it comes again
    feedback: tuple[Feedback, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Refused:
    payload: bytes
    error: str
    remedy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JoinFeedback:
    """The step, with its connections."""

    pool: Pool
    settings: Settings
    held: ExitStack = field(default_factory=ExitStack)

    def run(self, content: bytes, attributes: Mapping[str, str]) -> StepResult:
        """Store what is said in one transaction, and give a line to each word; refused ones become dead letters.

        The same FlowFile again changes nothing: events are known by their ids, the plant's payloads, which have none,
        by `flows.nifi.messages.identities_of`, and without that by what was said last of their coils.

        Raises:
            SourceError: all of it is refused, or the plant's table cannot be read.
            StoreError: the database refused, or is away; nothing is stored then.
        """
        now = datetime.now(UTC)
        payloads = _payloads(content, attributes)
        identities = identities_of(attributes, len(payloads))
        read = [self._read(payload, message, now) for payload, message in zip(payloads, identities, strict=True)]
        refused = [one for one in read if isinstance(one, _Refused)]
        if len(refused) == len(read):
            others = f" (and {len(read) - 1} more)" if len(read) > 1 else ""
            error, remedy = (refused[0].error, refused[0].remedy) if refused else ("the FlowFile is empty", _REMEDY)
            raise SourceError(f"{error}{others}", remedy=remedy)
        words = [one for one in read if isinstance(one, _Word)]
        letters = [_letter(one, place_of(attributes)) for one in refused]
        with borrowed(self.pool) as connection:
            lines = self._stored(connection, words, now, letters)
        states = [str(line["state"]) for line in lines]
        return StepResult(
            relationship=SUCCESS,
            contents=b"".join(orjson.dumps(line) + b"\n" for line in lines),
            attributes={
                **{name: str(states.count(state)) for state, name in _COUNTS.items()},
                REJECTS: str(len(refused)),
                MIME: JSON_LINES,
            },
        )

    def close(self) -> None:
        """Give the connections back."""
        self.held.close()

    def _read(self, payload: bytes, message: str | None, now: datetime) -> _Word | _Refused:
        said = read_opfeedback(payload, now=now)
        if isinstance(said, Feedback):
            return _Word(payload=payload, said=None, message=message, feedback=(said,))
        if not isinstance(said, FeedbackRequest):
            return _Refused(payload=payload, error=said[0], remedy=said[1])
        if said.label is not None:
            return _Word(payload=payload, said=said, message=message)
        with plant_errors():
            found = written(said, self.settings, now)
        rows = tuple(row for row in found if isinstance(row, Feedback))
        if rows:
            return _Word(payload=payload, said=None, message=message, feedback=rows)
        error, remedy = (str(text) for text in found)
        return _Refused(payload=payload, error=error, remedy=remedy)

    def _stored(
        self,
        connection: Connection,
        words: Sequence[_Word],
        now: datetime,
        letters: Sequence[Reject],
    ) -> list[dict[str, object]]:
        lines: list[dict[str, object]] = []
        with store_errors("record feedback"), connection.transaction():
            told = [word.said for word in words if word.said is not None]
            known = coils_repeated(connection, told, self.settings)
            for word in words:
                rows = word.feedback
                if word.said is not None and coil_of(word.said, self.settings) not in known:
                    rows = tuple(said_now(connection, word.said, self.settings, now, message=word.message))
                new = record_feedback(connection, rows)
                lines += [
                    _line(connection, row.key, row.label, is_new=is_new) for row, is_new in zip(rows, new, strict=True)
                ]
                if word.said is not None and word.said.label is not None and not rows:
                    key = coil_of(word.said, self.settings)
                    lines.append(_line(connection, key, word.said.label, is_new=False))
            record_dead_letters(connection, letters)
        return lines


def open_step(properties: Properties) -> JoinFeedback:
    """Connect to the database.

    Raises:
        UsageError: a property or a setting is wrong.
        StoreError: the database cannot be reached, or is of another version.
    """
    settings = settings_from(properties)
    with ExitStack() as stack:
        pool = stack.enter_context(pool_of(settings, step="join_feedback"))
        return JoinFeedback(pool=pool, settings=settings, held=stack.pop_all())


def _payloads(content: bytes, attributes: Mapping[str, str]) -> tuple[bytes, ...]:
    messages = messages_of(content, attributes)
    if isinstance(messages, str):
        raise SourceError(messages, remedy=_REMEDY)
    return tuple(structured_line(one.value, one.headers) if one.headers else one.value for one in messages)


def _line(connection: Connection, key: CoilKey, label: Truth, *, is_new: bool) -> dict[str, object]:
    stands = verdict_of(connection, key)
    verdict = stands.verdict if stands else None
    decided = verdict is not None and verdict.label is not Label.UNDECIDED
    return {
        "plant": key.plant,
        "coil_id": key.coil_id,
        "label": label,
        "ensemble_version": verdict.ensemble_version if verdict else None,
        "verdict": verdict.label if verdict else None,
        "agrees": verdict.label == label if verdict and decided else None,
        "state": (JOINED if verdict else WAITING) if is_new else REPEATED,
    }


def _letter(refused: _Refused, place: str) -> Reject:
    return Reject(
        step="decode",
        place=place,
        key=None,
        error=refused.error,
        remedy=refused.remedy,
        original=refused.payload,
        whole_coil=False,
    )
