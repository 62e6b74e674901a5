"""Charts tell the same to whoever looks, listens or reads the table, whatever text is in them."""

import re
from datetime import UTC, date, datetime, timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from console.web.axes import Scale, time_ticks, value_ticks
from console.web.bar_charts import day_bars, distribution_chart
from console.web.charts import Bound, Dot, Line, Mark, Point, dot_chart, marks_list, sparkline, time_chart
from console.web.score_charts import FIGURES, coils_of
from schemas.scores import Cells, Figure, Rates, Score

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\"'&"
_FINITE = st.floats(-1e6, 1e6)


def points(*values: float) -> tuple[Point, ...]:
    return tuple(
        Point(at=NOON + timedelta(hours=hour), value=value, low=value - 0.05, high=value + 0.05)
        for hour, value in enumerate(values)
    )


def over_time(*lines: Line, marks: tuple[Mark, ...] = ()) -> Markup:
    bound = Bound(value=0.75, said=f"at least {HOSTILE}")
    until = NOON + timedelta(hours=9)
    return time_chart(
        "a", f"Agreement {HOSTILE}", lines, after=NOON, until=until, percent=True, marks=marks, bounds=[bound]
    )


def parsed(chart: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(chart)  # noqa: S314 - our own


def cells(chart: Markup) -> list[list[str]]:
    return [["".join(cell.itertext()) for cell in row] for row in parsed(chart).iter("tr")]


def every_chart() -> list[Markup]:
    figure = Figure(value=0.5, low=0.25, high=0.75)
    return [
        over_time(Line(name=HOSTILE, points=points(0.9, 0.8))),
        dot_chart("b", HOSTILE, [Dot(name=HOSTILE, figure=figure, beside=figure, of=HOSTILE)], of=HOSTILE),
        day_bars("c", HOSTILE, [(date(2026, 11, 20), {"OK": 3, HOSTILE: 2})], kinds=("OK", HOSTILE)),
        distribution_chart("d", HOSTILE, (0.1, 0.2), (0.3, 0.3, 0.4), (0.1, 0.1, 0.8), percent=False, unit=HOSTILE),
    ]


@pytest.mark.parametrize("chart", every_chart(), ids=["time", "dots", "days", "distribution"])
def test_text_of_others_stays_text_and_nothing_is_styled_or_scripted_within(chart: Markup) -> None:
    assert not list(parsed(chart).iter("script"))
    attributes = {name for element in parsed(chart).iter() for name in element.attrib}
    assert not {name for name in attributes if name == "style" or name.startswith("on")}


@pytest.mark.parametrize("chart", every_chart(), ids=["time", "dots", "days", "distribution"])
def test_a_chart_has_a_name_a_description_and_a_table(chart: Markup) -> None:
    [drawing] = [one for one in parsed(chart) if one.tag == "svg"]
    told = {one.attrib["id"]: one.text for one in drawing if one.tag in ("title", "desc")}
    assert drawing.attrib["role"] == "img"
    assert list(told) == drawing.attrib["aria-labelledby"].split()
    assert all(told.values())
    assert len(cells(chart)) > 1


def test_the_table_has_every_point_with_its_interval() -> None:
    rows = cells(over_time(Line(name="champion", points=points(0.9, 0.8)), Line(name="shadow", points=points(0.7))))[1:]
    assert [(row[0], *row[2:5]) for row in rows] == [
        ("champion", "90 %", "85 %", "95 %"),
        ("champion", "80 %", "75 %", "85 %"),
        ("shadow", "70 %", "65 %", "75 %"),
    ]


def test_each_figure_says_of_how_many_coils_of_its_own_kind_it_is() -> None:
    unknown = Figure(value=None, low=None, high=None)
    rates = Rates(agreement=unknown, recall=unknown, false_alarms=unknown, precision=unknown)
    called = Cells(tp=9, fp=3, fn=1, tn=27)
    score = Score(cells=called, rates=rates, calibration_error=unknown, undecided=unknown, weighted=None)
    assert [coils_of(score, figure, weighted=False) for figure in FIGURES] == ["40", "10 NOK", "30 OK"]
    line = Line(name="champion", points=(Point(at=NOON, value=0.9, of="10 NOK"),))
    chart = over_time(line)
    assert cells(chart)[-1][-1] == "10 NOK"
    assert "champion: 90 % of 10 NOK" in chart


def test_lines_are_told_apart_without_colour() -> None:
    chart = parsed(over_time(*(Line(name=name, points=points(0.9, 0.8)) for name in ("a", "b", "c"))))
    signs = {
        (one.tag, re.sub(r"[-\d.]+", "", one.attrib.get("d", "")))
        for one in chart.iter()
        if "sign" in one.attrib.get("class", "")
    }
    assert len(signs) == 3
    legend = [one for one in chart if one.attrib.get("class") == "legend"]
    assert [one.text or one[0].tail for one in legend[0]] == [" a", " b", " c"]


def test_what_happened_is_numbered_in_the_chart_as_in_the_list() -> None:
    marks = tuple(Mark(at=NOON + timedelta(hours=hours), said=f"change {hours}") for hours in (-1, 2, 5, 99))
    chart = over_time(Line(name="a", points=points(0.9)), marks=marks)
    flags = [one.text for one in parsed(chart).iter("text") if "flag-said" in one.attrib["class"]]
    listed = parsed(marks_list(marks, after=NOON, until=NOON + timedelta(hours=9)))
    assert flags == ["1", "2"]
    assert [(one.text or "").partition(": ")[2] for one in listed] == ["change 2", "change 5"]


def test_a_chart_of_nothing_says_so() -> None:
    chart = over_time(Line(name="a", points=()))
    assert "Nothing is known of it in this time." in chart
    assert "<svg" not in chart
    assert sparkline([], bound=1.0) == ""


@given(low=_FINITE, high=_FINITE, percent=st.booleans())
def test_ticks_enclose_what_is_drawn_and_are_few(low: float, high: float, percent: bool) -> None:  # noqa: FBT001
    low, high = min(low, high), max(low, high)
    ticks = value_ticks(low, high, percent=percent)
    values = [tick.value for tick in ticks]
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert values[0] <= low + slack
    assert values[-1] >= high - slack
    assert values == sorted(values)
    assert 2 <= len(values) <= 8


@given(seconds=st.integers(60, 86400 * 3000), offset=st.integers(0, 86400 * 400))
def test_ticks_of_a_time_lie_within_it_and_leave_room(seconds: int, offset: int) -> None:
    after = NOON + timedelta(seconds=offset)
    until = after + timedelta(seconds=seconds)
    ticks = [tick.value for tick in time_ticks(after, until)]
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 10
    assert all(after.timestamp() <= tick <= until.timestamp() for tick in ticks)


@given(value=_FINITE)
def test_nothing_is_drawn_outside_of_the_axes(value: float) -> None:
    assert 50 <= Scale(low=0, high=1, first=50, last=400)(value) <= 400
