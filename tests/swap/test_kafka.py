"""While coils stream through Kafka, ensembles are swapped: no coil is lost, doubled or judged by a mixture."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from flows.kafka.worker import run_worker
from flows.serving import following
from processors.decode import decoder
from schemas.coils import CoilKey
from schemas.settings import Settings
from store.coils import counts, missing_coils
from store.connection import Connection
from store.registry import promote, shadow
from store.swaps import answers
from tests.streams.conftest import launcher, oracle, sender, stream
from tests.streams.lines import PLANT, coils
from tests.streams.stand import QUICK, Stream, StreamMaker
from tests.swap.given import ANNA, answered, registered, write_no_model, write_version
from tests.waiting import wait_until

__all__ = ["launcher", "oracle", "sender", "stream"]  # fixtures of the streams
_PAUSE_S = 0.05
_AT_ONCE = 4


@dataclass
class Line:
    """Coils that keep coming."""

    stream: Stream
    sent: list[str] = field(default_factory=list)
    halt: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Send whole coils, a few at a time, until told to halt."""
        for number in count():
            if self.halt.wait(_PAUSE_S):
                return
            names = [f"c{number}-{one}" for one in range(_AT_ONCE)]
            self.stream.send(coils(names))
            self.sent += names


@contextmanager
def running_line(stream: Stream) -> Iterator[Line]:
    line = Line(stream)
    thread = threading.Thread(target=line.run)
    thread.start()
    try:
        yield line
    finally:
        line.halt.set()
        thread.join()


@contextmanager
def worker(stream: Stream, name: str) -> Iterator[None]:
    """A Kafka worker that follows the registry, in a thread."""
    stop, failed = threading.Event(), []

    def run(settings: Settings) -> None:
        try:
            with following(stream.dsn, settings, kind="kafka", worker=name) as serving:
                run_worker(settings, serving.current, decoder(None), dsn=stream.dsn, instance_id=None, stop=stop)
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    thread = threading.Thread(target=run, args=(stream.settings,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if failed:
            raise failed[0]


def judges(stream: Stream, version: str) -> bool:
    """Whether an ensemble gave a verdict as champion."""
    said = "select count(*) from coilflow.verdicts where role = 'champion' and ensemble_version = %s"
    return bool(stream.one(said, version))


def test_swaps_under_load_lose_double_and_mix_nothing(
    stream: StreamMaker, connection: Connection, tmp_path: Path
) -> None:
    first = write_version(tmp_path, "e1")
    it = stream(stream=QUICK, ensemble=first, data_dir=tmp_path / "data", batch_coils=8)
    good = {"e2": 20.0, "e3": -5.0, "e4": 5.0}
    with worker(it, "w1"), worker(it, "w2"), running_line(it) as line:
        answered(connection, "e1", 2)
        folders = [write_version(tmp_path, version, factor=factor) for version, factor in good.items()]
        registered(it.dsn, it.settings, *folders, write_no_model(tmp_path, "broken", b"no graph"))
        shadow(connection, "e4", ANNA)
        for version in ("e2", "broken", "e3", "e4"):
            promote(connection, version, ANNA)
            said = answered(connection, version, 4 if version == "e4" else 2)
            assert {one.outcome for one in said} == {"refused" if version == "broken" else "swapped"}
            if version != "broken":
                wait_until(partial(judges, it, version), 60.0)  # coils keep coming
    with worker(it, "w3"):
        it.drain(120.0)
    stored = counts(connection)
    assert (stored.coils, stored.decided, stored.verdicts, stored.dead_letters) == (len(line.sent),) * 3 + (0,)
    assert (stored.duplicated, missing_coils(connection, [CoilKey(PLANT, name) for name in line.sent])) == (0, 0)
    votes = connection.execute(
        "select v.role, v.ensemble_version as ensemble, array_agg(a.model) as models,"
        " bool_and(a.p_nok = v.p_nok) as same"
        " from coilflow.verdicts v join coilflow.assessments a using (verdict_id)"
        " group by v.verdict_id, v.role, v.ensemble_version"
    ).fetchall()
    assert all(row["models"] == [f"mean-{row['ensemble']}"] and row["same"] for row in votes)
    assert {row["ensemble"] for row in votes if row["role"] == "champion"} == {"e1", "e2", "e3", "e4"}
    assert {row["ensemble"] for row in votes if row["role"] == "shadow"} == {"e4"}
    assert it.one("select count(*) from coilflow.outbox where destination = %s", it.settings.destinations[0]) == len(
        line.sent
    )
    assert len(answers(connection)) == 2 + 2 * 5 + 1  # e1, five changes by two workers, and the last worker's start
