"""In which of several forms an answer is wanted (RFC 9110, sections 12.5.1 and 13.1.2)."""

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import Request

from console.rest.problems import ProblemError


def wanted_form(request: Request, offered: Sequence[str]) -> str:
    """The media type of those offered that the client likes best; the first where it does not care.

    Raises:
        ProblemError: 406: it takes none of them.
    """
    accepted = [_range(part) for part in ",".join(request.headers.getlist("accept")).split(",") if part.strip()]
    liked = {form: _quality(form, accepted or [("*/*", 1.0)]) for form in offered}
    best = max(offered, key=lambda form: liked[form])
    if liked[best] <= 0:
        raise ProblemError(
            HTTPStatus.NOT_ACCEPTABLE,
            f"this is not to be had as {request.headers['accept']}",
            remedy=f"accept one of {', '.join(offered)}",
        )
    return best


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has that version already."""
    tags = ",".join(request.headers.getlist("if-none-match")).split(",")
    return any(tag.strip().removeprefix("W/") in {etag, "*"} for tag in tags)


def _range(part: str) -> tuple[str, float]:
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            return media, _number(value)
    return media, 1.0


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _quality(form: str, accepted: Sequence[tuple[str, float]]) -> float:
    """Of the narrowest range that the form lies in."""
    for media in (form, form.partition("/")[0] + "/*", "*/*"):
        found = [quality for given, quality in accepted if given == media]
        if found:
            return max(found)
    return 0.0
