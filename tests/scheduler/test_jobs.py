"""The jobs that are built in: housekeeping and the watch over feedback."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from store.alarms import open_alarms
from store.connection import Connection, connect
from store.feedback import Feedback, record_feedback
from store.verdicts import record_verdicts
from tests.scheduler.given import NOON, rows, run_registered
from tests.store.given import KAFKA, decided, key_of
from tests.waiting import wait_until

DAY = timedelta(days=1)


def judge(connection: Connection, *coil_ids: str, at: datetime) -> None:
    """Store a verdict a coil."""
    record_verdicts(connection, [decided(coil_id) for coil_id in coil_ids], decided_at=at, destinations=[KAFKA])


def said(connection: Connection, *coil_ids: str, at: datetime) -> None:
    """Store feedback on coils."""
    record_feedback(
        connection,
        [
            Feedback(key=key_of(coil_id), source="test", event_id=coil_id, label="OK", given_at=at)
            for coil_id in coil_ids
        ],
    )
    connection.execute("alter table coilflow.feedback disable trigger all")
    connection.execute("update coilflow.feedback set received_at = %s where coil_id = any(%s)", (at, list(coil_ids)))


def test_housekeeping_deletes_what_was_published_or_run_long_ago_and_nothing_else(
    database: str, connection: Connection
) -> None:
    judge(connection, "old", "new", "waiting", at=NOON)
    connection.execute("update coilflow.outbox set published_at = %s where key = 'linz/old'", (NOON - 8 * DAY,))
    connection.execute("update coilflow.outbox set published_at = %s where key = 'linz/new'", (NOON - DAY,))
    run_registered(database, "housekeeping", NOON - 500 * DAY)
    assert run_registered(database, "housekeeping", NOON).said == "deleted 1 published rows of the outbox, 1 old runs"
    assert {row["key"] for row in rows(connection, "select key from coilflow.outbox")} == {"linz/new", "linz/waiting"}
    assert rows(connection, "select fire_at from coilflow.fires") == [{"fire_at": NOON}]
    assert [row["epoch"] for row in rows(connection, "select epoch from coilflow.leaders order by 1")][-1] == 2


def test_coils_of_which_nobody_says_anything_are_an_alarm_until_somebody_does(
    database: str, connection: Connection
) -> None:
    judge(connection, "1", at=NOON - 10 * DAY)
    run_registered(database, "alarm_watch", NOON - 9 * DAY)
    assert open_alarms(connection) == ()  # not long enough
    judge(connection, "2", at=NOON - DAY)
    run_registered(database, "alarm_watch", NOON)
    assert [(alarm.kind, alarm.subject) for alarm in open_alarms(connection)] == [("no_feedback", "linz")]
    said(connection, "1", at=NOON)
    run_registered(database, "alarm_watch", NOON + timedelta(minutes=15))
    assert open_alarms(connection) == ()


def test_no_coils_are_no_reason_for_feedback(database: str, connection: Connection) -> None:
    judge(connection, "1", at=NOON - 10 * DAY)
    run_registered(database, "alarm_watch", NOON)
    assert open_alarms(connection) == ()


def test_too_few_labels_to_score_a_model_are_an_alarm(database: str, connection: Connection) -> None:
    coils = [str(number) for number in range(30)]
    judge(connection, *coils, at=NOON - DAY)
    said(connection, *coils[:10], at=NOON - DAY)
    run_registered(database, "alarm_watch", NOON)
    [alarm] = open_alarms(connection)
    assert (alarm.kind, alarm.subject) == ("few_labels", "linz")
    assert "of 30 coils of linz in 30 days 10 have a label" in alarm.text
    assert "no score of its models leads to a retraining until more than 10 do" in alarm.text
    said(connection, "10", at=NOON)
    run_registered(database, "alarm_watch", NOON + timedelta(minutes=15))
    assert open_alarms(connection) == ()


def test_scores_are_reckoned_before_the_fence_so_that_nobody_waits_for_them(
    database: str, connection: Connection
) -> None:
    judge(connection, "1", at=NOON)
    blocked = "select pid from pg_stat_activity where wait_event_type = 'Lock' and application_name like 'coilflow%'"
    with ThreadPoolExecutor(1) as threads:
        with connect(database) as slow, slow.transaction():
            slow.execute("lock table coilflow.verdicts in access exclusive mode")
            ran = threads.submit(run_registered, database, "score", NOON + DAY)
            wait_until(lambda: rows(connection, blocked))
            with connection.transaction():
                assert len(rows(connection, "select * from coilflow.leaders where ended_at is null for update nowait"))
        assert ran.result().outcome == "committed"
