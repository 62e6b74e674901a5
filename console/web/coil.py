"""`/coils/{plant}/{coil_id}`: one coil, all that was made of it, and what people say of it."""

import time
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from console.rest.access import Caller, GivesFeedback, Reads, Scope
from console.rest.explanations import explained
from console.rest.feedback import own_word
from console.rest.names import NamedCoil, never_seen
from console.rest.problems import ProblemError
from console.rest.service import service_of
from console.web.feedback_forms import Said, say_by_form
from console.web.heat_maps import limits_of, map_figure, map_url
from console.web.pages import coil_url, own_place, render
from console.web.places import explained_places, marked_places, place_in_words
from flows.similar import similar_coils
from flows.tracing import trace_feedback
from schemas.audit import Word
from schemas.coils import CoilKey
from schemas.explanations import CoilExplanation, SimilarCoils
from schemas.kinds import NO_KIND
from store.audit import coil_facts, feedback_on, label_on
from store.connection import Connection
from store.deadletters import Wanted, list_dead_letters
from store.page import coils_beside, verdicts_on
from store.pool import borrowed
from store.search import early_warning_of

_ALIKE = 6  # coils that are shown beside

router = APIRouter(include_in_schema=False)


@router.get("/coils/{plant}/{coil_id}")
def get_coil_page(
    request: Request,
    key: NamedCoil,
    caller: Reads,
    said: Annotated[str | None, Query(max_length=200)] = None,
    *,
    blind: bool = False,
    explain: bool = False,
    similar: bool = False,
) -> HTMLResponse:
    """A coil; `blind` hides what models and people made of it, for who is to look a second time.

    What takes longer, an explanation and coils that look alike, is shown where it is asked for.
    """
    with borrowed(service_of(request).pool) as connection:
        verdicts = verdicts_on(connection, key)
        stands = next((one for one in verdicts if one.stands), None)
        words = feedback_on(connection, key)
        facts = coil_facts(connection, key)
        letters = list_dead_letters(connection, Wanted(plant=key.plant, coil_id=key.coil_id))
        if facts is None and not words and not letters:
            raise never_seen(key)
        context: dict[str, Any] = {
            "key": key,
            "facts": facts,
            "stands": stands,
            "verdicts": verdicts,
            "figure": map_figure(connection, request, key, stands.revision if stands else None),
            "words": words,
            "coil_label": label_on(connection, key),
            "letters": letters,
            "beside": coils_beside(connection, key),
            "warning": early_warning_of(connection, key) if facts and facts.state == "open" else None,
            "similar": _similar(connection, request, key) if similar and not blind else None,
        }
        kinds = [kind for kind in service_of(request).kinds.of(connection).manifest.kinds if kind != NO_KIND]
    length_m = facts.length_m if facts else None
    explanation = _explanation(request, key) if explain and stands and not blind else None
    regions = explained_places(explanation) if isinstance(explanation, CoilExplanation) else ()
    return render(
        request,
        "coil.html",
        **context,
        blind=blind,
        explain=explain,
        explanation=explanation,
        places=() if blind else (*regions, *marked_places(words, length_m)),
        map_url=lambda plant, coil_id: map_url(CoilKey(plant=plant, coil_id=coil_id)),
        place_in_words=place_in_words,
        kinds=kinds,
        may_say=Scope.FEEDBACK in caller.scopes,
        own_word=_last_word(words, caller),
        just_said=own_word(words, said, caller) if said else None,
    )


@router.post("/coils/{plant}/{coil_id}/feedback")
def post_feedback(
    request: Request,
    key: NamedCoil,
    caller: GivesFeedback,
    given: Annotated[Said, Form()],
    place: Annotated[str, Query(alias="next")] = "",
) -> RedirectResponse:
    """What a person says of the coil by a click; back to the coil, or on to the page that the form names."""
    service, began_ns = service_of(request), time.time_ns()
    with borrowed(service.pool) as connection:
        stored = say_by_form(connection, key, given, caller)
    if service.tracing is not None:
        trace_feedback(service.tracing, [stored.feedback], joined_ns=(began_ns, time.time_ns()))
    said = {"said": stored.feedback.event_id}
    if not place:
        return RedirectResponse(f"{coil_url(*key)}?{urlencode(said)}#said", status_code=HTTPStatus.SEE_OTHER)
    path, _, asked = own_place(place).partition("?")
    said |= {"said_plant": key.plant, "said_coil": key.coil_id}
    return RedirectResponse(f"{path}?{urlencode([*parse_qsl(asked), *said.items()])}", status_code=HTTPStatus.SEE_OTHER)


def _explanation(request: Request, key: CoilKey) -> CoilExplanation | str:
    try:
        return explained(request, key, None).said
    except ProblemError as error:
        return str(error)


def _similar(connection: Connection, request: Request, key: CoilKey) -> SimilarCoils | str | None:
    shapes, limits = service_of(request).shapes, limits_of(request, key)
    return similar_coils(connection, key, shapes, limit=_ALIKE, otherwise=limits) or "it has no verdict yet"


def _last_word(words: tuple[Word, ...], caller: Caller) -> Word | None:
    return next((one for one in reversed(words) if one.stands and one.voice == caller.name), None)
