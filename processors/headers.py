"""Read a row of the plant's table of coils into a coil header."""

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import ValidationError

from schemas.coils import CoilHeader, CoilKey, Order, Origin, Truth
from schemas.faults import first_fault

_LABELS: dict[str, Truth | None] = {"OK": "OK", "NOK": "NOK", "1": "OK", "2": "NOK", "0": None, "": None}
_ORDER_COLUMNS = {
    "ZnMin": "zn_min_g_m2",
    "ZnMax": "zn_max_g_m2",
    "LENGTH": "length_m",
    "WIDTH": "width_mm",
    "THICK": "thickness_mm",
    "WEIGHT": "weight_t",
    "MATERIAL": "material",
    "CUSTOMER": "customer",
    "TOLERANCE_PROFILE": "tolerance_profile",
}


def header_from_row(row: Mapping[str, str], key: CoilKey, origin: Origin) -> CoilHeader | tuple[str, str]:
    """Parse one row of `"V_Coils"`.

    Args:
        row: column -> text; `ZnMin` and `ZnMax` in g/m², the rest optional; an empty cell is an absent value.
        key: the coil.
        origin: where the row and its tiles came from.

    Returns:
        The header, or (error, remedy) where the band or another value is wrong.
    """
    values = {name: row[column] for column, name in _ORDER_COLUMNS.items() if row.get(column)}
    absent = [c for c in ("ZnMin", "ZnMax") if _ORDER_COLUMNS[c] not in values]
    if absent:
        return f"the coil has no band, there is no {' and no '.join(absent)}", "give ZnMin and ZnMax in g/m²"
    try:
        order = Order.model_validate(values)
    except ValidationError as error:
        return order_fault(error)
    unfit = unfit_text(key, order)
    if unfit:
        return unfit
    label = row.get("CLASSLABEL") or row.get("Label") or ""
    if label not in _LABELS:
        return f"label {label!r} is none of {', '.join(k for k in _LABELS if k)}", "correct CLASSLABEL or Label"
    return CoilHeader(
        key=key, order=order, started_at=_started(row.get("STARTTIME")), label=_LABELS[label], origin=origin
    )


def unfit_text(key: CoilKey, order: Order | None = None) -> tuple[str, str] | None:
    """(error, remedy) where a coil has no name, or a text that a database cannot keep; else None."""
    for name, text in (("plant", key.plant), ("coil id", key.coil_id)):
        if not text:
            return f"the {name} is empty", f"name the {name}"
    texts = {"plant": key.plant, "coil id": key.coil_id, **(order.model_dump() if order else {})}
    for name, text in texts.items():
        if isinstance(text, str) and "\x00" in text:
            return f"{name} holds a NUL character", f"correct {name}"
    return None


def order_fault(error: ValidationError) -> tuple[str, str]:
    """One sentence and a remedy for an order that did not validate."""
    fault = first_fault(error)
    if not fault.field:
        return fault.said, "correct the order's band"
    return f"{fault.field}: {fault.said.lower()}, got {fault.got}", f"correct {fault.field} of the order"


def _started(text: str | None) -> datetime | None:
    """Time zone aware; a time without a zone is taken as UTC, one that cannot be read as absent."""
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
