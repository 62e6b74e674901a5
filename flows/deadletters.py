"""Send dead letters through again: to the topic they came from, into the inbox, or back among the feedback."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeGuard

from flows.inbox_coils import host_of
from flows.intake import LONGEST_ID, LONGEST_SOURCE, read_feedback
from flows.kafka.client import broker_errors, producer
from flows.kafka.produce import coil_key
from processors.decode import Decoder, EventFault
from processors.envelope import STRUCTURED, read_json
from schemas.rejects import Headers
from schemas.settings import Settings
from store.connection import Connection
from store.deadletters import DeadLetter, WholeDeadLetter, dead_letter, mark_replayed
from store.feedback import Feedback, record_feedback
from store.inbox import InboxEvent, store_events
from store.orphans import is_known_coil

REPLAY_OF = "coilflow-replay-of"  # header: fingerprint of the dead letter
_SOURCE = "/coilflow/deadletters"  # of an event that named none that can be stored


class ToKafka(NamedTuple):
    """One message to send."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a replay of one dead letter does: messages, events of the inbox or feedback, or why it can do nothing."""

    letter: DeadLetter
    messages: tuple[ToKafka, ...] = ()
    events: tuple[InboxEvent, ...] = ()
    feedback: Feedback | None = None  # of an orphan, whose coil may be there now
    refusal: str | None = None

    @property
    def sentence(self) -> str:
        """What is sent, or why nothing is."""
        if self.refusal is not None:
            return self.refusal
        if self.feedback is not None:
            return f"the feedback on coil {self.feedback.key.coil_id} counts again"
        what = "message as it came" if self.messages and not self.letter.whole_coil else "events"
        where = f"topic {self.messages[0].topic}" if self.messages else "the inbox"
        count = len(self.messages) or len(self.events)
        return f"the {what} to {where}" if what.startswith("message") else f"{count} {what} to {where}"


def planned(whole: WholeDeadLetter, decode: Decoder, *, again: bool = False) -> Plan:
    """Say what a replay would do.

    Args:
        whole: the dead letter.
        decode: reads the events of a coil that did not come from Kafka.
        again: also where it was sent, resolved or discarded before.
    """
    letter = whole.letter
    if letter.state != "new" and not again:
        return Plan(letter=letter, refusal=f"it is {letter.state}; to send it all the same name its id with --again")
    if not whole.original:
        return Plan(letter=letter, refusal="it has no bytes that could be sent")
    if letter.step == "feedback":
        return _back_to_feedback(whole)
    if whole.log is None:
        return _to_inbox(whole, decode)
    if not letter.whole_coil:
        kept = [(name, value) for name, value in whole.log.headers if name != REPLAY_OF]
        message = ToKafka(whole.log.topic, whole.log.key, whole.original, [*kept, _mark(letter)])
        return Plan(letter=letter, messages=(message,))
    key = coil_key(letter.key.plant, letter.key.coil_id) if letter.key else whole.log.key
    headers = [("content-type", STRUCTURED.encode()), _mark(letter)]
    lines = [line for line in whole.original.split(b"\n") if line.strip()]
    return Plan(letter=letter, messages=tuple(ToKafka(whole.log.topic, key, line, headers) for line in lines))


def replay(
    connection: Connection, letters: Iterable[DeadLetter], settings: Settings, decode: Decoder, *, again: bool
) -> Iterator[Plan]:
    """Send dead letters through again, one after the other, and yield what was done with each.

    A letter is marked after the brokers, or the inbox, have it: a kill in between repeats it, which the rules of
    chunks make harmless.

    Raises:
        BrokerError: a broker cannot be reached or refused; the letters before it are sent and marked.
        StoreError: the database refused.
    """
    with ExitStack() as stack:
        send: Callable[[Plan], None] | None = None
        for letter in letters:
            whole = dead_letter(connection, letter.dead_letter_id)
            if whole is None:
                continue
            plan = planned(whole, decode, again=again)
            if plan.messages:
                send = send or _sender(stack, settings)
                send(plan)
                mark_replayed(connection, letter.dead_letter_id)
            elif plan.feedback is not None:
                plan = _counted_again(connection, plan, plan.feedback)
            elif plan.events:
                with connection.transaction():
                    store_events(connection, plan.events, settings.stream, host=host_of(letter.place))
                    mark_replayed(connection, letter.dead_letter_id)
            yield plan


def _mark(letter: DeadLetter) -> tuple[str, bytes]:
    return REPLAY_OF, letter.fingerprint.encode()


def _sender(stack: ExitStack, settings: Settings) -> Callable[[Plan], None]:
    opened = producer(settings.kafka)
    stack.callback(opened.close)

    def send(plan: Plan) -> None:
        with broker_errors(settings.kafka):
            arriving = [
                opened.send(message.topic, key=message.key, value=message.value, headers=list(message.headers))
                for message in plan.messages
            ]
            opened.flush()
            for future in arriving:
                future.get()

    return send


def _to_inbox(whole: WholeDeadLetter, decode: Decoder) -> Plan:
    letter = whole.letter
    events = []
    lines = [line for line in whole.original.split(b"\n") if line.strip()]
    for number, line in enumerate(lines, start=1):
        found = decode(line, ())
        if isinstance(found, EventFault):
            return Plan(
                letter=letter,
                refusal=f"its original is no chunk event in structured JSON ({found.error}); "
                "mend the source and read that again",
            )
        envelope = read_json(line)
        told = envelope if isinstance(envelope, dict) else {}
        source, event_id = told.get("source"), told.get("id")
        events.append(
            InboxEvent(
                key=found[0].key,
                source=source if _is_storable(source, LONGEST_SOURCE) else _SOURCE,
                event_id=event_id if _is_storable(event_id, LONGEST_ID) else f"{letter.fingerprint}-{number}",
                is_start=found[0].type == "coil.started",
                is_end=found[0].type == "coil.ended",
                event=line,
            )
        )
    return Plan(letter=letter, events=tuple(events))


def _back_to_feedback(whole: WholeDeadLetter) -> Plan:
    said = read_feedback(whole.original, now=whole.letter.created_at)
    if isinstance(said, Feedback):
        return Plan(letter=whole.letter, feedback=said)
    return Plan(letter=whole.letter, refusal=f"its original cannot be read ({said[0]}); say it anew")


def _counted_again(connection: Connection, plan: Plan, feedback: Feedback) -> Plan:
    """An orphan's word is still there, unless the database is another one: it counts as soon as its letter is done."""
    if not is_known_coil(connection, feedback.key):
        return replace(plan, refusal=f"nothing else has come of coil {feedback.key.coil_id} yet")
    with connection.transaction():
        record_feedback(connection, [feedback])
        mark_replayed(connection, plan.letter.dead_letter_id)
    return plan


def _is_storable(name: object, longest: int) -> TypeGuard[str]:
    return isinstance(name, str) and name.isprintable() and 0 < len(name.encode()) <= longest
