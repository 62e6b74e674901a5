"""Whether what the console works with is there: looked at beside the requests, so that what hangs holds nobody up."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from typing import Literal

import structlog

from flows.served import Current, Served
from models.ensemble import Ensemble
from schemas.errors import BrokerError, CoilflowError
from schemas.settings import Settings
from store.inbox import database_clock
from store.pool import Pool, borrowed

log = structlog.get_logger("coilflow.console")

State = Literal["ok", "failed", "not configured"]
_MOST_S = 2.0  # that a request waits for a look
_FRESH_S = 5.0  # so long a look is not taken again
_SEE_LOG = "it fails; the console's log says why"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a look found."""

    state: State
    said: str  # without secrets, addresses and paths: everybody may ask


class Probe:
    """Looks at one thing, in a thread of its own, one look at a time.

    Args:
        name: of the thread.
        look: says how it is; raises CoilflowError where it is not well.
        fresh_s: so long what was found is told again.
    """

    def __init__(self, name: str, look: Callable[[], Finding], *, fresh_s: float) -> None:
        self._name, self._look, self._fresh_s = name, look, fresh_s
        self._lock = threading.Lock()
        self._looking: Future[Finding] | None = None
        self._until_s = 0.0  # monotonic: the look is fresh until then
        self._told = ""  # to the log, of what fails

    def finding(self) -> Finding:
        """What is found within two seconds; else that there is no answer."""
        with self._lock:
            looking = self._looking
            if looking is None or (looking.done() and time.monotonic() >= self._until_s):
                looking = self._looking = Future()
                threading.Thread(target=self._run, args=(looking,), name=self._name, daemon=True).start()
        try:
            return looking.result(timeout=_MOST_S)
        except NotYet:
            return Finding(state="failed", said=f"no answer within {_MOST_S:g} s")

    def _run(self, looking: "Future[Finding]") -> None:
        fault = ""
        try:
            found = self._look()
        except CoilflowError as error:
            found, fault = Finding(state="failed", said=_SEE_LOG), str(error)
            if fault != self._told:
                log.warning("not ready", at=self._name, error=fault, remedy=error.remedy)
        except Exception as error:  # whatever it is, it is not well; its type tells no secret
            log.exception("a look failed", at=self._name)
            found = Finding(state="failed", said=type(error).__name__)
        self._told = fault
        self._until_s = time.monotonic() + self._fresh_s
        looking.set_result(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Readiness:
    """What `/readyz` looks at."""

    database: Probe
    brokers: Probe


def readiness_of(pool: Pool, settings: Settings) -> Readiness:
    """Begin to look, when asked."""
    return Readiness(database=_database_probe(pool), brokers=_broker_probe(settings))


def _database_probe(pool: Pool) -> Probe:
    """Whether the database answers."""

    def look() -> Finding:
        with borrowed(pool) as connection:
            database_clock(connection)
        return Finding(state="ok", said="answers")

    return Probe("look at the database", look, fresh_s=0.0)


def bundle(current: Current) -> Finding:
    """Which ensembles are loaded here and give the verdicts."""
    try:
        found = current()
    except CoilflowError as error:
        log.warning("not ready", at="the ensembles", error=str(error), remedy=error.remedy)
        return Finding(state="failed", said=_SEE_LOG)
    except RuntimeError as error:
        return Finding(state="failed", said=str(error))
    serving = {"every plant": found.every_plant, **dict(sorted(found.plants.items()))}
    return Finding(state="ok", said="; ".join(f"{plant}: {_version(one)}" for plant, one in serving.items()))


def _broker_probe(settings: Settings) -> Probe:
    """Whether the brokers that verdicts are announced on let us in."""
    announced = settings.destinations if settings.mode == "announce" else ()
    on_kafka = any(one.startswith("kafka:") for one in announced) and settings.kafka.bootstrap_servers is not None
    on_mqtt = any(one.startswith(("mqtt:", "mqtt-event:")) for one in announced) and settings.mqtt.host is not None

    def look() -> Finding:
        if on_kafka:
            from flows.kafka.client import admin  # noqa: PLC0415 - where no Kafka is set, none is loaded

            with admin(settings.kafka) as brokers:
                brokers.describe_cluster()
        if on_mqtt:
            asyncio.run(_reach_mqtt(settings))
        if not on_kafka and not on_mqtt:
            return Finding(state="not configured", said="verdicts are announced on no broker that is set")
        return Finding(
            state="ok", said=" and ".join(name for name, on in (("Kafka", on_kafka), ("MQTT", on_mqtt)) if on)
        )

    return Probe("look at the brokers", look, fresh_s=_FRESH_S)


def _version(serves: Served) -> str:
    champion = serves.champion
    return champion.version if isinstance(champion, Ensemble) else type(champion).__name__


async def _reach_mqtt(settings: Settings) -> None:
    import aiomqtt  # noqa: PLC0415 - where no MQTT is set, none is loaded

    from flows.mqtt.client import mqtt_client  # noqa: PLC0415

    identifier = f"{settings.mqtt.client_id}-ready-{uuid.uuid4().hex[:8]}"
    try:
        async with mqtt_client(settings.mqtt, identifier=identifier, clean_session=True):
            pass
    except (aiomqtt.MqttError, OSError) as error:
        raise BrokerError(
            f"MQTT at {settings.mqtt.host} cannot be reached: {error}",
            remedy="check COILFLOW_MQTT__HOST and the broker",
        ) from error
