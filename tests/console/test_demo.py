"""Promises of `coilflow demo`."""

from pathlib import Path

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
    assert list((place / "coilflow-demo").glob("*.png"))


def test_people_see_what_came_out_and_the_last_line_is_for_scripts(coilflow: Coilflow) -> None:
    ran = coilflow("demo", "--coils", 10)
    assert ran.code == 0
    assert "closest to their threshold" in ran.out
    assert ran.out.splitlines()[-1].startswith('{"coils":10,')
