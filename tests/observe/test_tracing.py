"""One coil is one trace, whoever works on it; and a collector that is away costs no verdict."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from structlog.testing import capture_logs

import flows.otlp
from console.rest.names import coil_path
from console.rest.service import running_service
from flows.inbox import judge_due
from flows.intake import Message, read_event, take_in
from flows.kafka.client import group_consumer, poll, producer
from flows.kafka.feedback_worker import run_feedback_worker
from flows.kafka.produce import binary_message
from flows.kafka.worker import run_worker
from flows.outbox.publish import open_publisher
from flows.outbox.relay import Relay
from flows.outbox.traced import traced
from flows.served import Current, always, only
from flows.tracing import Span, Tracing, first_span_id_of, ids_of_traceparent, trace_id_of, traceparent_of, tracing_of
from models.ensemble import load_ensemble
from processors.decode import decode_message, decoder
from schemas.access import Scope
from schemas.coils import CoilKey
from schemas.errors import UsageError
from schemas.settings import Settings
from schemas.stream_settings import KafkaSettings, StreamSettings, TracingSettings
from store.connection import Connection, connect
from tests.fix_kafka import KafkaTopics
from tests.flows.judging import MeanScorer
from tests.observe.collector import Collector, Got, collecting
from tests.rest.given import bearer, served
from tests.streams.lines import PLANT, chunk, coil, event
from tests.waiting import wait_until

SENDER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector."""
    with collecting() as running:
        yield running


def key_of(coil_id: str) -> CoilKey:
    return CoilKey(plant=PLANT, coil_id=coil_id)


