"""Explain the verdict on one coil, in metres and words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from flows.coil_matrix import CoilMatrix, coil_matrix
from flows.matrices import read_blocks
from flows.sources.source import Source
from models.ensemble import Ensemble
from models.explain import GROUP_SENSORS, SENSOR_GROUPS, WINDOW_ROWS, WINDOWS, Explanation, Region, explain
from models.kinds import KindModel
from models.place_features import Place
from models.scales import from_band
from processors.score import score
from schemas.coils import CoilKey, Limits
from schemas.errors import SourceError
from schemas.explanations import CoilExplanation, Contributions, ExplainedRegion
from schemas.kinds import SaidKind, kind_in_words
from schemas.layout import FACES, MATRIX_ROWS
from schemas.matrices import keys_of, tensor_values
from schemas.rejects import Reject
from store.connection import Connection

_DIGITS = 6
_SHOWN_IDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """A decided coil and what drives its score."""

    coil: CoilMatrix
    said: CoilExplanation


def explain_decided(
    connection: Connection, key: CoilKey, ensemble: Ensemble, kinds: KindModel, *, revision: str | None = None
) -> Explained | str | None:
    """Explain what an ensemble says of a decided coil, from the readings that its verdict was given on.

    The ensemble that serves is asked; where another gave the verdict, `judged_by` says so.

    Args:
        connection: on a database of this version.
        key: of the coil.
        ensemble: that is asked.
        kinds: says what places look like.
        revision: None: that of the verdict that stands.

    Returns:
        The explanation, why there is none, or None where there is no such verdict.

    Raises:
        BundleError: no member takes the coil's scale, or ONNX Runtime fails.
        StoreError: the database refused.
    """
    coil = coil_matrix(connection, key, revision=revision, otherwise=ensemble.limits)
    if coil is None or isinstance(coil, str):
        return coil
    rejects = score(coil.batch, ensemble, place="the database").rejects
    if rejects:
        return rejects[0].error
    return Explained(coil=coil, said=explain_coil(coil.batch, ensemble, kinds, judged_by=coil.ensemble_version))


def coil_of(source: Source, coil_id: str, ensemble: Ensemble, *, coils: int) -> pa.RecordBatch:
    """Read one coil of a source, normalised as the ensemble takes it; of several of that id the first.

    Args:
        source: is read up to the coil.
        coil_id: of the coil.
        ensemble: whose limits normalise it.
        coils: read at once.

    Returns:
        A batch of MATRIX_BATCH with one row.

    Raises:
        SourceError: the coil is not there, or was refused on its way.
    """
    seen: list[str] = []
    for block in read_blocks(source, ensemble.limits, coils=coils, records=False):
        ids = block.batch.column("coil_id").to_pylist()
        if coil_id in ids:
            return scorable(block.batch.slice(ids.index(coil_id), 1), ensemble, place=source.name)
        _refuse(block.rejects, coil_id, source.name)
        seen = seen or ids[:_SHOWN_IDS]
    raise SourceError(
        f"{source.name} holds no coil {coil_id}",
        remedy=f"name one that it holds, such as {', '.join(seen)}" if seen else "see its rejects: `coilflow assess`",
    )


def scorable(batch: pa.RecordBatch, ensemble: Ensemble, *, place: str) -> pa.RecordBatch:
    """The batch of one coil, where the ensemble can score it; raises SourceError where it cannot."""
    scored = score(batch, ensemble, place=place)
    _refuse(scored.rejects, batch.column("coil_id").to_pylist()[0], place)
    return batch


def _refuse(rejects: tuple[Reject, ...], coil_id: str, place: str) -> None:
    for reject in rejects:
        if reject.key is not None and reject.key.coil_id == coil_id:
            raise SourceError(
                f"coil {coil_id} of {place} cannot be scored, so that there is nothing to explain: {reject.error}",
                remedy=reject.remedy,
            )


def explain_coil(
    batch: pa.RecordBatch, ensemble: Ensemble, kinds: KindModel, *, judged_by: str | None = None
) -> CoilExplanation:
    """What drove the score of one coil.

    Args:
        batch: of MATRIX_BATCH, one coil that the ensemble can score.
        ensemble: that is asked.
        kinds: says what places look like.
        judged_by: version of the ensemble whose verdict stands, where there is one.

    Raises:
        BundleError: no member takes the coil's scale, or ONNX Runtime fails.
    """
    found = explain(batch, ensemble)
    key = keys_of(batch)[0]
    length_m, revision = (batch.column(name).to_pylist()[0] for name in ("length_m", "revision"))
    rows = [(start * WINDOW_ROWS, (start + 1) * WINDOW_ROWS) for start in range(WINDOWS)]
    limits = ensemble.limits if found.scale == "limits" else None
    said = _kinds(found, batch, length_m, limits, kinds)
    regions = [
        _region(region, batch, length_m, limits, said.get(place, ())) for place, region in enumerate(found.regions)
    ]
    return CoilExplanation(
        plant=key.plant,
        coil_id=key.coil_id,
        revision=revision,
        scale=found.scale,
        ensemble_version=found.ensemble_version,
        judged_by=judged_by,
        base_p_nok=round(found.base_p_nok, _DIGITS),
        threshold=found.threshold,
        undisturbed_p_nok=round(found.undisturbed_p_nok, _DIGITS),
        p_nok_without_regions=round(found.p_nok_without_regions, _DIGITS),
        length_m=length_m,
        faces=list(FACES),
        sensor_groups=[[*range(g * GROUP_SENSORS + 1, (g + 1) * GROUP_SENSORS + 1)] for g in range(SENSOR_GROUPS)],
        windows_rows=rows,
        windows_m=None if length_m is None else [(_metre(a, length_m), _metre(b, length_m)) for a, b in rows],
        cells=_rounded(found.p_nok),
        cells_log_odds=_rounded(found.log_odds),
        regions=regions,
        kinds_version=kinds.manifest.version,
        text=_sentence(found),
    )


def _metre(row: int, length_m: float) -> float:
    return round(row / MATRIX_ROWS * length_m, 1)


def _rounded(cells: np.ndarray) -> Contributions:
    values: Contributions = np.round(cells, _DIGITS).tolist()
    return values


def places_for_nok(found: Explanation) -> dict[int, Place]:
    """Regions that speak for NOK, as places that look like something, by their number among all regions."""
    return {
        number: Place(
            face=region.face,
            first_row=region.first_row,
            last_row=region.last_row,
            first_sensor=region.first_sensor,
            last_sensor=region.last_sensor,
        )
        for number, region in enumerate(found.regions)
        if region.delta_p_nok > 0
    }


def _kinds(
    found: Explanation, batch: pa.RecordBatch, length_m: float | None, limits: Limits | None, kinds: KindModel
) -> dict[int, tuple[SaidKind, ...]]:
    """What regions that speak for NOK look like, by their number among all."""
    distance = from_band(tensor_values(batch)[0], limits)
    places = places_for_nok(found)
    return dict(zip(places, kinds.say(distance, length_m, list(places.values())), strict=True))


def _region(
    region: Region,
    batch: pa.RecordBatch,
    length_m: float | None,
    limits: Limits | None,
    kinds: Sequence[SaidKind],
) -> ExplainedRegion:
    first, last = region.first_sensor + 1, region.last_sensor + 1
    span = (None, None) if length_m is None else tuple(_metre(r, length_m) for r in (region.first_row, region.last_row))
    place = f"rows {region.first_row + 1}–{region.last_row} of {MATRIX_ROWS}"
    if length_m is not None:
        place = f"{span[0]:.0f}–{span[1]:.0f} m"
    sensors = f"sensor {first}" if first == last else f"sensors {first}–{last}"
    seen = _deviation(tensor_values(batch)[0][region.mask], limits)
    speaks = "for NOK" if region.delta_p_nok > 0 else "for OK"
    return ExplainedRegion(
        face=region.face,
        from_m=span[0],
        to_m=span[1],
        from_row=region.first_row,
        to_row=region.last_row,
        sensors=list(range(first, last + 1)),
        delta_p_nok=round(region.delta_p_nok, _DIGITS),
        delta_log_odds=round(region.delta_log_odds, _DIGITS),
        p_nok_without=round(region.p_nok_without, _DIGITS),
        p_nok_alone=round(region.p_nok_alone, _DIGITS),
        kinds=list(kinds),
        text=f"{region.face} face, {place}, {sensors}{seen}{_looks_like(kinds)}: speaks {speaks}; "
        f"p(NOK) {region.p_nok_without:.2f} without it, {region.p_nok_alone:.2f} with nothing else",
    )


def _deviation(cells: np.ndarray, limits: Limits | None) -> str:
    """What is to be seen there: how far out of the band, where the band is known."""
    if limits is None:
        return ""
    thin, thick = float(cells.min()) * limits.low, float(cells.max()) * limits.high
    said = [
        f"up to {size:.0f} g/m² too {word}" for size, word in ((thin, "thin"), (thick, "thick")) if round(size) >= 1
    ]
    return f", {' and '.join(said)}" if said else ""


def _looks_like(kinds: Sequence[SaidKind]) -> str:
    return f", looks like {kind_in_words(kinds[0].kind)} ({kinds[0].p:.0%})" if kinds else ""


def _sentence(found: Explanation) -> str:
    speaking = [region for region in found.regions if region.delta_p_nok > 0]
    if not speaking:
        return f"p(NOK) {found.base_p_nok:.2f}: no stretch of the coil speaks for NOK by itself"
    places = "this place" if len(speaking) == 1 else f"these {len(speaking)} places"
    still = ", NOK still: the rest speaks for it too" if found.p_nok_without_regions >= found.threshold else ""
    return (
        f"p(NOK) {found.base_p_nok:.2f}, NOK from {found.threshold:.2f} on; "
        f"it would be {found.p_nok_without_regions:.2f} with undisturbed strip at {places}{still}"
    )
