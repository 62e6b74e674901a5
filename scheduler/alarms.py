"""Alarms are told: what is due, in how many messages, and each through every channel until it arrives."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from scheduler.channels import Send
from schemas.errors import CoilflowError
from schemas.loop_settings import AlarmSettings
from store.alarms import (
    Message,
    ToldLately,
    ToTell,
    alarms_to_tell,
    claim_deliveries,
    mark_delivered,
    mark_undelivered,
    store_message,
    told_lately,
)
from store.connection import Connection

_HOUR = timedelta(hours=1)
_FIRST_RETRY_S = 30.0  # doubled each time
_LONGEST_RETRY_S = 3600.0
_MOST_ATTEMPTS = 20  # about half a day: then whoever does not take it gets no more of it
_AT_ONCE = 20  # deliveries in one round
_HEADINGS = {"raised": "alarm", "again": "still", "over": "recovered"}
_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Telling:
    """What is told now."""

    each: tuple[ToTell, ...] = ()  # in a message of its own
    together: tuple[ToTell, ...] = ()  # in one


def plan_telling(found: Sequence[ToTell], lately: ToldLately, *, most_an_hour: int) -> Telling:
    """Keep within the messages of an hour; the rest is told in one summary an hour, or waits for it.

    Args:
        found: to be told, oldest first.
        lately: what was told within the last hour.
        most_an_hour: messages beside the summary.
    """
    room = max(0, most_an_hour - lately.messages)
    rest = tuple(found[room:])
    return Telling(each=tuple(found[:room]), together=() if lately.summaries else rest)


def tell_alarms(connection: Connection, settings: AlarmSettings, channels: Mapping[str, Send], *, now: datetime) -> int:
    """Make messages of what is to be told, in one transaction, then deliver what waits; failures are kept and retried.

    Args:
        connection: on a database of this version.
        settings: how often, and how many.
        channels: by name; none: nothing is told, and the alarms are only kept.
        now: the time.

    Returns:
        How many deliveries arrived.

    Raises:
        StoreError: the database refused; what was not told is told the next time.
    """
    if not channels:
        return 0
    with connection.transaction():
        found = alarms_to_tell(connection, now=now, repeat=timedelta(hours=settings.repeat_h))
        telling = plan_telling(found, told_lately(connection, since=now - _HOUR), most_an_hour=settings.most_an_hour)
        messages = [_message(one) for one in telling.each] + ([_summary(telling.together)] if telling.together else [])
        for message in messages:
            store_message(connection, message, channels=sorted(channels), now=now)
    return _deliver(connection, channels, now)


def _deliver(connection: Connection, channels: Mapping[str, Send], now: datetime) -> int:
    arrived = 0
    for delivery in claim_deliveries(connection, now=now, most=_AT_ONCE):
        send = channels.get(delivery.channel)
        if send is None:
            mark_undelivered(
                connection, delivery, error="the settings name this channel no more", next_attempt_at=None, now=now
            )
            continue
        try:
            send(delivery)
        except CoilflowError as error:
            pause_s = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2.0 ** (delivery.attempts - 1))
            again = None if delivery.attempts >= _MOST_ATTEMPTS else now + timedelta(seconds=pause_s)
            _log.warning("an alarm cannot be told", channel=delivery.channel, title=delivery.title, reason=str(error))
            mark_undelivered(connection, delivery, error=str(error), next_attempt_at=again, now=now)
        else:
            mark_delivered(connection, delivery, now=now)
            arrived += 1
    return arrived


def _message(one: ToTell) -> Message:
    title = f"{_HEADINGS[one.form]}: {_name(one)}"
    return Message(message_id=uuid4(), form=one.form, title=title, text=_lines(one), alarm_ids=(one.alarm.alarm_id,))


def _summary(rest: Sequence[ToTell]) -> Message:
    kinds = Counter(one.alarm.kind for one in rest)
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return Message(
        message_id=uuid4(),
        form="summary",
        title=f"{len(rest)} more alarms: {counted}",
        text="\n\n".join(f"{_HEADINGS[one.form]}: {_name(one)}\n{_lines(one)}" for one in rest),
        alarm_ids=tuple(one.alarm.alarm_id for one in rest),
    )


def _name(one: ToTell) -> str:
    return f"{one.alarm.kind.replace('_', ' ')} ({one.alarm.subject})" if one.alarm.subject else one.alarm.kind


def _lines(one: ToTell) -> str:
    alarm = one.alarm
    lines = [alarm.text, f"since {_said(alarm.raised_at)}"]
    if alarm.times > 1:
        lines.append(f"found {alarm.times} times, last {_said(alarm.last_at)}")
    if alarm.cleared_at is not None:
        lines.append(f"over since {_said(alarm.cleared_at)}")
    return "\n".join(lines)


def _said(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S %Z}"
