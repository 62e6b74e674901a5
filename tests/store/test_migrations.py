"""Migrations are applied once, whoever asks and whoever dies."""

import signal
import subprocess
import sys

import pytest

from schemas.errors import StoreError
from store.coils import counts
from store.connection import connect
from store.migrations import applied_migrations, check_version, known_migrations, migrate
from tests.store.test_interrupted import backend_waiting_for

MIGRATE = "import sys; from store.migrations import migrate; print(len(migrate(sys.argv[1])))"


def migrator(dsn: str) -> "subprocess.Popen[str]":
    """A process of its own that migrates and prints how many migrations it applied."""
    return subprocess.Popen([sys.executable, "-c", MIGRATE, dsn], stdout=subprocess.PIPE, text=True)


def test_migrating_twice_applies_once(empty_database: str) -> None:
    assert migrate(empty_database) == known_migrations()
    assert migrate(empty_database) == ()
    with connect(empty_database) as connection:
        assert applied_migrations(connection) == known_migrations()
        check_version(connection)


def test_everything_lies_in_a_schema_of_its_own(database: str) -> None:
    with connect(database) as connection:
        found = connection.execute(
            "select distinct schemaname from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
    assert found == [{"schemaname": "coilflow"}]


def test_processes_at_the_same_time_apply_once(empty_database: str) -> None:
    processes = [migrator(empty_database) for _ in range(3)]
    applied = [int(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(applied) == [0, 0, len(known_migrations())]
    with connect(empty_database) as connection:
        assert counts(connection).coils == 0


def test_a_migrator_killed_half_way_leaves_nothing_and_blocks_nobody(empty_database: str) -> None:
    with connect(empty_database) as connection:
        connection.execute("create schema coilflow")
        with connection.transaction():
            connection.execute("create table coilflow.verdicts ()")  # halts the migrator in its second file
            process = migrator(empty_database)
            backend_waiting_for(connection, empty_database)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            connection.execute("drop table coilflow.verdicts")
        assert applied_migrations(connection) == ()
    assert migrate(empty_database) == known_migrations()


def test_a_lock_row_that_yoyo_left_behind_blocks_nobody(database: str) -> None:
    with connect(database) as connection:
        connection.execute("insert into coilflow.yoyo_lock (locked, ctime, pid) values (1, now(), 1)")
        connection.execute("delete from coilflow._yoyo_migration where migration_id = '0007_outbox'")
        connection.execute("alter table coilflow.outbox drop attempts, drop refusal, drop refused_at")
        connection.execute("create index outbox_unpublished on coilflow.outbox (slot)")
    assert migrate(database) == ("0007_outbox",)


def test_a_database_newer_than_the_code_is_refused(database: str) -> None:
    with connect(database) as connection:
        connection.execute("insert into coilflow._yoyo_migration values ('x', '9999_later', now())")
        with pytest.raises(StoreError, match="9999_later") as caught:
            check_version(connection)
        assert "upgrade coilflow" in caught.value.remedy
    with pytest.raises(StoreError, match="9999_later"):
        migrate(database)


def test_a_database_without_tables_is_told_to_migrate(empty_database: str) -> None:
    with connect(empty_database) as connection:
        with pytest.raises(StoreError, match="lacks the migrations 0001_coils"):
            check_version(connection)
        with pytest.raises(StoreError, match="lacks coilflow's tables"):
            counts(connection)


def test_feedback_cannot_be_changed_or_deleted(database: str) -> None:
    with connect(database) as connection:
        connection.execute(
            "insert into coilflow.feedback (event_id, plant, coil_id, label, given_at)"
            " values ('e', 'p', 'c', 'OK', now())"
        )
        for statement in ("update coilflow.feedback set label = 'NOK'", "delete from coilflow.feedback"):
            with pytest.raises(Exception, match="append-only"):
                connection.execute(statement)
        assert counts(connection).feedback == 1
