"""What is done with what people say: a word from the command line, orphans, second looks, twins."""

import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from flows.intake import FEEDBACK, read_feedback
from processors.review import is_drawn_again
from schemas.coils import CoilKey
from schemas.errors import UsageError
from schemas.events import OperatorFeedback, OperatorFeedbackEvent
from schemas.rejects import Reject, Step
from schemas.settings import Settings
from store.connection import Connection
from store.feedback import Feedback, record_feedback
from store.labels import CoilLabel, label_of, labelled_by_one, store_second_reviews
from store.orphans import (
    Orphan,
    is_known_coil,
    is_known_word,
    orphans,
    other_plants_of,
    resolve_found_orphans,
    set_aside,
)

STEP: Step = "feedback"  # of dead letters of orphans
_ORPHANS_AT_ONCE = 5_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What became of a word, and what its coil's label is now."""

    feedback: Feedback
    is_new: bool
    coil_known: bool  # False: it waits for its coil
    corrected_known: bool  # False: it corrects an id under which nothing came yet
    label: CoilLabel | None  # None: corrected already by what came before it


def say(
    connection: Connection, data: dict[str, object], *, source: str, now: datetime, plant_named: bool = True
) -> Stored:
    """Store what a person says here and now.

    Args:
        connection: on a database of this version.
        data: of `schemas.events.OperatorFeedback`; without `given_at` it is said now.
        source: that says it, a URI reference.
        now: with a time zone.
        plant_named: whether who says it named the plant, which may then not know the coil yet.

    Raises:
        UsageError: it breaks the contract, such as a label outside the set; or its coil is one of other plants only,
            and nobody named the plant.
        StoreError: the database refused.
    """
    event = {
        "specversion": "1.0",
        "type": FEEDBACK,
        "id": str(uuid.uuid4()),
        "source": source,
        "data": {"given_at": now.isoformat(), **data},
    }
    line = json.dumps(event).encode()  # keeps NaN, for the contract to refuse; orjson makes null of it
    feedback = read_feedback(line, now=now)
    if not isinstance(feedback, Feedback):
        error, remedy = feedback
        raise UsageError(error, remedy=remedy)
    with connection.transaction():
        known = is_known_coil(connection, feedback.key)
        if not known and not plant_named:
            _refuse_other_plant(connection, feedback.key)
        [is_new] = record_feedback(connection, [feedback], received_at=now)
        label, corrects = label_of(connection, feedback.key), feedback.corrects
        corrected_known = corrects is None or is_known_word(connection, feedback.key.plant, corrects)
    return Stored(feedback=feedback, is_new=is_new, coil_known=known, corrected_known=corrected_known, label=label)


def age_orphans(connection: Connection, now: datetime, settings: Settings) -> int:
    """Make dead letters of feedback whose coil is unknown `settings.review.orphan_days` after it came.

    It counts for nothing from then on; once its coil is judged, or its letter is replayed, it counts again.

    Args:
        connection: on a database of this version; each stretch is one transaction.
        now: with a time zone.
        settings: how long feedback may wait for its coil.

    Returns:
        How many words were set aside.

    Raises:
        StoreError: the database refused; the stretches before it are stored.
    """
    resolve_found_orphans(connection)
    before, aged = now - timedelta(days=settings.review.orphan_days), 0
    while found := orphans(connection, before=before, most=_ORPHANS_AT_ONCE):
        set_aside(connection, [(one, _letter(one, settings)) for one in found], now=now)
        aged += len(found)
    return aged


def draw_second_reviews(connection: Connection, now: datetime, settings: Settings) -> int:
    """Draw, among coils that one person labelled, those that a second one is to look at without knowing of the first.

    Args:
        connection: on a database of this version.
        now: with a time zone.
        settings: share and key of the draw; coils labelled within the window of the model score are looked at.

    Returns:
        How many were drawn that had not been drawn before.

    Raises:
        StoreError: the database refused.
    """
    since = now - timedelta(days=settings.score.window_days)
    drawn = [
        one
        for one in labelled_by_one(connection, since=since, now=now)
        if is_drawn_again(one.key, one.revision, settings.review)
    ]
    return store_second_reviews(connection, drawn, probability=settings.review.second_share, drawn_at=now)


def event_of(feedback: Feedback) -> bytes:
    """The word as an `operator.feedback` event in structured JSON, which reads back as the same."""
    data = OperatorFeedback(
        plant=feedback.key.plant,
        coil_id=feedback.key.coil_id,
        label=feedback.label,
        revision=feedback.revision,
        defect_kind=feedback.defect_kind,
        face=feedback.face,
        from_m=feedback.from_m,
        to_m=feedback.to_m,
        note=feedback.note,
        operator=feedback.operator,
        corrects=feedback.corrects,
        settles=feedback.settles,
        given_at=feedback.given_at,
    )
    event = OperatorFeedbackEvent(
        specversion="1.0",
        id=feedback.event_id,
        source=feedback.source,
        subject=feedback.key.coil_id,
        time=feedback.given_at,
        type=FEEDBACK,
        data=data,
    )
    return event.model_dump_json(exclude_none=True).encode()


def _refuse_other_plant(connection: Connection, key: CoilKey) -> None:
    others = other_plants_of(connection, key)
    if others:
        raise UsageError(
            f"plant {key.plant} knows no coil {key.coil_id}, plant {' and plant '.join(others)} does",
            remedy=f"name the plant: --plant {others[0]}, or --plant {key.plant} if its coil is yet to come",
        )


def _letter(orphan: Orphan, settings: Settings) -> Reject:
    key = orphan.feedback.key
    return Reject(
        step=STEP,
        place=f"feedback {orphan.feedback_id}, received {orphan.received_at.isoformat(timespec='seconds')}",
        key=key,
        error=f"nothing else came of coil {key.coil_id} of plant {key.plant} in {settings.review.orphan_days:g} days",
        remedy="correct the coil's name and say it anew, or replay it once the coil is there",
        original=event_of(orphan.feedback),
        whole_coil=False,
    )
