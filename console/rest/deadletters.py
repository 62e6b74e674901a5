"""`/api/v1/dead-letters`: what got no verdict, sent through again or given up."""

from base64 import b64encode
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool, TypeAdapter

from console.letters import as_object
from console.rest.access import Operates, Reads
from console.rest.cursors import MOST_ITEMS, cursor_after, place_of
from console.rest.idempotency import Done, Idempotent, once, once_prepared
from console.rest.names import coil_path
from console.rest.problems import RETRY_AFTER_S, Answers, ProblemError
from console.rest.service import service_of
from console.rest.times import Moment
from flows.deadletters import Plan, replay
from schemas.errors import BrokerError
from schemas.events import Name, Said
from store.connection import Connection
from store.deadletters import DeadLetter, Wanted, WholeDeadLetter, dead_letter, discard, list_dead_letters, note_handled
from store.pool import borrowed

State = Literal["new", "replayed", "resolved", "discarded"]
LetterId = Annotated[int, Path(ge=1, lt=2**63)]
_PLACE: TypeAdapter[tuple[int]] = TypeAdapter(tuple[int])
_UNKNOWN: Answers = {404: {"description": "there is no dead letter of that id"}}
_KEYED = "the body breaks the contract, or its idempotency key was sent with another"

router = APIRouter(tags=["dead letters"])


class Letter(BaseModel):
    """A dead letter without its bytes."""

    id: int
    state: State
    plant: str | None
    coil_id: str | None
    coil: str | None = Field(description="Where to look for it.")
    whole_coil: bool = Field(description="False: it is one message of a coil, or of none.")
    step: str
    error: str
    remedy: str
    place: str
    topic: str | None = Field(description="Topic of Kafka; null: it came another way.")
    partition: int | None
    offset: int | None
    bytes: int
    created_at: datetime
    fingerprint: str
    handled_by: str | None = Field(description="Who replayed or discarded it last.")
    handled_why: str | None
    handled_at: datetime | None


class Header(BaseModel):
    """A header of the message, as it came."""

    name: str
    value_base64: str


class WholeLetter(Letter):
    """A dead letter with what came."""

    original_base64: str
    key_base64: str | None = Field(description="Key of the message.")
    headers: list[Header]


class Letters(BaseModel):
    """The newest first."""

    items: list[Letter]
    next: str | None = Field(description="Cursor of the page after it; null: this is the last one.")


class ReplayRequest(BaseModel):
    """Why it is sent through again."""

    model_config = ConfigDict(extra="forbid")

    why: Said | None = None
    again: StrictBool = Field(default=False, description="Also where it was sent, resolved or discarded before.")


class DiscardRequest(BaseModel):
    """Why it is given up."""

    model_config = ConfigDict(extra="forbid")

    why: Said


class Handled(BaseModel):
    """What became of it."""

    letter: Letter
    said: str = Field(description="What became of it, in a sentence.")


@router.get("/api/v1/dead-letters", summary="List dead letters", responses={400: {"description": "no such cursor"}})
def get_letters(
    request: Request,
    _: Reads,
    state: State | None = None,
    step: Name | None = None,
    plant: Name | None = None,
    coil_id: Name | None = None,
    topic: Name | None = None,
    since: Moment | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 50,
) -> Letters:
    """Dead letters without their bytes, the newest first."""
    of = ["dead letters", state, step, plant, coil_id, topic, since]
    before = None if cursor is None else place_of(cursor, _PLACE, of=of)[0]
    wanted = Wanted(plant=plant, coil_id=coil_id, step=step, state=state, topic=topic, since=since, before_id=before)
    with borrowed(service_of(request).pool) as connection:
        found = list_dead_letters(connection, wanted, most=limit + 1)
    shown = found[:limit]
    following = [shown[-1].dead_letter_id] if len(found) > limit else None
    return Letters(items=[_letter(one) for one in shown], next=following and cursor_after(following, of=of))


