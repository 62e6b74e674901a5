"""What coils have in common, by which errors are counted: band, length, what they look like, doubts, and the truth."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from models.deviating import deviating_places
from models.kinds import KindModel
from models.scales import from_band
from schemas.coils import Float32Array, Limits
from schemas.errors import SourceError
from schemas.kinds import kind_in_words
from schemas.matrices import tensor_values

TRUTH_FILE = "truth.csv"  # of `coilflow simulate`, beside the tables
UNKNOWN = "not known"
_LENGTHS_M = (400, 600, 900)


@dataclass(frozen=True, kw_only=True, slots=True)
class Traits:
    """What is known of one coil besides its label."""

    coil_id: str
    band_g_m2: tuple[float, float] | None
    length_m: float | None
    looks_like: str
    reasons: tuple[str, ...]  # as `code: detail`


@dataclass(frozen=True, kw_only=True, slots=True)
class TrueCauses:
    """What the simulated line did to its coils: defects and faults of the gauge, by coil."""

    defects: Mapping[str, Sequence[str]]
    faults: Mapping[str, Sequence[str]]


def groups_of(coils: Sequence[Traits], truth: TrueCauses | None) -> dict[str, list[tuple[str, ...]]]:
    """For each group the values of each coil; what only the simulated line knows, where it is known.

    `looks like` is what the kind model says of the place where a coil deviates most, whatever its label.
    """
    groups: dict[str, list[tuple[str, ...]]] = {
        "band, g/m²": [(_band(coil.band_g_m2),) for coil in coils],
        "length, m": [(_length(coil.length_m),) for coil in coils],
        "looks like": [(coil.looks_like,) for coil in coils],
        "reason": [_codes(coil.reasons) for coil in coils],
    }
    if truth is not None:
        groups["defect"] = [_causes(truth.defects, coil) for coil in coils]
        groups["gauge"] = [_causes(truth.faults, coil) for coil in coils]
    return groups


def looks_like(matrix: Float32Array, *, limits: Limits | None, length_m: float | None, kinds: KindModel) -> str:
    """The kind of defect that the place looks like where a coil deviates most, in words.

    Args:
        matrix: float32 [264, 18].
        limits: that it was normalised with; None on scale `self`.
        length_m: of the strip; None where it is not known.
        kinds: says it.
    """
    distance = from_band(matrix, limits)
    places = deviating_places(distance)[:1]
    if not places:
        return "nowhere out of its band"
    [said] = kinds.say(distance, length_m, places)
    return kind_in_words(said[0].kind)


def traits_of(batch: pa.RecordBatch, limits: Limits | None, kinds: KindModel) -> list[Traits]:
    """What is known of the coils of a batch of MATRIX_BATCH, before any verdict."""
    names = ("coil_id", "zn_min", "zn_max", "length_m", "scale", "reasons")
    rows = batch.select(names).to_pylist()
    return [
        Traits(
            coil_id=row["coil_id"],
            band_g_m2=None if row["zn_min"] is None or row["zn_max"] is None else (row["zn_min"], row["zn_max"]),
            length_m=row["length_m"],
            looks_like=looks_like(
                matrix, limits=None if row["scale"] == "self" else limits, length_m=row["length_m"], kinds=kinds
            ),
            reasons=tuple(row["reasons"] or ()),
        )
        for row, matrix in zip(rows, tensor_values(batch), strict=True)
    ]


def truth_beside(source: str) -> TrueCauses | None:
    """What `truth.csv` in the folder of a source says; None where there is none.

    Raises:
        SourceError: it is not as `coilflow simulate` writes it.
    """
    place = Path(source) / TRUTH_FILE
    if not place.is_file():
        return None
    try:
        columns = ["COILID", "ORIGIN", "KIND"]
        options = csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()), include_columns=columns)
        rows = csv.read_csv(place, convert_options=options).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{place} cannot be read ({error})", remedy="take it as `coilflow simulate` wrote it, or remove it"
        ) from error
    found: dict[str, defaultdict[str, list[str]]] = {"line": defaultdict(list), "gauge": defaultdict(list)}
    for row in rows:
        if row["ORIGIN"] in found:
            found[row["ORIGIN"]][row["COILID"]].append(row["KIND"])
    return TrueCauses(defects=found["line"], faults=found["gauge"])


def _band(band_g_m2: tuple[float, float] | None) -> str:
    return UNKNOWN if band_g_m2 is None else f"{band_g_m2[0]:g}–{band_g_m2[1]:g}"


def _length(length_m: float | None) -> str:
    if length_m is None:
        return UNKNOWN
    bounds = (0, *_LENGTHS_M)
    for low, high in zip(bounds, _LENGTHS_M, strict=False):
        if length_m < high:
            return f"{low}–{high}"
    return f"{_LENGTHS_M[-1]} and more"


def _codes(reasons: Iterable[str]) -> tuple[str, ...]:
    codes = {reason.partition(":")[0].replace("_", " ") for reason in reasons}
    return tuple(sorted(codes)) or ("no reason",)


def _causes(causes: Mapping[str, Sequence[str]], coil: Traits) -> tuple[str, ...]:
    return tuple(sorted({kind_in_words(kind) for kind in causes.get(coil.coil_id, ())})) or ("nothing",)
