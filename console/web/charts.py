"""Charts as inline SVG made on the server, each with a title, a description, and its figures as a table.

A module of our own, for none of the libraries fits a page without inline styles and scripts (`default-src 'self'`)
that is light or dark by CSS variables and stays under 300 kB: pygal writes a style sheet and a script into each
drawing, matplotlib draws letters as outlines in fixed colours (30 to 100 kB each), Altair's SVG comes from a JavaScript
engine, and leather sets colours in each element and knows no intervals. What is wanted is four kinds of drawing.

Colour never tells alone: lines differ by dashes and marks and bear their names, kinds of bars by hatching, points by
shape and filling. `static/reliability.css` has the colours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from console.web.axes import Scale, Tick, padded, said, time_ticks, value_ticks
from console.web.chart_frame import (
    BOTTOM,
    HEIGHT,
    LEFT,
    NOTHING,
    RIGHT,
    TOP,
    WIDTH,
    column,
    day_of,
    empty,
    figure,
    levels,
    many,
    minute,
    path,
    short,
    sign,
    swatch,
)
from console.web.svg import tag
from schemas.scores import Figure

_ROW = 26.0  # of a dot plot
_NAMES_OF_ROWS = 108.0
_STYLES = 6  # of lines, in the style sheet
_MARKED_POINTS = 40  # more points of a line bear no marks of their own


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A figure at a time, with its 95% interval where there is one."""

    at: datetime
    value: float
    low: float | None = None
    high: float | None = None
    of: str = ""  # coils that it rests on, in words


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A figure as it went on; each point holds until the next one."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Something that happened; the chart shows its number, `marks_list` what it was."""

    at: datetime
    said: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """A value that is to be kept to."""

    value: float
    said: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """One row of a dot plot; figures whose value is unknown are no rows."""

    name: str
    figure: Figure  # of labelled coils
    beside: Figure | None = None  # of all of the line
    of: str = ""  # coils that it rests on, in words


def time_chart(
    name: str,
    title: str,
    lines: Sequence[Line],
    *,
    after: datetime,
    until: datetime,
    percent: bool,
    unit: str = "",
    marks: Sequence[Mark] = (),
    bounds: Sequence[Bound] = (),
) -> Markup:
    """Figures over time as steps with interval bands.

    Args:
        name: of the chart within its page, for ids.
        title: of the chart.
        lines: at most six are told apart; those without points are left out.
        after: the time begins, with a time zone.
        until: it ends.
        percent: values are shares, shown in percent.
        unit: of the values otherwise.
        marks: what happened meanwhile.
        bounds: levels to compare with.
    """
    after, until = padded(after, until)
    drawn = [line for line in lines if line.points]
    if not drawn:
        return empty(title, "Nothing is known of it in this time.")
    values = [end for line in drawn for one in line.points for end in (one.low, one.value, one.high) if end is not None]
    ticks = value_ticks(
        min([*values, *(one.value for one in bounds)]), max([*values, *(one.value for one in bounds)]), percent=percent
    )
    across = Scale(low=after.timestamp(), high=until.timestamp(), first=LEFT, last=WIDTH - RIGHT)
    up = Scale(low=ticks[0].value, high=ticks[-1].value, first=HEIGHT - BOTTOM, last=TOP)
    parts = [*_axes(across, up, time_ticks(after, until), ticks, across_said="time", up_said=unit or "%")]
    for bound in bounds:
        y = up(bound.value)
        parts.append(tag("line", x1=LEFT, x2=across.last, y1=y, y2=y, class_="bound"))
        parts.append(tag("text", bound.said, x=across.last, y=y - 4, class_="bound-said end"))
    shown = [mark for mark in marks if after <= mark.at <= until]
    parts += [part for number, mark in enumerate(shown, 1) for part in _flag(number, across(mark.at.timestamp()))]
    for number, line in enumerate(drawn):
        parts += _line(line, number % _STYLES, across, up, until)
    description = f"{many(len(drawn), 'line')} from {day_of(after)} to {day_of(until)}; " + "; ".join(
        f"{line.name}: last {_last(line, percent=percent)}" for line in drawn
    )
    rows = [
        (
            line.name,
            minute(one.at),
            said(one.value, percent=percent),
            _told_of(one.low, percent=percent),
            _told_of(one.high, percent=percent),
            one.of,
        )
        for line in drawn
        for one in line.points
    ]
    columns = ("version or plant", "from", column("value", unit, percent=percent), "95 % from", "to", "of coils")
    return figure(
        name,
        title,
        description,
        parts,
        columns,
        rows,
        legend=[_named(line, number % _STYLES, percent=percent) for number, line in enumerate(drawn)],
    )


