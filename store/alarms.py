"""Alarms: kept first, told afterwards; what was told, and whether it arrived."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from store.connection import Connection, store_errors
from store.queries import query

Form = Literal["raised", "again", "over", "summary"]
_CLAIM_S = 120.0  # longer than a mail server and a webhook take to refuse


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """Something that a person should know, from when it began until it is over."""

    alarm_id: int
    kind: str
    subject: str  # job, plant or ensemble
    text: str
    raised_at: datetime
    last_at: datetime  # when it was found so last
    times: int
    told_at: datetime | None
    cleared_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ToTell:
    """An alarm of which there is something to tell."""

    alarm: Alarm
    form: Form


@dataclass(frozen=True, kw_only=True, slots=True)
class ToldLately:
    """Messages within a time."""

    messages: int
    summaries: int  # beside them


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What is told at once."""

    message_id: UUID  # the same in every attempt to deliver it
    form: Form
    title: str
    text: str
    alarm_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A message on its way through one channel."""

    message_id: UUID
    channel: str  # "mail" or "webhook:NAME"
    attempts: int  # with this one
    form: Form
    at: datetime
    title: str
    text: str


def raise_alarm(connection: Connection, kind: str, subject: str, *, text: str, now: datetime) -> bool:
    """Keep that something is wrong; while it is, the same is one alarm.

    Args:
        connection: on a database of this version; within `connection.transaction()` it joins that.
        kind: what is wrong, e.g. `job_failed`.
        subject: which job, plant or ensemble.
        text: in a sentence, with what to do.
        now: the time.

    Returns:
        Whether it was not known to be.

    Raises:
        StoreError: the database refused.
    """
    with store_errors(f"keep the alarm {kind} of {subject}"):
        kept = text.replace("\x00", "\\x00")
        parameters = {"kind": kind, "subject": subject, "text": kept, "now": now}
        [row] = connection.execute(query("raise_alarm"), parameters).fetchall()
    return bool(row["is_new"])


def clear_alarm(connection: Connection, kind: str, subject: str, *, now: datetime) -> bool:
    """Keep that something is well again; returns whether it was not. Raises StoreError."""
    with store_errors(f"clear the alarm {kind} of {subject}"):
        parameters = {"kind": kind, "subject": subject, "now": now}
        return connection.execute(query("clear_alarm"), parameters).rowcount > 0


def open_alarms(connection: Connection) -> tuple[Alarm, ...]:
    """What is wrong now, oldest first; raises StoreError."""
    with store_errors("read the alarms"):
        return tuple(Alarm(**row) for row in connection.execute(query("open_alarms")))


def alarms_to_tell(connection: Connection, *, now: datetime, repeat: timedelta) -> tuple[ToTell, ...]:
    """Alarms of which there is something to tell, oldest first; locked until the end of the transaction.

    Args:
        connection: within a transaction.
        now: the time.
        repeat: what was told of a kind and subject within this time is not told again.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("look for alarms to tell"):
        rows = connection.execute(query("alarms_to_tell"), {"now": now, "not_since": now - repeat}).fetchall()
    return tuple(
        ToTell(form=row["form"], alarm=Alarm(**{name: value for name, value in row.items() if name != "form"}))
        for row in rows
    )


def told_lately(connection: Connection, *, since: datetime) -> ToldLately:
    """How many messages were made since then; raises StoreError."""
    with store_errors("count the alarms told lately"):
        [row] = connection.execute(query("told_lately"), {"since": since}).fetchall()
    return ToldLately(**row)


def store_message(connection: Connection, message: Message, *, channels: Sequence[str], now: datetime) -> None:
    """Keep what is to be told, through which channels, and that its alarms were told; raises StoreError."""
    parameters = {
        "message_id": message.message_id,
        "form": message.form,
        "title": message.title,
        "text": message.text,
        "alarm_ids": list(message.alarm_ids),
        "channels": list(channels),
        "now": now,
    }
    with store_errors("keep what is to be told of alarms"):
        connection.execute(query("store_alarm_message"), parameters)


def claim_deliveries(connection: Connection, *, now: datetime, most: int) -> tuple[Delivery, ...]:
    """Take messages whose time has come, oldest first, for two minutes; raises StoreError."""
    parameters = {"now": now, "most": most, "claimed_until": now + timedelta(seconds=_CLAIM_S)}
    with store_errors("look for alarms to deliver"):
        return tuple(Delivery(**row) for row in connection.execute(query("claim_deliveries"), parameters))


def mark_delivered(connection: Connection, delivery: Delivery, *, now: datetime) -> None:
    """Note that a message has arrived; raises StoreError."""
    parameters = {"message_id": delivery.message_id, "channel": delivery.channel, "now": now}
    with store_errors("note that an alarm was told"):
        connection.execute(query("mark_delivered"), parameters)


def mark_undelivered(
    connection: Connection, delivery: Delivery, *, error: str, next_attempt_at: datetime | None, now: datetime
) -> None:
    """Note why a message did not arrive.

    Args:
        connection: on a database of this version.
        delivery: as it was claimed.
        error: what went wrong.
        next_attempt_at: None: it is given up.
        now: the time.

    Raises:
        StoreError: the database refused.
    """
    parameters = {
        "message_id": delivery.message_id,
        "channel": delivery.channel,
        "error": error.replace("\x00", "\\x00"),
        "next_attempt_at": next_attempt_at,
        "now": now,
    }
    with store_errors("note that an alarm was not told"):
        connection.execute(query("mark_undelivered"), parameters)


def unheard_plants(connection: Connection, *, since: datetime, now: datetime) -> tuple[str, ...]:
    """Plants whose coils were judged since then and before, and of which nobody said anything since."""
    with store_errors("look for plants without feedback"):
        return tuple(row["plant"] for row in connection.execute(query("unheard_plants"), {"since": since, "now": now}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """How much of a plant's production somebody spoke of."""

    plant: str
    judged: int  # coils
    labelled: int  # coils


def labels_by_plant(connection: Connection, *, since: datetime, now: datetime) -> tuple[Labelled, ...]:
    """Coils judged and coils spoken of in a window, by plant; raises StoreError."""
    with store_errors("count labelled coils"):
        return tuple(
            Labelled(**row) for row in connection.execute(query("labels_by_plant"), {"since": since, "now": now})
        )
