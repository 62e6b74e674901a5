"""The demonstration: a shift of a simulated line, assessed into a fresh database, counted by SQL."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flows.assess import JudgedCoil, assess
from flows.record import record, register_members
from flows.served import only
from flows.sources.open import open_source
from models.ensemble import Ensemble
from plant.events import write_events
from plant.line import SimulatedBlock, simulate
from plant.settings import PRODUCTION
from schemas.coils import CoilKey, Truth
from schemas.rejects import Reject
from schemas.settings import Settings
from schemas.verdicts import Label
from store.coils import Counts, counts, missing_coils
from store.connection import connect
from store.migrations import migrate

# A shift with more going wrong than on a good day, so that there is something to see.
LINE = replace(PRODUCTION, defect_share=0.12, gauge=replace(PRODUCTION.gauge, damaged_share=0.01))
IN_DOUBT = 4  # coils kept for pictures


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """What a demonstration showed."""

    counts: Counts
    lost: int  # coils of the simulator that the database knows neither a verdict nor a dead letter of
    in_doubt: tuple[JudgedCoil, ...]  # UNDECIDED first, then those closest to their threshold
    agreed: int  # verdicts that say what the simulated expert said
    simulate_s: float
    assess_s: float


def run_shift(
    coils: int,
    *,
    seed: int,
    dsn: str,
    ensemble: Ensemble,
    settings: Settings,
    on_coils: Callable[[int], None],
    on_rejects: Callable[[Sequence[Reject]], None],
) -> Shift:
    """Simulate a shift as events, assess it, store every verdict and reject, and count what the database holds.

    Args:
        coils: how many coils the shift has.
        seed: of the simulation.
        dsn: an empty database.
        ensemble: the models.
        settings: batch size, tolerance profiles, destinations.
        on_coils: told how many more coils were simulated or assessed.
        on_rejects: given what was refused.
    """
    begun = time.perf_counter()
    made: dict[CoilKey, Truth | None] = {}
    with tempfile.TemporaryDirectory(prefix="coilflow-demo-") as folder:
        events = Path(folder) / "events.jsonl"

        def blocks() -> Iterator[SimulatedBlock]:
            for block in simulate(coils, seed=seed, line=LINE):
                made.update((header.key, header.label) for header in block.headers)
                on_coils(len(block))
                yield block

        write_events(blocks(), events)
        simulated = time.perf_counter()
        migrate(dsn)
        in_doubt: list[JudgedCoil] = []
        agreed = 0
        with connect(dsn) as connection:
            register_members(connection, ensemble)
            for judged in assess(
                open_source(str(events), plant=settings.plant), only(ensemble), settings, records=True
            ):
                record(connection, judged, settings)
                on_rejects(judged.rejects)
                labelled = [replace(coil, truth=made.get(coil.verdict.key)) for coil in judged.coils]
                in_doubt = [coil.alone() for coil in sorted([*in_doubt, *labelled], key=_certainty)[:IN_DOUBT]]
                agreed += sum(coil.truth == coil.verdict.label for coil in labelled)
                on_coils(len(judged.coils))
            done = time.perf_counter()
            stored = counts(connection)
            lost = missing_coils(connection, list(made))
    return Shift(
        counts=stored,
        lost=lost,
        in_doubt=tuple(in_doubt),
        agreed=agreed,
        simulate_s=simulated - begun,
        assess_s=done - simulated,
    )


def _certainty(coil: JudgedCoil) -> tuple[bool, float]:
    verdict = coil.verdict
    return verdict.label is not Label.UNDECIDED, abs(verdict.p_nok - verdict.threshold)
