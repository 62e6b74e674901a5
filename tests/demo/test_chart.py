"""Promises of the demonstration's picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from console.demo_chart import draw_story
from scheduler.demo_figures import Figures, Judged, Mark
from store.coils import Counts

EVENTS = ("drifted", "decided", "not_proved", "decided", "shadowed", "promoted", "rolled_back")


@pytest.mark.parametrize("coils", [0, 1, 40, 300])
@pytest.mark.parametrize("events", [(), EVENTS])
def test_whatever_happened_and_however_little_it_is_drawn(coils: int, events: Sequence[str], tmp_path: Path) -> None:
    number = np.arange(1, coils + 1)
    is_nok = number % 5 == 0
    version = tuple("first" if each < 200 else "second" if each < 250 else "first" for each in number)
    judged = Judged(number=number, is_nok=is_nok, called_nok=is_nok ^ (number % 7 == 0), version=version)
    figures = Figures(
        counts=_counts(coils),
        lost=0,
        judged=judged,
        marks=tuple(Mark(what=what, coils=place * coils // 10) for place, what in enumerate(events)),
        retrained=(),
        swaps=1 if coils >= 200 else 0,
    )
    draw_story(figures, tmp_path / "story.png")
    assert (tmp_path / "story.png").read_bytes().startswith(b"\x89PNG")


def _counts(coils: int) -> Counts:
    nothing = dict.fromkeys(Counts.__dataclass_fields__, 0)
    return Counts(**{**nothing, "coils": coils, "verdicts": coils})
