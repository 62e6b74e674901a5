"""`/api/v1/audits`: the reports that an auditor files of a coil or a model."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request, Response

from console.audit_coil import coil_markdown
from console.audit_model import model_markdown
from console.rest.access import Reads
from console.rest.models import Version
from console.rest.names import NamedCoil
from console.rest.problems import RETRY_AFTER_S, Answers, ProblemError
from console.rest.service import service_of
from flows.audit import coil_report, model_report
from schemas.audit import CoilReport
from schemas.audit_model import ModelReport
from store.pool import borrowed

Format = Literal["json", "markdown"]
_DRAWN_BY = "`coilflow audit coil` draws it beside a report that is written with --out"
_REPORT: Answers = {
    200: {
        "description": "the report, as `format` says",
        "content": {"text/markdown": {"schema": {"type": "string"}}},
    },
}

router = APIRouter(tags=["audits"])


@router.get(
    "/api/v1/audits/coils/{plant}/{coil_id}",
    response_model=CoilReport,
    summary="Report on a coil",
    responses={**_REPORT, 404: {"description": "nothing is known of the coil"}},
)
def get_coil_audit(request: Request, key: NamedCoil, _: Reads, format: Format = "json") -> Response:  # noqa: A002 - as clients name it
    """Readings, verdicts, votes, announcements, feedback and what it changed, as `coilflow audit coil`."""
    with borrowed(service_of(request).pool) as connection:
        report = coil_report(connection, key, now=datetime.now(UTC))
    return _told(report.model_copy(update={"no_picture": _DRAWN_BY}), coil_markdown, format)


@router.get(
    "/api/v1/audits/models/{version}",
    response_model=ModelReport,
    summary="Report on an ensemble or a model",
    responses={
        **_REPORT,
        404: {"description": "nothing has that version, or several models have"},
        503: {"description": "another is being tried, or the database is away: ask again after `Retry-After`"},
    },
)
def get_model_audit(request: Request, version: Version, _: Reads, format: Format = "json") -> Response:  # noqa: A002
    """Training, metrics, canaries as they score now, approvals, where it ran, scores and drift. It takes seconds."""
    service = service_of(request)
    if not service.trials.acquire(blocking=False):
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "another ensemble is being tried",
            remedy="ask again in a moment",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
    try:
        with borrowed(service.pool) as connection:
            report = model_report(connection, version, service.settings, now=datetime.now(UTC))
    finally:
        service.trials.release()
    return _told(report, model_markdown, format)


def _told(report: CoilReport | ModelReport, markdown: Callable[..., str], wanted: Format) -> Response:
    content = (report.model_dump_json() + "\n").encode()
    if wanted == "json":
        return Response(content, media_type="application/json")
    text = markdown(report, sha256=hashlib.sha256(content).hexdigest(), json_name=None)
    return Response(text, media_type="text/markdown")