def marks_list(marks: Sequence[Mark], *, after: datetime, until: datetime) -> Markup:
    """What the numbers in charts of that time stand for; nothing where nothing happened."""
    shown = [mark for mark in marks if after <= mark.at <= until]
    if not shown:
        return NOTHING
    return tag("ol", *(tag("li", f"{minute(mark.at)}: {mark.said}") for mark in shown), class_="marks")


def dot_chart(name: str, title: str, dots: Sequence[Dot], *, of: str, percent: bool = True) -> Markup:
    """Figures of several kinds of coils beside each other, each with its interval.

    A filled circle is the figure of labelled coils; an empty diamond, where there is one, that of all of the line as
    the draws of reviews weigh them.

    Args:
        name: of the chart within its page, for ids.
        title: of the chart.
        dots: a row each.
        of: what the rows are, e.g. "band".
        percent: values are shares.
    """
    known = [dot for dot in dots if dot.figure.value is not None]
    if not known:
        return empty(title, "Nothing is known of it yet.")
    ends = [end for dot in known for one in (dot.figure, dot.beside) for end in _of(one) if end is not None]
    ticks = value_ticks(min(ends), max(ends), percent=percent)
    height = TOP + _ROW * len(known) + BOTTOM
    across = Scale(low=ticks[0].value, high=ticks[-1].value, first=_NAMES_OF_ROWS, last=WIDTH - 134)
    parts = []
    for tick in ticks:
        x = across(tick.value)
        parts.append(tag("line", x1=x, x2=x, y1=TOP - 8, y2=height - BOTTOM, class_="grid"))
        parts.append(tag("text", tick.text, x=x, y=height - BOTTOM + 16, class_="tick middle"))
    for row, dot in enumerate(known):
        y = TOP + _ROW * (row + 0.35)
        parts.append(
            tag("text", short(dot.name, 15), tag("title", dot.name), x=_NAMES_OF_ROWS - 12, y=y + 4, class_="tick end")
        )
        parts += _dot(dot.figure, across, y, "circle")
        if dot.beside is not None:
            parts += _dot(dot.beside, across, y + 9, "diamond")
        told = " of ".join(filter(None, (_told_of(dot.figure.value, percent=percent), dot.of)))
        parts.append(tag("text", told, x=WIDTH - 126, y=y + 4, class_="tick"))
    columns = (of, "labelled coils", "95 % from", "to", "all of the line", "95 % from", "to", "labelled, of coils")
    rows = [
        (
            dot.name,
            *(_told_of(end, percent=percent) for end in (*_of(dot.figure), *_of(dot.beside))),
            dot.of,
        )
        for dot in known
    ]
    legend = []
    if any(dot.beside is not None for dot in known):
        legend = [
            swatch(tag("circle", cx=14, cy=6, r=4.2, class_="sign s0"), text="labelled coils"),
            swatch(tag("path", d="M14 1L19 6L14 11L9 6Z", class_="hollow s1"), text="all of the line"),
        ]
    described = f"{many(len(known), 'row')}, one for each {of}"
    return figure(name, title, described, parts, columns, rows, height=height, legend=legend)


