"""Promises of scoring and deciding."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from processors.decide import Decided, decide
from processors.score import Scored, score
from schemas.coils import Limits
from schemas.matrices import MATRIX_BATCH, empty_batch, tensor_column, tensor_values
from schemas.settings import ToleranceProfile
from schemas.verdicts import GuardScores, Label, MemberId, Scores
from tests.models.coils import LIMITS, batch_of, random_matrix


class Fixed:
    """A scorer that says what it was told, coil by coil."""

    def __init__(self, p_nok: Sequence[float], *, limits: Limits = LIMITS, skipped: tuple[str, ...] = ()) -> None:
        self.limits = limits
        self._p_nok = p_nok
        self._skipped = skipped

    def score(self, batch: pa.RecordBatch) -> Scores:
        """The first of its numbers, one a coil."""
        p_nok = np.array(self._p_nok[: batch.num_rows], dtype=np.float64)
        return Scores(
            ensemble_version="e1",
            threshold=0.4,
            members=(MemberId(model="a", version="1"), MemberId(model="b", version="2")),
            skipped=self._skipped,
            member_p_nok=np.stack([p_nok, p_nok], axis=1),
            p_nok=p_nok,
        )


def scored(matrix_of: pa.RecordBatch, scorer: Fixed | None = None) -> Scored:
    return score(matrix_of, scorer or Fixed([0.1] * 10), place="here")


def column(batch: pa.RecordBatch, name: str, values: list[object]) -> pa.RecordBatch:
    at = MATRIX_BATCH.get_field_index(name)
    return batch.set_column(at, MATRIX_BATCH.field(at), pa.array(values, type=MATRIX_BATCH.field(at).type))


def decided(
    p_nok: float,
    *,
    observed: float = 1.0,
    profile: str | None = None,
    customer: str | None = None,
    profiles: dict[str, ToleranceProfile] | None = None,
    scorer: Fixed | None = None,
    reasons: list[str] | None = None,
) -> Decided:
    batch = batch_of(random_matrix(1))
    for name, value in (
        ("observed", observed),
        ("tolerance_profile", profile),
        ("customer", customer),
        ("reasons", reasons),
    ):
        batch = column(batch, name, [value])
    return decide(
        batch,
        (scorer or Fixed([p_nok])).score(batch),
        profiles=profiles or {"default": ToleranceProfile(), "strict": ToleranceProfile(threshold=0.1, doubt_margin=0)},
        customer_profiles={"ACME": "strict"},
        place="here",
    )


def label(p_nok: float, **given: object) -> Label:
    (verdict,) = decided(p_nok, **given).verdicts  # type: ignore[arg-type] # keywords of `decided`
    return verdict.label


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.01, 1.01])
def test_a_value_outside_the_scale_rejects_its_coil_and_keeps_its_matrix(value: float) -> None:
    matrix = random_matrix(3)
    matrix[1, 100, 7] = value
    done = scored(batch_of(matrix))
    assert done.batch.column("coil_id").to_pylist() == ["0", "2"]
    assert len(done.scores.p_nok) == 2
    (reject,) = done.rejects
    assert reject.sentence().startswith("here: coil 1: the matrix holds a value that is no number in [-1, 1]; ")
    (kept,) = pa.ipc.open_stream(reject.original)
    np.testing.assert_array_equal(tensor_values(kept)[0], matrix[1])


def test_other_limits_reject_their_coils_and_unknown_ones_pass() -> None:
    batch = column(batch_of(random_matrix(3)), "limits_version", [LIMITS.version, "other", None])
    done = scored(batch)
    assert done.batch.column("coil_id").to_pylist() == ["0", "2"]
    assert f"with limits other, the ensemble's are {LIMITS.version}" in done.rejects[0].error


def test_a_coil_of_its_own_scale_needs_no_limits() -> None:
    assert scored(batch_of(random_matrix(2), "self")).batch.num_rows == 2


def test_no_coils_are_scored_as_none() -> None:
    done = scored(empty_batch())
    assert done.batch.num_rows == 0
    assert not done.rejects


def test_a_sound_batch_is_passed_on_without_a_copy() -> None:
    batch = batch_of(random_matrix(2))
    assert scored(batch).batch is batch


def test_tensors_are_read_without_a_copy() -> None:
    values = random_matrix(2)
    assert np.shares_memory(tensor_column(values).to_numpy_ndarray(), values)


@pytest.mark.parametrize(
    ("p_nok", "want"),
    [
        (0.0, Label.OK),
        (0.35, Label.OK),
        (0.3501, Label.UNDECIDED),
        (0.4, Label.UNDECIDED),
        (0.4499, Label.UNDECIDED),
        (0.4501, Label.NOK),
        (1.0, Label.NOK),
    ],
)
def test_the_doubt_margin_lies_around_the_ensembles_threshold(p_nok: float, want: Label) -> None:
    assert label(p_nok) is want


def test_without_a_margin_the_threshold_itself_is_nok() -> None:
    assert label(0.1, profile="strict") is Label.NOK
    assert label(0.0999, profile="strict") is Label.OK


def test_the_profile_is_the_orders_else_the_customers_else_the_default() -> None:
    assert label(0.2, customer="ACME") is Label.NOK
    assert label(0.2, customer="ACME", profile="default") is Label.OK
    assert label(0.2, customer="other") is Label.OK


def test_a_coil_that_was_hardly_measured_is_undecided_and_says_so() -> None:
    (verdict,) = decided(0.9, observed=0.4).verdicts
    assert verdict.label is Label.UNDECIDED
    assert verdict.reasons == ("little_observed: 40% measured, 50% wanted",)
    assert label(0.9, observed=0.5) is Label.NOK


def test_doubt_says_how_close_it_was() -> None:
    (verdict,) = decided(0.42).verdicts
    assert verdict.reasons == ("doubt: p_nok 0.420 is within 0.05 of 0.400",)


def test_reasons_of_the_coil_come_first_and_skipped_members_last() -> None:
    (verdict,) = decided(0.42, reasons=["missing_rows: 1"], scorer=Fixed([0.42], skipped=("x", "y"))).verdicts
    assert verdict.reasons[0] == "missing_rows: 1"
    assert verdict.reasons[-1] == "members_skipped: x, y"
    assert len(verdict.reasons) == 3


def test_every_member_is_named_with_its_version_and_what_it_said() -> None:
    (verdict,) = decided(0.7).verdicts
    assert [(m.model, m.version, m.p_nok) for m in verdict.members] == [("a", "1", 0.7), ("b", "2", 0.7)]
    assert (verdict.ensemble_version, verdict.threshold) == ("e1", 0.4)


def test_an_unknown_profile_rejects_its_coil_and_names_those_that_are_known() -> None:
    done = decided(0.2, profile="gold")
    assert not done.verdicts
    assert done.rejects[0].error == "tolerance profile 'gold' is not in the settings, known: default, strict"
    assert done.rejects[0].original


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        (np.full((1, 264, 18), -0.05), "out_of_band: 100% of the coil"),
        (np.where(np.arange(18) < 9, 1.0, 0.0) * np.ones((1, 264, 18)), "clipped_cells: 50% of the coil is beyond"),
    ],
)
def test_models_are_not_believed_when_they_say_ok_of_a_coil_like_none_they_know(
    matrix: NDArray[np.float64], said: str
) -> None:
    batch = batch_of(matrix.astype(np.float32))
    for p_nok, wanted in ((0.1, Label.UNDECIDED), (0.9, Label.NOK)):
        profiles = {"default": ToleranceProfile()}
        (verdict,) = decide(
            batch, Fixed([p_nok]).score(batch), profiles=profiles, customer_profiles={}, place="here"
        ).verdicts
        assert verdict.label is wanted
        assert any(reason.startswith(said) for reason in verdict.reasons) == (wanted is Label.UNDECIDED)


@pytest.mark.parametrize(
    ("p_nok", "guard_says", "want"),
    [
        (0.1, 0.8999, Label.OK),
        (0.1, 0.9, Label.UNDECIDED),
        (0.1, 1.0, Label.UNDECIDED),
        (0.9, 1.0, Label.NOK),
    ],
)
def test_a_coil_called_ok_that_is_far_from_every_ok_coil_asks_for_a_review(
    p_nok: float, guard_says: float, want: Label
) -> None:
    batch = batch_of(random_matrix(1))
    said = GuardScores(guard=MemberId(model="g", version="3"), threshold=0.9, p_nok=np.array([guard_says]))
    scores = replace(Fixed([p_nok]).score(batch), anomaly=said)
    profiles = {"default": ToleranceProfile()}
    (verdict,) = decide(batch, scores, profiles=profiles, customer_profiles={}, place="here").verdicts
    assert verdict.label is want
    assert verdict.p_nok == p_nok
    asked = (f"anomaly: g 3 says {guard_says:.3f}, a review is due from 0.900 on",)
    assert verdict.reasons == (asked if want is Label.UNDECIDED else ())


class Furthest:
    """Says NOK the surer the further any cell is from its band, and keeps what it was asked."""

    limits = LIMITS

    def __init__(self) -> None:
        self.asked: list[pa.RecordBatch] = []

    def score(self, batch: pa.RecordBatch) -> Scores:
        """`p_nok` is the largest distance from the band."""
        self.asked.append(batch)
        return Fixed(np.abs(tensor_values(batch)).max(axis=(1, 2), initial=0.0).tolist()).score(batch)


STUCK = "gauge_stuck: top sensor 3"


def struck(*sensors: int, reasons: Sequence[str]) -> pa.RecordBatch:
    """One coil in its band but for some columns of the matrix."""
    matrix = np.zeros((1, 264, 18), dtype=np.float32)
    matrix[:, 50:200, sensors] = -0.9
    return column(batch_of(matrix), "reasons", [list(reasons)])


def judged(batch: pa.RecordBatch, scorer: Furthest, threshold: float | None = None) -> tuple[Scored, Decided]:
    done = score(batch, scorer, place="here")
    profiles = {"default": ToleranceProfile(threshold=threshold)}
    return done, decide(done.batch, done.scores, profiles=profiles, customer_profiles={}, place="here")


@pytest.mark.parametrize("code", ["gauge_dead", "gauge_stuck", "gauge_noisy", "gauge_offset"])
def test_a_coil_that_a_faulty_sensor_alone_makes_nok_is_undecided_and_says_so(code: str) -> None:
    done, said = judged(struck(2, reasons=["missing_rows: 1", f"{code}: top sensor 3"]), Furthest())
    (verdict,) = said.verdicts
    assert verdict.label is Label.UNDECIDED
    assert verdict.p_nok == done.scores.p_nok[0] == pytest.approx(0.9)
    assert verdict.reasons == ("missing_rows: 1", f"{code}: top sensor 3; without faulty sensors p_nok 0.000")


def test_a_coil_that_is_nok_without_its_faulty_sensor_too_stays_nok_and_says_so() -> None:
    (verdict,) = judged(struck(2, 12, reasons=[STUCK]), Furthest())[1].verdicts
    assert verdict.label is Label.NOK
    assert verdict.reasons == (f"{STUCK}; without faulty sensors p_nok 0.900",)


def test_a_coil_of_which_a_calibration_hides_most_of_a_face_is_undecided_unless_it_is_nok() -> None:
    hidden = ["little_observed: 80% of the top face read as calibration"]
    for sensors, wanted in (((), Label.UNDECIDED), ((12,), Label.NOK)):
        (verdict,) = judged(struck(*sensors, reasons=hidden), Furthest())[1].verdicts
        assert verdict.label is wanted
        assert verdict.reasons == tuple(hidden)


def test_a_coil_whose_defect_a_faulty_sensor_hides_is_undecided_and_says_so() -> None:
    matrix = np.zeros((1, 264, 18), dtype=np.float32)
    matrix[:, 50:200, [1, 3]] = -0.9  # and between them a sensor that reads as if all were well
    hidden = column(batch_of(matrix), "reasons", [[STUCK]])
    scores = replace(score(hidden, Furthest(), place="here").scores, p_nok=np.array([0.1]))
    (verdict,) = decide(
        hidden, scores, profiles={"default": ToleranceProfile()}, customer_profiles={}, place="here"
    ).verdicts
    assert verdict.label is Label.UNDECIDED
    assert verdict.p_nok == 0.1
    assert verdict.reasons == (f"{STUCK}; without faulty sensors p_nok 0.900",)


def test_a_strict_customers_coil_is_held_against_its_own_threshold() -> None:
    batch = struck(2, 3, 4, reasons=["gauge_stuck: top sensor 4"])
    batch = batch.set_column(3, MATRIX_BATCH.field(3), tensor_column(tensor_values(batch) * np.float32(0.25)))
    all_three = column(batch, "reasons", [["gauge_stuck: top sensor 3, top sensor 4, top sensor 5"]])
    for given, wanted in ((batch, Label.NOK), (all_three, Label.UNDECIDED)):
        assert judged(given, Furthest(), threshold=0.1)[1].verdicts[0].label is wanted


def test_faulty_sensors_are_on_the_line_between_the_sound_ones_beside_them() -> None:
    scorer, matrix = Furthest(), random_matrix(2)
    batch = column(
        batch_of(matrix), "reasons", [None, ["gauge_offset: top sensor 1, bottom sensor 4, bottom sensor 5"]]
    )
    scored_once = score(batch, scorer, place="here").scores.p_nok_without_faults
    whole, again = scorer.asked
    assert whole is batch
    assert again.column("coil_id").to_pylist() == ["1"]
    assert scored_once is not None
    np.testing.assert_array_equal(np.isnan(scored_once), [True, False])
    wanted = matrix[1].copy()
    wanted[:, 0] = matrix[1, :, 1]
    left, right = matrix[1, :, 11], matrix[1, :, 14]
    wanted[:, 12], wanted[:, 13] = left + (right - left) / 3, left + (right - left) * 2 / 3
    np.testing.assert_allclose(tensor_values(again)[0], wanted, atol=1e-6)


@pytest.mark.parametrize(
    "reasons",
    [
        [],
        ["missing_rows: 1 of 61 top"],
        ["little_observed: top sensor 3 of another matter"],
        ["gauge_stuck: top face, sensor 3"],
        ["gauge_dead: " + ", ".join(f"top sensor {n}" for n in range(1, 6))],
    ],
)
def test_without_a_faulty_sensor_among_sound_ones_coils_are_scored_once(reasons: list[str]) -> None:
    scorer = Furthest()
    done, said = judged(struck(2, reasons=reasons), scorer)
    assert len(scorer.asked) == 1
    assert done.scores.p_nok_without_faults is None
    assert said.verdicts[0].label is Label.NOK
    assert said.verdicts[0].reasons == tuple(reasons)


def test_a_coil_called_ok_keeps_its_reasons_as_they_are() -> None:
    (verdict,) = judged(struck(reasons=[STUCK]), Furthest())[1].verdicts
    assert (verdict.label, verdict.reasons) == (Label.OK, (STUCK,))
