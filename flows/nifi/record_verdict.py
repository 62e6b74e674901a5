"""RecordVerdict: verdicts in, one transaction, the events that announce them out.

Verdicts, the dead letters that rode along, and the end of their coils in the inbox are stored together or not at all.
A repeat stores nothing and gives the same events again. An event's `partitionkey` (the extension of CloudEvents) is the
key that the outbox gives its message in Kafka.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import orjson

from flows.inbox_coils import inbox_place
from flows.judge import Outcome
from flows.nifi.database import pool_of
from flows.nifi.outcome import (
    COILS,
    CONTENT_TYPE,
    ENSEMBLE,
    JSON_LINES,
    MIME,
    PARTITION_KEY,
    batch_attributes,
    label_attributes,
)
from flows.nifi.properties import settings_from
from flows.nifi.stale import Sorted, sort_out
from flows.nifi.step import SUCCESS, Properties, StepResult
from flows.nifi.verdicts import decided_from_rows
from flows.record_outcome import record_outcome
from processors.envelope import STRUCTURED
from schemas.nifi_batches import NifiBatch, keys_of_rejects, read_batch
from schemas.rejects import Reject
from schemas.settings import Settings
from store.connection import Connection, store_errors
from store.inbox import database_clock, inbox_events, postpone_coils, settle_coils_up_to
from store.outbox_keys import coil_outbox_key
from store.pool import Pool, borrowed
from store.verdicts import CHAMPION, Decided, StoredVerdict, standing_verdicts, verdict_event

OBSERVED = "observed"  # relationship: stored, and nothing is announced
NOTHING = "nothing"  # relationship: no verdict of the batch stands
NEW, REPEATED, STALE = "coilflow.verdicts.new", "coilflow.verdicts.repeated", "coilflow.verdicts.stale"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordVerdict:
    """The step; several threads may run it at once."""

    pool: Pool
    settings: Settings
    held: ExitStack = field(repr=False)

    def run(self, content: bytes, attributes: Mapping[str, str]) -> StepResult:
        """Store the verdicts of a FlowFile, and give the events of those that stand.

        Raises:
            StoreError: the database is away or refused; nothing is stored then.
            SourceError: the content is no batch of verdicts.
        """
        batch = read_batch("verdicts", content)
        given = decided_from_rows(batch.rows)
        with (
            borrowed(self.pool) as connection,
            store_errors(f"record {len(given)} verdicts"),
            connection.transaction(),
        ):
            return self._recorded(connection, batch, given)

    def close(self) -> None:
        """Close the connections."""
        self.held.close()

    def _recorded(
        self, connection: Connection, batch: NifiBatch, given: Sequence[tuple[Decided, int | None]]
    ) -> StepResult:
        found = sort_out(connection, given, batch.refused)
        kept = [one for one, _ in found.kept]
        outcome = Outcome(
            decided=tuple(one for one in kept if one.role == CHAMPION),
            shadows=tuple(one for one in kept if one.role != CHAMPION),
            rejects=_with_messages(connection, batch, found),
        )
        stored = record_outcome(connection, outcome, self.settings, place="NiFi")
        settle_coils_up_to(connection, found.settled, self.settings.stream)
        if found.again:
            postpone_coils(connection, dict.fromkeys(found.again, database_clock(connection)))
        lost = keys_of_rejects(stored.rejects)
        standing = standing_verdicts(connection, [one.verdict.key for one in outcome.decided])
        events = [
            standing[one.verdict.key]
            for one in outcome.decided
            if one.verdict.key not in lost and standing[one.verdict.key].verdict.revision == one.verdict.revision
        ]
        announces = SUCCESS if self.settings.mode == "announce" else OBSERVED
        stale = sum(one.role == CHAMPION for one, _ in given) - len(outcome.decided)
        return StepResult(
            relationship=announces if events else NOTHING,
            contents=b"".join(_line(one) for one in events),
            attributes={
                **batch_attributes((one.verdict.key.plant for one in events), rejects=len(stored.rejects)),
                **label_attributes(one.verdict.label for one in events),
                COILS: str(len(events)),
                ENSEMBLE: ", ".join(sorted({one.verdict.ensemble_version for one in events})),
                MIME: JSON_LINES,
                CONTENT_TYPE: STRUCTURED,
                NEW: str(stored.new),
                REPEATED: str(stored.repeated),
                STALE: str(stale),
            },
        )


def open_step(properties: Properties) -> RecordVerdict:
    """Connect to the database.

    Raises:
        UsageError: a property or a setting is wrong.
        StoreError: the database cannot be reached, or is of another version.
    """
    settings = settings_from(properties)
    with ExitStack() as stack:
        pool = stack.enter_context(pool_of(settings, step="record_verdict"))
        return RecordVerdict(pool=pool, settings=settings, held=stack.pop_all())


def _with_messages(connection: Connection, batch: NifiBatch, found: Sorted) -> tuple[Reject, ...]:
    """What was refused, each coil of the inbox with the messages that came; less what was dealt with before."""
    refused = {key: last_id for key, last_id in batch.refused.items() if key in found.settled}
    heard = inbox_events(connection, list(refused)) if refused else {}
    rejects = []
    for reject in batch.rejects:
        if reject.key is None or not reject.whole_coil or reject.key not in batch.refused:
            rejects.append(reject)
        elif reject.key in refused:
            events = [one for one in heard[reject.key] if one.inbox_id <= refused[reject.key]]
            original = b"".join(one.event + b"\n" for one in events)
            rejects.append(replace(reject, place=inbox_place("nifi", events), original=original))
    return tuple(rejects)


def _line(stored: StoredVerdict) -> bytes:
    event = verdict_event(stored.verdict, stored.decided_at)
    return orjson.dumps({**event, PARTITION_KEY: coil_outbox_key(stored.verdict.key)}) + b"\n"
