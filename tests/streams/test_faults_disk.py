"""A disk that is full while an ensemble is written: nothing of it is left, and the one in service goes on."""

import json
import subprocess
import sys
from pathlib import Path


def test_an_ensemble_that_does_not_fit_is_not_there_at_all_and_the_one_in_service_answers_on(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.streams.full_disk", str(tmp_path / "successor")]
    printed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert printed["failed"] == f"{tmp_path / 'successor'} cannot be written (File too large)"
    assert printed["left"] == []
    assert printed["deviation"] < 1e-4
