"""What all charts have: their place on the page, axes, marks, and the table of their figures."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from markupsafe import Markup

from console.web.axes import Scale, Tick
from console.web.svg import Attribute, tag

WIDTH, HEIGHT = 460.0, 230.0  # as wide as a third of a page, so that letters keep their size
LEFT, RIGHT, TOP, BOTTOM = 50.0, 12.0, 32.0, 38.0
NOTHING = Markup("")


def levels(up: Scale, ticks: Sequence[Tick], *, last: float, named: str) -> Iterator[Markup]:
    """The axis of values: a line across the drawing for each tick, and what the values are."""
    for tick in ticks:
        y = up(tick.value)
        yield tag("line", x1=LEFT, x2=last, y1=y, y2=y, class_="grid")
        yield tag("text", tick.text, x=LEFT - 8, y=y + 4, class_="tick end")
    yield tag("line", x1=LEFT, x2=last, y1=up.first, y2=up.first, class_="axis-line")
    yield tag("text", named, x=2, y=TOP - 14, class_="axis")


def sign(style: int, x: float, y: float) -> Markup:
    """A mark of a shape of its own for each style."""
    r = 3.4
    shapes = (
        None,
        [(-r, -r), (r, -r), (r, r), (-r, r)],
        [(0, -1.4 * r), (1.2 * r, r), (-1.2 * r, r)],
        [(0, -1.4 * r), (1.4 * r, 0), (0, 1.4 * r), (-1.4 * r, 0)],
    )
    shape = shapes[style % len(shapes)]
    if shape is None:
        return tag("circle", cx=x, cy=y, r=r, class_=f"sign s{style}")
    return tag("path", d=path([(x + dx, y + dy) for dx, dy in shape]) + "Z", class_=f"sign s{style}")


def figure(
    name: str,
    title: str,
    description: str,
    parts: Sequence[Markup],
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    legend: Sequence[Markup] = (),
    height: float = HEIGHT,
) -> Markup:
    """A drawing under its title, what is told below it, and its figures as a table."""
    heads = [tag("th", column, scope="col") for column in columns]
    lines = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *lines), class_="figures")
    scrolled = tag("div", table, class_="scrolled", tabindex="0", role="region", aria_label=f"{title}: figures")
    drawing = tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", description, id=f"{name}-desc"),
        *parts,
        attributes={"viewBox": f"0 0 {WIDTH:g} {height:g}"},
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )
    details = tag("details", tag("summary", f"Figures of “{title}” as a table"), scrolled)
    names = tag("ul", *(tag("li", one) for one in legend), class_="legend") if legend else NOTHING
    return tag("figure", tag("figcaption", title), drawing, names, details, class_="chart", id=name)


def swatch(*parts: Markup, text: str) -> Markup:
    """An entry of a legend: a piece of the drawing, 28 by 12, and what it stands for."""
    size: dict[str, Attribute] = {"viewBox": "0 0 28 12", "width": 28, "height": 12}
    return Markup("{} {}").format(tag("svg", *parts, attributes=size, class_="swatch", aria_hidden="true"), text)


def empty(title: str, sentence: str) -> Markup:
    """What stands in the place of a chart that has nothing to show."""
    return tag("figure", tag("figcaption", title), tag("p", sentence, class_="nothing"), class_="chart")


def path(places: Sequence[tuple[float, float]]) -> str:
    """A line through places, as `d` of a path."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def short(text: str, most: int) -> str:
    """A text cut to so many signs."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def many(count: int, what: str) -> str:
    """A count with its noun."""
    return f"{count} {what}" + ("" if count == 1 else "s")


def column(name: str, unit: str, *, percent: bool) -> str:
    """Head of a column of values."""
    return name if percent or not unit else f"{name}, {unit}"


def minute(at: datetime) -> str:
    """A time to the minute, by the server's clock."""
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def day_of(at: datetime) -> str:
    """The day of a time, by the server's clock."""
    return f"{at.astimezone():%Y-%m-%d}"
