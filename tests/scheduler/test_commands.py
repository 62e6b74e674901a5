"""`coilflow scheduler`: what a person sees, asks for and sets."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from console.cli import run
from store.alarms import raise_alarm
from store.connection import Connection, connect
from store.decisions import record_decision
from store.leadership import last_leader
from store.schedules import schedules
from tests.scheduler.given import NOON, rows
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def settings(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", database)
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(tmp_path))


@pytest.fixture
def scheduler() -> Iterator[subprocess.Popen[str]]:
    """`coilflow scheduler run`, which leads."""
    started = subprocess.Popen(
        [sys.executable, "-c", "from console.cli import main; main()", "scheduler", "run"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield started
    if started.poll() is None:
        started.kill()
        started.communicate()


def leads(connection: Connection) -> bool:
    """Whether a scheduler leads."""
    leader = last_leader(connection)
    return leader is not None and leader.leads


def objects(text: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in text.splitlines()]


def test_it_leads_runs_what_is_asked_for_and_stops_cleanly_on_sigterm(
    scheduler: subprocess.Popen[str], connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    wait_until(lambda: leads(connection))
    wait_until(lambda: "housekeeping" in schedules(connection, now=NOON))
    assert run(["scheduler", "list", "--json"]) == 0
    listed = {one["job"]: one for one in objects(capsys.readouterr().out)}
    assert listed.keys() >= {"housekeeping", "alarm_watch"}
    assert listed["housekeeping"]["leader"]["leads"]
    assert listed["housekeeping"]["last"] is None
    assert listed["housekeeping"]["next"]
    assert run(["scheduler", "once", "housekeeping", "--why", "disk is full", "--json"]) == 0
    [fire] = objects(capsys.readouterr().out)
    assert (fire["outcome"], fire["why"]) == ("committed", "disk is full")
    assert fire["holder"] == listed["housekeeping"]["leader"]["holder"]
    scheduler.send_signal(signal.SIGTERM)
    _, log = scheduler.communicate()
    assert scheduler.returncode == 0, log
    assert objects(log)[-1]["event"] == "the scheduler has stopped"
    leader = last_leader(connection)
    assert leader is not None
    assert leader.ended_at is not None


def test_once_runs_a_job_here_where_nobody_leads_and_gives_the_lead_up(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scheduler", "pause", "housekeeping"]) == 0
    capsys.readouterr()
    assert run(["scheduler", "once", "housekeeping"]) == 0
    assert capsys.readouterr().out.startswith("housekeeping: committed: deleted "), "no log before it"
    assert run(["scheduler", "once", "housekeeping", "--json"]) == 0
    [fire] = objects(capsys.readouterr().out)
    assert fire["outcome"] == "committed"
    assert not leads(connection)
    assert run(["scheduler", "list"]) == 1


def test_pause_and_resume_say_who_and_why_and_whether_anything_changed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scheduler", "resume", "housekeeping"]) == 1
    assert run(["scheduler", "pause", "housekeeping", "--why", "line is rebuilt"]) == 0
    assert run(["scheduler", "pause", "housekeeping"]) == 1
    capsys.readouterr()
    run(["scheduler", "list", "--json"])
    listed = {one["job"]: one for one in objects(capsys.readouterr().out)}
    assert listed["housekeeping"]["paused"]["why"] == "line is rebuilt"
    assert listed["housekeeping"]["next"] is None
    assert run(["scheduler", "resume", "housekeeping"]) == 0


def test_a_crontab_can_be_set_and_given_back_and_one_that_never_fires_is_refused(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scheduler", "set", "housekeeping", "0 3 * * 0"]) == 0
    assert schedules(connection, now=NOON)["housekeeping"].cron == "0 3 * * 0"
    assert schedules(connection, now=NOON)["housekeeping"].own_cron
    assert run(["scheduler", "set", "housekeeping", "0 0 30 2 *"]) == 2
    assert "never fires" in " ".join(capsys.readouterr().err.split())
    assert schedules(connection, now=NOON)["housekeeping"].cron == "0 3 * * 0"
    assert run(["scheduler", "set", "housekeeping"]) == 0
    assert not schedules(connection, now=NOON)["housekeeping"].own_cron


def test_why_shows_runs_and_decisions_with_their_reasons(
    database: str, connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scheduler", "why", "housekeeping"]) == 1
    with connect(database) as mine:
        record_decision(
            mine,
            "housekeeping",
            at=NOON,
            subject="linz",
            act=False,
            why=["cooldown: 3 h are left"],
            evidence={"coils": 12},
        )
    run(["scheduler", "once", "housekeeping"])
    capsys.readouterr()
    assert run(["scheduler", "why", "housekeeping", "--json"]) == 0
    job, fire, decision = objects(capsys.readouterr().out)
    assert (job["is"], fire["is"], fire["outcome"]) == ("job", "fire", "committed")
    assert (decision["act"], decision["why"], decision["evidence"]) == (
        False,
        ["cooldown: 3 h are left"],
        {"coils": 12},
    )
    assert run(["scheduler", "why", "housekeeping"]) == 0
    assert "cooldown: 3 h are left" in " ".join(capsys.readouterr().out.split())


def test_decisions_cannot_be_changed(connection: Connection) -> None:
    record_decision(connection, "x", at=NOON, subject="", act=True, why=["a: b"], evidence={})
    with pytest.raises(Exception, match="append-only"):
        rows(connection, "update coilflow.decisions set act = false")


@pytest.mark.parametrize("command", ["why", "once", "pause", "resume", "set"])
def test_a_job_that_is_not_there_is_wrong_use(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scheduler", command, "nonsense"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "there is no job 'nonsense'; give one of alarm_watch, " in said


def test_open_alarms_stand_under_the_list(connection: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    raise_alarm(connection, "job_failed", "score", text="the job score failed [badly]", now=NOON)
    assert run(["scheduler", "list"]) == 1
    assert "job_failed (score): the job score failed [badly]" in " ".join(capsys.readouterr().out.split())


def test_where_the_settings_differ_from_what_counts_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scheduler", "pause", "score"]) == 0
    assert run(["scheduler", "set", "drift", "0 3 * * *"]) == 0
    monkeypatch.setenv("COILFLOW_SCHEDULE__SCORE", "7 7 * * *")
    capsys.readouterr()
    run(["scheduler", "list", "--json"])
    listed = {one["job"]: one for one in objects(capsys.readouterr().out)}
    assert (listed["score"]["cron"], listed["score"]["settings_cron"]) == ("*/10 * * * *", "7 7 * * *")
    assert listed["retrain"]["settings_cron"] is None
    run(["scheduler", "list"])
    said = " ".join(capsys.readouterr().out.split())
    assert "score: the settings say `7 7 * * *`; it counts once a scheduler with these settings begins to lead" in said
    assert "drift: the settings say `5 * * * *`; `coilflow scheduler set drift` goes back to that" in said


@pytest.mark.parametrize(
    "arguments", [["run"], ["list"], ["why", "score"], ["once", "score"], ["pause", "score"], ["set", "score"]]
)
def test_a_crontab_of_the_settings_that_never_fires_is_refused_by_each_command(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COILFLOW_SCHEDULE__SCORE", "0 0 30 2 *")
    assert run(["scheduler", *arguments]) == 2
    assert "setting schedule.score: the crontab '0 0 30 2 *' never fires" in " ".join(capsys.readouterr().err.split())
