"""`Content` = assesscoil with the plant's tables, through the processors: the verdicts of the MQTT bridge."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from pydantic import SecretStr

from flows.inbox import InboxJudge
from flows.mqtt.desk import Desk, Fate
from flows.served import always
from flows.serving import serving_ensemble
from processors.decode import decode_message
from schemas.settings import Settings
from store.coils import counts
from store.connection import Connection, connect
from store.databases import create_database, drop_database
from store.verdicts import verdict_of
from tests.flows.given import Given, coil, fill_plant_database
from tests.nifi.running import Running, Transferred
from tests.nifi.test_flow_of_processors import canvas, through
from tests.store.given import key_of

ASKED = {"uuid": "u", "mqtt.topic": "assesscoil"}
_OWN = ("dead_letter_id", "created_at", "place")


def half_a_row() -> Given:
    """A coil whose row lacks two of its nine tiles."""
    given = coil("half", rows=30)
    position, readings = given.faces["top"][3]
    given.faces["top"][3] = (position, readings[:7])
    return given


def short() -> Given:
    """A coil whose bottom face has a third of the rows of the top."""
    given = coil("short", rows=30)
    del given.faces["bottom"][10:]
    return given


def one_face() -> Given:
    """A coil without its bottom face."""
    given = coil("face", rows=30)
    del given.faces["bottom"]
    return given


def unlisted() -> Given:
    """A coil that is in the table of tiles alone."""
    given = coil("tiles", rows=30)
    given.listed = False
    return given


COILS = (coil("7", rows=30), coil("far", rows=30, level=160.0), half_a_row(), short(), one_face(), unlisted())


@pytest.fixture(autouse=True)
def plant_dsn(postgres_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The plant's own database, which settings name; nothing else of this machine's settings is left."""
    for name in [name for name in os.environ if name.startswith("COILFLOW_") and "TEST" not in name]:
        monkeypatch.delenv(name)
    name = f"coilflow_plant_{os.getpid()}"
    drop_database(postgres_server, name)
    dsn = create_database(postgres_server, name)
    fill_plant_database(COILS, dsn)
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COILFLOW_PLANT_DSN", dsn)
    monkeypatch.setenv("COILFLOW_THREADS", "1")
    try:
        yield dsn
    finally:
        drop_database(postgres_server, name)


@pytest.fixture
def placed(database: str) -> Iterator[dict[str, Running]]:
    """The processors of the flow, started."""
    with canvas(database, Content="assesscoil", Plant="linz") as processors:
        yield processors


def asked(placed: dict[str, Running], *names: str) -> Transferred:
    content = b"\n".join(orjson.dumps({"SID": name}) for name in names)
    return placed["AssembleCoil"].give(content, ASKED)


def letters(connection: Connection) -> list[dict[str, Any]]:
    rows = connection.execute("select * from coilflow.dead_letters order by coil_id").fetchall()
    return [{name: value for name, value in row.items() if name not in _OWN} for row in rows]


def test_a_coil_of_the_plants_tables_is_judged_once_however_often_it_is_asked_for(
    placed: dict[str, Running], database: str
) -> None:
    given = asked(placed, "7")
    assert given.attributes["coilflow.coils"] == "1"
    done = through(placed, given)
    again = through(placed, asked(placed, "7"))
    [event] = [orjson.loads(line) for line in done.content.splitlines()]
    assert (event["type"], event["data"]["coil_id"], event["data"]["plant"]) == ("coil.verdict", "7", "linz")
    assert again.content == done.content
    assert (done.attributes["coilflow.verdicts.new"], again.attributes["coilflow.verdicts.new"]) == ("1", "0")
    with connect(database) as connection:
        assert (counts(connection).verdicts, counts(connection).dead_letters) == (1, 0)


def test_an_unknown_coil_is_a_dead_letter_with_the_message_that_named_it(
    placed: dict[str, Running], database: str
) -> None:
    done = asked(placed, "404")
    assert (done.relationship, done.content) == ("dead_letter", b'{"SID":"404"}')
    assert "404" in done.attributes["coilflow.error"]
    assert done.attributes["coilflow.remedy"]
    with connect(database) as connection:
        [row] = connection.execute("select coil_id, place, original from coilflow.dead_letters").fetchall()
    assert row == {"coil_id": "404", "place": "NiFi, mqtt assesscoil", "original": b'{"SID":"404"}'}


