"""What can be wrong with a coil, in every kind of source that carries readings."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from tests.flows.given import Given


@dataclass(frozen=True)
class Fault:
    """One way to damage a coil, and what the user must be told."""

    name: str
    damage: Callable[[Given], None]
    said: str  # part of the sentence, the same for every kind of source


def _set(value: float) -> Callable[[Given], None]:
    def damage(given: Given) -> None:
        given.faces["bottom"][4][1][6] = value

    return damage


def _lose_face(given: Given) -> None:
    given.faces["bottom"] = []


def _one_row(given: Given) -> None:
    given.faces["top"] = given.faces["top"][:1]


def _eight_sensors(given: Given) -> None:
    given.faces["top"][3][1].pop(5)


def _no_band(given: Given) -> None:
    given.zn_min = None


def _swapped_band(given: Given) -> None:
    given.zn_min, given.zn_max = 120.0, 100.0


def _empty_band(given: Given) -> None:
    given.zn_min = given.zn_max = 100.0


def _conflict(given: Given) -> None:
    position, values = given.faces["top"][2]
    given.faces["top"].append((position, [v + 1 for v in values]))


def _unknown(given: Given) -> None:
    given.listed = False


FAULTS = (
    Fault("NaN", _set(math.nan), "bottom face, row 5, sensor 7: nan g/m² is not a finite number"),
    Fault("infinity", _set(math.inf), "bottom face, row 5, sensor 7: inf g/m² is not a finite number"),
    Fault("negative mass", _set(-3.5), "bottom face, row 5, sensor 7: -3.5 g/m² is negative"),
    Fault("more zinc than there is", _set(1e308), "bottom face, row 5, sensor 7: 1e+308 g/m² is no coating"),
    Fault("a face missing", _lose_face, "the bottom face is missing"),
    Fault("fewer than two rows", _one_row, "the top face has 1 row, at least 2 are needed"),
    Fault("a row that is not nine wide", _eight_sensors, "9"),
    Fault("no band", _no_band, "band"),
    Fault("zn_min over zn_max", _swapped_band, "zn_min 120 is not below zn_max 100 g/m²"),
    Fault("zn_min equal to zn_max", _empty_band, "zn_min 100 is not below zn_max 100 g/m²"),
    Fault("repeats that disagree", _conflict, "disagree"),
    Fault("an unknown coil", _unknown, "band"),
)
