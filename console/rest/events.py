"""`POST /api/v1/events`: one event or many, structured, batched or binary (CloudEvents 1.0, HTTP binding)."""

import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal
from urllib.parse import unquote_to_bytes

import structlog
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from console.rest.access import SendsEvents
from console.rest.event_bodies import BATCH, MOST_EVENTS, event_operation
from console.rest.names import coil_path
from console.rest.problems import Problem, ProblemError, problem
from console.rest.service import Service, service_of
from flows.intake import Fate, Message, Refused, read_event, split_batch, take_in, words_of
from flows.kafka.metrics import MESSAGES
from flows.observe import CONSUMED_MESSAGES
from flows.tracing import trace_feedback
from processors.envelope import STRUCTURED, media_type
from schemas.coils import CoilKey
from schemas.rejects import Reject
from store.pool import borrowed

log = structlog.get_logger("coilflow.console")

_PATH = "/api/v1/events"

router = APIRouter(tags=["events"])


class EventTold(BaseModel):
    """What became of one event."""

    id: str | None = Field(default=None, description="Left out where it could not be read, as `source` is.")
    source: str | None = None
    status: Literal["accepted", "repeated", "refused"]
    coil: str | None = Field(default=None, description="Where to look for it; left out of a refused event.")
    error: str | None = Field(default=None, description="What is wrong with a refused event.")
    remedy: str | None = None


class EventsTold(BaseModel):
    """What became of the events, in their order."""

    accepted: int
    repeated: int
    refused: int
    events: list[EventTold]


class EventsProblem(Problem):
    """Problem details, with what became of each event where they were read."""

    events: tuple[EventTold, ...] = ()


@router.post(
    _PATH,
    status_code=HTTPStatus.ACCEPTED,
    response_model=EventsTold,
    summary="Send events",
    openapi_extra=event_operation(),
    responses={
        202: {
            "description": "at least one event is stored, now or before",
            "headers": {
                "Location": {"schema": {"type": "string"}, "description": "where to look for the first event's coil"}
            },
        },
        415: {"description": "the content type is none that is read"},
        422: {"model": EventsProblem, "description": "every event was refused; each is kept as a dead letter"},
    },
)
async def post_events(request: Request, _: SendsEvents) -> JSONResponse:
    """Take coil.started, coil.chunk, coil.ended and operator.feedback events in; an event sent twice counts once."""
    body = await request.body()
    return await run_in_threadpool(_take_in, service_of(request), body, request)


def _take_in(service: Service, body: bytes, request: Request) -> JSONResponse:
    messages, now = _messages(body, request), datetime.now(UTC)
    whole = isinstance(messages, str)
    items = (
        (_refused_whole(body, messages),)
        if isinstance(messages, str)
        else tuple(
            read_event(message, decode=service.decode, place=_place(n, len(messages)), now=now)
            for n, message in enumerate(messages, start=1)
        )
    )
    began_ns = time.time_ns()
    with borrowed(service.pool) as connection:
        fates = take_in(connection, items, service.settings)
    if service.tracing is not None:
        trace_feedback(service.tracing, words_of(fates), joined_ns=(began_ns, time.time_ns()))
    service.judge.wake()
    _count(fates)
    told = [_told(fate) for fate in fates]
    counted = {status: sum(f.status == status for f in fates) for status in ("accepted", "repeated", "refused")}
    if fates and counted["refused"] == len(fates):
        first = fates[0].item
        detail = first.reject.error if isinstance(first, Refused) else ""
        what = detail if whole or len(fates) == 1 else f"all {len(fates)} events are refused, the first: {detail}"
        remedy = first.reject.remedy if isinstance(first, Refused) else None
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, what, remedy=remedy, events=told)
    places = [place for place in (_coil_path(fate) for fate in fates) if place]
    return JSONResponse(
        {**counted, "events": told},
        status_code=HTTPStatus.ACCEPTED,
        headers={"Location": places[0]} if places else None,
    )


def _messages(body: bytes, request: Request) -> tuple[Message, ...] | str:
    media = media_type(request.headers.get("content-type"))
    if media == BATCH:
        messages = split_batch(body)
        if not isinstance(messages, str) and len(messages) > MOST_EVENTS:
            raise ProblemError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the batch has {len(messages)} events, at most {MOST_EVENTS} are taken at once",
                remedy="send fewer events at once",
            )
        return messages
    if media == STRUCTURED:
        return (Message(value=body),)
    envelope = [
        (f"ce_{name.removeprefix('ce-')}", unquote_to_bytes(value))
        for name, value in request.headers.items()
        if name.startswith("ce-")
    ]
    if not envelope:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content type is {media or 'not given'} and there are no ce- headers",
            remedy=f"send {STRUCTURED}, {BATCH}, or binary mode with ce-id, ce-source, ce-type, ce-specversion",
        )
    return (Message(value=body, headers=(*envelope, ("content-type", media.encode()))),)


def _refused_whole(body: bytes, error: str) -> Refused:
    remedy = "send a JSON array of CloudEvents"
    reject = Reject(
        step="decode", place=f"POST {_PATH}", key=None, error=error, remedy=remedy, original=body, whole_coil=False
    )
    return Refused(reject=reject, event_id=None, source=None)


def _place(number: int, count: int) -> str:
    return f"POST {_PATH}" + (f", event {number}" if count > 1 else "")


def _key(fate: Fate) -> CoilKey | None:
    return fate.item.reject.key if isinstance(fate.item, Refused) else fate.item.key


def _coil_path(fate: Fate) -> str | None:
    return None if isinstance(fate.item, Refused) else coil_path(fate.item.key)


def _told(fate: Fate) -> dict[str, object]:
    item = fate.item
    told: dict[str, object | None] = {
        "id": item.event_id,
        "source": item.source,
        "status": fate.status,
        "coil": _coil_path(fate),
    }
    if isinstance(item, Refused):
        told |= {"error": item.reject.error, "remedy": item.reject.remedy}
    return {name: value for name, value in told.items() if value is not None}


def _count(fates: tuple[Fate, ...]) -> None:
    names = {"accepted": "applied", "repeated": "duplicate", "refused": "dead"}
    CONSUMED_MESSAGES.labels("http", _PATH).inc(len(fates))
    for fate in fates:
        MESSAGES.labels("http", names[fate.status]).inc()
        if isinstance(fate.item, Refused):
            key, reject = _key(fate), fate.item.reject
            log.warning(
                "event refused",
                plant=key and key.plant,
                coil_id=key and key.coil_id,
                event_id=fate.item.event_id,
                error=reject.error,
            )
