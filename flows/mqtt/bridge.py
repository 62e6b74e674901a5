"""The bridge to the plant's MQTT broker: `assesscoil` and `opfeedback` in, acknowledged once the database has them.

It subscribes at QoS 1 whatever the plant publishes with. At QoS 2 the client would have to answer PUBREC before it
hands a message over, and from then on the broker keeps no copy: a killed bridge would lose it. At QoS 1 the broker
keeps it until PUBACK, which is sent after the commit; a message that comes twice changes nothing in the database. So
the effect is exactly once, and the plant may publish at QoS 1 or 2.
"""

import asyncio
import random
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import aiomqtt
import psycopg
import structlog
from aiomqtt.exceptions import MqttConnectError

from flows.kafka.database import backoff_s
from flows.kafka.metrics import COMMIT_FAILURES, MESSAGES
from flows.limited_database import LimitedDatabase
from flows.mqtt.client import mqtt_client
from flows.mqtt.desk import Desk, Fate
from flows.observe import CONSUMED_MESSAGES
from processors.envelope import read_json
from schemas.errors import BrokerError, CoilflowError, SourceError, StoreUnavailableError
from schemas.stream_settings import MqttSettings
from store.connection import store_errors

log = structlog.get_logger("coilflow.mqtt")

LANES = 4  # messages in hand at once; those of one coil follow each other in one lane
_MOST_IN_FLIGHT = 64  # taken and not acknowledged; the broker keeps the others
_MOST_REFUSALS = 3  # of one message by a database that answers, before the message is a dead letter
_QOS = 1
_GRACE_S = 10.0  # for messages in hand, once told to stop

Take = Callable[[str, bytes], Fate]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lane:
    """One thread with a connection of its own."""

    thread: ThreadPoolExecutor
    database: LimitedDatabase


