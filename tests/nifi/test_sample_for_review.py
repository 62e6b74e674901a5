"""SampleForReview: those that a person is asked to look at, with why and with which probability."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.nifi.sample_for_review import open_step
from flows.nifi.step import DEAD_LETTER, ERROR, SUCCESS, Hosted, StepResult
from processors.review import ask_for_review, review_probability
from schemas.events import CoilVerdictEvent, verdict_data
from schemas.loop_settings import ReviewSettings
from schemas.verdicts import Verdict
from tests.scores.given import decided

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def event(verdict: Verdict) -> bytes:
    made = CoilVerdictEvent(
        specversion="1.0",
        type="coil.verdict",
        id=f"id-{verdict.key.coil_id}",
        source="/plants/linz",
        subject=verdict.key.coil_id,
        time=NOON,
        data=verdict_data(verdict, decided_at=NOON),
    )
    return orjson.dumps(made.model_dump(mode="json", exclude_none=True)) + b"\n"


def verdicts(share: float, *p_nok: float) -> list[Verdict]:
    bare = [replace(decided(f"c{i}", p).verdict, review=()) for i, p in enumerate(p_nok)]
    return [ask_for_review(one, ReviewSettings(share=share)) for one in bare]


def run(content: bytes) -> StepResult:
    hosted = Hosted("sample_for_review", open_step)
    hosted.start({})
    done = hosted.run(content, {})
    hosted.stop()
    return done


def lines(done: StepResult) -> Iterable[dict[str, Any]]:
    assert done.relationship == "review"
    assert done.contents is not None
    return [orjson.loads(line) for line in done.contents.splitlines()]


def test_an_alarm_and_a_draw_are_told_with_their_probability() -> None:
    alarm, drawn = verdicts(1.0, 0.9, 0.1)
    drawn = replace(drawn, review=("random: drawn with probability 0.05",), review_probability=0.05)
    first, second = lines(run(event(alarm) + event(drawn)))
    assert (first["coil_id"], first["label"], first["probability"]) == ("c0", "NOK", 1.0)
    assert first["reason"][0].startswith("alarm")
    assert (second["coil_id"], second["label"], second["probability"]) == ("c1", "OK", 0.05)
    assert second["event_id"] == "id-c1"


def test_where_nobody_is_asked_the_verdicts_pass_as_they_came() -> None:
    content = b"".join(map(event, verdicts(0.0, 0.1, 0.2)))
    done = run(content)
    assert (done.relationship, done.contents) == (SUCCESS, None)


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_a_flowfile_whose_coils_were_all_refused_passes(content: bytes) -> None:
    done = run(content)
    assert (done.relationship, done.attributes["coilflow.coils"]) == (SUCCESS, "0")


def test_only_those_that_ask_are_in_the_sample() -> None:
    content = b"".join(map(event, verdicts(0.0, 0.1, 0.9, 0.2)))
    done = run(content)
    assert [line["coil_id"] for line in lines(done)] == ["c1"]
    assert done.attributes["coilflow.coils"] == "1"


@given(st.floats(min_value=1e-4, max_value=1.0))
def test_the_probability_that_is_told_is_the_one_of_the_draw(share: float) -> None:
    asked = [one for one in verdicts(share, *[0.1] * 20) if one.review]
    for one in asked:
        assert one.review_probability is not None
        assert review_probability(one.review) == pytest.approx(one.review_probability, rel=1e-5)


@pytest.mark.parametrize("content", [b"no json\n", b'{"type": "coil.chunk"}\n', b"\xff\xfe"])
def test_what_is_no_verdict_is_a_dead_letter(content: bytes) -> None:
    done = run(content)
    assert (done.relationship, done.contents) == (DEAD_LETTER, None)
    assert done.attributes[ERROR]


def test_a_probability_that_is_no_number_is_a_dead_letter_and_no_break() -> None:
    [odd] = verdicts(1.0, 0.1)
    done = run(event(replace(odd, review=("random: drawn with probability x",))))
    assert done.relationship == DEAD_LETTER
    assert "unexpected" not in done.attributes[ERROR]
