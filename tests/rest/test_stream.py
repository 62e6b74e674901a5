"""The event stream tells each verdict, model change and early warning once, whatever breaks meanwhile."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.rest.service import running_service
from flows.served import always
from processors.decode import decode_message
from schemas.access import Scope
from schemas.coils import CoilKey
from schemas.events import CoilWarning, CoilWarningEvent
from schemas.verdicts import Label
from store.changes import Position, Row, Snapshot, current_snapshot
from store.connection import Connection, connect
from store.log import LogBatch, claim_positions, commit_log
from store.verdicts import record_verdicts
from tests.flows.judging import MeanScorer
from tests.rest.conftest import SETTINGS
from tests.rest.given import bearer, served
from tests.rest.hearing import STREAM, hearing
from tests.store.given import NOON, decided
from tests.waiting import wait_until


def judge(connection: Connection, *coil_ids: str, **what: Any) -> None:
    """Verdicts on coils of plant linz, in one transaction."""
    record_verdicts(connection, [decided(one, **what) for one in coil_ids], decided_at=NOON, destinations=())


def test_verdicts_are_told_as_they_are_committed(client: httpx.Client, connection: Connection) -> None:
    judge(connection, "0")
    with hearing(client, after=str(current_snapshot(connection))) as heard:
        judge(connection, "1", "2")
        judge(connection, "3", label=Label.NOK, reasons=("doubt: near",))
        wait_until(lambda: len(heard.events) == 3)
    assert heard.coils() == ["1", "2", "3"]
    kind, data = heard.events[2]
    assert (kind, data["label"], data["reasons"]) == ("verdict", "NOK", ["doubt: near"])
    assert len(set(heard.ids)) == 3


def test_a_transaction_that_commits_late_is_told_once_and_loses_nothing(
    client: httpx.Client, connection: Connection, database: str
) -> None:
    with hearing(client) as first, connect(database) as other:
        with connection.transaction():
            judge(connection, "early number, late commit")
            judge(other, "late number, early commit")
            wait_until(lambda: len(first.events) == 1)
        wait_until(lambda: len(first.events) == 2)
        judge(other, "after both")
        wait_until(lambda: len(first.events) == 3)
    told = ["late number, early commit", "early number, late commit", "after both"]
    assert first.coils() == told
    for nth, place in enumerate(first.ids):
        with hearing(client, last=place) as again:
            judge(connection, f"mark {nth}")
            told.append(f"mark {nth}")
            wait_until(lambda: f"mark {nth}" in again.coils())  # noqa: B023 - asked within the round
        assert again.coils() == told[nth + 1 :]


def test_a_place_within_a_transaction_misses_and_repeats_nothing(client: httpx.Client, connection: Connection) -> None:
    with hearing(client) as heard:
        judge(connection, *map(str, range(20)))
        wait_until(lambda: len(heard.events) == 20)
    for nth in (0, 7, 18):
        with hearing(client, last=heard.ids[nth]) as again:
            wait_until(lambda: len(again.events) == 19 - nth)  # noqa: B023 - asked within the round
        assert again.coils() == heard.coils()[nth + 1 :]
        assert again.ids == heard.ids[nth + 1 :]


def test_what_came_while_nobody_listened_is_told_to_who_comes_again(
    client: httpx.Client, connection: Connection
) -> None:
    with hearing(client) as heard:
        judge(connection, "1")
        wait_until(lambda: heard.events)
    judge(connection, "2")
    judge(connection, "3")
    with hearing(client, last=heard.place) as again:
        judge(connection, "4")
        wait_until(lambda: len(again.events) == 3)
    assert again.coils() == ["2", "3", "4"]


def test_filters_leave_out_other_verdicts_and_keep_the_place(client: httpx.Client, connection: Connection) -> None:
    with hearing(client, label="NOK") as bad, hearing(client, plant="graz") as graz, hearing(client) as heard:
        judge(connection, "1")
        judge(connection, "2", label=Label.NOK)
        wait_until(lambda: len(heard.events) == 2 and bad.events)
    assert bad.coils() == ["2"]
    assert graz.events == []
    with hearing(client, last=bad.ids[0]) as again:
        judge(connection, "3")
        wait_until(lambda: again.events)
    assert again.coils() == ["3"]


def test_shadows_are_not_told(client: httpx.Client, connection: Connection) -> None:
    with hearing(client) as heard:
        record_verdicts(connection, [replace(decided("1"), role="shadow")], decided_at=NOON, destinations=())
        judge(connection, "2")
        wait_until(lambda: heard.events)
    assert heard.coils() == ["2"]


def test_early_warnings_are_told_once(client: httpx.Client, connection: Connection) -> None:
    warning = CoilWarningEvent(
        specversion="1.0",
        type="coil.warning",
        id="5a0c1f0e-5c0e-5f6b-9d0a-6d5e0c011f99",
        source="/plants/linz",
        time=NOON,
        data=CoilWarning(
            plant="linz", coil_id="7", face="top", side="below", bound_g_m2=100, worst_g_m2=80,
            from_position=1, to_position=9, out_of_band_m=8, warned_at=NOON,
        ),
    )  # fmt: skip
    claims = claim_positions(connection, "t", {0: 0}, owner="w")
    batch = LogBatch(topic="t", positions=claims, opened=(CoilKey("linz", "7"),), warnings=(warning,))
    with hearing(client) as heard:
        for _ in range(2):
            commit_log(connection, batch, decided_at=NOON, destinations=("mqtt:coilready",))
        judge(connection, "8")
        wait_until(lambda: len(heard.events) == 2)
    assert [kind for kind, _ in heard.events] == ["early_warning", "verdict"]
    assert (heard.events[0][1]["coil_id"], heard.events[0][1]["worst_g_m2"]) == ("7", 80)


def test_a_place_of_another_server_or_one_that_is_too_old_is_told_to_look_anew(
    client: httpx.Client, connection: Connection
) -> None:
    now = current_snapshot(connection)
    ahead = f"{now.xmax + 10**6}:{now.xmax + 10**6}:"
    with hearing(client) as heard:
        judge(connection, "1")
        wait_until(lambda: heard.events)
    connection.execute("update coilflow.changes_forgotten set txid = pg_current_xact_id()")
    for place in (ahead, heard.place):
        with hearing(client, last=place) as again:
            judge(connection, f"after {place}")
            wait_until(lambda: len(again.events) == 2)
        assert again.events[0] == ("reset", {})
        assert again.coils() == [f"after {place}"]


@pytest.mark.parametrize(
    "place",
    [
        "7", "x", "1:0:", "3:2:1", "1:2:3,x", "1:9:3,2", "1:2:~1:2:", "1:2:~1:2:~1.x", " 1:2:", "1:2:\u0661", "-1:2:",
        "5:9:~1:2:~1.1", "1:2:" + "9" * 30,
    ],
)  # fmt: skip
def test_a_forged_place_is_a_problem(client: httpx.Client, place: str) -> None:
    answer = client.get(STREAM, params={"after": place})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_restored_database_repeats_nothing_of_before(database: str, connection: Connection) -> None:
    """Whose server counts transactions from a lower number on than the one that was dumped."""
    judge(connection, "old")
    old = current_snapshot(connection)
    far = old.xmax + 5
    connection.execute("update coilflow.changes set txid = %s::text::xid8", (str(far),))
    service = running_service(
        database, always(MeanScorer()), SETTINGS, decode=decode_message, connections=2, wait_s=0.2
    )
    with (
        service as running,
        served(running) as address,
        httpx.Client(base_url=address, headers=bearer(database, *Scope)) as client,
    ):
        with hearing(client) as heard:
            for nth in range(12):
                judge(connection, str(nth))
            wait_until(lambda: "11" in heard.coils())
        assert current_snapshot(connection).xmax > far
        assert heard.coils() == [str(nth) for nth in range(12)]
        with hearing(client, last=str(old)) as again:
            wait_until(lambda: again.events)
        assert again.events == [("reset", {})]


snapshots = st.builds(
    lambda low, span, running: (low, low + span, sorted({low + one for one in running if one < span})),
    st.integers(3, 50),
    st.integers(0, 12),
    st.lists(st.integers(0, 11), max_size=6),
).map(lambda found: Snapshot(xmin=found[0], xmax=found[1], running=tuple(found[2])))


@given(snapshots, snapshots, st.integers(1, 70))
def test_a_snapshot_that_is_as_late_sees_all_that_the_other_sees(one: Snapshot, other: Snapshot, txid: int) -> None:
    assert Snapshot.read(str(one)) == one
    if one.is_as_late_as(other):
        assert one.sees(txid) or not other.sees(txid)
    elif other.xmax <= one.xmax:
        assert any(other.sees(each) and not one.sees(each) for each in range(one.xmin, one.xmax))


@given(snapshots, snapshots, st.integers(1, 70), st.integers(1, 9))
def test_a_place_is_read_as_it_was_written(seen: Snapshot, until: Snapshot, txid: int, number: int) -> None:
    place = Position(seen=seen, until=until, row=Row(txid, number))
    if until.is_as_late_as(seen):
        assert Position.read(str(place)) == place
    assert Position.read(str(Position(seen=seen))) == Position(seen=seen)
