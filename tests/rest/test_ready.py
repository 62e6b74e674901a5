"""The console says what it is ready for, names what is not, and is held up by nothing that hangs."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from structlog.testing import capture_logs

from console.rest import health, readiness
from console.rest.readiness import Finding, Probe, bundle, readiness_of
from console.rest.service import Service
from schemas.errors import BrokerError
from schemas.settings import Settings
from schemas.stream_settings import KafkaSettings, MqttSettings
from store.pool import connection_pool

_THREADS = 40  # of the server: all that it answers requests in


def test_each_thing_is_named_with_its_state(client: httpx.Client) -> None:
    told = client.get("/readyz").json()
    assert told["status"] == "ready"
    checks = told["checks"]
    assert {name: check["state"] for name, check in checks.items()} == {
        "database": "ok",
        "bundle": "ok",
        "broker": "not configured",
    }
    assert checks["bundle"]["said"] == "every plant: MeanScorer"


def test_it_says_that_it_works_while_every_thread_waits(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, go_on = threading.Semaphore(0), threading.Event()

    def wait() -> bytes:
        waiting.release()
        go_on.wait(60)
        return b""

    monkeypatch.setattr(health, "generate_latest", wait)
    with ThreadPoolExecutor(_THREADS) as asking:
        for _ in range(_THREADS):
            asking.submit(client.get, "/metrics")
        try:
            assert all(waiting.acquire(timeout=60) for _ in range(_THREADS))
            assert client.get("/healthz", timeout=30).status_code == 200
        finally:
            go_on.set()


def test_without_a_database_it_says_which_and_when_to_come_again(client: httpx.Client, service: Service) -> None:
    service.pool.close()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith("database: ")
    assert {name: check["state"] for name, check in answer.json()["checks"].items()}["bundle"] == "ok"


def test_without_a_loaded_ensemble_it_is_not_ready() -> None:
    def nothing() -> None:
        raise RuntimeError("nothing was loaded yet")

    assert bundle(nothing) == Finding(state="failed", said="nothing was loaded yet")  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", ["kafka", "mqtt"])
def test_a_broker_that_hangs_holds_nobody_up_and_tells_no_secret(scheme: str, database: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,  # takes connections, and says nothing
        connection_pool(database, size=1, wait_s=1.0, application_name="test") as pool,
    ):
        port = silent.getsockname()[1]
        settings = Settings(
            destinations=("kafka:coil.verdicts" if scheme == "kafka" else "mqtt:coilready",),
            kafka=KafkaSettings.model_validate(
                {
                    "bootstrap_servers": f"127.0.0.1:{port}",
                    "security_protocol": "SASL_PLAINTEXT",
                    "sasl_mechanism": "PLAIN",
                    "sasl_username": "coilflow",
                    "sasl_password": "hunter2",
                }
            ),
            mqtt=MqttSettings.model_validate({"host": "127.0.0.1", "port": port, "password": "hunter2"}),
        )
        found = readiness_of(pool, settings).brokers.finding()
    assert (found.state, "no answer" in found.said, "hunter2" in found.said) == ("failed", True, False)


def test_where_a_broker_is_down_the_log_says_which_once_and_not_everybody_who_asks(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_FRESH_S", 0.0)
    with connection_pool(database, size=1, wait_s=1.0, application_name="test") as pool, capture_logs() as logs:
        settings = Settings(destinations=("mqtt:coilready",), mqtt=MqttSettings(host="127.0.0.1", port=9))
        brokers = readiness_of(pool, settings).brokers
        for _ in range(2):
            found = brokers.finding()
            assert (found.state, "127.0.0.1" in found.said) == ("failed", False)
    assert ["MQTT at 127.0.0.1 cannot be reached" in one["error"] for one in logs] == [True]


def test_a_broker_on_which_nothing_is_announced_is_not_looked_at(database: str) -> None:
    with connection_pool(database, size=1, wait_s=1.0, application_name="test") as pool:
        quiet = Settings(mode="observe", destinations=("mqtt:coilready",), mqtt=MqttSettings(host="127.0.0.1", port=9))
        assert readiness_of(pool, quiet).brokers.finding().state == "not configured"


def test_a_look_is_taken_once_for_all_who_ask_and_told_while_it_is_fresh() -> None:
    looks, go_on = [], threading.Event()

    def look() -> Finding:
        looks.append(1)
        assert go_on.wait(30)
        raise BrokerError("away", remedy="start it")

    probe = Probe("slow", look, fresh_s=3600)
    assert probe.finding().said == probe.finding().said == "no answer within 2 s"
    go_on.set()
    assert probe.finding() == probe.finding() == Finding(state="failed", said=readiness._SEE_LOG)
    assert len(looks) == 1


def test_what_is_no_longer_fresh_is_looked_at_again() -> None:
    states = iter(("failed", "ok"))
    probe = Probe("quick", lambda: Finding(state=next(states), said=""), fresh_s=0.0)  # type: ignore[arg-type]
    assert [probe.finding().state for _ in range(2)] == ["failed", "ok"]
