"""Errors by what coils have in common: counted once for each value, and no surer for being repeated."""

import numpy as np
import pytest

from models.error_rows import ErrorRow, error_rows
from models.share_intervals import wilson_interval

IS_NOK = np.array([True, True, True, False, False, False])
CALLED = np.array([True, False, False, True, False, False])
BANDS = [("40–55",), ("40–55",), ("100–120",), ("100–120",), ("40–55",), ("100–120",)]
REASONS = [("doubt", "gauge stuck"), ("no reason",), ("doubt",), ("doubt",), ("no reason",), ()]


def row(rows: tuple[ErrorRow, ...], by: str, value: str) -> ErrorRow:
    [found] = [one for one in rows if (one.by, one.value) == (by, value)]
    return found


def test_misses_are_of_nok_coils_and_false_alarms_of_ok_coils() -> None:
    rows = error_rows({"band": BANDS, "reason": REASONS}, IS_NOK, CALLED)
    assert [(one.by, one.value) for one in rows] == [
        ("all", ""),
        ("band", "40–55"),
        ("band", "100–120"),
        ("reason", "doubt"),
        ("reason", "gauge stuck"),
        ("reason", "no reason"),
    ], "numbers in their order"
    everything = rows[0]
    assert (everything.missed.coils, everything.missed.wrong) == (3, 2)
    assert (everything.false_alarms.coils, everything.false_alarms.wrong) == (3, 1)
    assert everything.missed.ci95 == pytest.approx(wilson_interval(2, 3))
    light = row(rows, "band", "40–55")
    assert (light.missed.rate, light.false_alarms.rate) == (0.5, 0.0)


def test_a_coil_of_two_reasons_counts_in_both() -> None:
    rows = error_rows({"reason": REASONS}, IS_NOK, CALLED)
    assert row(rows, "reason", "doubt").missed.coils == 2
    assert row(rows, "reason", "gauge stuck").missed.coils == 1


def test_a_rate_of_no_coils_is_unknown() -> None:
    stuck = row(error_rows({"reason": REASONS}, IS_NOK, CALLED), "reason", "gauge stuck")
    assert (stuck.false_alarms.rate, stuck.false_alarms.ci95) == (None, None)
    assert stuck.as_json()["false_alarms"] == {"coils": 0, "wrong": 0.0, "rate": None, "ci95": None}


def test_runs_over_the_same_coils_count_in_their_mean_and_make_no_interval_narrower() -> None:
    [once] = error_rows({}, IS_NOK, CALLED)
    [often] = error_rows({}, IS_NOK, np.stack([CALLED] * 50))
    assert once == often
    [half] = error_rows({}, IS_NOK, np.stack([CALLED, IS_NOK]))
    assert (half.missed.wrong, half.missed.coils) == (1.0, 3)


def test_whatever_a_value_is_it_has_its_place_with_those_that_begin_with_numbers_first() -> None:
    values = [" ", "²", "–5", "", "[/x]", "900 and more", "40–55", "0.5"]
    rows = error_rows({"reason": [values] * 6}, IS_NOK, CALLED)
    found = [one.value for one in rows[1:]]
    assert found[:3] == ["0.5", "40–55", "900 and more"]
    assert sorted(found) == sorted(values)
