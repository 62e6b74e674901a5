"""What can be wrong with a single coil of somebody else's matrices, beside the numbers in the matrix."""

import math
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from processors.headers import order_fault, unfit_text
from schemas.coils import CoilKey, Order

Fault = tuple[CoilKey | None, str, str]  # coil, error, remedy
_COLUMNS = ("plant", "coil_id", "scale", "observed", "label", "zn_min", "zn_max", "length_m")
_TEXTS = ("customer", "tolerance_profile")


def matrix_faults(batch: pa.RecordBatch, plant: str) -> dict[int, Fault]:
    """Row -> coil, error and remedy, for the coils of a batch that cannot be judged; `plant` where it names none."""
    names = [name for name in (*_COLUMNS, *_TEXTS) if name in batch.schema.names]
    absent = batch.column("matrix").is_null().to_pylist()
    faults: dict[int, Fault] = {}
    for i, coil in enumerate(batch.select(names).to_pylist()):
        if coil["coil_id"] is None:
            faults[i] = (None, "coil_id is empty", "give each coil its id")
            continue
        key = CoilKey(plant=str(coil.get("plant") or plant), coil_id=str(coil["coil_id"]))
        fault = ("the matrix is empty", "normalise the coil again") if absent[i] else _fault(key, coil)
        if fault:
            faults[i] = (key, *fault)
    return faults


def _fault(key: CoilKey, coil: dict[str, Any]) -> tuple[str, str] | None:
    if coil["scale"] not in ("limits", "self"):
        return f"scale is {coil['scale']!r}, expected limits or self", "correct scale"
    if coil.get("label") not in ("OK", "NOK", None):
        return f"label is {coil['label']!r}, expected OK, NOK or nothing", "correct label"
    observed = coil.get("observed", 1.0)
    if observed is None or not 0 <= observed <= 1:  # NaN is not
        return f"observed is {observed}, expected a share from 0 to 1", "correct observed"
    return _order_fault(key, coil)


def _order_fault(key: CoilKey, coil: dict[str, Any]) -> tuple[str, str] | None:
    low, high = coil.get("zn_min"), coil.get("zn_max")
    if low is None and high is None:
        return unfit_text(key) or _length_fault(coil.get("length_m"))
    if low is None or high is None:
        return "the coil has half a band: zn_min or zn_max is empty", "give both, or neither"
    texts = {name: coil.get(name) for name in _TEXTS}
    try:
        order = Order(zn_min_g_m2=low, zn_max_g_m2=high, length_m=coil.get("length_m"), **texts)
    except ValidationError as error:
        return order_fault(error)
    return unfit_text(key, order)


def _length_fault(length_m: float | None) -> tuple[str, str] | None:
    if length_m is None or (length_m > 0 and math.isfinite(length_m)):
        return None
    return f"length_m is {length_m}, expected metres", "correct length_m"
