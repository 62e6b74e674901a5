"""Coils that every host must judge alike, by name: their events in the order in which the line sends them."""

import random
from typing import Any

from tests.streams.lines import chunk, chunks, coil, ended, event, started


def _shuffled(name: str) -> list[bytes]:
    return random.Random(7).sample(coil(name, 6), 14)  # noqa: S311 - no secret


def _scenarios() -> dict[str, list[bytes]]:
    """Name of the coil -> events."""
    found = {
        "good": coil("good"),
        "long": coil("long", 30),
        "disorder": _shuffled("disorder"),
        "repeats": coil("repeats")[:5] * 2 + coil("repeats")[5:],
        "order twice": [started("order twice"), *coil("order twice")],
        "no promise": [started("no promise"), *chunks("no promise"), ended("no promise", rows=None)],
        "missing rows": [started("missing rows"), *chunks("missing rows")[:-2], ended("missing rows", rows=4)],
        "extra rows": [started("extra rows"), *chunks("extra rows", 5), ended("extra rows", rows=4)],
        "spread": [started("spread"), *chunks("spread", std_g_m2=[0.5] * 9), ended("spread")],
        "out of band": [started("out of band"), *chunks("out of band", mean_g_m2=250.0), ended("out of band")],
        "gauge stuck": [
            started("gauge stuck"),
            *chunks("gauge stuck", 30, mean_g_m2=110.0),
            ended("gauge stuck", rows=30),
        ],
        "calibration": [
            *coil("calibration")[:3],
            chunk("calibration", "top", 1, mean_g_m2=1.0),
            *coil("calibration")[4:],
        ],
        "conflict": [*coil("conflict")[:-1], chunk("conflict", "top", 0, mean_g_m2=50.0), ended("conflict")],
        "two orders": [started("two orders", band=(90.0, 110.0)), *coil("two orders")],
        "no start": coil("no start")[1:],
        "no band": [event("coil.started", "no band", 0), *coil("no band")[1:]],
        "band upside down": [started("band upside down", band=(120.0, 100.0)), *coil("band upside down")[1:]],
        "one face": [line for line in coil("one face") if b'"bottom"' not in line],
        "one row": [started("one row"), *chunks("one row", 1), ended("one row", rows=1)],
        "nothing": [started("nothing"), ended("nothing", rows=None)],
        "NaN": _with_data("NaN", b"NaN"),
        "null": _with_data("null", b"null"),
        "text": _with_data("text", b'"110"'),
        "truth": _with_data("truth", b"true"),
        "negative": _with_data("negative", b"-1.0"),
        "huge": _with_data("huge", b"1e300"),
        "eight sensors": _with_row("eight sensors", mean_g_m2=[110.0] * 8),
        "a third face": _with_row("a third face", face="edge"),
        "nowhere": _with_row("nowhere", position=1e300),
        "no readings": _with_row("no readings", mean_g_m2=None),
        "Zinkauflage äöü/1": coil("Zinkauflage äöü/1"),
    }
    return {name: lines for name, lines in found.items() if lines}


def _with_row(name: str, **data: Any) -> list[bytes]:
    whole = coil(name)
    row: dict[str, Any] = {"face": "top", "position": 28.0, "mean_g_m2": [110.0] * 9, **data}
    return [*whole[:3], event("coil.chunk", name, 3, **row), *whole[4:]]


def _with_data(name: str, reading: bytes) -> list[bytes]:
    lines = _with_row(name, mean_g_m2=[12345.0] * 9)
    return [line.replace(b"12345.0", reading, 1) for line in lines]


SCENARIOS = _scenarios()
NOT_ENDED = coil("not ended")[:-1]  # each host by its own rule: one has read its file, the others wait
