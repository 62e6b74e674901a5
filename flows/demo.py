"""The demonstration's line: coils come, what serves at that moment judges them, people look, and time is the line's."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from flows.assess import JudgedCoil, assess
from flows.demo_people import settling, words
from flows.record import record
from flows.serving import Serving
from flows.sources.open import open_source
from plant.events import write_events
from plant.line import SimulatedBlock, simulate
from plant.settings import PRODUCTION, LineSettings
from schemas.coils import CoilKey, Truth
from schemas.rejects import Reject
from schemas.settings import Settings
from schemas.verdicts import Label
from store.connection import Connection
from store.feedback import record_feedback
from store.labels import list_labels

# A line on which far more goes wrong than on a good one, so that there is something to see and to learn from.
LINE = replace(PRODUCTION, defect_share=0.5, gauge=replace(PRODUCTION.gauge, damaged_share=0.01))
# The gauge's source has aged: it reads 15% too little of a coating that is as good or bad as before.
AGED = replace(LINE, gauge=replace(LINE.gauge, reads_share=0.85))
HOST_NAME = "demo"  # of the worker that judges the coils; a console beside it answers swaps too
IN_DOUBT = 4  # coils kept for pictures
_HEARD = timedelta(hours=1, minutes=30)  # after the last coil of a block, all of it has been looked at


@dataclass(kw_only=True, slots=True)
class Host:
    """The one process that judges the line's coils, and what it has seen so far.

    `now` is the line's own time: it goes on with the coils, and everybody in the demonstration goes by it.
    """

    connection: Connection
    serving: Serving
    settings: Settings
    folder: Path  # for events on their way
    on_coils: Callable[[int], None]  # told how many more coils were judged
    on_rejects: Callable[[Sequence[Reject]], None]
    now: datetime
    drifted_at: datetime | None = None  # when the gauge began to age
    made: dict[CoilKey, Truth | None] = field(default_factory=dict)  # every coil of the simulator
    corrected: int = 0  # words that were taken back
    settled: int = 0  # disputes that were settled; the others stay, and their coils count for nothing
    in_doubt: list[JudgedCoil] = field(default_factory=list)  # UNDECIDED first, then the closest to their threshold
    simulate_s: float = 0.0
    assess_s: float = 0.0


def coils_of(host: Host, count: int, *, seed: int, line: LineSettings) -> Iterator[SimulatedBlock]:
    """Coils of a line that goes on from the host's time, block by block."""
    blocks = simulate(count, seed=seed, line=replace(line, started_at=host.now))
    while True:
        begun_s = time.perf_counter()
        block = next(blocks, None)
        host.simulate_s += time.perf_counter() - begun_s
        if block is None:
            return
        yield block


def run_block(host: Host, block: SimulatedBlock, *, seed: int) -> None:
    """Let a block of coils be judged by what serves now, stored, and looked at by people; the line's time goes on.

    Raises:
        StoreError: the database refused.
    """
    begun_s = time.perf_counter()
    _judge(host, block)
    host.assess_s += time.perf_counter() - begun_s
    host.made.update((header.key, header.label) for header in block.headers)
    host.now = block.ended_at[-1] + _HEARD
    said = words(block, LINE.expert, seed=seed, slip=not host.corrected)
    host.corrected += sum(one.corrects is not None for one in said)
    record_feedback(host.connection, said, received_at=host.now)
    disputed = [one.key for one in list_labels(host.connection, since=host.now, disputed=True)]
    word = settling(disputed, block)
    if word is not None and not host.settled:
        host.settled += sum(record_feedback(host.connection, [word], received_at=host.now))


def _judge(host: Host, block: SimulatedBlock) -> None:
    events = host.folder / "events.jsonl"
    write_events([block], events)
    source = open_source(str(events), plant=host.settings.plant)
    truth = {header.key: header.label for header in block.headers}
    for judged in assess(source, host.serving.current(), host.settings, records=True):
        record(host.connection, judged, host.settings, decided_at=block.ended_at[-1])
        host.on_rejects(judged.rejects)
        shown = [replace(coil, truth=truth.get(coil.verdict.key)) for coil in judged.coils]
        host.in_doubt = [coil.alone() for coil in sorted([*host.in_doubt, *shown], key=_certainty)[:IN_DOUBT]]
        host.on_coils(len(judged.coils))
    events.unlink()


def _certainty(coil: JudgedCoil) -> tuple[bool, float]:
    verdict = coil.verdict
    return verdict.label is not Label.UNDECIDED, abs(verdict.p_nok - verdict.threshold)
