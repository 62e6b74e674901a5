"""Fixtures that every room's tests share, and the rule that in CI nothing is skipped."""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

pytest_plugins = ["tests.fix_kafka", "tests.fix_mqtt", "tests.fix_postgres"]

# No test is timed: a busy machine proves nothing. Otherwise as the environment says: `ci` where CI is set.
settings.register_profile("untimed", settings.default, deadline=None)
settings.load_profile("untimed")

# Tests read what a command says, not where a narrow terminal breaks it: a temporary folder's path may be long.
os.environ["COLUMNS"] = "200"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a skipped test is a failed one: what it needs has to be installed."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
