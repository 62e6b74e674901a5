"""Feedback as a form of the page sends it: fields that were left empty say nothing."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from console.rest.access import Caller
from console.rest.feedback import refuse_to_correct_others
from console.rest.problems import ProblemError
from flows.feedback import Stored, say
from schemas.coils import CoilKey
from schemas.errors import UsageError
from schemas.layout import Face
from store.connection import Connection

_SOURCE = "/coilflow/console"

_Text = Annotated[str | None, BeforeValidator(lambda text: text or None)]
_Metres = Annotated[float | None, BeforeValidator(lambda text: text or None)]


class Said(BaseModel):
    """A form's fields."""

    model_config = ConfigDict(extra="ignore")  # the CSRF token

    label: Literal["OK", "NOK"]
    revision: _Text = None
    defect_kind: _Text = None
    face: Annotated[Face | None, BeforeValidator(lambda text: text or None)] = None
    from_m: _Metres = None
    to_m: _Metres = None
    note: _Text = None
    corrects: _Text = None
    settles: bool = False


def say_by_form(connection: Connection, key: CoilKey, given: Said, caller: Caller) -> Stored:
    """Store what a person said by a form.

    Raises:
        ProblemError: it breaks the contract of feedback, such as a place that ends before it begins, or takes back a
            word of somebody else.
        StoreError: the database refused.
    """
    refuse_to_correct_others(connection, key=key, corrects=given.corrects, caller=caller)
    data = given.model_dump(exclude_none=True) | {"plant": key.plant, "coil_id": key.coil_id, "operator": caller.name}
    try:
        return say(connection, data, source=_SOURCE, now=datetime.now(UTC))
    except UsageError as error:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, str(error), remedy=error.remedy or "correct it and send it again"
        ) from error
