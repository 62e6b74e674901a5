"""Promises of the demonstration's picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread

from console.demo_chart import draw_story, picture
from scheduler.demo_figures import Figures, Judged, Mark
from store.coils import Counts

EVENTS = ("drifted", "decided", "not_proved", "decided", "shadowed", "promoted", "rolled_back")
NAMES = ["the gauge ages", "the policy acts", "not proved", "the policy acts", "shadow", "promoted", "rolled back"]


@pytest.mark.parametrize("coils", [0, 1, 40, 300])
@pytest.mark.parametrize("events", [(), EVENTS])
def test_whatever_happened_and_however_little_it_is_drawn(coils: int, events: Sequence[str], tmp_path: Path) -> None:
    draw_story(_figures(coils, events), tmp_path / "story.png")
    drawn = imread(tmp_path / "story.png")[..., :3]
    assert (drawn.min(axis=2) < 0.5).mean() > 0.005, "a picture has ink"


@pytest.mark.parametrize("coils", [0, 1, 40, 300])
@pytest.mark.parametrize("events", [(), EVENTS])
def test_every_event_has_its_name_and_its_mark_in_both_axes(coils: int, events: Sequence[str]) -> None:
    figures = _figures(coils, events)
    above, below = picture(figures).axes
    assert [text for text in _texts(above) if text != "agreement"] == NAMES[: len(events)]
    for axis in (above, below):
        marks = [line for line in axis.lines if line.get_linestyle() == "--"]
        assert [float(np.asarray(line.get_xdata())[0]) for line in marks] == [
            mark.coils + 0.5 for mark in figures.marks
        ]


@pytest.mark.parametrize(("coils", "swaps"), [(100, 0), (300, 1)])
def test_curves_axes_and_title_say_what_they_are_and_a_successors_coils_are_shaded(coils: int, swaps: int) -> None:
    figures = _figures(coils, EVENTS)
    drawn = picture(figures)
    above, below = drawn.axes
    assert "agreement" in _texts(above)
    assert _texts(below) == ["NOK recall", "false alarms"]
    assert above.get_ylabel() == "verdict is what operators say\n(share of coils)"
    assert below.get_ylabel() == "called NOK\n(share of NOK, of OK coils)"
    assert below.get_xlabel() == "coils judged, in the order of their verdicts (number)"
    title = above.get_title(loc="left")
    assert title.startswith(f"{coils} coils, {swaps} swap{'' if swaps == 1 else 's'}, 0 lost, 0 duplicated")
    assert ("yellow: a successor judges" in title) == bool(swaps)
    story = "a line drifts, a successor takes over" if swaps else "a line drifts"
    assert drawn.get_suptitle() == f"coilflow demo: {story}"
    assert (len(above.patches), len(below.patches)) == (swaps, swaps)

    judged, last = figures.judged, slice(-100, None)
    right = judged.called_nok == judged.is_nok
    shown = [float(_curves(above)[0][-1]), *(float(curve[-1]) for curve in _curves(below))]
    assert shown == pytest.approx(
        [
            right[last].mean(),
            judged.called_nok[last][judged.is_nok[last]].mean(),
            judged.called_nok[last][~judged.is_nok[last]].mean(),
        ]
    )


def _texts(axis: Axes) -> list[str]:
    return [text.get_text() for text in axis.texts]


def _curves(axis: Axes) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata()) for line in axis.lines if line.get_linestyle() == "-"]


def _figures(coils: int, events: Sequence[str]) -> Figures:
    """Verdicts of which every seventh is wrong; coils 200 to 249 are judged by a successor."""
    number = np.arange(1, coils + 1)
    is_nok = number % 5 == 0
    version = tuple("first" if each < 200 else "second" if each < 250 else "first" for each in number)
    return Figures(
        counts=_counts(coils),
        lost=0,
        judged=Judged(number=number, is_nok=is_nok, called_nok=is_nok ^ (number % 7 == 0), version=version),
        marks=tuple(Mark(what=what, coils=place * coils // 10) for place, what in enumerate(events)),
        retrained=(),
        swaps=1 if coils >= 200 else 0,
    )


def _counts(coils: int) -> Counts:
    nothing = dict.fromkeys(Counts.__dataclass_fields__, 0)
    return Counts(**{**nothing, "coils": coils, "verdicts": coils})
