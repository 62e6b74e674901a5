"""What is done with an operator's word that the plant sends as `opfeedback`: the same for the MQTT bridge and NiFi."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import psycopg

from flows.mqtt.requests import Fault, FeedbackRequest, derived_id, plant_time
from flows.sources.plant_database import plant_feedback
from schemas.coils import CoilKey, Truth
from schemas.errors import SourceError
from schemas.settings import Settings
from store.connection import Connection
from store.feedback import Feedback, latest_feedback

_TRUTHS: dict[str | None, Truth] = {"1": "OK", "2": "NOK", "OK": "OK", "NOK": "NOK"}


def coil_of(said: FeedbackRequest, settings: Settings) -> CoilKey:
    """The coil that a payload names; of the settings' plant where it names none."""
    return CoilKey(plant=said.plant or settings.plant, coil_id=said.coil_id)


def said_now(
    connection: Connection, said: FeedbackRequest, settings: Settings, now: datetime, *, message: str | None = None
) -> Iterator[Feedback]:
    """A payload has neither id nor time: one that repeats what stands says nothing new, else it follows it.

    So a message that comes twice is one row, and an operator may say OK, NOK and OK again.

    Args:
        connection: inside the transaction that stores it.
        said: with a label; without one it says nothing.
        settings: topic and plant.
        now: when it came, with its zone.
        message: what tells this message from others also when it comes again after others; None: what was said before.
    """
    key, source = coil_of(said, settings), _source(settings)
    latest = latest_feedback(connection, key, source=source)
    if said.label is None or [(one.label, one.note) for one in latest] == [(said.label, said.note)]:
        return
    before = str(latest[0].feedback_id) if latest else ""
    yield Feedback(
        key=key,
        source=source,
        event_id=derived_id(key, said.label, said.note or "", before if message is None else message),
        label=said.label,
        note=said.note,
        given_at=now,
    )


def coils_repeated(connection: Connection, said: Sequence[FeedbackRequest], settings: Settings) -> frozenset[CoilKey]:
    """Coils of which several payloads that came together say what was said last, in the same order: nothing new.

    So the rule of `said_now` holds for a message of many payloads, too.

    Args:
        connection: inside the transaction that stores them.
        said: with labels, in the order in which they were said.
        settings: topic and plant.
    """
    words: dict[CoilKey, list[tuple[str | None, str | None]]] = {}
    for one in said:
        of_coil = words.setdefault(coil_of(one, settings), [])
        if of_coil[-1:] != [(one.label, one.note)]:
            of_coil.append((one.label, one.note))
    repeated = set()
    for key, new in words.items():
        latest = latest_feedback(connection, key, source=_source(settings), most=len(new))
        if [(one.label, one.note) for one in reversed(latest)] == new:
            repeated.add(key)
    return frozenset(repeated)


def _source(settings: Settings) -> str:
    return f"/mqtt/{settings.mqtt.feedback_topic}"


def written(said: FeedbackRequest, settings: Settings, now: datetime) -> tuple[Feedback, ...] | Fault:
    """What the plant's table `feedback` has of the coil of a payload without a label; else (error, remedy).

    Raises:
        StoreError: the plant's database cannot be reached.
        SourceError: the table cannot be read.
    """
    if settings.plant_dsn is None:
        return (
            f"the feedback on coil {said.coil_id} has no LABEL, and no plant database is set to read it from",
            "send LABEL 1 or 2, or set COILFLOW_PLANT_DSN",
        )
    try:
        rows = plant_feedback(settings.plant_dsn.get_secret_value(), said.coil_id)
    except SourceError as error:
        if not isinstance(error.__cause__, psycopg.DataError):
            raise
        rows = ()
    key = coil_of(said, settings)
    labelled = [(row, _TRUTHS[label]) for row in rows if (label := (row.label or "").strip()) in _TRUTHS]
    if not labelled:
        return (
            f"the plant's table feedback has no label 1 or 2 for coil {said.coil_id}",
            "write it there, or send LABEL 1 or 2, then send this again",
        )
    return tuple(
        Feedback(
            key=key,
            source="/plant/feedback",
            event_id=derived_id(key, label, row.note or "", row.ts.isoformat() if row.ts else ""),
            label=label,
            note=row.note,
            given_at=plant_time(row.ts, now=now),
        )
        for row, label in labelled
    )