class Bridge:
    """Serves the plant's topics until stopped, over every loss of the broker or the database."""

    def __init__(self, desk: Desk, dsn: str) -> None:
        self._desk = desk
        self._mqtt: MqttSettings = desk.settings.mqtt
        self._lanes = [
            _Lane(
                thread=ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"mqtt lane {number}"),
                database=LimitedDatabase(dsn, application_name="coilflow mqtt"),
            )
            for number in range(LANES)
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; messages in hand are finished first.

        Raises:
            BrokerError: the broker refused us at the first try.
            UsageError: the settings name no broker, or a CA file that cannot be read.
        """
        failures, connected = 0, False
        try:
            while not stop.is_set():
                try:
                    async with self._client() as client:
                        log.info("connected", host=self._mqtt.host)
                        failures, connected = 0, True
                        await self._serve(client, stop)
                except aiomqtt.MqttError as error:
                    if isinstance(error, MqttConnectError) and not connected:
                        raise BrokerError(
                            f"MQTT at {self._mqtt.host}: {error}",
                            remedy="check COILFLOW_MQTT__USERNAME, __PASSWORD and __CLIENT_ID",
                        ) from error
                    failures += 1
                    pause_s = backoff_s(failures, jitter=random.random())  # noqa: S311 - no secret
                    COMMIT_FAILURES.labels("broker").inc()
                    log.warning("the broker is away", error=str(error), pause_s=round(pause_s, 2))
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), pause_s)
        finally:
            with ExitStack() as stack:
                for lane in self._lanes:
                    stack.callback(lane.database.close)
                    stack.callback(lane.thread.shutdown)

    def _client(self) -> aiomqtt.Client:
        client = mqtt_client(self._mqtt, identifier=self._mqtt.client_id, clean_session=False)
        client._client.manual_ack_set(on=True)
        return client

    async def _serve(self, client: aiomqtt.Client, stop: asyncio.Event) -> None:
        """Serve one connection; raises aiomqtt.MqttError when it is lost."""
        for topic in (self._mqtt.assess_topic, self._mqtt.feedback_topic):
            await client.subscribe(topic, qos=_QOS)
        taken: asyncio.Queue[tuple[aiomqtt.Message, asyncio.Task[None]]] = asyncio.Queue()
        slots = asyncio.Semaphore(_MOST_IN_FLIGHT)
        reading = asyncio.create_task(self._read(client, taken, slots))
        acknowledging = asyncio.create_task(self._acknowledge(client, taken, slots))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({reading, acknowledging, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for ended in (reading, acknowledging):
                if ended.done():
                    ended.result()  # what ended it
            reading.cancel()
            with suppress(TimeoutError):
                await asyncio.wait_for(taken.join(), _GRACE_S)
        finally:
            # What is in hand in a thread is finished there; unacknowledged, it comes again and changes nothing.
            waiting = [taken.get_nowait()[1] for _ in range(taken.qsize())]
            for task in (reading, acknowledging, stopping, *waiting):
                task.cancel()
            await asyncio.gather(reading, acknowledging, stopping, *waiting, return_exceptions=True)

    async def _read(
        self,
        client: aiomqtt.Client,
        taken: "asyncio.Queue[tuple[aiomqtt.Message, asyncio.Task[None]]]",
        slots: asyncio.Semaphore,
    ) -> None:
        messages = client.messages
        while True:
            await slots.acquire()
            message = await anext(messages)
            CONSUMED_MESSAGES.labels("mqtt", message.topic.value).inc()
            taken.put_nowait((message, asyncio.create_task(self._take(message))))

    async def _acknowledge(
        self,
        client: aiomqtt.Client,
        taken: "asyncio.Queue[tuple[aiomqtt.Message, asyncio.Task[None]]]",
        slots: asyncio.Semaphore,
    ) -> None:
        """Acknowledge in the order of arrival, as MQTT asks for (3.1.1, section 4.6)."""
        while True:
            message, task = await taken.get()
            try:
                await task
                client._client.ack(message.mid, message.qos)
            finally:
                taken.task_done()
                slots.release()

    async def _take(self, message: aiomqtt.Message) -> None:
        """Do what a message asks, as often as it needs."""
        topic, payload = message.topic.value, _bytes(message.payload)
        lane = self._lanes[zlib.crc32(_coil_of(payload)) % LANES]
        failures = 0
        while True:
            try:
                fate = await asyncio.get_running_loop().run_in_executor(
                    lane.thread, self._work, lane, topic, payload, failures
                )
            except CoilflowError as error:
                failures += 1
                COMMIT_FAILURES.labels("mqtt").inc()
                pause_s = backoff_s(failures, jitter=random.random())  # noqa: S311 - no secret
                log.warning("a message waits", topic=topic, error=str(error), remedy=error.remedy, failures=failures)
                await asyncio.sleep(pause_s)
            else:
                MESSAGES.labels(topic, fate).inc()
                log.info("message taken", topic=topic, fate=fate)
                return

    def _work(self, lane: _Lane, topic: str, payload: bytes, failures: int) -> Fate:
        """In the lane's thread: take the message, or refuse one that was refused often enough or breaks a step."""
        connection = lane.database.connection()
        try:
            with store_errors("take a message"):
                return self._desk.take(connection, topic, payload)
        except CoilflowError as error:
            if failures < _MOST_REFUSALS or _is_passing(error):
                raise
            return self._desk.refuse(connection, topic, payload, str(error), error.remedy)
        except Exception as error:  # whatever it is, it would come again with every redelivery
            log.exception("a step breaks on a message", topic=topic)
            sentence, remedy = f"unexpected {type(error).__name__}: {error}", "report what the log has, then resend it"
            return self._desk.refuse(connection, topic, payload, sentence, remedy)


def _is_passing(error: CoilflowError) -> bool:
    """Whether waiting helps: a database is away, or is not set up yet."""
    if isinstance(error, StoreUnavailableError):
        return True
    return isinstance(error, SourceError) and not isinstance(error.__cause__, psycopg.DataError)


def _bytes(payload: object) -> bytes:
    return bytes(payload) if isinstance(payload, bytes | bytearray) else str(payload or "").encode()


def _coil_of(payload: bytes) -> bytes:
    """What decides on the lane: the coil that a message names, so that its messages keep their order."""
    message = read_json(payload)
    data = message.get("data", message) if isinstance(message, dict) else None
    if not isinstance(data, dict):
        return b""
    named = data.get("SID") or data.get("COILID") or data.get("coil_id")
    return str(named).strip().encode("utf-8", "replace")
