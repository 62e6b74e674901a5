"""Places of simulated coils whose kind the line's ground truth tells, to learn from and to judge by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.deviating import deviating_places
from models.place_features import Place
from models.scales import in_g_m2, to_self_scale
from plant.defects import Defect
from plant.line import SimulatedBlock, simulate
from plant.settings import LineSettings
from processors.assemble import assemble
from processors.normalize import normalize
from schemas.coils import CoilKey, Float32Array, Limits
from schemas.kinds import NO_KIND
from schemas.layout import FACES, MATRIX_ROWS, SENSORS_PER_FACE, Face
from schemas.matrices import Scale, keys_of, tensor_values

OF_THE_GAP = ("off_centre", "wedge", "cross_bow")  # what one face gains the other loses: both are struck
_OWED = 0.5  # of a place's deviation: with more of it a defect is what the place shows,
_NOT_OWED = 0.25  # and with less it is not; between, nobody can say
_SHOWS = 1e-3  # of the coil's largest deviation


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedCoil:
    """A simulated coil, and the same without its defects. Arrays are [264, 18], the distance from the band."""

    key: CoilKey
    distance: Float32Array
    owed: Float32Array  # what of it is due to defects
    length_m: float | None  # None: not to be seen in grey levels
    true_length_m: float
    defects: tuple[Defect, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownPlace:
    """A place, and which kind of defect it shows, or none of them."""

    place: Place
    kind: str
    marked: bool  # exactly where the defect is; else where the coil deviates


def compared_coils(
    line: LineSettings, limits: Limits, *, coils: int, seed: int, scales: Sequence[Scale]
) -> Iterator[ComparedCoil]:
    """Run a line twice, with and without its defects, all else alike.

    Args:
        line: as it runs.
        limits: to normalise by.
        coils: how many.
        seed: of the line.
        scales: of its coils, in turns; `self` takes away what only readings tell.
    """
    number = 0
    without = simulate(coils, seed=seed, line=replace(line, defect_share=0.0))
    for block, faultless in zip(simulate(coils, seed=seed, line=line), without, strict=True):
        seen, plain = _matrices(block, limits), _matrices(faultless, limits)
        for header, truth in zip(block.headers, block.truth, strict=True):
            length_m = header.order.length_m
            if length_m is None or header.key not in seen or header.key not in plain:
                continue  # damaged on the way to the table
            matrix, owed = seen[header.key], seen[header.key] - plain[header.key]
            grey = scales[number % len(scales)] == "self"
            distance = in_g_m2(matrix, limits)
            yield ComparedCoil(
                key=header.key,
                distance=to_self_scale(matrix[None])[0] if grey else distance,
                owed=owed / max(float(np.ptp(matrix)), 1e-6) if grey else distance - in_g_m2(matrix - owed, limits),
                length_m=None if grey else length_m,
                true_length_m=length_m,
                defects=truth.defects,
            )
            number += 1


def known_places(coil: ComparedCoil) -> Iterator[KnownPlace]:
    """Where a coil deviates, as an explanation would find it, and where its only defect is; if it can be said."""
    for place in deviating_places(coil.distance):
        kind = shown_kind(coil, place)
        if kind is not None:
            yield KnownPlace(place=place, kind=kind, marked=False)
    if len(coil.defects) == 1:
        marked = marked_place(coil, coil.defects[0])
        if shown_kind(coil, marked) == coil.defects[0].kind:
            yield KnownPlace(place=marked, kind=coil.defects[0].kind, marked=True)


def marked_place(coil: ComparedCoil, defect: Defect) -> Place:
    """Where a defect is, on the face where it shows most."""
    first = int(np.floor(defect.start_m / coil.true_length_m * MATRIX_ROWS))
    last = int(np.ceil(defect.end_m / coil.true_length_m * MATRIX_ROWS))
    rows = {"first_row": min(first, MATRIX_ROWS - 2), "last_row": min(max(last, first + 2), MATRIX_ROWS)}
    sensors = {"first_sensor": defect.first_sensor, "last_sensor": defect.last_sensor}
    places = [Place(face=face, **rows, **sensors) for face in struck_faces(defect)]
    return max(places, key=lambda place: float(np.abs(_cells(coil.owed, place)).sum()))


def struck_faces(defect: Defect) -> tuple[Face, ...]:
    """The faces that a defect changes."""
    return FACES if defect.face == "both" or defect.kind in OF_THE_GAP else (defect.face,)


def shown_kind(coil: ComparedCoil, place: Place) -> str | None:
    """Which kind a place shows, or `none`; None where that cannot be said.

    It shows a defect where most of its deviation is gone without the coil's defects, and none where next to nothing of
    it is; what lies between, and what shows two kinds, cannot be said.
    """
    seen, owed = (float(np.abs(_cells(values, place)).sum()) for values in (coil.distance, coil.owed))
    if float(np.abs(_cells(coil.distance, place)).max()) <= _SHOWS * float(np.abs(coil.distance).max()):
        return None
    if owed <= _NOT_OWED * seen:
        return NO_KIND
    kinds = {defect.kind for defect in coil.defects if _strikes(coil, defect, place)}
    return kinds.pop() if owed >= _OWED * seen and len(kinds) == 1 else None


def _strikes(coil: ComparedCoil, defect: Defect, place: Place) -> bool:
    start, end = (metre / coil.true_length_m * MATRIX_ROWS for metre in (defect.start_m, defect.end_m))
    return (
        place.face in struck_faces(defect)
        and min(end, place.last_row) > max(start, place.first_row)
        and defect.first_sensor <= place.last_sensor
        and defect.last_sensor >= place.first_sensor
    )


def _cells(values: Float32Array, place: Place) -> Float32Array:
    left = FACES.index(place.face) * SENSORS_PER_FACE
    return values[place.first_row : place.last_row, left + place.first_sensor : left + place.last_sensor + 1]


def _matrices(block: SimulatedBlock, limits: Limits) -> dict[CoilKey, Float32Array]:
    batch = normalize(assemble(block.rows, block.headers).coils, limits).batch
    return dict(zip(keys_of(batch), tensor_values(batch), strict=True))
