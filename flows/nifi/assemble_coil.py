"""AssembleCoil: what is said of coils in, whole coils out, by the end, deadline and revision rules of every host.

Chunk events go to the inbox, in the database, before NiFi can cut a coil in two. What is due of the inbox is given on,
and stays there, leased, until RecordVerdict settles it: a coil that is lost on the way is given again, and one that
never comes through is a dead letter after `MOST_TAKES`. An empty FlowFile is a tick, for coils whose deadline passes
while nothing comes.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from flows.assemble_due import DueCoil, assemble_due, broken_coil
from flows.inbox_coils import take_due
from flows.intake import Message
from flows.mapping import decoder_of
from flows.nifi.coils import Carried, coil_rows
from flows.nifi.database import pool_of
from flows.nifi.heard import Asked, Heard, hear_asked, hear_events, read_asked, unreadable
from flows.nifi.messages import messages_of, place_of
from flows.nifi.outcome import COILS, REJECTS, batch_attributes
from flows.nifi.properties import Content, content_of, lease_s_of, settings_from
from flows.nifi.step import DEAD_LETTER, ERROR, REMEDY, SUCCESS, Properties, StepResult
from processors.decode import Decoder
from schemas.coils import CoilKey
from schemas.errors import SourceError, StoreUnavailableError
from schemas.nifi_batches import NifiBatch, keys_of_rejects, write_batch
from schemas.rejects import Reject
from schemas.settings import Settings
from store.connection import Connection, store_errors
from store.deadletters import record_dead_letters
from store.inbox import database_clock, lease_coils, often_taken_coils, settle_coils_up_to
from store.pool import Pool, borrowed

WAITING = "waiting"  # relationship: nothing is due
MOST_TAKES = 8  # of a coil, each with twice the lease of the one before: 21 hours with a lease of 5 minutes


@dataclass(kw_only=True, slots=True)
class AssembleCoil:
    """The step."""

    pool: Pool
    settings: Settings
    decode: Decoder
    content: Content  # what FlowFiles hold
    lease_s: float  # so long a coil that was given is not given again, the first time
    held: ExitStack = field(repr=False)
    up_since: datetime | None = None  # since when events could be stored without a break

    def run(self, content: bytes, attributes: Mapping[str, str]) -> StepResult:
        """Store what a FlowFile says, and give the coils that are due.

        Where nothing of it can be read it is a dead letter, in NiFi and in the database; else what cannot be read is
        one in the database alone.

        Raises:
            StoreError: the database is away or refused; nothing is stored then.
            SourceError: the plant's tables cannot be read.
        """
        place = place_of(attributes)
        said = messages_of(content, attributes) if content.strip() else ()
        asked: tuple[Asked, ...] = ()
        if self.content == "assesscoil" and isinstance(said, tuple):
            asked = read_asked(said, self.settings, decode=self.decode)
        try:
            with borrowed(self.pool) as connection:
                up_since = self.up_since = self.up_since or database_clock(connection)
                with store_errors("assemble coils"), connection.transaction():
                    heard = self._heard(connection, content, said, asked, place)
                    if heard.rejects and not heard.usable:
                        return _dead(heard.rejects)
                    return self._due(connection, heard, up_since)
        except StoreUnavailableError:
            self.up_since = None  # silence from now on is not the coils' own
            raise

    def close(self) -> None:
        """Close the connections."""
        self.held.close()

    def _heard(
        self,
        connection: Connection,
        content: bytes,
        said: tuple[Message, ...] | str,
        asked: Sequence[Asked],
        place: str,
    ) -> Heard:
        if isinstance(said, str):
            return unreadable(connection, content, said, place=place)
        if self.content == "assesscoil":
            return hear_asked(connection, asked, self.settings, decode=self.decode, place=place)
        return hear_events(connection, said, self.settings, decode=self.decode, place=place)

    def _due(self, connection: Connection, heard: Heard, up_since: datetime) -> StepResult:
        taken = take_due(connection, self.settings, host="nifi", decode=self.decode, up_since=up_since)
        lost = often_taken_coils(connection, list(taken.last_ids), takes=MOST_TAKES)
        rows, refusals = _assembled(
            [one for one in taken.due if one.coil.key not in lost], taken.last_ids, self.settings
        )
        rejects = (*refusals, *(_given_up(one) for one in taken.due if one.coil.key in lost))
        record_dead_letters(connection, rejects)
        refused = keys_of_rejects(rejects)
        settle_coils_up_to(connection, {key: taken.last_ids[key] for key in refused}, self.settings.stream)
        lease_coils(connection, [key for key in taken.last_ids if key not in refused], lease_s=self.lease_s)
        parts = [part for part in (*heard.rows, *rows) if part.num_rows]
        count = len(heard.rejects) + len(rejects)
        if not parts:
            return StepResult(relationship=WAITING, attributes={COILS: "0", REJECTS: str(count)})
        whole = pa.concat_batches(parts)
        return StepResult(
            relationship=SUCCESS,
            contents=write_batch("coils", NifiBatch(rows=whole)),
            attributes=batch_attributes(whole.column("plant").to_pylist(), rejects=count),
        )


def open_step(properties: Properties) -> AssembleCoil:
    """Connect to the database.

    Raises:
        UsageError: a property or a setting is wrong.
        StoreError: the database cannot be reached, or is of another version.
    """
    settings = settings_from(properties)
    content, lease_s, decode = content_of(properties), lease_s_of(properties), decoder_of(settings)
    with ExitStack() as stack:
        pool = stack.enter_context(pool_of(settings, step="assemble_coil"))
        with borrowed(pool) as connection:
            up_since = database_clock(connection)
        return AssembleCoil(
            pool=pool,
            settings=settings,
            decode=decode,
            content=content,
            lease_s=lease_s,
            held=stack.pop_all(),
            up_since=up_since,
        )


def _given_up(one: DueCoil) -> Reject:
    """A coil that never comes through is a dead letter, as one is in every host that a step breaks on."""
    error = SourceError(
        f"NiFi took the coil {MOST_TAKES} times, and no verdict on it came to RecordVerdict",
        remedy="see coilflow.error of the FlowFiles in dead_letter and failure, mend what it says, then replay this",
    )
    return broken_coil(one, "assemble", error)


def _assembled(
    due: Sequence[DueCoil], last_ids: Mapping[CoilKey, int], settings: Settings
) -> tuple[list[pa.RecordBatch], tuple[Reject, ...]]:
    """Rows of COILS, and coils that are refused; one that a step breaks on is refused alone."""
    if not due:
        return [], ()
    try:
        return _rows(due, last_ids, settings)
    except Exception as error:  # noqa: BLE001 - whatever it is, it would come again with every tick
        if len(due) == 1:
            return [], (broken_coil(due[0], "assemble", error),)
    parts = [_assembled([one], last_ids, settings) for one in due]
    return [row for rows, _ in parts for row in rows], tuple(reject for _, rejects in parts for reject in rejects)


def _rows(
    due: Sequence[DueCoil], last_ids: Mapping[CoilKey, int], settings: Settings
) -> tuple[list[pa.RecordBatch], tuple[Reject, ...]]:
    built = assemble_due(due, settings)
    by_key = {one.coil.key: one.coil for one in due}
    rows = [
        coil_rows(
            part.coils,
            [
                Carried(
                    order=part.order,
                    fragment=True,
                    rows_per_face=part.due.coil.rows_per_face,
                    inbox_id=last_ids[part.due.coil.key],
                )
            ],
        )
        for part in built.fragments
    ]
    headers = built.whole.coils.headers
    carried = [
        Carried(order=h.order, rows_per_face=by_key[h.key].rows_per_face, inbox_id=last_ids[h.key]) for h in headers
    ]
    return [*rows, coil_rows(built.whole.coils, carried)], built.whole.rejects


def _dead(rejects: Sequence[Reject]) -> StepResult:
    first = rejects[0]
    others = f" (and {len(rejects) - 1} more)" if len(rejects) > 1 else ""
    said = {ERROR: f"{first.error}{others}", REMEDY: first.remedy, REJECTS: str(len(rejects))}
    return StepResult(relationship=DEAD_LETTER, attributes=said)
