"""Scores of versions as charts: how they went on with what was changed meanwhile, and those of slices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from console.model_tables import plant_of
from console.web.charts import Bound, Dot, Line, Mark, Point, dot_chart, time_chart
from schemas.loop_settings import PolicySettings
from schemas.scores import Figure, Score, SliceKind
from store.registered import ModelChange
from store.scores import ModelScore

FIGURES = {"agreement": "Agreement", "recall": "NOK recall", "false_alarms": "False alarms"}
TOLD = {
    "promoted": "promoted",
    "rolled_back": "rolled back",
    "shadowed": "judges in shadow",
    "withdrawn": "shadow ended",
    "rejected": "rejected",
    "frozen": "automatic change frozen",
    "unfrozen": "automatic change goes on",
}
_MOST_LINES = 6
_SLICES: tuple[tuple[SliceKind, str], ...] = (("band", "band, g/m²"), ("material", "material"), ("plant", "plant"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The time that charts show."""

    after: datetime
    until: datetime


def score_charts(
    course: Sequence[ModelScore],
    changes: Sequence[ModelChange],
    window: Window,
    policy: PolicySettings,
    *,
    weighted: bool,
    name: str = "score",
) -> tuple[Markup, ...]:
    """Agreement, NOK recall and false alarms over time, a line for each version and role.

    Args:
        course: scores over all coils, by subject in order of time.
        changes: what was done meanwhile.
        window: the time.
        policy: with the bounds.
        weighted: estimates of all of the line; else shares of the labelled coils.
        name: begins the charts' ids within the page.
    """
    bounds = {
        "agreement": Bound(value=policy.least_agreement, said=f"at least {policy.least_agreement:.0%}"),
        "recall": Bound(value=policy.least_recall, said=f"at least {policy.least_recall:.0%}"),
        "false_alarms": Bound(value=policy.most_false_alarms, said=f"at most {policy.most_false_alarms:.0%}"),
    }
    of = "all of the line" if weighted else "labelled coils"
    return tuple(
        time_chart(
            f"{name}-{figure.replace('_', '-')}-{'line' if weighted else 'labelled'}",
            f"{title}, {of}",
            _lines(course, figure, weighted=weighted),
            after=window.after,
            until=window.until,
            percent=True,
            marks=change_marks(changes),
            bounds=[bounds[figure]],
        )
        for figure, title in FIGURES.items()
    )


def change_marks(changes: Sequence[ModelChange]) -> list[Mark]:
    """Changes as marks on an axis; retirements and registrations are not told, as promotions say them."""
    return [Mark(at=one.at, said=change_said(one)) for one in changes if one.change in TOLD]


def slice_charts(scores: Sequence[ModelScore]) -> tuple[Markup, ...]:
    """Of one subject, each figure by band, by material and by plant; slices that nothing is known of are left out."""
    charts = []
    for kind, of in _SLICES:
        own = sorted((one for one in scores if one.slice.kind == kind), key=lambda one: _place(one.slice.value))
        for figure, title in FIGURES.items():
            dots = [dot for one in own if (dot := _dot(one, figure)) is not None]
            if dots:
                charts.append(dot_chart(f"{kind}-{figure.replace('_', '-')}", f"{title} by {kind}", dots, of=of))
    return tuple(charts)


def change_said(change: ModelChange) -> str:
    """A change in words, with who and why."""
    what = f"{change.ensemble_version or ''} {TOLD.get(change.change, change.change)}".strip()
    where = f" for {plant_of(change.plant)}" if change.ensemble_version else ""
    return f"{what}{where}, by {change.who}" + (f": {change.why}" if change.why else "")


def figure_of(score: Score, figure: str, *, weighted: bool) -> Figure | None:
    """One figure with its interval; None where it is not known."""
    if weighted and score.weighted is None:
        return None
    rates = score.weighted.rates if weighted and score.weighted is not None else score.rates
    found: Figure = getattr(rates, figure)
    return None if found.value is None else found


def coils_of(score: Score, figure: str, *, weighted: bool) -> str:
    """The coils that a figure is of: of all, NOK recall of those that are NOK, false alarms of those that are OK."""
    if weighted and score.weighted is not None:
        return f"what {score.weighted.coils} answered coils stand for"
    cells = score.cells
    return {
        "agreement": f"{sum(cells):.0f}",
        "recall": f"{cells.tp + cells.fn:.0f} NOK",
        "false_alarms": f"{cells.fp + cells.tn:.0f} OK",
    }[figure]


def _lines(course: Sequence[ModelScore], figure: str, *, weighted: bool) -> list[Line]:
    lines: dict[str, list[Point]] = {}
    for one in course:
        found = figure_of(one.score, figure, weighted=weighted)
        if found is not None and found.value is not None:
            named = one.subject.version.partition("+")[0] if one.subject.kind == "ensemble" else one.subject.version
            name = named if one.subject.role == "champion" else f"{named} in shadow"
            of = coils_of(one.score, figure, weighted=weighted)
            point = Point(at=one.computed_at, value=found.value, low=found.low, high=found.high, of=of)
            lines.setdefault(name, []).append(point)
    newest = sorted(lines, key=lambda name: lines[name][-1].at, reverse=True)[:_MOST_LINES]
    return [Line(name=name, points=tuple(points)) for name, points in lines.items() if name in newest]


def _dot(one: ModelScore, figure: str) -> Dot | None:
    plain = figure_of(one.score, figure, weighted=False)
    if plain is None:
        return None
    beside = figure_of(one.score, figure, weighted=True)
    return Dot(name=one.slice.value, figure=plain, beside=beside, of=coils_of(one.score, figure, weighted=False))


def _place(value: str) -> tuple[float, str]:
    """Bands by their lower end, names by their letters."""
    first = value.partition("–")[0]
    return (float(first) if first.replace(".", "", 1).isdecimal() else 0.0, value)
