"""The command run as in tests of the console, and a console of our own with members that can be asked."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from console.rest.service import Service, running_service
from flows.served import always
from models.ensemble import Ensemble
from processors.decode import decode_message
from schemas.layout import MATRIX_SHAPE
from tests.explain.linear import linear_ensemble
from tests.rest.conftest import SETTINGS, client

__all__ = ["client"]


@pytest.fixture(scope="session")
def thin_is_nok(tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    """One member: the thinner a coil, the surer it is NOK."""
    weights = np.full(MATRIX_SHAPE, -0.02, dtype=np.float32)
    return linear_ensemble(tmp_path_factory.mktemp("thin"), weights, bias=-3.0)


@pytest.fixture
def service(database: str, thin_is_nok: Ensemble) -> Iterator[Service]:
    """A console whose coils are judged by `thin_is_nok`."""
    with running_service(
        database, always(thin_is_nok), SETTINGS, decode=decode_message, connections=2, wait_s=5.0
    ) as running:
        yield running


@pytest.fixture
def thin_folder(thin_is_nok: Ensemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, where the command takes `thin_is_nok`."""
    for name in ("COILFLOW_DATABASE_DSN", "COILFLOW_PLANT", "COILFLOW_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COILFLOW_ENSEMBLE", str(thin_is_nok.members[0].folder.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path