def sparkline(values: Sequence[float], *, bound: float) -> Markup:
    """A course without axes beside the figures that it ends with; the dashed line is the bound.

    Args:
        values: in order, at even steps.
        bound: above which the figure is out of bounds.
    """
    if not values:
        return NOTHING
    highest = max(*values, 1.25 * bound)
    step = 100 / max(len(values) - 1, 1)
    course = path([(place * step, 24 - 22 * value / highest) for place, value in enumerate(values)])
    y = 24 - 22 * bound / highest
    return tag(
        "svg",
        tag("line", x1=0, x2=100, y1=y, y2=y),
        tag("path", d=course),
        attributes={"viewBox": "0 0 100 26", "preserveAspectRatio": "none"},
        class_="spark",
        aria_hidden="true",
    )


def _axes(
    across: Scale, up: Scale, across_ticks: Sequence[Tick], up_ticks: Sequence[Tick], *, across_said: str, up_said: str
) -> Iterator[Markup]:
    yield from levels(up, up_ticks, last=across.last, named=up_said)
    for tick in across_ticks:
        x = across(tick.value)
        yield tag("line", x1=x, x2=x, y1=up.first, y2=up.first + 4, class_="axis-line")
        yield tag("text", tick.text, x=x, y=up.first + 16, class_="tick middle")
    yield tag("text", across_said, x=(across.first + across.last) / 2, y=HEIGHT - 6, class_="axis middle")


def _flag(number: int, x: float) -> Iterator[Markup]:
    yield tag("line", x1=x, x2=x, y1=TOP - 6, y2=HEIGHT - BOTTOM, class_="mark")
    yield tag("circle", cx=x, cy=TOP - 14, r=8, class_="flag")
    yield tag("text", str(number), x=x, y=TOP - 10, class_="flag-said middle")


def _line(line: Line, style: int, across: Scale, up: Scale, until: datetime) -> Iterator[Markup]:
    points = line.points
    ends = [one.at for one in points[1:]] + [max(points[-1].at, min(until, points[-1].at))]
    band = [(one, end) for one, end in zip(points, ends, strict=True) if one.low is not None and one.high is not None]
    if len(band) > 1:
        there = [(across(at.timestamp()), up(one.high or 0)) for one, end in band for at in (one.at, end)]
        back = [(across(at.timestamp()), up(one.low or 0)) for one, end in reversed(band) for at in (end, one.at)]
        yield tag("path", d=path([*there, *back]) + "Z", class_=f"band s{style}")
    places = [
        (across(at.timestamp()), up(one.value)) for one, end in zip(points, ends, strict=True) for at in (one.at, end)
    ]
    yield tag("path", d=path(places), class_=f"line s{style}")
    shown = points if len(points) <= _MARKED_POINTS else points[-1:]
    for one in shown:
        x, y = across(one.at.timestamp()), up(one.value)
        if len(points) == 1 and one.low is not None and one.high is not None:
            yield tag("line", x1=x, x2=x, y1=up(one.low), y2=up(one.high), class_=f"whisker s{style}")
        yield sign(style, x, y)


def _named(line: Line, style: int, *, percent: bool) -> Markup:
    drawn = (tag("line", x1=0, x2=28, y1=6, y2=6, class_=f"line s{style}"), sign(style, 14, 6))
    return swatch(*drawn, text=f"{line.name}: {_last(line, percent=percent)}" if line.points[-1].of else line.name)


def _last(line: Line, *, percent: bool) -> str:
    last = line.points[-1]
    return " of ".join(filter(None, (said(last.value, percent=percent), last.of)))


def _dot(given: Figure, across: Scale, y: float, shape: str) -> Iterator[Markup]:
    if given.value is None:
        return
    if given.low is not None and given.high is not None:
        style = "s0" if shape == "circle" else "s1"
        yield tag("line", x1=across(given.low), x2=across(given.high), y1=y, y2=y, class_=f"whisker {style}")
    x = across(given.value)
    if shape == "circle":
        yield tag("circle", cx=x, cy=y, r=4.2, class_="sign s0")
    else:
        yield tag("path", d=path([(x, y - 5), (x + 5, y), (x, y + 5), (x - 5, y)]) + "Z", class_="hollow s1")


def _of(given: Figure | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if given is None else (given.value, given.low, given.high)


def _told_of(value: float | None, *, percent: bool) -> str:
    return "" if value is None else said(value, percent=percent)
