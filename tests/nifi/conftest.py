"""Settings under which coils go through NiFi's processors."""

from pathlib import Path

import pytest

_QUICK = {"COILFLOW_STREAM__SETTLE_S": "0.001", "COILFLOW_STREAM__DEADLINE_S": "0.001"}


@pytest.fixture
def destination(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is announced goes to Kafka's outbox; settings of the machine do not reach it."""
    monkeypatch.setenv("COILFLOW_DESTINATIONS", '["kafka:coil.verdicts"]')
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(tmp_path))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coils are judged as soon as they ended, and given up as soon."""
    for name, value in _QUICK.items():
        monkeypatch.setenv(name, value)
