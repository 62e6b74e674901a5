"""Decided coils of the simulated line in a database."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from flows.assess import assess
from flows.record import record
from flows.served import only
from flows.sources.open import open_source
from flows.sources.source import ReadingsSource, Source
from plant.line import simulate
from plant.settings import LineSettings
from processors.assemble import Assembled, assemble
from processors.score import Scorer
from schemas.coils import CoilKey
from schemas.settings import Settings
from store.connection import Connection
from tests.flows.given import Cells, grey_row, write_grey
from tests.flows.judging import MeanScorer
from tests.scheduler.given import NOON, run_registered

PLANT = "linz"


def line(coils: int, *, seed: int = 7, plant: str = PLANT) -> ReadingsSource:
    """Coils of a line at rest, most with a defect."""

    def read() -> Iterator[Assembled]:
        for block in simulate(coils, seed=seed, line=LineSettings(plant=plant, defect_share=0.9, restlessness=0.5)):
            yield assemble(block.rows, block.headers)

    return ReadingsSource(name="the line", read=read)


def grey(coil_ids: Iterable[str], folder: Path) -> Source:
    """Coils that come as grey levels."""
    rows: list[Cells] = [grey_row(coil_id) for coil_id in coil_ids]
    return open_source(str(write_grey(folder / "grey.parquet", rows)), plant=PLANT)


def decide(connection: Connection, source: Source, scorer: Scorer | None = None) -> list[CoilKey]:
    """Judge the coils of a source and store what was decided; their keys in order."""
    keys = []
    settings = Settings()
    for judged in assess(source, only(scorer or MeanScorer()), settings, records=True):
        record(connection, judged, settings)
        keys += [coil.verdict.key for coil in judged.coils]
    return keys


def run_job(database: str, job: str) -> str:
    """Run a job as a scheduler does, and say what it said."""
    fire = run_registered(database, job, NOON)
    assert fire.state == "committed", fire
    return fire.said or ""
