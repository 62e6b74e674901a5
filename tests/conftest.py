"""Fixtures that every room's tests share, and the rule that in CI nothing is skipped."""

import os
from collections.abc import Generator

import pytest

pytest_plugins = ["tests.fix_kafka", "tests.fix_mqtt", "tests.fix_postgres"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a skipped test is a failed one: what it needs has to be installed."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
