"""`GET /api/v1/coils/{plant}/{coil_id}/matrix`: the matrix that was scored, as Arrow or JSON."""

from http import HTTPStatus
from typing import Annotated, Literal

import numpy as np
import orjson
import pyarrow as pa
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from console.rest.access import Reads
from console.rest.coils import no_verdict
from console.rest.names import REST, NamedCoil, never_seen
from console.rest.negotiation import wanted_form
from console.rest.problems import ProblemError
from console.rest.service import service_of
from flows.coil_matrix import CoilMatrix, coil_matrix
from schemas.coils import CoilKey, Float32Array
from schemas.events import Name
from schemas.layout import FACES, MATRIX_ROWS, SENSORS_PER_FACE
from store.inbox import coil_state
from store.pool import borrowed

ARROW, JSON = "application/vnd.apache.arrow.stream", "application/json"
_COLUMNS = [f"{face} {sensor}" for face in FACES for sensor in range(1, SENSORS_PER_FACE + 1)]

router = APIRouter(tags=["coils"])

Revision = Annotated[Name | None, Query(description="Of the coil; else that of the verdict that stands.")]
Cells = list[list[float | None]]  # 264 rows of 18, null where it was not measured


class LimitsAnswer(BaseModel):
    """Global limits of the saliency, g/m²."""

    low: float
    high: float
    version: str


class MatrixAnswer(BaseModel):
    """A coil as an ensemble saw it: 264 chunks along the strip, nine sensors of the top face, nine of the bottom."""

    plant: str
    coil_id: str
    revision: str
    ensemble_version: str = Field(description="The ensemble that judged it.")
    scale: Literal["limits", "self"]
    limits: LimitsAnswer | None = Field(description="By which it was normalised; null on scale self.")
    zn_min_g_m2: float | None
    zn_max_g_m2: float | None
    length_m: float | None
    observed: float
    columns: list[str] = Field(description="Face and sensor of each of the 18.")
    metres: list[float] | None = Field(
        description="Middle of each of the 264, m from the head; null where the length is not known."
    )
    matrix: Cells = Field(description="0 in the band, down to -1 below it, up to 1 above.")
    spread: Cells = Field(description="Standard deviation inside each chunk, in the same unit.")
    coating_g_m2: Cells | None = Field(description="As read, g/m²; null on scale self.")


@router.get(
    REST + "{plant}/{coil_id}/matrix",
    summary="The matrix that was scored",
    response_model=MatrixAnswer,
    responses={
        200: {"content": {ARROW: {"schema": {"type": "string", "format": "binary"}}}},
        404: {"description": "the coil was never seen, or has no such verdict"},
        406: {"description": f"it is to be had as {JSON} and {ARROW}"},
        422: {"description": "the stored readings cannot be normalised"},
    },
)
def get_matrix(request: Request, key: NamedCoil, _: Reads, revision: Revision = None) -> Response:
    """Made from the stored readings as for the verdict; as Arrow it is what `normalize` writes and `assess` reads."""
    form = wanted_form(request, (JSON, ARROW))
    found = matrix_of(request, key, revision)
    return Response(_arrow(found) if form == ARROW else _json(found), media_type=form, headers={"Vary": "Accept"})


def matrix_of(request: Request, key: CoilKey, revision: str | None) -> CoilMatrix:
    """The matrix of a revision, or of the verdict that stands.

    Raises:
        ProblemError: 404: there is no such verdict; 422: its readings cannot be normalised.
        StoreError: the database refused.
    """
    service = service_of(request)
    limits = service.current().of(key.plant).champion.limits
    with borrowed(service.pool) as connection:
        found = coil_matrix(connection, key, revision=revision, otherwise=limits)
        if found is None:
            raise no_verdict(key, revision) if coil_state(connection, key) else never_seen(key)
    if isinstance(found, str):
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"coil {key.coil_id}: {found}", remedy="look at the verdict's reasons"
        )
    return found


def _arrow(found: CoilMatrix) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, found.batch.schema) as writer:
        writer.write_batch(found.batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _json(found: CoilMatrix) -> bytes:
    row = found.batch.drop_columns(["matrix", "spread"]).to_pylist()[0]
    length_m: float | None = row["length_m"]
    limits = found.limits
    return orjson.dumps(
        {
            "plant": row["plant"],
            "coil_id": row["coil_id"],
            "revision": row["revision"],
            "ensemble_version": found.ensemble_version,
            "scale": row["scale"],
            "limits": None if limits is None else limits.model_dump() | {"version": limits.version},
            "zn_min_g_m2": row["zn_min"],
            "zn_max_g_m2": row["zn_max"],
            "length_m": length_m,
            "observed": row["observed"],
            "columns": _COLUMNS,
            "metres": None if length_m is None else (np.arange(MATRIX_ROWS) + 0.5) * (length_m / MATRIX_ROWS),
            "matrix": _measured(found, found.matrix),
            "spread": _measured(found, found.spread),
            "coating_g_m2": None if found.coating_g_m2 is None else _measured(found, found.coating_g_m2),
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def _measured(found: CoilMatrix, values: Float32Array) -> Float32Array:
    """NaN, which JSON writes as null, where nothing was measured."""
    return np.where(found.measured, values, np.float32(np.nan))