@router.get("/api/v1/dead-letters/{dead_letter_id}", summary="Show a dead letter", responses=_UNKNOWN)
def get_letter(request: Request, dead_letter_id: LetterId, _: Reads) -> WholeLetter:
    """A dead letter with its headers and its bytes, as they came."""
    with borrowed(service_of(request).pool) as connection:
        whole = _known(connection, dead_letter_id)
    log = whole.log
    return WholeLetter(
        **_letter(whole.letter).model_dump(),
        original_base64=_base64(whole.original),
        key_base64=None if log is None or log.key is None else _base64(log.key),
        headers=[Header(name=name, value_base64=_base64(value or b"")) for name, value in (log.headers if log else ())],
    )


@router.post(
    "/api/v1/dead-letters/{dead_letter_id}/replay",
    response_model=Handled,
    summary="Send a dead letter through again",
    responses={
        **_UNKNOWN,
        409: {"description": "it cannot be sent, for the reason that it says, or the same key is under way"},
        422: {"description": _KEYED},
        503: {"description": "the broker or the database is away: send it again after `Retry-After`"},
    },
)
def post_replay(
    request: Request, dead_letter_id: LetterId, body: ReplayRequest, caller: Operates, asked: Idempotent
) -> Response:
    """Send it to the topic it came from, into the inbox, or let feedback count again."""
    service = service_of(request)

    def prepare(connection: Connection) -> Plan:
        letter = _known(connection, dead_letter_id).letter
        plans = list(replay(connection, [letter], service.settings, service.decode, again=body.again))
        if not plans:
            raise _unknown(dead_letter_id)
        if plans[0].refusal is not None:
            raise ProblemError(HTTPStatus.CONFLICT, plans[0].refusal, remedy="look at it, and discard it if it is lost")
        return plans[0]

    def act(connection: Connection, plan: Plan) -> Done:
        note_handled(connection, dead_letter_id, who=caller.name, why=body.why, now=datetime.now(UTC))
        return _handled(connection, dead_letter_id, f"sent: {plan.sentence}")

    try:
        answer = once_prepared(service.pool, asked, caller, prepare=prepare, act=act)
    except BrokerError as error:
        wait = {"Retry-After": str(RETRY_AFTER_S)}
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, str(error), remedy=error.remedy, headers=wait) from error
    service.judge.wake()
    return answer


@router.post(
    "/api/v1/dead-letters/{dead_letter_id}/discard",
    response_model=Handled,
    summary="Give a dead letter up",
    responses={
        **_UNKNOWN,
        409: {"description": "it is resolved or discarded already, or the same idempotency key is under way"},
        422: {"description": _KEYED},
    },
)
def post_discard(
    request: Request, dead_letter_id: LetterId, body: DiscardRequest, caller: Operates, asked: Idempotent
) -> Response:
    """Note that nobody is to look at it any more; it is kept, and can be sent all the same with `again`."""

    def act(connection: Connection) -> Done:
        found = _known(connection, dead_letter_id).letter
        if not discard(connection, dead_letter_id, who=caller.name, why=body.why, now=datetime.now(UTC)):
            raise ProblemError(
                HTTPStatus.CONFLICT,
                f"dead letter {dead_letter_id} is {found.state} already",
                remedy="there is nothing to discard",
            )
        return _handled(connection, dead_letter_id, "discarded")

    return once(service_of(request).pool, asked, caller, act)


def _handled(connection: Connection, dead_letter_id: int, said: str) -> Done:
    return Done(body=Handled(letter=_letter(_known(connection, dead_letter_id).letter), said=said))


def _known(connection: Connection, dead_letter_id: int) -> WholeDeadLetter:
    found = dead_letter(connection, dead_letter_id)
    if found is None:
        raise _unknown(dead_letter_id)
    return found


def _unknown(dead_letter_id: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        f"there is no dead letter {dead_letter_id}",
        remedy="GET /api/v1/dead-letters lists what there is",
    )


def _letter(one: DeadLetter) -> Letter:
    coil = None if one.key is None else coil_path(one.key)
    return Letter.model_validate({**as_object(one), "coil": coil})


def _base64(value: bytes) -> str:
    return b64encode(value).decode()
