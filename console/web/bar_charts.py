"""Bars: counts by day, and how a quantity is distributed then and now; see `console.web.charts`."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise

from markupsafe import Markup

from console.web.axes import Scale, said, value_ticks
from console.web.chart_frame import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, column, empty, figure, levels, many, swatch
from console.web.svg import Attribute, tag


def day_bars(name: str, title: str, days: Sequence[tuple[date, Mapping[str, int]]], *, kinds: Sequence[str]) -> Markup:
    """How many of each kind there were on each day, on top of each other.

    Args:
        name: of the chart within its page, for ids.
        title: of the chart.
        days: in order, each with its counts by kind.
        kinds: at most three, from the bottom.
    """
    if not any(sum(counts.values()) for _, counts in days):
        return empty(title, "There was none in this time.")
    ticks = value_ticks(0, max(sum(counts.values()) for _, counts in days), percent=False)
    up = Scale(low=0, high=ticks[-1].value, first=HEIGHT - BOTTOM, last=TOP)
    step = (WIDTH - RIGHT - LEFT) / len(days)
    every = -(-len(days) // 7)
    parts = [*levels(up, ticks, last=WIDTH - RIGHT, named="number")]
    parts.append(_hatching(name))
    for place, (day, counts) in enumerate(days):
        x, base = LEFT + place * step, 0
        for number, kind in enumerate(kinds):
            count = counts.get(kind, 0)
            if count:
                top = up(base + count)
                box = {"x": x + 0.1 * step, "y": top, "width": 0.8 * step, "height": up(base) - top}
                hint = tag("title", f"{day:%Y-%m-%d}: {count} {kind}")
                parts.append(tag("rect", hint, attributes=box, class_=f"bar k{number}"))
                if number == 1:
                    parts.append(tag("rect", attributes={**box, "fill": f"url(#{name}-hatch)"}, class_="over"))
                base += count
        if place % every == 0:
            parts.append(
                tag("text", f"{day.day} {day:%b}", x=x + step / 2, y=HEIGHT - BOTTOM + 16, class_="tick middle")
            )
    rows = [(f"{day:%Y-%m-%d}", *(str(counts.get(kind, 0)) for kind in kinds)) for day, counts in days]
    total = ", ".join(f"{sum(counts.get(kind, 0) for _, counts in days)} {kind}" for kind in kinds)
    legend = [_kind(name, number, kind) for number, kind in enumerate(kinds)]
    described = f"{many(len(days), 'day')}: {total} in all"
    return figure(name, title, described, parts, ("day", *kinds), rows, legend=legend)


def distribution_chart(
    name: str,
    title: str,
    cuts: Sequence[float],
    then: Sequence[float],
    now: Sequence[float],
    *,
    percent: bool,
    unit: str = "",
) -> Markup:
    """Shares of coils between cuts, as they were (outlined) and as they are (filled).

    Args:
        name: of the chart within its page, for ids.
        title: of the chart.
        cuts: ascending, one fewer than there are shares.
        then: share of coils in each bin of the reference.
        now: the same of the latest coils.
        percent: the cuts are shares themselves.
        unit: of the cuts otherwise.
    """
    ticks = value_ticks(0, max(*then, *now), percent=True, most=4)
    up = Scale(low=0, high=ticks[-1].value, first=HEIGHT - BOTTOM, last=TOP)
    step = (WIDTH - RIGHT - LEFT) / len(then)
    parts = [*levels(up, ticks, last=WIDTH - RIGHT, named="of coils")]
    ends = [f"{100 * cut:.2g}" if percent else f"{cut:.2g}" for cut in cuts]
    bins, unit = _bins(ends), "%" if percent else unit
    for place, (before, after) in enumerate(zip(then, now, strict=True)):
        x = LEFT + place * step
        hint = tag("title", f"{bins[place]} {unit}: {said(before, percent=True)} then, {said(after, percent=True)} now")
        top = up(after)
        parts.append(
            tag("rect", hint, x=x + 0.14 * step, y=top, width=0.72 * step, height=up(0) - top, class_="bar k0")
        )
        top = up(before)
        parts.append(tag("rect", x=x + 0.04 * step, y=top, width=0.92 * step, height=up(0) - top, class_="then"))
    for place, end in enumerate(ends):
        x = LEFT + (place + 1) * step
        parts.append(tag("text", end, x=x, y=HEIGHT - BOTTOM + 16, class_="tick middle"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(tag("text", unit or "value", x=middle, y=HEIGHT - 6, class_="axis middle"))
    legend = [
        swatch(tag("rect", x=1, y=1, width=26, height=10, class_="then"), text="reference"),
        swatch(tag("rect", x=0, y=0, width=28, height=12, class_="bar k0"), text="latest coils"),
    ]
    rows = [
        (bins[place], said(before, percent=True), said(after, percent=True))
        for place, (before, after) in enumerate(zip(then, now, strict=True))
    ]
    description = f"{many(len(then), 'range')} of values; share of coils in each, then and now"
    return figure(
        name, title, description, parts, (column("value", unit, percent=False), "then", "now"), rows, legend=legend
    )


def _kind(name: str, number: int, kind: str) -> Markup:
    box: dict[str, Attribute] = {"width": 28, "height": 12}
    parts = [tag("rect", attributes=box, class_=f"bar k{number}")]
    if number == 1:
        parts.append(tag("rect", attributes={**box, "fill": f"url(#{name}-hatch)"}, class_="over"))
    return swatch(*parts, text=kind)


def _hatching(name: str) -> Markup:
    line = tag("path", d="M0 6L6 0", class_="hatch")
    size: dict[str, Attribute] = {"id": f"{name}-hatch", "width": 6, "height": 6, "patternUnits": "userSpaceOnUse"}
    return tag("defs", tag("pattern", line, attributes=size))


def _bins(ends: Sequence[str]) -> list[str]:
    if not ends:
        return ["all"]
    return [
        f"up to {ends[0]}",
        *(f"{low} to {high}" for low, high in pairwise(ends)),
        f"above {ends[-1]}",
    ]
