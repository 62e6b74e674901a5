"""Places that people marked and named, as a kind model learns them."""

import hashlib
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from flows.coil_matrix import CoilMatrix, coil_matrix
from flows.split import place_of
from models.explain import GROUP_SENSORS, WINDOW_ROWS
from models.kind_places import Kinds
from models.place_features import WIDTH, Place, place_features, struck_sensors
from models.scales import from_band
from schemas.coils import CoilKey, Float32Array, Limits
from schemas.errors import CoilflowError
from schemas.kinds import NO_KIND, kind_name
from schemas.layout import FACES, MATRIX_ROWS, SENSORS_PER_FACE
from store.connection import Connection
from store.kinds import MarkedKind

HOLDOUT_SHARE = 0.3  # of the coils that people marked: they judge, and no version ever learns from them
_LEAST_ROWS = 2


class KindsStoppedError(CoilflowError):
    """Looking at what people marked was given up; nothing was learnt of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Places that are learnt from, or that judge."""

    features: Float32Array  # [N, D]
    kind: Kinds  # [N]
    coils: Counter[str]  # by kind: of one coil several places are made


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkedPlaces:
    """All that people marked."""

    learnt: Part
    judged: Part
    digest: str


@dataclass(kw_only=True, slots=True)
class _Gathered:
    rows: list[Float32Array] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    coils: Counter[str] = field(default_factory=Counter)

    def part(self) -> Part:
        rows = np.concatenate(self.rows) if self.rows else np.empty((0, WIDTH), dtype=np.float32)
        return Part(features=rows, kind=np.array(self.kinds, dtype=np.str_), coils=self.coils)


def agreed(marked: Sequence[MarkedKind]) -> tuple[MarkedKind, ...]:
    """What was marked, one place a coil and kind; where voices name one stretch by two kinds, neither counts.

    A stretch of no length, or past the end of the strip, is nowhere to be looked at.
    """
    found: dict[tuple[CoilKey, str], MarkedKind] = {}
    for one in marked:
        kind = kind_name(one.defect_kind)
        contradicted = any(
            other.key == one.key and kind_name(other.defect_kind) != kind and _overlap(one, other) for other in marked
        )
        lies = one.from_m < min(one.to_m, one.length_m)
        if kind and kind != NO_KIND and lies and not contradicted:
            found.setdefault((one.key, kind), one)
    return tuple(found.values())


def digest_of(marked: Sequence[MarkedKind]) -> str:
    """SHA-256 over what was marked: while it stays, there is nothing new to learn."""
    lines = sorted(f"{one.feedback_id} {kind_name(one.defect_kind)}" for one in marked)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def marked_places(
    connection: Connection, marked: Sequence[MarkedKind], otherwise: Limits, *, stop: threading.Event
) -> MarkedPlaces:
    """Look at what people marked, coil by coil; coils that cannot be read again are left out.

    Of each place that is learnt from copies are made: on both scales, along the strip and against it, as marked and as
    the grid of an explanation would have it.

    Args:
        connection: on a database of this version.
        marked: that is agreed.
        otherwise: limits where the ensemble that judged was never registered.
        stop: ends the look.

    Raises:
        KindsStoppedError: `stop` was set.
        StoreError: the database refused.
    """
    parts = {True: _Gathered(), False: _Gathered()}
    for one in marked:
        if stop.is_set():
            raise KindsStoppedError("the run was given up", remedy="nothing is to be done: it is run again")
        coil = coil_matrix(connection, one.key, revision=one.revision, otherwise=otherwise)
        if not isinstance(coil, CoilMatrix):
            continue
        judges, kind = place_of(one.key.coil_id) < HOLDOUT_SHARE, kind_name(one.defect_kind)
        rows = _as_asked(one, coil) if judges else _copies(one, coil)
        parts[judges].rows.append(rows)
        parts[judges].kinds += [kind] * len(rows)
        parts[judges].coils[kind] += 1
    return MarkedPlaces(learnt=parts[False].part(), judged=parts[True].part(), digest=digest_of(marked))


def _overlap(one: MarkedKind, other: MarkedKind) -> bool:
    faces = one.face is None or other.face is None or one.face == other.face
    return faces and min(one.to_m, other.to_m) > max(one.from_m, other.from_m)


def _as_asked(one: MarkedKind, coil: CoilMatrix) -> Float32Array:
    distance = from_band(coil.matrix, coil.limits)
    length_m = None if coil.limits is None else one.length_m
    return place_features(distance, length_m, [_on_grid(_place(one, distance))])


def _copies(one: MarkedKind, coil: CoilMatrix) -> Float32Array:
    forms: list[tuple[Float32Array, float | None]] = [(from_band(coil.matrix, None), None)]
    if coil.limits is not None:
        forms.append((from_band(coil.matrix, coil.limits), one.length_m))
    rows = []
    for distance, length_m in forms:
        place = _place(one, distance)
        both = [place, _on_grid(place)]
        rows += [place_features(distance, length_m, both)]
        rows += [place_features(distance[::-1], length_m, [_reversed(place) for place in both])]
    return np.concatenate(rows)


def _place(one: MarkedKind, distance: Float32Array) -> Place:
    """Where it is marked: on the face that is named, else on that which deviates more, at the sensors that do."""
    first = min(int(one.from_m / one.length_m * MATRIX_ROWS), MATRIX_ROWS - _LEAST_ROWS)
    last = min(max(int(np.ceil(one.to_m / one.length_m * MATRIX_ROWS)), first + _LEAST_ROWS), MATRIX_ROWS)
    deviation = np.abs(distance[first:last]).reshape(last - first, len(FACES), SENSORS_PER_FACE).sum(axis=(0, 2))
    face = one.face or FACES[int(deviation.argmax())]
    whole = Place(face=face, first_row=first, last_row=last)
    first_sensor, last_sensor = struck_sensors(distance, whole)
    return Place(face=face, first_row=first, last_row=last, first_sensor=first_sensor, last_sensor=last_sensor)


def _on_grid(place: Place) -> Place:
    return Place(
        face=place.face,
        first_row=place.first_row // WINDOW_ROWS * WINDOW_ROWS,
        last_row=-(-place.last_row // WINDOW_ROWS) * WINDOW_ROWS,
        first_sensor=place.first_sensor // GROUP_SENSORS * GROUP_SENSORS,
        last_sensor=place.last_sensor // GROUP_SENSORS * GROUP_SENSORS + GROUP_SENSORS - 1,
    )


def _reversed(place: Place) -> Place:
    return Place(
        face=place.face,
        first_row=MATRIX_ROWS - place.last_row,
        last_row=MATRIX_ROWS - place.first_row,
        first_sensor=place.first_sensor,
        last_sensor=place.last_sensor,
    )
