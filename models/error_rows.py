"""Where verdicts go wrong: defects missed and false alarms, by what coils have in common."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.share_intervals import wilson_interval
from schemas.coils import BoolArray, FloatArray

ALL = "all"
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrong:
    """Verdicts of one label that were wrong; `rate` and limits are None where there are no coils."""

    coils: int
    wrong: float  # mean over runs, where several judged the same coils
    rate: float | None
    ci95: tuple[float, float] | None  # Wilson (1927)


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorRow:
    """Coils that have something in common."""

    by: str  # what: band, length, kind, reason, ...
    value: str
    missed: Wrong  # of NOK coils those called OK
    false_alarms: Wrong  # of OK coils those called NOK

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"by": self.by, "value": self.value, **{n: _plain(getattr(self, n)) for n in ("missed", "false_alarms")}}


def error_rows(
    groups: Mapping[str, Sequence[Sequence[str]]], is_nok: BoolArray, called_nok: BoolArray
) -> tuple[ErrorRow, ...]:
    """Errors over all coils, and over those of each value of each group.

    Args:
        groups: by name, for each of N coils the values that it has: one, several, as of reasons, or none.
        is_nok: bool [N], what is true.
        called_nok: bool [N] or [K, N], of K runs over the same coils: these count in their mean, and do not make the
            intervals narrower.

    Returns:
        In the order of the groups, of each the values in their own order.
    """
    wrong = (np.atleast_2d(called_nok) != is_nok).mean(axis=0)
    rows = [_row(ALL, "", np.ones(len(is_nok), dtype=np.bool_), is_nok, wrong)]
    for by, values in groups.items():
        found = sorted({one for each in values for one in each}, key=_natural)
        holding = ((value, np.array([value in each for each in values], dtype=np.bool_)) for value in found)
        rows += [_row(by, value, which, is_nok, wrong) for value, which in holding]
    return tuple(rows)


def _row(by: str, value: str, which: BoolArray, is_nok: BoolArray, wrong: FloatArray) -> ErrorRow:
    missed, false_alarms = _wrong(wrong[which & is_nok]), _wrong(wrong[which & ~is_nok])
    return ErrorRow(by=by, value=value, missed=missed, false_alarms=false_alarms)


def _wrong(wrong: FloatArray) -> Wrong:
    coils, sum_wrong = len(wrong), float(wrong.sum())
    if not coils:
        return Wrong(coils=0, wrong=0.0, rate=None, ci95=None)
    return Wrong(coils=coils, wrong=sum_wrong, rate=sum_wrong / coils, ci95=wilson_interval(sum_wrong, coils))


def _natural(value: str) -> tuple[float, str]:
    """Values that begin with a number by it, the others behind."""
    number = _NUMBER.match(value)
    return (float(number[0]) if number else np.inf), value


def _plain(one: Wrong) -> dict[str, Any]:
    return {
        "coils": one.coils,
        "wrong": round(one.wrong, 4),
        "rate": None if one.rate is None else round(one.rate, 4),
        "ci95": None if one.ci95 is None else [round(bound, 4) for bound in one.ci95],
    }
