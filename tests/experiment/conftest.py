"""The tiny experiment, trained once for all tests of this room."""

import pytest

from flows.experiment.run import Prepared, train_missing
from tests.experiment.tiny import prepared


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The tiny experiment whose four runs are done; nobody changes its folder."""
    tiny = prepared(tmp_path_factory.mktemp("done"))
    train_missing(tiny, on_done=lambda _: None)
    return tiny
