"""Promises of what a process logs."""

import pytest
import structlog

from flows.observe import configure_logging, log_to_stderr


def test_a_short_command_logs_in_a_process_that_was_a_service_before(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    log_to_stderr()
    structlog.stdlib.get_logger("scheduler").warning("this scheduler does not lead")
    shown = capsys.readouterr()
    assert "this scheduler does not lead" in shown.err
    assert shown.out == ""
