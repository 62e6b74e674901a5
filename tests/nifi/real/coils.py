"""Coils for a real NiFi, 20 of 500 damaged, and what the local host makes of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from flows.assess import assess
from flows.served import only
from flows.sources.open import open_source
from models.ensemble import Ensemble
from plant.events import event_lines
from plant.line import simulate
from schemas.coils import CoilKey
from schemas.settings import Settings
from tests.flows.given import Given, coil

KAFKA_COILS, ASKED_COILS = 400, 100
PHASES = 6
PLANT = "linz"  # of coils in the plant's tables


def _without(kind: str) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [line for line in lines if orjson.loads(line)["type"] != kind]


def _with_row(number: int, **data: Any) -> Callable[[list[bytes]], list[bytes]]:
    def damaged(lines: list[bytes]) -> list[bytes]:
        row = orjson.loads(lines[number])
        return [*lines[:number], orjson.dumps(row | {"data": row["data"] | data}), *lines[number + 1 :]]

    return damaged


def _one_face(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if b'"bottom"' not in line]


def _rows_lost(lines: list[bytes]) -> list[bytes]:
    return [*lines[:20], *lines[24:]]


DAMAGE: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a message that is no JSON": lambda lines: [*lines[:5], b'{"data": {"coil_id"', *lines[5:]],
    "no coil.started": _without("coil.started"),
    "no coil.ended": _without("coil.ended"),
    "a band upside down": _with_row(0, zn_min_g_m2=300.0),
    "one face": _one_face,
    "rows lost": _rows_lost,
    "a reading that is text": _with_row(7, mean_g_m2=["110", *[110.0] * 8]),
    "eight sensors": _with_row(7, mean_g_m2=[110.0] * 8),
}


@dataclass(kw_only=True)
class Phase:
    """What is sent while one thing happens."""

    coils: list[list[bytes]] = field(default_factory=list)  # events of each, in structured JSON
    asked: list[Given] = field(default_factory=list)  # coils of the plant's tables, or not even there


def phases() -> list[Phase]:
    """All 500 coils: of every 80 by Kafka three or four are damaged, of every 20 in the plant's tables one or none."""
    found = [Phase() for _ in range(PHASES)]
    kinds = list(DAMAGE)
    for number, lines in enumerate(_simulated(KAFKA_COILS)):
        damaged = number % 25 == 12  # 16 of 400
        found[number * PHASES // KAFKA_COILS].coils.append(
            DAMAGE[kinds[number // 25 % len(kinds)]](lines) if damaged else lines
        )
    for number in range(ASKED_COILS):
        given = coil(f"T{number:03}", rows=12 + number % 20, level=105.0 + number % 9)
        if number in (10, 35):
            given.zn_min = None
        if number in (60, 85):
            given.listed, given.faces = False, {}
        found[number * PHASES // ASKED_COILS].asked.append(given)
    return found


def _simulated(coils: int) -> Iterator[list[bytes]]:
    for block in simulate(coils, seed=20):
        events: dict[str, list[bytes]] = {}
        for coil_id, line in event_lines(block):
            events.setdefault(coil_id, []).append(line.rstrip())
        yield from events.values()


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """A verdict of the local host."""

    revision: str
    label: str
    p_nok: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """What the local host makes of all coils."""

    verdicts: dict[CoilKey, Expected]
    refused: dict[CoilKey, str]  # coil -> error
    unreadable: int  # messages that name no coil


def reference(sources: Sequence[str], ensemble: Ensemble, settings: Settings) -> Reference:
    """Judge the coils of these sources by an ensemble."""
    verdicts: dict[CoilKey, Expected] = {}
    refused: dict[CoilKey, str] = {}
    unreadable = 0
    for source in sources:
        for judged in assess(open_source(source, plant=PLANT), only(ensemble), settings, records=True):
            for one in judged.coils:
                said = one.verdict
                verdicts[said.key] = Expected(
                    revision=said.revision, label=said.label, p_nok=said.p_nok, reasons=said.reasons
                )
            refused |= {one.key: one.error for one in judged.rejects if one.key is not None and one.whole_coil}
            unreadable += sum(one.key is None for one in judged.rejects)
    return Reference(verdicts=verdicts, refused=refused, unreadable=unreadable)