class Line:
    """A topic, a database, and the services on them, each with traces of its own."""

    def __init__(self, kafka: KafkaSettings, dsn: str, endpoint: str, folder: Path) -> None:
        self.kafka, self.dsn = kafka, dsn
        self.settings = Settings(
            data_dir=folder,
            kafka=kafka,
            stream=StreamSettings(deadline_s=600.0, settle_s=0.3),
            destinations=(f"kafka:{kafka.verdicts_topic}",),
            tracing=TracingSettings(endpoint=endpoint),
        )

    def send(self, topic: str, *lines: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> None:
        """Send events in binary mode."""
        sender: KafkaProducer = producer(self.kafka)
        for line in lines:
            key, value, own = binary_message(line)
            sender.send(topic, key=key, value=value, headers=[*own, *headers])
        sender.flush()
        sender.close()

    @contextmanager
    def running(self, service: str, run: Callable[[threading.Event, Tracing | None], None]) -> Iterator[None]:
        """A service in a thread while the block lasts; its last spans are sent when it ends."""
        stop, failed = threading.Event(), list[BaseException]()

        def guarded() -> None:
            try:
                with tracing_of(self.settings, service=service) as tracing:
                    run(stop, tracing)
            except BaseException as error:  # noqa: BLE001 - raised below
                failed.append(error)

        thread = threading.Thread(target=guarded)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        assert not failed, failed

    def worker(self, current: Current) -> AbstractContextManager[None]:
        """A worker that assesses, while the block lasts."""

        def run(stop: threading.Event, tracing: Tracing | None) -> None:
            run_worker(
                self.settings, current, decoder(None), dsn=self.dsn, instance_id=None, stop=stop, tracing=tracing
            )

        return self.running("worker assess", run)

    def feedback(self) -> AbstractContextManager[None]:
        """A worker that takes feedback in, while the block lasts."""

        def run(stop: threading.Event, tracing: Tracing | None) -> None:
            run_feedback_worker(self.settings, dsn=self.dsn, instance_id=None, stop=stop, tracing=tracing)

        return self.running("worker feedback", run)

    def relay(self) -> AbstractContextManager[None]:
        """A relay, while the block lasts."""

        def run(stop: threading.Event, tracing: Tracing | None) -> None:
            assert tracing is not None
            publisher = traced(partial(open_publisher, settings=self.settings), tracing)
            Relay(self.dsn, destinations=frozenset(self.settings.destinations), open_publisher=publisher).run(stop)

        return self.running("bridge outbox", run)

    def count(self, query: str) -> int:
        """The one count of a query."""
        with connect(self.dsn) as connection:
            [row] = connection.execute(query.encode()).fetchall()
        return int(row["count"])


@pytest.fixture
def line(kafka_topics: KafkaTopics, database: str, collector: Collector, tmp_path: Path) -> Line:
    """A line whose services send to the collector."""
    return Line(kafka_topics(partitions=1, session_timeout_s=6.0), database, collector.endpoint, tmp_path)


def names(spans: list[Got]) -> list[str]:
    return [span.name for span in spans]


def test_a_coil_is_one_trace_from_its_first_chunk_over_a_restart_to_its_verdict_and_what_is_said_of_it(
    line: Line, collector: Collector
) -> None:
    loaded, events = load_ensemble(None, threads=1), coil("7")
    ensemble = always(loaded)
    with line.worker(ensemble):
        line.send(line.kafka.chunks_topic, *events[:4], headers=(("ce_traceparent", SENDER.encode()),))
        wait_until(lambda: line.count("select count(*) from coilflow.coils where state = 'open'"))
    with line.worker(ensemble), line.relay():
        line.send(line.kafka.chunks_topic, *events[4:])
        wait_until(lambda: line.count("select count(*) from coilflow.outbox where published_at is not null"))
    with line.feedback():
        said = {"label": "NOK", "operator": "anna", "given_at": datetime.now(UTC).isoformat()}
        line.send(line.kafka.feedback_topic, event("operator.feedback", "7", 1, **said))
        wait_until(lambda: line.count("select count(*) from coilflow.feedback"))
    assert {span.trace_id for span in collector.spans} == {f"{trace_id_of(key_of('7')):032x}"}
    spans = collector.trace(trace_id_of(key_of("7")))
    first, *others = spans
    by_name = {span.name: span for span in spans}
    assert (first.name, first.parent_id, first.span_id) == ("coil", "", f"{first_span_id_of(key_of('7')):016x}")
    members = [name for name in names(spans) if name.startswith("score ")]
    assert members == [f"score {member.manifest.name}" for member in loaded.members]
    assert {by_name[name].parent_id for name in members} == {by_name["score"].span_id}
    assert {span.parent_id for span in others if span.name not in members} == {first.span_id}
    way = ["receive", "assemble", "normalize", "score", "decide", "record", "announce", "feedback"]
    assert [name for name in names(others) if name not in members] == way
    done = [by_name[name] for name in way[:6]]
    assert all(before.ended_ns <= after.began_ns for before, after in pairwise(done))
    assert by_name["receive"].began_ns == first.began_ns
    assert by_name["receive"].ended_ns > by_name["receive"].began_ns, "of both workers' messages"
    assert first.links == ((SENDER[3:35], SENDER[36:52]),)
    assert (first.attributes["coilflow.plant"], first.attributes["coilflow.coil_id"]) == (PLANT, "7")
    with connect(line.dsn) as connection:
        [row] = connection.execute("select label, ensemble_version from coilflow.verdicts").fetchall()
    assert first.attributes["coilflow.label"] == row["label"]
    assert first.attributes["coilflow.ensemble"] == row["ensemble_version"]
    assert {span.name: span.service for span in spans}["announce"] == "coilflow bridge outbox"
    assert by_name["feedback"].attributes["coilflow.label"] == "NOK"


def test_the_verdicts_event_hands_the_trace_on(line: Line) -> None:
    with line.worker(always(MeanScorer())), line.relay():
        line.send(line.kafka.chunks_topic, *coil("7"))
        wait_until(lambda: line.count("select count(*) from coilflow.outbox where published_at is not null"))
    consumer: KafkaConsumer = group_consumer(line.kafka, line.kafka.verdicts_topic, instance_id=None)
    place = TopicPartition(line.kafka.verdicts_topic, 0)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    got: list[Any] = []

    def came() -> list[Any]:
        got.extend(poll(consumer, timeout_ms=200).get(place, []))
        return got

    wait_until(came)
    consumer.close(autocommit=False)
    assert dict(got[0].headers)["ce_traceparent"].decode() == traceparent_of(key_of("7"))


def test_a_later_chunk_is_a_revision_within_the_same_trace(line: Line, collector: Collector) -> None:
    with line.worker(always(MeanScorer())):
        line.send(line.kafka.chunks_topic, *coil("7"))
        wait_until(lambda: line.count("select count(*) from coilflow.verdicts") == 1)
        line.send(line.kafka.chunks_topic, chunk("7", "top", 4), chunk("7", "bottom", 4))
        wait_until(lambda: line.count("select count(*) from coilflow.verdicts") == 2)
    spans = collector.trace(trace_id_of(key_of("7")))
    assert names(spans).count("coil") == 1
    [revision] = [span for span in spans if span.name == "revision"]
    assert revision.parent_id == f"{first_span_id_of(key_of('7')):016x}"
    below = [span.name for span in spans if span.parent_id == revision.span_id]
    assert below == ["receive", "assemble", "normalize", "score", "decide", "record"]


def test_a_coil_that_is_refused_is_a_trace_that_says_why(line: Line, collector: Collector) -> None:
    with line.worker(always(MeanScorer())):
        contradiction = chunk("7", "top", 0, mean_g_m2=10.0)
        line.send(line.kafka.chunks_topic, *coil("7")[:-1], contradiction, coil("7")[-1])
        wait_until(lambda: line.count("select count(*) from coilflow.dead_letters"))
    first, *_ = collector.trace(trace_id_of(key_of("7")))
    assert (first.name, first.failed) == ("coil", True)


def test_a_collector_that_is_away_stops_no_verdict(line: Line, collector: Collector) -> None:
    dead = Line(line.kafka, line.dsn, "http://127.0.0.1:9", line.settings.data_dir)
    with dead.worker(always(MeanScorer())):
        line.send(line.kafka.chunks_topic, *(one for number in range(30) for one in coil(f"c{number}")))
        wait_until(lambda: line.count("select count(*) from coilflow.verdicts") == 30)
    assert collector.spans == []


def test_a_collector_that_takes_spans_and_never_answers_holds_no_verdict_up(line: Line) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        hung = Line(line.kafka, line.dsn, f"http://127.0.0.1:{listening.getsockname()[1]}", line.settings.data_dir)
        with hung.worker(always(MeanScorer())):
            line.send(line.kafka.chunks_topic, *coil("first"))
            asked, _ = listening.accept()
            with asked:
                assert asked.recv(1), "the sender waits for an answer from here on"
                line.send(line.kafka.chunks_topic, *(one for number in range(30) for one in coil(f"c{number}")))
                wait_until(lambda: line.count("select count(*) from coilflow.verdicts") == 31)


def test_a_collector_that_takes_nothing_is_told_of_once_and_so_is_its_coming_back(collector: Collector) -> None:
    exporter = flows.otlp._Exporter(endpoint=f"{collector.endpoint}/v1/traces")
    with capture_logs() as told:
        for collector.refuses in (False, True, True, True, False, False, True):
            exporter.export([])
    assert [one["event"] for one in told] == [
        "the collector takes no spans: they are dropped",
        "the collector takes spans again",
        "the collector takes no spans: they are dropped",
    ]


def test_coils_of_the_inbox_are_traced_alike(connection: Connection, collector: Collector) -> None:
    settings = Settings(tracing=TracingSettings(endpoint=collector.endpoint))
    now = datetime.now(UTC)
    items = [read_event(Message(value=one), decode=decode_message, place="here", now=now) for one in coil("7")]
    take_in(connection, items, settings, now=now)
    with tracing_of(settings, service="console") as tracing:
        judge_due(connection, only(MeanScorer()), settings, decode=decode_message, up_since=LONG_AGO, tracing=tracing)
    spans = collector.trace(trace_id_of(key_of("7")))
    assert names(spans) == ["coil", "receive", "assemble", "normalize", "score", "decide", "record"]


def test_a_coil_and_a_word_that_come_to_the_console_by_http_are_one_trace(database: str, collector: Collector) -> None:
    settings = Settings(tracing=TracingSettings(endpoint=collector.endpoint), stream=StreamSettings(settle_s=0.05))
    said = {"label": "OK", "operator": "anna", "given_at": datetime.now(UTC).isoformat()}
    batch = b"[" + b",".join([*coil("7"), event("operator.feedback", "7", 1, **said)]) + b"]"
    with (
        running_service(
            database, always(MeanScorer()), settings, decode=decode_message, connections=2, wait_s=5
        ) as running,
        served(running) as address,
        connect(database) as connection,
    ):
        headers = bearer(database, *Scope) | {"content-type": "application/cloudevents-batch+json"}
        assert httpx.post(f"{address}/api/v1/events", content=batch, headers=headers, timeout=30).status_code == 202
        wait_until(lambda: connection.execute("select from coilflow.verdicts").fetchall())
        word, once = f"{address}{coil_path(key_of('7'))}/feedback", bearer(database, *Scope) | {"idempotency-key": "1"}
        for _ in range(2):  # the second is a repeat
            said["operator"] = "ben"
            assert httpx.post(word, json=said, headers=once, timeout=30).status_code == 201
    spans = collector.trace(trace_id_of(key_of("7")))
    assert sorted(names(spans)) == sorted(
        ["coil", "receive", "assemble", "normalize", "score", "decide", "record", "feedback", "feedback"]
    )
    assert {span.service for span in spans} == {"coilflow console"}


def test_the_sender_of_structured_events_is_linked_to(connection: Connection, collector: Collector) -> None:
    settings, now = Settings(tracing=TracingSettings(endpoint=collector.endpoint)), datetime.now(UTC)
    lines = [orjson.dumps({**orjson.loads(one), "traceparent": SENDER}) for one in coil("7")]
    items = [read_event(Message(value=one), decode=decode_message, place="here", now=now) for one in lines]
    take_in(connection, items, settings, now=now)
    with tracing_of(settings, service="console") as tracing:
        judge_due(connection, only(MeanScorer()), settings, decode=decode_message, up_since=LONG_AGO, tracing=tracing)
    assert collector.trace(trace_id_of(key_of("7")))[0].links == ((SENDER[3:35], SENDER[36:52]),)


def test_every_service_follows_the_same_share_of_coils(collector: Collector) -> None:
    keys = [key_of(str(number)) for number in range(400)]
    settings = Settings(tracing=TracingSettings(endpoint=collector.endpoint, share=0.25))
    with ExitStack() as stack:
        services = [stack.enter_context(tracing_of(settings, service=name)) for name in ("worker assess", "console")]
        followed = [{key for key in keys if service is not None and service.follows(key)} for service in services]
    assert followed[0] == followed[1]
    assert 60 < len(followed[0]) < 140


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_coils_of_different_names_are_different_traces(one: tuple[str, str], other: tuple[str, str]) -> None:
    keys = [CoilKey(plant=plant, coil_id=coil_id) for plant, coil_id in (one, other)]
    assert (trace_id_of(keys[0]) == trace_id_of(keys[1])) == (one == other)
    assert 0 < trace_id_of(keys[0]) < 2**128
    assert ids_of_traceparent(traceparent_of(keys[0])) == (trace_id_of(keys[0]), first_span_id_of(keys[0]))


@pytest.mark.parametrize("wrong", ["", "00-1-2-01", SENDER[:-1], "ff" + SENDER[2:], "\x00"])
def test_a_traceparent_that_is_none_links_to_nothing(wrong: str, collector: Collector) -> None:
    settings = Settings(tracing=TracingSettings(endpoint=collector.endpoint))
    with tracing_of(settings, service="console") as tracing:
        assert tracing is not None
        tracing.add(key_of("7"), [], first=Span(name="coil", began_ns=1, ended_ns=2), sender=wrong)
    [span] = collector.spans
    assert span.links == ()


def test_nothing_of_opentelemetry_is_imported_unless_the_settings_ask_for_it() -> None:
    script = (
        "import sys; import flows.kafka.worker, flows.inbox, flows.outbox.traced, console.commands.worker\n"
        "from flows.tracing import tracing_of; from schemas.settings import Settings\n"
        "with tracing_of(Settings(), service='x') as tracing: assert tracing is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_missing_opentelemetry_is_wrong_use_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "flows.otlp")
    monkeypatch.delattr(flows, "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    settings = Settings(tracing=TracingSettings(endpoint="http://127.0.0.1:4318"))
    with pytest.raises(UsageError, match="not installed") as caught, tracing_of(settings, service="x"):
        pass
    assert caught.value.remedy == "pip install 'coilflow[tracing]'"
