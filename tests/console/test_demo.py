"""Promises of `coilflow demo`."""

import json
import re
from inspect import signature
from pathlib import Path

import pytest

from console.commands.demo import demo
from scheduler.demo import LEAST_COILS, STORY_COILS
from tests.console.conftest import Coilflow

KEYS = [
    "coils", "verdicts", "open", "dead_letters", "feedback", "retrained", "swaps", "lost", "duplicated", "seconds",
]  # fmt: skip


def test_every_coil_is_accounted_for_run_after_run(coilflow: Coilflow, place: Path) -> None:
    for seed in (0, 3):
        ran = coilflow("demo", "--coils", 40, "--seed", seed, "--json")
        assert ran.code == 0
        (last,) = ran.objects
        assert list(last) == KEYS
        assert last["coils"] == 40
        assert last["verdicts"] + last["dead_letters"] >= 40
        assert (last["open"], last["lost"], last["duplicated"], last["swaps"], last["retrained"]) == (0, 0, 0, 0, [])
        assert (
            f"40 coils are too few to learn from and to prove a successor on; `coilflow demo --coils {STORY_COILS}`"
            in (" ".join(ran.err.split()))
        )
    assert list((place / "coilflow-demo").glob("*.png"))


def test_without_a_number_of_coils_there_are_enough_for_the_story() -> None:
    assert signature(demo).parameters["coils"].default == STORY_COILS > LEAST_COILS


def test_people_see_what_came_out_and_the_last_line_is_for_scripts(coilflow: Coilflow) -> None:
    ran = coilflow("demo", "--coils", 10)
    assert ran.code == 0
    assert "closest to their threshold" in ran.out
    assert ran.out.splitlines()[-1].startswith('{"coils":10,')


def test_a_shift_through_kafka_is_accounted_for_and_announced(
    coilflow: Coilflow, kafka_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_KAFKA__BOOTSTRAP_SERVERS", kafka_server)
    ran = coilflow("demo", "--kafka", "--coils", 30, "--seed", 3)
    assert ran.code == 0
    last = json.loads(ran.out.splitlines()[-1])
    assert list(last) == KEYS
    assert last["coils"] == 30
    assert last["verdicts"] + last["dead_letters"] >= 30
    assert (last["open"], last["lost"], last["duplicated"]) == (0, 0, 0)
    announced = re.search(r"announced on the topic of verdicts\W+(\d+)", ran.out)
    assert announced is not None
    assert int(announced[1]) == last["verdicts"]


def test_without_a_broker_and_without_java_the_remedy_is_named(
    coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COILFLOW_KAFKA__BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("JAVA_HOME", str(place))
    ran = coilflow("demo", "--kafka", "--coils", 3)
    assert ran.code == 1
    assert "Java is not installed" in ran.sentence()
    assert "COILFLOW_KAFKA__BOOTSTRAP_SERVERS" in ran.sentence()
