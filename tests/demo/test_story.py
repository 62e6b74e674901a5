"""Promises of the demonstration's story, each by SQL."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console.demo_chart import draw_story
from scheduler.demo import LEAST_COILS, Story, run_story
from schemas.settings import Settings
from store.connection import connect
from store.databases import create_database, drop_database
from tests.demo.sections import write_sections

PNG = b"\x89PNG"


@dataclass(frozen=True)
class Ran:
    """A story that was told, and its database."""

    story: Story
    told: list[tuple[str, Sequence[str]]]
    dsn: str

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a statement finds."""
        with connect(self.dsn) as connection:
            found = connection.execute(statement.encode()).fetchall()
        return [tuple(row.values()) for row in found]


@pytest.fixture(scope="module")
def ran(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("story")
    settings = Settings(data_dir=folder / "data", ensemble=write_sections(folder), threads=1)
    name = f"coilflow_test_{uuid.uuid4().hex[:12]}"
    dsn = create_database(postgres_server, name)
    told: list[tuple[str, Sequence[str]]] = []
    try:
        story = run_story(
            LEAST_COILS,
            seed=1,  # in which 800 coils are enough to prove a successor on
            dsn=dsn,
            settings=settings,
            trains=True,
            tell=lambda who, said: told.append((who, said)),
            on_coils=lambda _: None,
            on_rejects=lambda _: None,
        )
        yield Ran(story=story, told=told, dsn=dsn)
    finally:
        drop_database(postgres_server, name)


def test_every_coil_has_one_standing_verdict_or_a_dead_letter(ran: Ran) -> None:
    found = ran.story.figures
    assert (found.counts.coils, found.counts.open, found.lost, found.counts.duplicated) == (LEAST_COILS, 0, 0, 0)
    assert found.counts.verdicts + found.counts.dead_letters == LEAST_COILS
    [[most]] = ran.rows(
        "select max(n) from (select count(*) n from coilflow.verdicts where role = 'champion' "
        "group by plant, coil_id) each_coil"
    )
    assert most == 1


def test_the_policy_held_back_first_and_then_acted_and_said_why(ran: Ran) -> None:
    decided = ran.rows(
        "select act, why from coilflow.decisions where job = 'retrain' and subject like '%ensemble%' order by at"
    )
    assert [act for act, _ in decided] == [*[False] * (len(decided) - 1), True]
    assert not any(": established to be" in why for why in decided[0][1]), "nothing was wrong before the drift"
    assert any(": established to be" in why for why in decided[-1][1])


def test_the_successor_was_trained_apart_shadowed_and_promoted_and_the_host_answered(ran: Ran) -> None:
    assert ran.rows("select how, state, cardinality(members) from coilflow.retrainings") in (
        [("head", "promoted", 1)],
        [("head", "kept", 1)],
    )
    changed = ran.rows("select change from coilflow.model_changes where who = 'promotion' order by change_id")
    assert [change for (change,) in changed if change != "retired"] == ["shadowed", "promoted"]
    assert ran.rows(
        "select role, outcome from coilflow.swap_answers where ensemble_version <> 'first' order by answer_id"
    ) == [("shadow", "swapped"), ("champion", "swapped")]
    assert ran.story.figures.swaps == 1
    assert [name.partition("@")[0] for name in ran.story.figures.retrained] == ["sections"]
    assert ran.story.missing == ()


def test_coils_kept_coming_and_both_ensembles_judged_them(ran: Ran) -> None:
    found = ran.rows(
        "select ensemble_version = 'first', count(*) from coilflow.verdicts where role = 'champion' "
        "group by 1 order by 1"
    )
    assert [first for first, _ in found] == [False, True]
    [[beside]] = ran.rows("select count(*) from coilflow.verdicts where role = 'shadow'")
    assert beside >= 48
    [[meanwhile]] = ran.rows(
        "select count(*) from coilflow.verdicts v, coilflow.retrainings r where v.role = 'champion' "
        "and v.decided_at > r.started_at and v.ensemble_version = 'first'"
    )
    assert meanwhile >= 64, "the old one went on while the new one was made"


def test_the_score_fell_and_recovered(ran: Ran) -> None:
    periods = dict(ran.story.figures.periods)
    calm, drifted, after = (
        periods[name].agreement()
        for name in ("the first models, before the drift", "the first models, after it", "the successor")
    )
    assert None not in (calm.low, drifted.high, after.low)
    assert drifted.high < calm.low  # type: ignore[operator]
    assert drifted.high < after.low  # type: ignore[operator]


def test_operators_disagreed_one_dispute_was_settled_and_one_word_corrected(ran: Ran) -> None:
    [[operators]] = ran.rows("select count(distinct operator) from coilflow.feedback where not settles")
    assert operators == 2
    assert ran.rows("select count(*) from coilflow.feedback where settles") == [(1,)]
    assert ran.rows("select count(*) from coilflow.feedback where corrects is not null") == [(1,)]
    [[disputed]] = ran.rows("select count(*) from coilflow.coil_labels where disputed")
    assert disputed > 0


def test_it_is_told_in_order_and_drawn(ran: Ran, tmp_path: Path) -> None:
    whole = [who for who, _ in ran.told if who not in ("score", "people")]
    told = [who for place, who in enumerate(whole) if whole[place - 1 : place] != [who]]
    assert told[0] == "settings", "what is otherwise than in a plant is said first"
    assert told[1:10] == ["line", "policy", "line", "policy", "training", "successor", "shadow", "swap", "promoted"]
    draw_story(ran.story.figures, tmp_path / "story.png")
    assert (tmp_path / "story.png").read_bytes().startswith(PNG)
    assert [mark.what for mark in ran.story.figures.marks] == ["drifted", "decided", "shadowed", "promoted"]
