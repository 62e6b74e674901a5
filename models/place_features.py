"""A place on a coil in numbers that say what it looks like, whatever the scale of the readings and the depth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.coils import Float32Array, FloatArray
from schemas.layout import FACES, MATRIX_ROWS, SENSORS_PER_FACE, Face

MADE_BY = "places-1"  # another way to put places into numbers has another name

_ACROSS = np.linspace(-1.0, 1.0, SENSORS_PER_FACE)
_BOW = _ACROSS**2 - np.mean(_ACROSS**2)
_PROFILES = np.stack([one / np.linalg.norm(one) for one in (np.ones_like(_ACROSS), _ACROSS, _BOW)])  # flat, tilted
_LEAST_ROWS = 2
_BESIDE_ROWS = 11  # at least so many on each side say what the strip looks like beside the place
_FAR = 2.0  # times the place's own deviation, at most that a change to the strip beside it counts
_HALF = 0.5
_NOTHING = 1e-6
_QUIET = 0.02  # of the coil's largest deviation
_USUAL_M = 100.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A rectangle of a face."""

    face: Face
    first_row: int  # of 264
    last_row: int  # exclusive
    first_sensor: int = 0  # 0..8
    last_sensor: int = SENSORS_PER_FACE - 1  # inclusive


def place_features(distance: Float32Array, length_m: float | None, places: Sequence[Place]) -> Float32Array:
    """What places of one coil look like.

    Of the rows of a place, on its own face and on the other one: the lateral profile, how it differs from the strip
    beside it, how flat, tilted and bowed both are and how much of them is none of that, whether the faces go together
    or against each other, how wide, sharp, long and even it is, and how it stands out of the coil. Profiles count as
    shares of their own largest deviation, and the side with the place's weight is always the first: a positive factor,
    and the mirror across the strip, change nothing.

    Args:
        distance: float32 [264, 18] from the band, or on scale `self` from the coil's commonest level; any unit.
        length_m: of the strip; None where it is not known.
        places: of this coil.

    Returns:
        float32 [N, WIDTH], finite.
    """
    faces = distance.astype(np.float64).reshape(MATRIX_ROWS, len(FACES), SENSORS_PER_FACE).transpose(1, 0, 2)
    rows = [_numbers(faces, length_m, place) for place in places]
    return np.array(rows, dtype=np.float32).reshape(len(places), WIDTH)


def struck_sensors(distance: Float32Array, place: Place) -> tuple[int, int]:
    """First and last sensor of a place of which face and rows are known: those beside its deepest, half as deep."""
    faces = distance.reshape(MATRIX_ROWS, len(FACES), SENSORS_PER_FACE)
    profile = np.abs(faces[place.first_row : place.last_row, FACES.index(place.face)].mean(axis=0))
    return _struck(profile.astype(np.float64))


def _numbers(faces: FloatArray, length_m: float | None, place: Place) -> FloatArray:
    start = min(place.first_row, MATRIX_ROWS - _LEAST_ROWS)
    end = max(place.last_row, start + _LEAST_ROWS)
    whole = max(float(np.abs(faces).max()), _NOTHING)
    seen = faces if place.face == FACES[0] else faces[::-1]  # its own face, the other
    first, last = place.first_sensor, place.last_sensor
    weight = np.abs(seen[0, start:end, first : last + 1]).sum(axis=0)
    if weight @ _ACROSS[first : last + 1] > 0:
        seen = seen[:, :, ::-1]
        first, last = SENSORS_PER_FACE - 1 - last, SENSORS_PER_FACE - 1 - first
    struck = seen[:, start:end]
    profile = struck.mean(axis=1)
    depth = max(float(np.abs(profile).max()), _NOTHING)
    margin = max(_BESIDE_ROWS, (end - start) // 2)
    beside = np.concatenate([seen[:, max(0, start - margin) : start], seen[:, end : end + margin]], axis=1)
    change = profile - beside.mean(axis=1) if beside.shape[1] else profile
    share = (end - start) / MATRIX_ROWS
    parts = [
        *_of_profile(profile / depth),
        *_of_profile(np.clip(change / depth, -_FAR, _FAR)),
        (struck < 0).mean(axis=(1, 2)),
        (struck > 0).mean(axis=(1, 2)),
        struck.mean(axis=2).std(axis=1) / depth,
        np.abs(struck.mean(axis=2)).max(axis=1) / depth,
        [np.log(share), 0.0 if length_m is None else np.log(share * length_m / _USUAL_M), length_m is not None],
        [start == 0, end == MATRIX_ROWS, start / MATRIX_ROWS, end / MATRIX_ROWS],
        [depth / whole, np.abs(struck).max() / whole, (np.abs(faces) > _QUIET * whole).mean()],
        np.array([first, last, last - first + 1]) / SENSORS_PER_FACE,
    ]
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float64)


def _of_profile(profile: FloatArray) -> Iterator[object]:
    """Numbers of a lateral profile [2, 9] of both faces."""
    size = np.abs(profile)
    length = np.maximum(np.linalg.norm(profile, axis=1), _NOTHING)
    shape = profile @ _PROFILES.T
    together = np.stack([profile[0] + profile[1], profile[0] - profile[1]]) / 2 @ _PROFILES.T
    first, last = _struck(size[0])
    yield from (profile, shape, np.abs(shape), together, np.abs(together))
    yield np.linalg.norm(profile - shape @ _PROFILES, axis=1) / length
    yield [profile[0] @ other / np.prod(length) for other in (profile[1], profile[1, ::-1])]
    yield [(last - first + 1) / SENSORS_PER_FACE, (size[0] >= _HALF * size[0].max()).mean()]
    yield [np.abs(_ACROSS[int(size[0].argmax())]), first == 0 or last == SENSORS_PER_FACE - 1]
    yield size.max(axis=1)
    yield np.abs(np.diff(profile, axis=1)).max(axis=1)


def _struck(size: FloatArray) -> tuple[int, int]:
    """First and last sensor of the run around the largest in which all are half as large at least."""
    first = last = int(size.argmax())
    bar = _HALF * size[first]
    while first > 0 and size[first - 1] >= bar:
        first -= 1
    while last < SENSORS_PER_FACE - 1 and size[last + 1] >= bar:
        last += 1
    return first, last


WIDTH = len(
    _numbers(np.zeros((len(FACES), MATRIX_ROWS, SENSORS_PER_FACE)), None, Place(face="top", first_row=0, last_row=9))
)
"""Numbers of a place."""
