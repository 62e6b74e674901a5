"""NormalizeCoil: whole coils in, one Arrow batch of matrices out.

Content that it takes (property `Format`, by default told by the first bytes):

- `coils`: what AssembleCoil gives.
- `events`: chunk events of whole coils as CloudEvents in structured JSON, one a line (as `.jsonl` sources are read), in
  a JSON array, or a single one.
- `tiles csv`, `tiles json` (an array, or one object a line) and `arrow` (IPC stream or file): one record a tile. One
  FlowFile is one table, so the coil's columns stand beside each of its tiles: COILID, TILEID, MID, MEAN, ZnMin and
  ZnMax are needed; PLANT, STARTTIME, LENGTH, WIDTH, THICK, WEIGHT, MATERIAL, CUSTOMER, TOLERANCE_PROFILE and CLASSLABEL
  (or Label) are read where they are there. A coil whose records disagree on these is refused. The mapping file gives
  the plant's own names, where it has others.
- The same forms with one record a chunk, a row of nine readings: the fields of `coil.chunk` (plant, coil_id, face,
  position, mean_g_m2, perhaps std_g_m2; in CSV mean_g_m2_1 to mean_g_m2_9), and beside each those of `coil.started`
  (zn_min_g_m2 and zn_max_g_m2 at least, started_at, length_m, ...) and perhaps rows_per_face.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import structlog

from flows.mapping import mapping_of
from flows.matrices import limits_from_file
from flows.nifi.coils import Carried, coils_from_rows
from flows.nifi.incoming import NAME, Format, detected, format_of, read_coils
from flows.nifi.outcome import batch_attributes
from flows.nifi.properties import LIMITS_FILE, settings_from
from flows.nifi.step import SUCCESS, Properties, StepResult
from models.bundle import read_file
from models.ensemble import ENSEMBLE, SHIPPED, parse_ensemble
from processors.assemble import Assembled
from processors.normalize import normalize, take_coils
from processors.results import reject_coil
from schemas.coils import CoilBatch, CoilHeader, CoilKey, Limits
from schemas.errors import SourceError
from schemas.layout import MATRIX_SHAPE
from schemas.mapping import PlantMapping
from schemas.matrices import empty_batch, keys_of, matrix_batch
from schemas.nifi_batches import MATRICES, NifiBatch, is_batch, keys_of_rejects, read_batch, write_batch
from schemas.readings import readings_of
from schemas.rejects import Reject
from schemas.settings import Settings

log = structlog.get_logger("coilflow.nifi")

_CARRIED = MATRICES.names[len(empty_batch().schema.names) :]  # beside the matrix


@dataclass(frozen=True, kw_only=True, slots=True)
class NormalizeCoil:
    """The step; it holds nothing that must be given back."""

    limits: Limits
    form: Format | None  # None: each FlowFile is looked at
    mapping: PlantMapping
    plant: str  # of coils that name none

    def run(self, content: bytes, attributes: Mapping[str, str]) -> StepResult:
        """Normalise the coils of a FlowFile; those that cannot be ride along as rejects.

        Raises:
            SourceError: nothing of it can be used.
        """
        if not content.strip():
            raise SourceError("the FlowFile is empty", remedy="send whole coils, or take it out of the flow")
        is_ours = self.form == "coils" or (self.form is None and is_batch("coils", content))
        batch = _of_ours(content, self.limits) if is_ours else self._of_others(content)
        plants = batch.rows.column("plant").to_pylist()
        return StepResult(
            relationship=SUCCESS,
            contents=write_batch("matrices", batch),
            attributes=batch_attributes(plants, rejects=len(batch.rejects)),
        )

    def close(self) -> None:
        """There is nothing to give back."""

    def _of_others(self, content: bytes) -> NifiBatch:
        form = self.form or detected(content)
        parts = [_matrices(part, self.limits) for part in read_coils(content, form, self.mapping, plant=self.plant)]
        rejects = tuple(reject for part in parts for reject in part.rejects)
        rows = pa.concat_batches([_no_rows(), *(part.rows for part in parts)])
        if not rows.num_rows:
            raise _nothing(rejects)
        return NifiBatch(rows=rows, rejects=rejects)


def open_step(properties: Properties) -> NormalizeCoil:
    """Read the settings and the limits; no database is asked.

    Raises:
        UsageError: a property or a setting is wrong.
        BundleError: the ensemble whose limits are to be taken is missing or altered.
    """
    settings = settings_from(properties)
    return NormalizeCoil(
        limits=_limits(properties, settings),
        form=format_of(properties),
        mapping=mapping_of(settings),
        plant=settings.plant,
    )


def _limits(properties: Properties, settings: Settings) -> Limits:
    file = (properties.get(LIMITS_FILE) or "").strip()
    if file:
        return limits_from_file(Path(file))
    folder = settings.ensemble or SHIPPED
    return parse_ensemble(read_file(folder / ENSEMBLE), folder).limits


def _of_ours(content: bytes, limits: Limits) -> NifiBatch:
    """Coils that AssembleCoil took: also where all of them are refused they go on, to be settled."""
    given = read_batch("coils", content)
    coils, carried = coils_from_rows(given.rows)
    rows, rejects = _each(coils, carried, limits)
    lost = keys_of_rejects(rejects)
    last = {h.key: c.inbox_id for h, c in zip(coils.headers, carried, strict=True)}
    refused = {key: inbox_id for key in lost if (inbox_id := last[key]) is not None}
    return NifiBatch(rows=rows, rejects=given.rejects + rejects, refused={**given.refused, **refused})


def _matrices(part: Assembled, limits: Limits) -> NifiBatch:
    carried = [Carried(order=h.order, rows_per_face=h.rows_per_face) for h in part.coils.headers]
    rows, rejects = _each(part.coils, carried, limits)
    return NifiBatch(rows=rows, rejects=part.rejects + rejects)


def _each(coils: CoilBatch, carried: Sequence[Carried], limits: Limits) -> tuple[pa.RecordBatch, tuple[Reject, ...]]:
    """`matrices_of`, where a coil that it breaks on is refused alone and does not stop the others."""
    try:
        return matrices_of(coils, carried, limits)
    except Exception as error:
        if len(coils) == 1:
            log.exception("a step breaks on a coil", **coils.headers[0].key._asdict())
            return _no_rows(), (_broken(coils.headers[0], error),)
    parts = [
        _each(take_coils(coils, np.arange(len(coils)) == i), carried[i : i + 1], limits) for i in range(len(coils))
    ]
    rows = pa.concat_batches([_no_rows(), *(rows for rows, _ in parts)])
    return rows, tuple(reject for _, rejects in parts for reject in rejects)


def _broken(header: CoilHeader, error: Exception) -> Reject:
    return reject_coil(
        header,
        step="normalize",
        error=f"unexpected {type(error).__name__}: {error}",
        remedy="report what the log shows, then replay it",
    )


def matrices_of(
    coils: CoilBatch, carried: Sequence[Carried], limits: Limits
) -> tuple[pa.RecordBatch, tuple[Reject, ...]]:
    """Rows of `schemas.nifi_batches.MATRICES`, and the coils that cannot be normalised.

    A fragment passes with a matrix of zeros, of which nothing was observed.

    Args:
        coils: assembled coils.
        carried: what goes with each to the database, in the same order.
        limits: of the ensemble that will score, in g/m².
    """
    whole = np.array([not one.fragment for one in carried], dtype=bool)
    normalized = normalize(coils if whole.all() else take_coils(coils, whole), limits)
    pieces = np.flatnonzero(~whole).tolist()
    row_of: dict[tuple[CoilKey, str], int] = {
        (header.key, revision): i
        for i, (header, revision) in enumerate(zip(coils.headers, coils.revisions, strict=True))
    }
    identities = zip(keys_of(normalized.batch), normalized.batch.column("revision").to_pylist(), strict=True)
    kept = [row_of[identity] for identity in identities]
    batches = [_rows(normalized.batch, coils, carried, kept)]
    if pieces:
        batches.insert(0, _rows(_fragments(coils, carried, pieces, limits), coils, carried, pieces))
    return pa.concat_batches(batches), normalized.rejects


def _fragments(coils: CoilBatch, carried: Sequence[Carried], which: Sequence[int], limits: Limits) -> pa.RecordBatch:
    orders = [carried[i].order for i in which]
    zeros = np.zeros((len(which), *MATRIX_SHAPE), dtype=np.float32)
    return matrix_batch(
        keys=[coils.headers[i].key for i in which],
        revisions=[coils.revisions[i] for i in which],
        matrix=zeros,
        spread=zeros,
        observed=np.zeros(len(which)),
        scale="limits",
        columns={
            "zn_min": [order and order.zn_min_g_m2 for order in orders],
            "zn_max": [order and order.zn_max_g_m2 for order in orders],
            "length_m": [order and order.length_m for order in orders],
            "limits_version": [limits.version] * len(which),
            "label": [coils.headers[i].label for i in which],
            "customer": [order and order.customer for order in orders],
            "tolerance_profile": [order and order.tolerance_profile for order in orders],
            "reasons": [list(coils.reasons[i]) for i in which],
        },
    )


def _rows(
    matrices: pa.RecordBatch, coils: CoilBatch, carried: Sequence[Carried], which: Sequence[int]
) -> pa.RecordBatch:
    orders = [carried[i].order for i in which]
    beside = {
        "fragment": [carried[i].fragment for i in which],
        "readings": [readings_of(coils, i) for i in which],
        "order": [None if order is None else order.model_dump_json().encode() for order in orders],
        "started_at": [coils.headers[i].started_at for i in which],
        "rows_per_face": [carried[i].rows_per_face for i in which],
        "inbox_id": [carried[i].inbox_id for i in which],
    }
    columns = [pa.array(beside[name], type=MATRICES.field(name).type) for name in _CARRIED]
    return pa.RecordBatch.from_arrays([*matrices.columns, *columns], schema=MATRICES)


def _no_rows() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=MATRICES)


def _nothing(rejects: Sequence[Reject]) -> SourceError:
    if not rejects:
        return SourceError(f"{NAME} holds no coil", remedy="check that it is the right one, and whole")
    others = f" (and {len(rejects) - 1} more)" if len(rejects) > 1 else ""
    first = rejects[0]
    coil = f"coil {first.key.coil_id}: " if first.key else ""
    return SourceError(f"no coil can be used: {first.place}: {coil}{first.error}{others}", remedy=first.remedy)
