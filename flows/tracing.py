"""One trace a coil, by OpenTelemetry and by setting: from its first message to its verdict, and what is said of it.

The trace's id follows from plant and coil id, and so does the id of its first span. So every process that works on a
coil, before and after a restart, the relay that announces its verdict, and whoever takes feedback in days later, add to
one trace without a word between them. Nothing of OpenTelemetry is imported unless `tracing.endpoint` is set.
"""

import hashlib
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from typing import Protocol

import orjson

from models.bundle import Bundle
from models.ensemble import Ensemble
from processors.open_coils import Message, OpenCoil
from processors.score import Scorer
from schemas.coils import CoilKey, Float32Array, FloatArray
from schemas.errors import UsageError
from schemas.rejects import Reject
from schemas.settings import Settings
from store.feedback import Feedback
from store.verdicts import CHAMPION, Decided

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")  # W3C Trace Context, level 1
_MS = 1_000_000  # ns

Value = str | int | float
Stepping = Callable[[str], AbstractContextManager[None]]  # times a step of a batch by its name


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Something that was done to a coil."""

    name: str
    began_ns: int  # since 1970
    ended_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    parts: tuple["Span", ...] = ()
    error: str | None = None


class Tracing(Protocol):
    """Where spans go; what is handed over is sent by and by, or dropped, and never waited for."""

    def follows(self, key: CoilKey) -> bool:
        """Whether the coil is one of the share that is traced; every service says the same."""

    def add(self, key: CoilKey, spans: Sequence[Span], *, first: Span | None = None, sender: str | None = None) -> None:
        """Add to a coil's trace.

        Args:
            key: of the coil.
            spans: below the trace's first span.
            first: the trace's first span itself, from who gives the coil its first verdict.
            sender: `traceparent` of the coil's sender, which the first span links to.
        """


def trace_id_of(key: CoilKey) -> int:
    """The trace of a coil, 128 bits: those of a SHA-256 over plant and coil id, each with its length before it."""
    return int.from_bytes(_digest(key)[:16], "big") or 1


def first_span_id_of(key: CoilKey) -> int:
    """The first span of its trace, 64 bits."""
    return int.from_bytes(_digest(key)[16:24], "big") or 1


def traceparent_of(key: CoilKey) -> str:
    """What an event about a coil carries, so that its receiver can go on with the trace (CloudEvents' extension)."""
    return f"00-{trace_id_of(key):032x}-{first_span_id_of(key):016x}-01"


def ids_of_traceparent(text: str) -> tuple[int, int] | None:
    """Trace and span that a `traceparent` names; None where it is none."""
    found = _TRACEPARENT.fullmatch(text)
    return None if found is None else (int(found[1], 16), int(found[2], 16))


@contextmanager
def tracing_of(settings: Settings, *, service: str) -> Iterator[Tracing | None]:
    """Send spans while the block lasts, then those that wait, for some seconds; None where no collector is set.

    Args:
        settings: `tracing`.
        service: as its command is called, e.g. "worker assess".

    Raises:
        UsageError: OpenTelemetry is not installed.
    """
    if settings.tracing.endpoint is None:
        yield None
        return
    try:
        from flows.otlp import sending_spans  # noqa: PLC0415 - only where the settings ask for it
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise UsageError(
            f"tracing.endpoint is set, and {error.name} is not installed", remedy="pip install 'coilflow[tracing]'"
        ) from error
    with sending_spans(settings.tracing, service=service) as tracing:
        yield tracing


def _digest(key: CoilKey) -> bytes:
    digest = hashlib.sha256()
    for text in key:
        part = text.encode("utf-8", "surrogatepass")
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


@dataclass(slots=True)
class Timeline:
    """When the steps of a batch ran, and for which coils."""

    steps: list[tuple[frozenset[CoilKey], Span]] = field(default_factory=list)
    _members: dict[str, list[int]] = field(default_factory=dict)  # first call, end of the last, ns within

    @contextmanager
    def step(self, name: str, keys: frozenset[CoilKey]) -> Iterator[None]:
        """Time a step."""
        self._members.clear()
        began_ns = time.time_ns()
        try:
            yield
        finally:
            parts = tuple(
                Span(name=f"score {member}", began_ns=began, ended_ns=ended, attributes={"coilflow.busy_ns": busy})
                for member, (began, ended, busy) in self._members.items()
            )
            span = Span(
                name=name,
                began_ns=began_ns,
                ended_ns=time.time_ns(),
                attributes={"coilflow.batch_coils": len(keys)},
                parts=parts,
            )
            self.steps.append((keys, span))

    def timed(self, scorer: Scorer) -> Scorer:
        """The same, with each member timed."""
        if not isinstance(scorer, Ensemble):
            return scorer
        return replace(scorer, members=tuple(_timed(member, self._note) for member in scorer.members))

    def _note(self, member: str, began_ns: int, ended_ns: int) -> None:
        known = self._members.setdefault(member, [began_ns, ended_ns, 0])
        known[1:] = ended_ns, known[2] + ended_ns - began_ns


def stepping(timeline: Timeline | None, keys: Sequence[CoilKey]) -> Stepping:
    """Time steps of a batch by name; where there is no timeline, nothing is done."""
    if timeline is None:
        return lambda _: nullcontext()
    whose = frozenset(keys)
    return lambda name: timeline.step(name, whose)


@dataclass(frozen=True, kw_only=True)
class _TimedBundle(Bundle):
    note: Callable[[str, int, int], None]

    def p_nok(self, matrix: Float32Array, spread: Float32Array) -> FloatArray:
        began_ns = time.time_ns()
        found = super().p_nok(matrix, spread)
        self.note(self.manifest.name, began_ns, time.time_ns())
        return found


def _timed(member: Bundle, note: Callable[[str, int, int], None]) -> Bundle:
    return _TimedBundle(**{one.name: getattr(member, one.name) for one in fields(member)}, note=note)


def trace_coils(
    tracing: Tracing,
    coils: Sequence[OpenCoil],
    *,
    decided: Sequence[Decided],
    rejects: Sequence[Reject],
    timeline: Timeline,
    recorded_ns: tuple[int, int],
) -> None:
    """Add what became of coils to their traces, once the database has it.

    Args:
        tracing: where spans go.
        coils: that were due.
        decided: of them, with their shadows' verdicts.
        rejects: of them, among others.
        timeline: of the steps by which they were judged.
        recorded_ns: when their transaction began and had ended.
    """
    verdicts = {one.verdict.key: one for one in decided if one.role == CHAMPION}
    refused = {one.key: one for one in rejects if one.whole_coil and one.key is not None}
    for coil in coils:
        if tracing.follows(coil.key):
            _trace_coil(tracing, coil, verdicts.get(coil.key), refused.get(coil.key), timeline, recorded_ns)


def trace_feedback(tracing: Tracing, words: Sequence[Feedback], *, joined_ns: tuple[int, int]) -> None:
    """Add what people said of coils to their traces.

    Args:
        tracing: where spans go.
        words: that were stored now.
        joined_ns: when that began and had ended.
    """
    for word in words:
        if tracing.follows(word.key):
            said: dict[str, Value] = {"coilflow.label": word.label, "coilflow.given_at": word.given_at.isoformat()}
            tracing.add(
                word.key, [Span(name="feedback", began_ns=joined_ns[0], ended_ns=joined_ns[1], attributes=said)]
            )


def _trace_coil(
    tracing: Tracing,
    coil: OpenCoil,
    decided: Decided | None,
    reject: Reject | None,
    timeline: Timeline,
    recorded_ns: tuple[int, int],
) -> None:
    steps = [span for keys, span in timeline.steps if coil.key in keys]
    judged_ns = min((span.began_ns for span in steps), default=recorded_ns[0])
    # The broker's clock is not ours: a message never comes after it was judged.
    last_ns = min(coil.last_timestamp_ms * _MS, judged_ns) if coil.last_timestamp_ms else judged_ns
    first_ns = min(coil.first_timestamp_ms * _MS, last_ns) if coil.first_timestamp_ms else last_ns
    parts = (
        Span(name="receive", began_ns=first_ns, ended_ns=last_ns, attributes={"coilflow.events": len(coil.messages)}),
        *steps,
        Span(name="record", began_ns=recorded_ns[0], ended_ns=recorded_ns[1]),
    )
    whole = Span(
        name="coil",
        began_ns=first_ns,
        ended_ns=recorded_ns[1],
        attributes=_said(coil.key, decided),
        error=None if reject is None else reject.error,
    )
    if coil.revises or coil.after_reject:  # the trace has its first span
        tracing.add(coil.key, [replace(whole, name="revision", parts=parts)])
    else:
        tracing.add(coil.key, parts, first=whole, sender=_sender(coil.messages[:1]))


def _said(key: CoilKey, decided: Decided | None) -> dict[str, Value]:
    named: dict[str, Value] = {"coilflow.plant": key.plant, "coilflow.coil_id": key.coil_id}
    if decided is None:
        return named
    verdict = decided.verdict
    return {
        **named,
        "coilflow.label": verdict.label.value,
        "coilflow.revision": verdict.revision,
        "coilflow.ensemble": verdict.ensemble_version,
        "coilflow.observed": verdict.observed,
        **({} if math.isnan(verdict.p_nok) else {"coilflow.p_nok": verdict.p_nok}),
    }


def _sender(first: Sequence[Message]) -> str | None:
    """`traceparent` of a coil's first message (CloudEvents' extension for distributed tracing)."""
    for value, headers in first:
        for name, text in headers:
            if name == "ce_traceparent":
                return text.decode("ascii", "replace")
        if value and not any(name.startswith("ce_") for name, _ in headers):
            try:
                envelope = orjson.loads(value)
            except orjson.JSONDecodeError:
                return None
            said = envelope.get("traceparent") if isinstance(envelope, dict) else None
            return said if isinstance(said, str) else None
    return None
