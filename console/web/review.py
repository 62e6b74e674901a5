"""`/review`: coils that a person is asked to look at, why, and disputes with a way to end them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import TypeAdapter

from console.rest.access import Caller, Reads, Scope
from console.rest.cursors import cursor_after, place_of
from console.rest.feedback import own_word
from console.rest.service import service_of
from console.web.heat_maps import map_url
from console.web.pages import render
from schemas.audit import Order
from schemas.audit import Word as SaidWord
from schemas.coils import CoilKey
from store.audit import coil_facts, feedback_on
from store.connection import Connection
from store.labels import Asked, QueuePlace, Word, review_queue, words_of
from store.page import plants
from store.pool import borrowed

_CARDS = 12
_NEVER = datetime.min.replace(tzinfo=UTC)
_PLACE: TypeAdapter[tuple[str, datetime | None, str, str]] = TypeAdapter(tuple[str, datetime | None, str, str])

Why = Literal["disputed", "review", "second"]

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A coil of the queue as the page shows it."""

    asked: Asked
    facts: Order | None
    voices: tuple[Word, ...]  # of a dispute; else none, for who looks is to judge for himself
    picture: str | None  # of its heat map


@router.get("/review")
def get_review(
    request: Request,
    caller: Reads,
    why: Why | None = None,
    plant: Annotated[str, Query(max_length=200)] = "",
    cursor: Annotated[str, Query(max_length=2000)] = "",
    said: Annotated[str, Query(max_length=200)] = "",
    said_plant: Annotated[str, Query(max_length=200)] = "",
    said_coil: Annotated[str, Query(max_length=200)] = "",
) -> HTMLResponse:
    """The queue; coils of which the caller has spoken are there only where people differ."""
    queue_of = ["review", why, plant, caller.name]
    after = QueuePlace(*place_of(cursor, _PLACE, of=queue_of)) if cursor else None
    with borrowed(service_of(request).pool) as connection:
        queue = _queue(connection, caller, why, plant or None, after)
        shown = queue[:_CARDS]
        cards = _cards(connection, shown)
        known = plants(connection)
        just_said = _just_said(connection, caller, CoilKey(plant=said_plant, coil_id=said_coil), said)
    asked = {"why": why or "", "plant": plant}
    return render(
        request,
        "review.html",
        cards=cards,
        following=cursor_after(list(_place(shown[-1])), of=queue_of) if len(queue) > _CARDS else None,
        asked_for={name: value for name, value in asked.items() if value},
        cursor=cursor,
        why=why,
        plant=plant,
        plants=known,
        may_say=Scope.FEEDBACK in caller.scopes,
        just_said=just_said,
        said_coil=CoilKey(plant=said_plant, coil_id=said_coil),
    )


def _queue(
    connection: Connection, caller: Caller, why: Why | None, plant: str | None, after: QueuePlace | None
) -> list[Asked]:
    """Disputes first; a person's own coils are left out where nobody differs."""
    kinds: tuple[Why, ...] = ("disputed", "review", "second") if why is None else (why,)
    parts = [
        review_queue(
            connection,
            plant=plant,
            why=kind,
            operator=None if kind == "disputed" else caller.name,
            after=after,
            most=_CARDS + 1,
        )
        for kind in kinds
    ]
    # Each part comes in its order; together they stand in that of the whole queue.
    return sorted((one for part in parts for one in part), key=_rank)


def _place(asked: Asked) -> QueuePlace:
    return QueuePlace(asked.why, asked.decided_at, asked.key.plant, asked.key.coil_id)


def _rank(asked: Asked) -> tuple[bool, bool, datetime, bytes, bytes, str]:
    """As the database sorts: names by their bytes, what has no verdict last."""
    at = asked.decided_at
    names = (asked.key.plant.encode(), asked.key.coil_id.encode())
    return (asked.why != "disputed", at is None, at or _NEVER, *names, asked.why)


def _cards(connection: Connection, queue: list[Asked]) -> list[Card]:
    disputed = [one.key for one in queue if one.why == "disputed"]
    voices = words_of(connection, disputed) if disputed else ()
    return [
        Card(
            asked=one,
            facts=coil_facts(connection, one.key),
            voices=tuple(word for word in voices if word.key == one.key and one.why == "disputed"),
            picture=None if one.revision is None else map_url(one.key, one.revision),
        )
        for one in queue
    ]


def _just_said(connection: Connection, caller: Caller, key: CoilKey, event_id: str) -> SaidWord | None:
    return own_word(feedback_on(connection, key), event_id, caller) if event_id else None
