"""`GET /api/v1/stream`: verdicts, model changes and early warnings as they happen (server-sent events)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from http import HTTPStatus
from typing import Annotated, TypeVar

import anyio.to_thread
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from console.feed import Listener, Told, told
from console.rest.access import Reads
from console.rest.problems import ProblemError
from console.rest.service import Service, service_of
from schemas.errors import StoreUnavailableError
from schemas.events import CoilWarning, Name
from schemas.verdicts import Label
from store.changes import ModelChange, Position, Row, Snapshot, changes_between, is_complete_from
from store.connection import Connection
from store.pool import borrowed

_HEARTBEAT_S = 15.0  # of silence, after which a client hears that it is still connected, and its place
_MOST_S = 900.0  # of a stream: who comes again is looked at again, so that a key that was revoked is not told for ever
_RETRY = b"retry: 1000\n\n"  # ms after which a client comes again
_JOIN_S, _AHEAD_S = 5.0, 2.0  # to wait for a place among the listeners, and for this console to see as much as another
_AT_ONCE, _MOST_MISSED = 500, 10_000  # events; who missed more looks at everything anew
_AGAIN_S = 1.0

T = TypeVar("T")

router = APIRouter(tags=["events"])

Wanted = Callable[[Told], bool]


def place_of_client(
    last_event_id: Annotated[
        str | None, Header(max_length=8000, description="`id` of the last event: what came since is told first.")
    ] = None,
    after: Annotated[
        str | None, Query(max_length=8000, description="The same for who cannot send headers at first.")
    ] = None,
) -> Position | None:
    """The place that a client got to; raises ProblemError where it is none."""
    place = last_event_id or after
    if not place:
        return None
    try:
        return Position.read(place)
    except ValueError:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST,
            "Last-Event-ID is none of this stream",
            remedy="send the `id` of an event as it came, or none to hear from now on",
        ) from None


Place = Annotated[Position | None, Depends(place_of_client)]


async def listening(request: Request, _: Reads, place: Place) -> AsyncIterator[Listener]:
    """Listen until the answer is over; raises ProblemError where nobody can join."""
    feed, began_s = service_of(request).feed, time.monotonic()
    while True:
        waited_s = time.monotonic() - began_s
        with feed.listener() as listener:
            if listener is not None and (
                place is None or listener.begins.is_as_late_as(place.latest) or waited_s > _AHEAD_S
            ):
                yield listener
                return
        if waited_s > _JOIN_S or feed.ended:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "as many listen as can be told, the console stops, or the database is away",
                remedy="come again later",
                headers={"Retry-After": "10"},
            )
        await asyncio.sleep(0.1)


@router.get(
    "/api/v1/stream",
    summary="Hear of verdicts, model changes and early warnings as they happen",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events `verdict`, `model_change` and `early_warning`; `reset` where what came "
            "between is not known any more, so that lists are to be read anew.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        400: {"description": "Last-Event-ID is none of this stream"},
        503: {"description": "as many listen as can be told, or the database is away: come again after `Retry-After`"},
    },
)
async def get_stream(
    request: Request,
    listener: Annotated[Listener, Depends(listening)],
    place: Place,
    plant: Annotated[Name | None, Query(description="Only of this plant or line.")] = None,
    label: Annotated[Label | None, Query(description="Only verdicts of this label.")] = None,
) -> StreamingResponse:
    """Each event once: who comes again with `Last-Event-ID`, as browsers do by themselves, misses none."""
    frames = _frames(service_of(request), listener, place, partial(_is_wanted, plant=plant, label=label))
    return StreamingResponse(frames, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _frames(
    service: Service, listener: Listener, place: Position | None, is_wanted: Wanted
) -> AsyncIterator[bytes]:
    yield _RETRY
    if place is not None:
        async for frames in _missed(service, listener, place, is_wanted):
            yield frames
        if listener.ended:  # not all was told, maybe: the client keeps the place that it got to
            return
    at, now_s = str(Position(seen=listener.begins)), time.monotonic()
    yield _heartbeat(at)
    ends_s, said_s = now_s + _MOST_S, now_s
    while now_s < ends_s:
        news = await listener.next_news(most_s=_HEARTBEAT_S)
        if news is None and listener.ended:
            return
        wanted = b"".join(event.frame for event in news.events if is_wanted(event)) if news else b""
        at, now_s = news.place if news else at, time.monotonic()
        if wanted or now_s - said_s >= _HEARTBEAT_S:
            said_s = now_s
            yield wanted or _heartbeat(at)


async def _missed(service: Service, listener: Listener, place: Position, is_wanted: Wanted) -> AsyncIterator[bytes]:
    """What a client missed between its place and that from which on it listens."""
    complete = await _read(service, listener, partial(is_complete_from, place=place))
    if not complete:
        if complete is not None:
            yield _reset(listener.begins)
        return
    steps: list[tuple[Snapshot, Snapshot, Row | None]] = [(place.latest, listener.begins, None)]
    if place.until is not None:
        steps.insert(0, (place.seen, place.until, place.row))
    missed = 0
    for seen, until, first in steps:
        after = first
        while missed < _MOST_MISSED:
            read = partial(changes_between, seen=seen, until=until, after=after, most=_AT_ONCE)
            found = await _read(service, listener, read)
            if found is None:
                return
            changes, after = found
            events = (told(change, seen=seen, until=until) for change in changes)
            frames = b"".join(event.frame for event in events if is_wanted(event))
            if frames:
                yield frames
            missed += len(changes)
            if after is None:
                break
    if missed >= _MOST_MISSED:
        yield _reset(listener.begins)


async def _read(service: Service, listener: Listener, read: Callable[[Connection], T]) -> T | None:
    """Ask the database in a thread, few at once: when a console starts anew, all clients come again at once.

    One that is away is waited for; None where the stream ends meanwhile.
    """

    def asked() -> T:
        with borrowed(service.pool) as connection:
            return read(connection)

    while not listener.ended:
        try:
            return await anyio.to_thread.run_sync(asked, limiter=service.feed.readers)
        except StoreUnavailableError:
            await asyncio.sleep(_AGAIN_S)
    return None


def _heartbeat(place: str) -> bytes:
    """Without data: no event, and yet the client keeps the place."""
    return f": \nid: {place}\n\n".encode()


def _reset(begins: Snapshot) -> bytes:
    return f"id: {Position(seen=begins)}\nevent: reset\ndata: {{}}\n\n".encode()


def _is_wanted(event: Told, *, plant: str | None, label: Label | None) -> bool:
    data = event.change.data
    if isinstance(data, ModelChange):
        return plant is None or data.plant is None or data.plant == plant
    if isinstance(data, CoilWarning):
        return plant is None or data.plant == plant
    return (plant is None or data.plant == plant) and (label is None or data.label == label)
