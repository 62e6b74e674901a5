"""Who is asked to look at a coil: what is certain, and draws that come out alike and at the rate that is kept."""

from dataclasses import replace

import pytest
from pydantic import SecretStr

from processors.review import ask_for_review, is_drawn_again
from schemas.coils import CoilKey
from schemas.loop_settings import ReviewSettings
from schemas.verdicts import Label, Verdict

REVIEW = ReviewSettings(share=0.1, second_share=0.3)


def verdict(coil: str = "7", label: Label = Label.OK, *reasons: str, revision: str = "r1") -> Verdict:
    return Verdict(
        key=CoilKey("linz", coil),
        revision=revision,
        label=label,
        p_nok=0.91 if label is Label.NOK else 0.1,
        threshold=0.5,
        ensemble_version="e1",
        members=(),
        observed=1.0,
        reasons=reasons,
    )


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (verdict("7", Label.NOK, "gauge_stuck: x"), ("alarm: p_nok 0.910, NOK from 0.500 on",)),
        (verdict("7", Label.UNDECIDED, "doubt: near", "missing_rows: 3"), ("undecided: doubt, missing_rows",)),
        (verdict("7", Label.UNDECIDED, "anomaly: strange"), ("anomaly: strange", "undecided: anomaly")),
        (verdict("7", Label.OK, "anomaly: strange"), ("anomaly: strange",)),
    ],
)
def test_what_is_certain_is_asked_with_probability_one(given: Verdict, asked: tuple[str, ...]) -> None:
    done = ask_for_review(given, REVIEW.model_copy(update={"share": 0.0}))
    assert (done.review, done.review_probability) == (asked, 1.0)
    assert replace(done, review=(), review_probability=None) == given


def test_others_are_drawn_at_the_rate_that_is_kept_whether_drawn_or_not() -> None:
    done = [ask_for_review(verdict(str(n), Label.OK, "missing_rows: 1"), REVIEW) for n in range(20_000)]
    assert {one.review_probability for one in done} == {0.1}
    drawn = [one for one in done if one.review]
    assert {one.review for one in drawn} == {("random: drawn with probability 0.1",)}
    assert len(drawn) == pytest.approx(2000, abs=4 * (20_000 * 0.1 * 0.9) ** 0.5)


def test_a_coil_that_comes_twice_is_drawn_alike_and_a_revision_anew() -> None:
    coils = [str(n) for n in range(500)]

    def drawn(review: ReviewSettings = REVIEW, revision: str = "r1") -> list[bool]:
        return [bool(ask_for_review(verdict(coil, revision=revision), review).review) for coil in coils]

    assert drawn() == drawn()
    assert drawn() != drawn(revision="r2")
    assert drawn() != drawn(REVIEW.model_copy(update={"draw_key": SecretStr("another")}))


def test_more_are_drawn_from_a_larger_share_and_those_of_a_smaller_one_among_them() -> None:
    some, more = ({n for n in range(2000) if draw(n, share)} for share in (0.02, 0.05))
    assert some < more


def draw(n: int, share: float) -> bool:
    return bool(ask_for_review(verdict(str(n)), ReviewSettings(share=share)).review)


def test_a_share_of_none_draws_none_and_of_one_draws_all() -> None:
    assert not any(draw(n, 0.0) for n in range(200))
    assert all(draw(n, 1.0) for n in range(200))


def test_second_looks_do_not_follow_from_the_first_draw() -> None:
    keys = [CoilKey("linz", str(n)) for n in range(20_000)]
    first = [bool(ask_for_review(verdict(key.coil_id), REVIEW).review) for key in keys]
    second = [is_drawn_again(key, "r1", REVIEW) for key in keys]
    assert sum(second) == pytest.approx(6000, abs=4 * (20_000 * 0.3 * 0.7) ** 0.5)
    both = sum(a and b for a, b in zip(first, second, strict=True))
    assert both == pytest.approx(600, abs=4 * (20_000 * 0.03 * 0.97) ** 0.5)
