"""Assemble gauge rows, in any order and with repeats, into whole coils."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from processors.gauge_faults import sensor_faults
from processors.grid import expected_rows
from processors.results import reject_coil
from schemas.coils import BoolArray, ChunkRows, CoilBatch, CoilHeader, IntArray
from schemas.layout import FACES, FARTHEST, SENSORS_PER_FACE
from schemas.rejects import Reject
from schemas.verdicts import Reason

_MIN_ROWS = 2  # the stretch to 264 chunks needs two ends


NO_COILS = CoilBatch(
    headers=(),
    revisions=(),
    reasons=(),
    face_start=np.zeros(1, dtype=np.int64),
    position=np.zeros(0),
    expected_rows=np.zeros(0, dtype=np.int64),
    mean_g_m2=np.zeros((0, SENSORS_PER_FACE)),
    std_g_m2=np.zeros((0, SENSORS_PER_FACE)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembled:
    """Coils that are whole enough to be judged, and those that are not."""

    coils: CoilBatch = NO_COILS
    rejects: tuple[Reject, ...] = ()


def assemble(
    rows: ChunkRows, headers: Sequence[CoilHeader], faults: Mapping[int, tuple[str, str]] | None = None
) -> Assembled:
    """Sort, deduplicate and count the rows of many coils.

    Order, exact repeats and the split of the input change nothing: a row is identified by coil, face and position.
    Two rows of one place that disagree, a face without rows, or one with a single row reject their coil.

    Args:
        rows: R rows whose `coil` indexes `headers`.
        headers: one a coil; a coil without rows is rejected.
        faults: what decoding found wrong, index of the coil -> (error, remedy); these coils are rejected.

    Returns:
        The coils in the order of `headers`, less the rejects, each with its revision and its doubts.
    """
    lost = _nowhere(rows)
    if lost:
        rows = _take(rows, np.isin(rows.coil, list(lost), invert=True))
    rows = _sorted(rows)
    repeat, conflict = _repeats(rows)
    found = _conflicts(rows, conflict) | lost | dict(faults or {})
    if repeat.any():
        rows = _take(rows, ~repeat)
    count = np.bincount(rows.coil * 2 + rows.face, minlength=2 * len(headers)).astype(np.int64)
    for coil in np.unique(np.flatnonzero(count < _MIN_ROWS) // 2).tolist():
        found.setdefault(coil, _too_few(count[2 * coil : 2 * coil + 2]))
    good = np.array([i not in found for i in range(len(headers))], dtype=bool)
    if found:
        rows = _take(rows, good[rows.coil])
        rows = replace(rows, coil=(np.cumsum(good) - 1)[rows.coil])
        count = count.reshape(-1, 2)[good].reshape(-1)
    kept = tuple(header for header, ok in zip(headers, good, strict=True) if ok)
    rejects = tuple(
        reject_coil(headers[coil], step="decode" if coil in (faults or {}) else "assemble", error=error, remedy=remedy)
        for coil, (error, remedy) in sorted(found.items())
    )
    return Assembled(coils=_batch(rows, kept, count), rejects=rejects)


def gather(rows: ChunkRows, header: CoilHeader) -> CoilBatch | None:
    """One coil with what there is of it, however little; None where its rows have no place or disagree.

    Nothing is expected of it, so its batch has no doubts but the header's; a face without rows is an empty one.
    """
    rows = _sorted(rows)
    repeat, conflict = _repeats(rows)
    if _nowhere(rows) or conflict.any():
        return None
    rows = _take(rows, ~repeat)
    count = np.bincount(rows.face, minlength=len(FACES)).astype(np.int64)
    face_start = np.concatenate(([0], np.cumsum(count)))
    return CoilBatch(
        headers=(header,),
        revisions=_revisions(rows, (header,), face_start),
        reasons=(header.reasons,),
        face_start=face_start,
        position=rows.position,
        expected_rows=count,
        mean_g_m2=rows.mean_g_m2,
        std_g_m2=rows.std_g_m2,
    )


def _nowhere(rows: ChunkRows) -> dict[int, tuple[str, str]]:
    """Coils with a row whose position is no place on a strip."""
    off = ~(np.abs(rows.position) <= FARTHEST)
    if not off.any():
        return {}
    error = f"a row's position is no number up to {FARTHEST:g}"
    return dict.fromkeys(np.unique(rows.coil[off]).tolist(), (error, "send TILEID or metres along the strip"))


def _sorted(rows: ChunkRows) -> ChunkRows:
    face = 2 * rows.coil + rows.face
    step = np.diff(face)
    if ((step > 0) | ((step == 0) & (np.diff(rows.position) >= 0))).all():
        return rows
    return _take(rows, np.lexsort((rows.position, face)))


def _take(rows: ChunkRows, which: IntArray | BoolArray) -> ChunkRows:
    return ChunkRows(
        coil=rows.coil[which],
        face=rows.face[which],
        position=rows.position[which],
        mean_g_m2=rows.mean_g_m2[which],
        std_g_m2=rows.std_g_m2[which],
    )


def _repeats(rows: ChunkRows) -> tuple[BoolArray, BoolArray]:
    """Rows that stand at the place of the row before them, and those of them that say something else."""
    same_place = np.zeros(len(rows.coil), dtype=bool)
    same_place[1:] = (np.diff(rows.coil) == 0) & (np.diff(rows.face) == 0) & (rows.position[1:] == rows.position[:-1])
    conflict = np.zeros_like(same_place)
    at = np.flatnonzero(same_place)
    if len(at):
        for values in (rows.mean_g_m2, rows.std_g_m2):
            now, before = values[at], values[at - 1]
            conflict[at] |= ~((now == before) | (np.isnan(now) & np.isnan(before))).all(axis=1)
    return same_place, conflict


def _conflicts(rows: ChunkRows, conflict: BoolArray) -> dict[int, tuple[str, str]]:
    faults: dict[int, tuple[str, str]] = {}
    for i in np.flatnonzero(conflict).tolist():
        face, position = FACES[rows.face[i]], rows.position[i]
        faults.setdefault(
            int(rows.coil[i]),
            (
                f"{face} face has two rows at position {position:g} that disagree",
                "find out which reading is right and send that one alone",
            ),
        )
    return faults


def _too_few(count: IntArray) -> tuple[str, str]:
    if not count.any():
        return "there are no readings", "send its tiles, or drop it from the list of coils"
    face = FACES[int(np.argmin(count))]
    if count.min() == 0:
        return f"the {face} face is missing", "send the readings of both faces"
    return f"the {face} face has 1 row, at least {_MIN_ROWS} are needed", "send the rest of the coil"


def _batch(rows: ChunkRows, headers: tuple[CoilHeader, ...], count: IntArray) -> CoilBatch:
    face_start = np.concatenate(([0], np.cumsum(count)))
    promised = np.repeat(np.array([h.rows_per_face or 0 for h in headers], dtype=np.int64), 2)
    expected = np.maximum(expected_rows(rows.position, face_start), promised)
    zn_min = np.repeat(np.array([h.order.zn_min_g_m2 for h in headers], dtype=np.float64), 2)
    faults = sensor_faults(rows.mean_g_m2, zn_min, face_start)
    missing = (expected - count).reshape(-1, 2)
    reasons = []
    for i, header in enumerate(headers):
        found = list(header.reasons)
        if missing[i].any():
            found.append(Reason.MISSING_ROWS.of(_missing(missing[i], expected[2 * i : 2 * i + 2])))
        if header.rows_per_face and count[2 * i : 2 * i + 2].max() > header.rows_per_face:
            found.append(Reason.EXTRA_ROWS.of(_extra(header.rows_per_face, count[2 * i : 2 * i + 2])))
        reasons.append((*found, *faults.get(i, ())))
    return CoilBatch(
        headers=headers,
        revisions=_revisions(rows, headers, face_start),
        reasons=tuple(reasons),
        face_start=face_start,
        position=rows.position,
        expected_rows=expected,
        mean_g_m2=rows.mean_g_m2,
        std_g_m2=rows.std_g_m2,
    )


def _missing(missing: IntArray, expected: IntArray) -> str:
    """Such as "2 of 61 top, 1 of 61 bottom"."""
    counted = zip(missing.tolist(), expected.tolist(), FACES, strict=True)
    return ", ".join(f"{lost} of {rows} {face}" for lost, rows, face in counted if lost)


def _extra(promised: int, count: IntArray) -> str:
    """Such as "coil.ended promised 60 a face, 61 top, 61 bottom came"."""
    came = ", ".join(f"{rows} {face}" for rows, face in zip(count.tolist(), FACES, strict=True))
    return f"coil.ended promised {promised} a face, {came} came"


def _revisions(rows: ChunkRows, headers: Sequence[CoilHeader], face_start: IntArray) -> tuple[str, ...]:
    """SHA-256 over the band, the faces' row counts and every position and reading, as little-endian float64."""
    position = np.ascontiguousarray(rows.position, dtype="<f8")
    readings = [np.ascontiguousarray(v, dtype="<f8") for v in (rows.mean_g_m2, rows.std_g_m2)]
    revisions = []
    for i, header in enumerate(headers):
        low, middle, high = face_start[2 * i : 2 * i + 3].tolist()
        head = np.array([header.order.zn_min_g_m2, header.order.zn_max_g_m2, middle - low, high - middle], dtype="<f8")
        digest = hashlib.sha256(head.tobytes())
        digest.update(position[low:high].data)
        for values in readings:
            digest.update(values[low:high].data)
        revisions.append(digest.hexdigest())
    return tuple(revisions)
