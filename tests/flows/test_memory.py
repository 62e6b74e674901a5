"""Memory does not grow with the number of coils."""

import subprocess
import sys
from pathlib import Path

import pytest

from plant.events import write_events
from plant.line import simulate
from plant.tables import write_tables

FEW, MANY = 60, 900
MAX_GROWTH_MB = 60  # 840 coils more are 60 MB of tables, and their matrices 32 MB more

# The peak is read when the few coils are done and again when the many are: a process never gives its peak back.
_PROGRAM = """
import resource, sys
from flows.assess import assess
from flows.served import only
from flows.sources.open import open_source
from schemas.settings import Settings
from tests.flows.judging import MeanScorer

for source in sys.argv[1:]:
    coils = rejects = 0
    for judged in assess(open_source(source, plant="default"), only(MeanScorer()), Settings(), records=True):
        coils += len(judged.coils)
        rejects += len(judged.rejects)
    print(coils, rejects, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same line, few coils and many, as tables, as events, and as events of all coils at once."""
    folder = tmp_path_factory.mktemp("memory")
    for coils in (FEW, MANY):
        write_tables(simulate(coils, seed=1), folder / f"tables-{coils}")
        write_events(simulate(coils, seed=1), folder / f"events-{coils}.jsonl")
        lines = (folder / f"events-{coils}.jsonl").read_bytes().splitlines(keepends=True)
        (folder / f"mixed-{coils}.jsonl").write_bytes(
            b"".join(lines[i] for k in range(97) for i in range(k, len(lines), 97))
        )
    return folder


@pytest.mark.parametrize("kind", ["tables-{}", "events-{}.jsonl", "mixed-{}.jsonl"])
def test_fifteen_times_the_coils_need_hardly_more_memory(folder: Path, kind: str) -> None:
    sources = [str(folder / kind.format(coils)) for coils in (FEW, MANY)]
    done = subprocess.run([sys.executable, "-c", _PROGRAM, *sources], capture_output=True, text=True, check=True)
    few, many = ([int(n) for n in line.split()] for line in done.stdout.splitlines())
    assert few[:2] == [FEW, 0]
    assert many[:2] == [MANY, 0]
    assert many[2] - few[2] < MAX_GROWTH_MB
