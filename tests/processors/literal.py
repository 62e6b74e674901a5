"""A slow, literal reading of the plant's normalisation, cell by cell, to hold the fast one against."""

import numpy as np

from schemas.coils import FloatArray


def literal_face(v: FloatArray, zn_min: float, zn_max: float, low: float, high: float) -> FloatArray:
    """One face [n, 9] in g/m² to [264, 9], as the definition is written."""
    v = v.copy()
    n = len(v)
    for sensor in range(9):
        row = 0
        while row < n:
            if v[row, sensor] >= zn_min:
                row += 1
                continue
            end = row
            while end < n and v[end, sensor] < zn_min:
                end += 1
            if min(v[row:end, sensor]) < 5.0:
                v[row:end, sensor] = zn_min
            row = end
    s = np.zeros_like(v)
    for row in range(n):
        for sensor in range(9):
            if v[row, sensor] < zn_min:
                s[row, sensor] = (v[row, sensor] - zn_min) / abs(low)
            elif v[row, sensor] > zn_max:
                s[row, sensor] = (v[row, sensor] - zn_max) / abs(high)
            s[row, sensor] = min(1.0, max(-1.0, s[row, sensor]))
    out = np.zeros((264, 9))
    for sensor in range(9):
        if n <= 264:
            out[:, sensor] = np.interp(np.arange(264), np.arange(n) * 263 / (n - 1), s[:, sensor])
        else:
            chunk = np.arange(n) * 264 // n
            out[:, sensor] = [s[chunk == c, sensor].mean() for c in range(264)]
    return out
