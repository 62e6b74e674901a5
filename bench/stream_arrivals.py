"""Coils that arrive steadily at a topic, as several lines would send them, by the clock."""

import threading
import time
from collections.abc import Sequence

import orjson

from bench.stream_setup import simulated_coils
from flows.kafka.client import producer
from flows.kafka.produce import Message, binary_message
from schemas.stream_settings import KafkaSettings

LASTS_S = 4.0  # from a coil's first event to its last: at 20 coils/s 80 are open at once
_TICK_S = 0.001

Coil = tuple[str, list[Message]]


def prepared(coils: int) -> list[Coil]:
    """Id and messages of each coil, made before the clock starts."""
    found = []
    for lines in simulated_coils(coils):
        messages = [binary_message(line) for line in lines]
        found.append((str(orjson.loads(messages[0][1])["coil_id"]), messages))
    return found


class Arrivals(threading.Thread):
    """Sends coils at a steady rate, their chunks between each other's, until all are through or it is stopped.

    Args:
        kafka: brokers and topic.
        coils: to send.
        rate: coils a second.
    """

    def __init__(self, kafka: KafkaSettings, coils: Sequence[Coil], *, rate: float) -> None:
        super().__init__(name="arrivals", daemon=True)
        self.sent_s: dict[str, float] = {}  # coil -> when the producer was given its coil.ended
        self.latest_s = 0.0  # by which a message was given to the producer after its time, at most
        self._kafka = kafka
        self._rate = rate
        self._coils = coils
        self._halt = threading.Event()
        self.failed: BaseException | None = None

    def stop(self) -> None:
        """Send no more, and wait until what was sent has arrived."""
        self._halt.set()
        self.join()
        self.check()

    def check(self) -> None:
        """Raise what stopped it."""
        if self.failed is not None:
            raise self.failed

    def run(self) -> None:
        """Send every message when it is due."""
        try:
            self._send()
        except BaseException as error:  # noqa: BLE001 - raised by `check` where somebody sees it
            self.failed = error

    def _send(self) -> None:
        due = sorted(
            (number / self._rate + LASTS_S * place / (len(messages) - 1), number, place)
            for number, (_, messages) in enumerate(self._coils)
            for place in range(len(messages))
        )
        sender = producer(self._kafka)
        topic = self._kafka.chunks_topic
        begun = time.monotonic()
        for due_s, number, place in due:
            while (early_s := begun + due_s - time.monotonic()) > 0:
                time.sleep(max(early_s, _TICK_S))
            if self._halt.is_set():
                break
            self.latest_s = max(self.latest_s, -early_s)
            coil_id, messages = self._coils[number]
            key, value, headers = messages[place]
            if place == len(messages) - 1:
                self.sent_s[coil_id] = time.time()
            sender.send(topic, key=key, value=value, headers=headers)
        sender.flush()
        sender.close()
