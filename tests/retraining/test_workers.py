"""Promises of what workers say: a champion that nobody serves goes back, and a fault of surroundings rejects nobody."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.settings import Settings
from schemas.verdicts import Role
from store.connection import Connection
from store.swaps import UNREACHABLE, Outcome, SwapAnswer, Worker, answer, note_worker
from tests.registry.given import states
from tests.retraining.given import NOON, coils, judge, label
from tests.retraining.test_refusals import DAY, Job, alarms, only, slipped

MINUTE = 1 / 24 / 60  # days


def says(
    connection: Connection,
    worker: str,
    days: float,
    *,
    of: str,
    role: Role,
    outcome: Outcome = "refused",
    why: str = "",
) -> None:
    """A worker answers on an ensemble."""
    given = SwapAnswer(
        worker=worker,
        plant="",
        ensemble_version=of,
        role=role,
        outcome=outcome,
        reason=why or ("its canaries differ" if outcome == "refused" else ""),
        at=NOON + days * DAY,
    )
    answer(connection, given, name="line", announce=())


def live(connection: Connection, days: float, *names: str) -> None:
    """Workers are seen."""
    for name in names:
        note_worker(connection, Worker(worker=name, host="h", kind="kafka", seen_at=NOON + days * DAY))


@contextmanager
def shadowing(database: str, connection: Connection, folder: Path) -> Iterator[tuple[Settings, Job, str]]:
    """A successor in shadow since day 1.1, with enough coils to take over."""
    with slipped(database, connection, folder) as (given, at):
        at(1, "retrain")
        successor = only(connection).candidate
        assert successor is not None
        assert f"{successor} shadow" in at(1.1)
        beside = coils(30, first=300)
        asked = judge(connection, given, beside, at=NOON + 1.2 * DAY, shadow=successor)
        label(connection, beside, asked, face="bottom", at=NOON + 1.3 * DAY)
        yield given, at, successor


def test_a_champion_that_every_worker_refuses_is_rolled_back_once_a_further_try_did_not_help(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with shadowing(database, connection, tmp_path) as (_, at, successor):
        assert f"{successor} promoted" in at(1.4)
        for name in ("w1", "w2"):
            says(connection, name, 1.4 + MINUTE, of=successor, role="champion")
        live(connection, 1.4 + MINUTE, "w1", "w2")
        assert "watched: 0 of 60" in at(1.4 + 2 * MINUTE)
        assert alarms(connection)["champion_refused"] == 1, "told at once"
        live(connection, 1.4 + 5 * MINUTE, "w1", "w2")
        assert f"{successor} rolled_back: refused_by_all: none of 2 workers serves it" in at(1.4 + 5 * MINUTE)
        assert states(connection, "champion", successor) == {"champion": "champion", successor: "rejected"}
        at(1.4 + 6 * MINUTE)
        assert alarms(connection) == {"rolled_back": 1}


def test_a_champion_that_some_workers_refuse_is_told_and_stays(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with shadowing(database, connection, tmp_path) as (_, at, successor):
        at(1.4)
        says(connection, "w1", 1.4, of=successor, role="champion")
        says(connection, "w2", 1.4, of=successor, role="champion", outcome="swapped")
        says(connection, "gone", 1.4, of=successor, role="champion")
        live(connection, 1.5, "w1", "w2")
        assert "watched: 0 of 60" in at(1.5)
        assert alarms(connection) == {"champion_refused": 1}
        says(connection, "w1", 1.55, of=successor, role="champion", outcome="swapped")
        live(connection, 1.6, "w1", "w2")
        at(1.6)
        assert alarms(connection) == {}, "its files were restored"


def test_a_champion_without_verdicts_while_others_judge_is_told(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with shadowing(database, connection, tmp_path) as (given, at, successor):
        at(1.4)
        judge(connection, given, coils(5, first=400), at=NOON + 1.5 * DAY)
        at(1.5 + MINUTE)
        assert alarms(connection) == {"champion_silent": 1}
        judge(connection, given, coils(5, first=410), at=NOON + (1.5 + MINUTE) * DAY, by=successor)
        at(1.5 + 2 * MINUTE)
        assert alarms(connection) == {}


def test_a_successor_whose_files_are_away_waits_until_they_are_back(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with slipped(database, connection, tmp_path) as (given, at):
        at(1, "retrain")
        successor = only(connection).candidate
        assert successor is not None
        folder = given.data_dir / "ensembles" / successor
        folder.rename(tmp_path / "away")
        assert f"{successor} waits: unreachable: " in at(1.1)
        assert alarms(connection) == {"successor_waits": 1}
        assert only(connection).state == "accepted"
        (tmp_path / "away").rename(folder)
        assert f"{successor} shadow" in at(1.2)
        assert alarms(connection) == {}


def test_only_what_a_live_worker_refuses_again_rejects_a_shadow(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with shadowing(database, connection, tmp_path) as (_, at, successor):
        says(connection, "w1", 1.15, of=successor, role="shadow")  # is restarted, under another name
        says(connection, "w2", 1.15, of=successor, role="shadow", why=f"{UNREACHABLE}the store timed out")
        live(connection, 1.4, "w2")
        assert f"{successor} waits: refused_yet: worker w2: unreachable: the store timed out" in at(1.4)
        says(connection, "w2", 1.41, of=successor, role="shadow", outcome="swapped")
        says(connection, "w3", 1.5, of=successor, role="shadow")
        live(connection, 1.5 + MINUTE, "w2", "w3")
        assert "waits: refused_yet: worker w3: its canaries differ" in at(1.5 + MINUTE)
        live(connection, 1.5 + 4 * MINUTE, "w2", "w3")
        assert f"{successor} rejected: refused: worker w3: its canaries differ" in at(1.5 + 4 * MINUTE)
