"""Agreement of people as the literature reckons it, and coils that cannot both be labelled rightly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.agreement import Said, Twins, pair_agreements, twins, voice_agreements
from schemas.coils import CoilKey, Truth

Table = tuple[int, int, int, int]  # both OK, only the second NOK, only the first NOK, both NOK


def words(table: Table, voices: tuple[str, str] = ("a", "b")) -> list[Said]:
    labels: list[tuple[Truth, Truth]] = [("OK", "OK"), ("OK", "NOK"), ("NOK", "OK"), ("NOK", "NOK")]
    pairs = [labels[i] for i, number in enumerate(table) for _ in range(number)]
    return [
        Said(key=CoilKey("linz", str(n)), voice=voice, label=label)
        for n, pair in enumerate(pairs)
        for voice, label in zip(voices, pair, strict=True)
    ]


def test_kappa_is_cohens() -> None:
    # 25 cases as in many textbooks: p_o 0.7, p_e 0.5.
    [pair] = pair_agreements(words((15, 5, 10, 20)))
    assert (pair.coils, pair.agreed) == (50, 35)
    assert pair.kappa == pytest.approx(0.4)
    assert pair.ci95 is not None
    assert pair.ci95[0] < 0.4 < pair.ci95[1]


def test_agreement_on_few_coils_is_not_sure_to_last() -> None:
    [pair] = pair_agreements(words((2, 0, 0, 2)))
    assert pair.kappa == 1
    assert pair.ci95 is not None
    assert pair.ci95[0] < 0.2


def test_where_both_know_one_label_only_kappa_says_nothing() -> None:
    [pair] = pair_agreements(words((9, 0, 0, 0)))
    assert (pair.coils, pair.kappa, pair.ci95) == (9, None, None)


@given(table=st.tuples(*[st.integers(0, 20)] * 4).filter(lambda cells: sum(cells) > 0))
def test_kappa_lies_in_its_interval_and_is_the_same_whoever_comes_first(table: Table) -> None:
    [pair], [turned] = pair_agreements(words(table)), pair_agreements(words(table, ("b", "a")))
    assert pair == turned
    if pair.kappa is not None and pair.ci95 is not None:
        assert pair.ci95[0] - 1e-9 <= pair.kappa <= pair.ci95[1] + 1e-9
        assert -1 - 1e-9 <= pair.kappa <= 1 + 1e-9


def test_each_voice_stands_beside_the_others() -> None:
    said = words((8, 0, 0, 2)) + [
        Said(key=CoilKey("linz", str(n)), voice="c", label="NOK" if n < 5 else "OK") for n in range(10)
    ]
    alone = Said(key=CoilKey("linz", "x"), voice="hermit", label="OK")
    found = voice_agreements([*said, alone])
    assert [(one.voice, one.coils) for one in found] == [("c", 10), ("a", 10), ("b", 10)]
    assert found[0].agreement == pytest.approx(0.3)
    assert found[1].agreement == pytest.approx((1 + 0.3) / 2)
    assert {pair.voices for pair in pair_agreements(said)} == {("a", "b"), ("a", "c"), ("b", "c")}


def test_twins_are_the_nearest_pairs_of_opposite_labels() -> None:
    rng = np.random.default_rng(1)
    nok, ok = rng.normal(size=(300, 6, 4)), rng.normal(size=(40, 6, 4))
    ok[7] = nok[290] + 0.01
    ok[3] = nok[5]
    found = twins(nok, ok, most_distance=0.05, most=9)
    assert [(pair.nok, pair.ok) for pair in found] == [(5, 3), (290, 7)]
    assert found[1].distance == pytest.approx(0.01)
    assert twins(nok, ok, most_distance=0.05, most=1) == (Twins(nok=5, ok=3, distance=0.0, twins=1),)
    assert twins(nok, ok[:0], most_distance=1, most=9) == ()


@given(seed=st.integers(0, 10_000), most_distance=st.floats(0, 2))
def test_no_twins_are_missed(seed: int, most_distance: float) -> None:
    rng = np.random.default_rng(seed)
    nok, ok = rng.normal(size=(7, 3)) + 100, rng.normal(size=(5, 3)) + 100
    apart = np.sqrt(((nok[:, None] - ok[None]) ** 2).mean(axis=2))
    found = twins(nok, ok, most_distance=most_distance, most=99)
    assert {pair.nok: pair.twins for pair in found} == {
        n: int(number) for n, number in enumerate((apart <= most_distance).sum(axis=1)) if number
    }
    assert all(pair.ok == apart[pair.nok].argmin() for pair in found)


def test_coils_of_another_shape_are_no_twins() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        twins(np.zeros((1, 3)), np.zeros((1, 4)), most_distance=1, most=1)
