"""`/data/dead-letters`: what got no verdict, with its bytes and the remedy; to send it again or give it up."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Literal, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from console.letters import message_facts, printable, readable
from console.rest.access import Operates, Reads
from console.rest.problems import ProblemError
from console.rest.service import Service, service_of
from console.web.asking import Question, ask, no_reason
from console.web.pages import render
from flows.deadletters import planned, replay
from schemas.errors import BrokerError
from store.connection import Connection
from store.courses import dead_letter_steps
from store.deadletters import Wanted, WholeDeadLetter, dead_letter, discard, list_dead_letters, note_handled
from store.pool import borrowed

State = Literal["new", "replayed", "resolved", "discarded"]
Action = Literal["replay", "discard"]
LetterId = Annotated[int, Path(ge=1, le=2**63 - 1)]
_SHOWN = 50

router = APIRouter(include_in_schema=False)


@router.get("/data/dead-letters")
def get_letters(
    request: Request,
    caller: Reads,
    step: Annotated[str, Query(max_length=100)] = "",
    state: Annotated[State | Literal[""], Query()] = "",
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> HTMLResponse:
    """Dead letters without their bytes, the newest first."""
    wanted = Wanted(step=step.replace("\x00", "") or None, state=state or None, before_id=before)
    with borrowed(service_of(request).pool) as connection:
        steps = dead_letter_steps(connection)
        found = list_dead_letters(connection, wanted, most=_SHOWN + 1)
    shown, older = found[:_SHOWN], None
    if len(found) > _SHOWN:
        older = "?" + urlencode({"step": step, "state": state, "before": shown[-1].dead_letter_id})
    return render(
        request,
        "dead_letters.html",
        caller=caller,
        letters=shown,
        older=older,
        step=step,
        state=state,
        steps=sorted({one.step for one in steps}),
        states=get_args(State),
    )


@router.get("/data/dead-letters/{letter_id}")
def get_letter(request: Request, caller: Reads, letter_id: LetterId) -> HTMLResponse:
    """One dead letter: why, from where, what is to be done, its headers and its bytes."""
    service = service_of(request)
    with borrowed(service.pool) as connection:
        whole = _known(connection, letter_id)
    return render(
        request,
        "dead_letter.html",
        caller=caller,
        letter=whole.letter,
        facts=message_facts(whole),
        shown=readable(whole.original, all_by="the whole can be downloaded"),
        is_text=printable(whole.original) is not None,
        plan=planned(whole, service.decode, again=True),
    )


@router.get("/data/dead-letters/{letter_id}/original")
def get_original(request: Request, _: Reads, letter_id: LetterId) -> Response:
    """Its bytes as they came, as a file that no browser shows."""
    with borrowed(service_of(request).pool) as connection:
        whole = _known(connection, letter_id)
    name = {"Content-Disposition": f'attachment; filename="dead-letter-{letter_id}.bin"'}
    return Response(whole.original, media_type="application/octet-stream", headers=name)


@router.get("/data/dead-letters/{letter_id}/{action}")
def get_action(request: Request, caller: Operates, letter_id: LetterId, action: Action) -> HTMLResponse:
    """What will happen, and a field for the reason."""
    service = service_of(request)
    with borrowed(service.pool) as connection:
        whole = _known(connection, letter_id)
    return ask(request, caller, _question(whole, service, action))


@router.post("/data/dead-letters/{letter_id}/{action}")
def post_action(
    request: Request, caller: Operates, letter_id: LetterId, action: Action, why: Annotated[str, Form()] = ""
) -> Response:
    """Send it through again, or give it up, and show it; or say why not."""
    service, why = service_of(request), why.strip()
    with borrowed(service.pool) as connection:
        whole = _known(connection, letter_id)
        refusal, status = no_reason(why), HTTPStatus.UNPROCESSABLE_ENTITY
        if refusal is None:
            refusal, status = _do(connection, service, whole, action, who=caller.name, why=why), HTTPStatus.CONFLICT
    if refusal is not None:
        return ask(request, caller, _question(whole, service, action), why=why, refusal=refusal, status=status)
    service.judge.wake()
    return RedirectResponse(f"/data/dead-letters/{letter_id}", status_code=HTTPStatus.SEE_OTHER)


def _do(
    connection: Connection, service: Service, whole: WholeDeadLetter, action: Action, *, who: str, why: str
) -> str | None:
    """What speaks against it; None where it is done. Where it was sent before, the page has said so."""
    letter_id, now = whole.letter.dead_letter_id, datetime.now(UTC)
    if action == "discard":
        done = discard(connection, letter_id, who=who, why=why, now=now)
        return None if done else f"It is {whole.letter.state} already: there is nothing to give up."
    try:
        plans = list(replay(connection, [whole.letter], service.settings, service.decode, again=True))
    except BrokerError as error:
        return f"{error}; {error.remedy}"
    if not plans or plans[0].refusal is not None:
        return f"It cannot be sent: {plans[0].refusal if plans else 'it is gone'}."
    note_handled(connection, letter_id, who=who, why=why, now=now)
    return None


def _question(whole: WholeDeadLetter, service: Service, action: Action) -> Question:
    letter = whole.letter
    letter_id, plan = letter.dead_letter_id, planned(whole, service.decode, again=True)
    if action == "discard":
        happens = (
            "Nobody is asked to look at it any more: it counts as discarded.",
            "It is kept with its bytes, and can be sent all the same later.",
        )
    else:
        happens = (
            f"It cannot be sent: {plan.refusal}." if plan.refusal else f"coilflow sends {plan.sentence}.",
            "If nothing has changed since, it will be refused for the same reason: first do what the remedy says: "
            f"{letter.remedy}.",
            *(
                (f"It is {letter.state}: what was sent before counts once however often it comes.",)
                if letter.state != "new"
                else ()
            ),
        )
    return Question(
        title={"replay": "Send dead letter {} again", "discard": "Discard dead letter {}"}[action].format(letter_id),
        page=(f"Dead letter {letter_id}", f"/data/dead-letters/{letter_id}"),
        to=f"/data/dead-letters/{letter_id}/{action}",
        happens=happens,
        harms=action == "discard",
    )


def _known(connection: Connection, letter_id: int) -> WholeDeadLetter:
    found = dead_letter(connection, letter_id)
    if found is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"there is no dead letter {letter_id}", remedy="see the page Data")
    return found
