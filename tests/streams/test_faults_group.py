"""Workers that freeze, die, come back and are too many: the group goes on, and no coil notices."""

import os
import signal
from pathlib import Path

from tests.streams.launch import POINTS
from tests.streams.lines import coil, coils
from tests.streams.scorers import WaitingScorer
from tests.streams.stand import Stream, StreamMaker, kill_running
from tests.waiting import wait_until


def frozen(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def names(first: int, last: int) -> list[str]:
    return [f"c{i}" for i in range(first, last)]


def owners(it: Stream) -> set[str]:
    return {row["owner"] for row in it.positions().values()}


def test_a_worker_frozen_past_its_session_moves_nothing_when_it_wakes_and_starts_over(stream: StreamMaker) -> None:
    it = stream()
    with it.processes(freeze_at=(POINTS[3], 1)) as [sleeper]:
        it.send(coils(names(0, 10)))
        wait_until(lambda: frozen(sleeper))  # between judging and the commit
        assert it.decided() == 0
        with it.processes() as [other]:
            it.drain()
            before = it.positions()
            os.kill(sleeper, signal.SIGCONT)
            wait_until(lambda: "another worker owns a partition" in it.printed())
            assert {p: row["next_offset"] for p, row in it.positions().items()} == {
                p: row["next_offset"] for p, row in before.items()
            }
            kill_running([other])
        it.send(coils(names(10, 20)))
        it.drain()  # by the one that slept
    it.check(20)


def test_a_rebalance_while_a_batch_is_scored_loses_and_doubles_nothing(stream: StreamMaker) -> None:
    it, slow = stream(partitions=4), WaitingScorer()
    it.send(coils(names(0, 12)))
    with it.worker(slow):
        assert slow.began.wait(20)
        with it.worker():
            it.send(coils(names(12, 24)))
            slow.go_on.set()
            it.drain()
            wait_until(lambda: len(owners(it)) == 2)  # each has some of the partitions
            it.send(coils(names(24, 36)))
            it.drain()
        it.send(coils(names(36, 40)))
        it.drain()  # by the first again
    it.check(40)


def test_a_worker_too_slow_for_its_session_keeps_it_by_its_heartbeat(stream: StreamMaker) -> None:
    it, slow = stream(), WaitingScorer()
    it.send(coil("slow"))
    with it.worker(slow):
        assert slow.began.wait(20)
        with it.worker():  # its join is answered once the session of a silent member is over
            slow.go_on.wait(2 * it.settings.kafka.session_timeout_s)
            slow.go_on.set()
            it.drain()
    it.check(1)


def test_more_workers_than_partitions_stand_by(stream: StreamMaker) -> None:
    it = stream(partitions=1)
    it.send(coils(names(0, 5)))
    with it.processes(3) as pids:
        it.drain()
        [owner] = owners(it)
        kill_running([pid for pid in pids if f"-{pid}-" in owner])
        it.send(coils(names(5, 10)))
        it.drain()
        assert owners(it) != {owner}
    it.check(10)


def test_a_static_member_that_restarts_keeps_its_partitions_and_no_other_worker_notices(stream: StreamMaker) -> None:
    it = stream(partitions=4)
    it.settings = it.settings.model_copy(
        update={"kafka": it.settings.kafka.model_copy(update={"session_timeout_s": 20.0})}
    )
    it.send(coils(names(0, 10)))
    with it.processes(instance_id="one") as [one], it.processes(instance_id="two"):
        wait_until(lambda: sorted(row["owner"] for row in it.positions().values()) == ["one"] * 2 + ["two"] * 2)
        it.drain()
        before = it.positions()
        kill_running([one])
        it.send(coils(names(10, 20)))
        with it.processes(instance_id="one"):
            it.drain()
            after = it.positions()
    for partition, row in before.items():
        assert after[partition]["owner"] == row["owner"]
        assert after[partition]["owner_epoch"] - row["owner_epoch"] == (row["owner"] == "one")
    it.check(20)
