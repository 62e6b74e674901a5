"""The page between a click and what it does: what will happen, and why it is done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import HTMLResponse

from console.rest.access import Caller
from console.web.pages import render
from store.connection import utf8_fault

LONGEST_WHY = 500  # signs
_NO_WHY = f"Say why, in at most {LONGEST_WHY} signs: it is kept for those who come after."


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a person is about to do."""

    title: str  # also of the button
    page: tuple[str, str]  # that it is asked from: its name and its path
    to: str  # path that the answer is sent to
    happens: tuple[str, ...]  # sentences
    fields: Mapping[str, str] = field(default_factory=dict)  # sent with the answer
    choices: Mapping[str, str] = field(default_factory=dict)  # of a plant, by its name
    harms: bool = True  # what cannot be taken back, or holds something up


def ask(
    request: Request,
    caller: Caller,
    question: Question,
    *,
    why: str = "",
    refusal: str | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> HTMLResponse:
    """The page; with what speaks against it where it was asked before."""
    context = {"question": question, "why": why[:LONGEST_WHY], "longest_why": LONGEST_WHY, "refusal": refusal}
    return render(request, "question.html", status=status, caller=caller, **context)


def no_reason(why: str) -> str | None:
    """What is wrong with a reason, as it was stripped; None where nothing is."""
    return None if 0 < len(why) <= LONGEST_WHY and not utf8_fault(why) else _NO_WHY
