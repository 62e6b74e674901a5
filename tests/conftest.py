"""Fixtures that every room's tests share, and the rule that in CI nothing but what needs a NiFi is skipped."""

import logging
import os
from collections.abc import Generator, Iterator

import pytest
import structlog
from hypothesis import settings

from flows import trial

pytest_plugins = ["tests.fix_kafka", "tests.fix_mqtt", "tests.fix_paths", "tests.fix_postgres"]

# No test is timed: a busy machine proves nothing. Otherwise as the environment says: `ci` where CI is set.
settings.register_profile("untimed", settings.default, deadline=None)
settings.load_profile("untimed")

# Tests read what a command says, not where a narrow terminal breaks it: a temporary folder's path may be long.
os.environ["COLUMNS"] = "200"


NIFI_HOME = "COILFLOW_TEST_NIFI_HOME"


@pytest.fixture(autouse=True)
def logs_of_one_test() -> Iterator[None]:
    """A command that runs in this process logs to its test's standard error, which is closed for the tests after it."""
    root, configured = logging.getLogger(), structlog.get_config() if structlog.is_configured() else None
    level = root.level
    yield
    for handler in [one for one in root.handlers if type(one) is logging.StreamHandler]:
        root.removeHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()
    if configured is not None:
        structlog.configure(**configured)


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the mark, and that it may be used."""
    config.addinivalue_line("markers", f"nifi: needs a NiFi, which CI may lack: skipped unless {NIFI_HOME} names one")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a NiFi where none is named: it is on no registry, and takes an hour to build."""
    if item.get_closest_marker("nifi") and not os.environ.get(NIFI_HOME):
        pytest.skip(f"needs an installation of NiFi 2.x: set {NIFI_HOME} to its folder")


@pytest.fixture(autouse=True)
def trials_soon_take_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ensemble is tried where a core is idle, for a minute: tests keep all of them busy."""
    monkeypatch.setattr(trial, "_IDLE_S", 2.0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a skipped test is a failed one, for what it needs has to be installed; all but a NiFi."""
    report = yield
    lacks_nifi = item.get_closest_marker("nifi") is not None and not os.environ.get(NIFI_HOME)
    if report.skipped and os.environ.get("CI") == "true" and not lacks_nifi:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