def test_of_coils_asked_for_together_the_good_one_is_judged_and_each_other_is_told(
    placed: dict[str, Running], database: str
) -> None:
    given = asked(placed, "7", "face", "404")
    assert (given.relationship, given.attributes["coilflow.coils"]) == ("success", "1")
    assert given.attributes["coilflow.rejects"] == "2"
    assert through(placed, given).attributes["coilflow.verdicts.new"] == "1"
    with connect(database) as connection:
        assert [row["coil_id"] for row in letters(connection)] == ["404", "face"]


@pytest.fixture
def bridged(database: str) -> Iterator[Connection]:
    """A database in which the MQTT bridge has done what was asked of all coils."""
    settings = Settings(
        plant="linz", plant_dsn=SecretStr(os.environ["COILFLOW_PLANT_DSN"]), threads=1, destinations=("mqtt:coilready",)
    )
    current = always(serving_ensemble(settings))
    judge = InboxJudge(database, current, settings, decode=decode_message)
    desk = Desk(settings=settings, current=current, decode=decode_message, judge=judge)
    with connect(database) as connection:
        fates = [desk.take(connection, "assesscoil", orjson.dumps({"SID": one.coil_id})) for one in COILS]
        known: set[Fate] = {"applied", "dead"}
        assert set(fates) == known
        yield connection


def test_both_roads_give_each_coil_the_same_verdict_or_refuse_it_alike(
    placed: dict[str, Running], database: str, bridged: Connection
) -> None:
    for one in COILS:
        given = asked(placed, one.coil_id)
        if given.relationship == "success":
            through(placed, given)
    with connect(database) as connection:
        ours = {one.coil_id: verdict_of(connection, key_of(one.coil_id)) for one in COILS}
        assert letters(connection) == letters(bridged)
    theirs = {one.coil_id: verdict_of(bridged, key_of(one.coil_id)) for one in COILS}
    assert {name: stored and stored.verdict for name, stored in ours.items()} == {
        name: stored and stored.verdict for name, stored in theirs.items()
    }
    assert sum(stored is not None for stored in ours.values()) >= 2


def test_a_coil_that_the_bridge_judged_gets_no_second_verdict(
    placed: dict[str, Running], database: str, bridged: Connection
) -> None:
    with canvas(bridged.info.dsn, Content="assesscoil", Plant="linz") as beside:
        before = counts(bridged).verdicts
        done = through(beside, asked(beside, "7"))
    assert done.attributes["coilflow.verdicts.repeated"] == "1"
    assert counts(bridged).verdicts == before


def test_where_the_plants_database_is_away_the_message_is_tried_again(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COILFLOW_PLANT_DSN", f"host={tmp_path} dbname=none connect_timeout=2")
    with canvas(database, Content="assesscoil", Plant="linz") as placed:
        done = asked(placed, "7")
    assert (done.relationship, done.content) == ("failure", b'{"SID":"7"}')
    assert done.attributes["coilflow.error"]


@pytest.mark.parametrize("table", ["V_Coils", "GR_QPValues"])
def test_tables_that_are_locked_hold_no_thread_for_ever_and_the_message_is_tried_again(
    placed: dict[str, Running], plant_dsn: str, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setattr("store.waits.LOCK_TIMEOUT_S", 0.05)
    with psycopg.connect(plant_dsn) as plant:
        plant.execute(f'lock table "{table}" in access exclusive mode')
        done = asked(placed, "7")
    assert (done.relationship, done.content) == ("failure", b'{"SID":"7"}')
    assert asked(placed, "7").relationship == "success"


def test_tables_that_are_not_the_plants_are_named(placed: dict[str, Running], plant_dsn: str) -> None:
    with psycopg.connect(plant_dsn) as plant:
        plant.execute('alter table "GR_QPValues" rename column "MEAN" to "MIDDLE"')
    done = asked(placed, "7")
    assert (done.relationship, done.content) == ("dead_letter", b'{"SID":"7"}')
    assert "MEAN" in done.attributes["coilflow.error"]
