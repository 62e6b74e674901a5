"""A slow, literal reading of the plant's normalisation, cell by cell, to hold the fast one against."""

import numpy as np

from schemas.coils import FloatArray


def literal_face(v: FloatArray, zn_min: float, zn_max: float, low: float, high: float) -> FloatArray:
    """One face [n, 9] in g/m² to [264, 9], as the definition is written."""
    tracks = [_chunks(_saliency(_calibrated(list(track), zn_min), zn_min, zn_max, low, high)) for track in v.T]
    return np.array(tracks).T


def _calibrated(v: list[float], zn_min: float) -> list[float]:
    """Step 1: a run below zn_min in which any reading is under 5 g/m² becomes zn_min."""
    row = 0
    while row < len(v):
        end = row
        while end < len(v) and v[end] < zn_min:
            end += 1
        if end > row and min(v[row:end]) < 5.0:
            v[row:end] = [zn_min] * (end - row)
        row = max(end, row + 1)
    return v


def _saliency(v: list[float], zn_min: float, zn_max: float, low: float, high: float) -> list[float]:
    """Step 2: distance from the band in shares of the limits, clipped."""
    result = []
    for value in v:
        s = 0.0
        if value < zn_min:
            s = (value - zn_min) / abs(low)
        if value > zn_max:
            s = (value - zn_max) / abs(high)
        result.append(min(1.0, max(-1.0, s)))
    return result


def _chunks(s: list[float]) -> FloatArray:
    """Step 3: stretched to 264 chunks, or averaged inside 264 equal ones."""
    n = len(s)
    if n <= 264:
        return np.interp(np.arange(264), np.arange(n) * 263 / (n - 1), s)
    chunk = np.arange(n) * 264 // n
    return np.array([np.mean(np.array(s)[chunk == c]) for c in range(264)])
