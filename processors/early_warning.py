"""Early warning: an open coil whose face is out of its band over a length already."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from processors.normalize import HEAVIEST_G_M2
from processors.open_coils import OpenCoil
from schemas.layout import FACES, FARTHEST, SENSORS_PER_FACE, Face
from schemas.stream_settings import StreamSettings

Side = Literal["below", "above"]
_NUMBERS = frozenset({int, float})


@dataclass(frozen=True, kw_only=True, slots=True)
class OutOfBand:
    """A stretch of one face that lies outside the ordered band; coating masses in g/m²."""

    face: Face
    side: Side
    bound_g_m2: float
    worst_g_m2: float
    from_position: float
    to_position: float
    length_m: float


def out_of_band(coil: OpenCoil, rules: StreamSettings) -> OutOfBand | None:
    """The first stretch out of band that is long enough to warn of, or None.

    A row counts by the median of its nine sensors, so that a gauge that calibrates one of them warns of nothing. Rows
    that follow each other on the same side of the band are one stretch, from the first position to the last.
    """
    band = coil.band_g_m2()
    if band is None or rules.warn_length_m is None or not 0 <= band[0] < band[1] <= HEAVIEST_G_M2:
        return None
    for face in FACES:
        rows = sorted(_medians(coil, face))
        for stretch in _stretches(rows, band):
            length_m = (stretch.to_position - stretch.from_position) * rules.metres_per_position
            if length_m >= rules.warn_length_m:
                return OutOfBand(
                    face=face,
                    side=stretch.side,
                    bound_g_m2=band[stretch.side == "above"],
                    worst_g_m2=stretch.worst_g_m2,
                    from_position=stretch.from_position,
                    to_position=stretch.to_position,
                    length_m=length_m,
                )
    return None


@dataclass(slots=True)
class _Stretch:
    side: Side
    from_position: float
    to_position: float
    worst_g_m2: float


def _stretches(rows: Iterable[tuple[float, float]], band: tuple[float, float]) -> list[_Stretch]:
    found: list[_Stretch] = []
    last: Side | None = None
    for position, median in rows:
        side: Side | None = "below" if median < band[0] else "above" if median > band[1] else None
        if side is not None and side == last:
            stretch = found[-1]
            stretch.to_position = position
            worst = min if side == "below" else max
            stretch.worst_g_m2 = worst(stretch.worst_g_m2, median)
        elif side is not None:
            found.append(_Stretch(side, position, position, median))
        last = side
    return found


def _medians(coil: OpenCoil, face: Face) -> Iterable[tuple[float, float]]:
    for (of_face, position), data in coil.rows.items():
        readings = data.get("mean_g_m2")
        if (
            of_face == face
            and isinstance(readings, list)
            and len(readings) == SENSORS_PER_FACE
            and _NUMBERS.issuperset(map(type, (position, *readings)))  # assembly refuses the others, once it is due
            and abs(position) <= FARTHEST
            and all(0 <= reading <= HEAVIEST_G_M2 for reading in readings)  # NaN is none of them
        ):
            yield position, sorted(readings)[SENSORS_PER_FACE // 2]
