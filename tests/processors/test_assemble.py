"""Laws of assembly: what a coil is does not depend on how its rows came."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.assemble import Assembled, assemble
from schemas.coils import ChunkRows, FloatArray, IntArray
from tests.processors.coils import coil_readings, header, rows_of

Readings = tuple[FloatArray, FloatArray]


def pick(rows: ChunkRows, which: IntArray) -> ChunkRows:
    return ChunkRows(
        coil=rows.coil[which],
        face=rows.face[which],
        position=rows.position[which],
        mean_g_m2=rows.mean_g_m2[which],
        std_g_m2=rows.std_g_m2[which],
    )


def face(rows: int = 5, level: float = 110.0) -> FloatArray:
    return level + np.arange(rows * 9, dtype=np.float64).reshape(rows, 9) / 100


def assert_same(got: Assembled, want: Assembled) -> None:
    assert got.coils.revisions == want.coils.revisions
    assert got.coils.reasons == want.coils.reasons
    assert [r.error for r in got.rejects] == [r.error for r in want.rejects]
    for name in ("face_start", "position", "expected_rows", "mean_g_m2", "std_g_m2"):
        np.testing.assert_array_equal(getattr(got.coils, name), getattr(want.coils, name))


@given(st.lists(coil_readings(max_rows=30), min_size=1, max_size=4), st.data())
@settings(max_examples=80)
def test_order_and_repeats_change_nothing(coils: list[Readings], data: st.DataObject) -> None:
    rows, headers = rows_of(*coils), [header(str(i)) for i in range(len(coils))]
    size = len(rows.coil)
    again = data.draw(st.lists(st.integers(0, size - 1), max_size=20))
    order = np.array(data.draw(st.permutations([*range(size), *again])), dtype=np.int64)
    assert_same(assemble(pick(rows, order), headers), assemble(rows, headers))


@given(st.lists(coil_readings(max_rows=30), min_size=2, max_size=4), st.data())
@settings(max_examples=50)
def test_the_split_of_the_input_between_whole_coils_changes_nothing(coils: list[Readings], data: st.DataObject) -> None:
    rows, headers = rows_of(*coils), [header(str(i)) for i in range(len(coils))]
    cut = data.draw(st.integers(1, len(coils) - 1))
    first = assemble(pick(rows, np.flatnonzero(rows.coil < cut)), headers[:cut])
    rest = pick(rows, np.flatnonzero(rows.coil >= cut))
    second = assemble(replace(rest, coil=rest.coil - cut), headers[cut:])
    whole = assemble(rows, headers)
    assert first.coils.revisions + second.coils.revisions == whole.coils.revisions
    expected = np.concatenate([first.coils.expected_rows, second.coils.expected_rows])
    np.testing.assert_array_equal(expected, whole.coils.expected_rows)


@given(coil_readings(max_rows=30), st.data())
@settings(max_examples=50)
def test_the_revision_changes_with_any_reading_position_or_band(coil: Readings, data: st.DataObject) -> None:
    rows = rows_of(coil)
    (before,) = assemble(rows, [header()]).coils.revisions
    at = data.draw(st.integers(0, len(rows.coil) - 1)), data.draw(st.integers(0, 8))
    mean, position = rows.mean_g_m2.copy(), rows.position.copy()
    mean[at] += 0.5
    position[at[0]] += 0.5
    others = [
        assemble(replace(rows, mean_g_m2=mean), [header()]),
        assemble(replace(rows, position=position), [header()]),
        assemble(rows, [header(zn_max=121.0)]),
    ]
    assert len({before, *(other.coils.revisions[0] for other in others)}) == 4


def test_the_revision_does_not_depend_on_the_name_of_the_coil() -> None:
    rows = rows_of((face(), face()))
    assert assemble(rows, [header("a")]).coils.revisions == assemble(rows, [header("b")]).coils.revisions


@pytest.mark.parametrize(
    ("top", "bottom", "said"),
    [
        (face(), face(0), "the bottom face is missing"),
        (face(0), face(), "the top face is missing"),
        (face(1), face(), "the top face has 1 row, at least 2 are needed"),
        (face(0), face(0), "there are no readings"),
    ],
)
def test_a_coil_without_two_rows_a_face_is_a_reject_and_the_others_stay(
    top: FloatArray, bottom: FloatArray, said: str
) -> None:
    rows = rows_of((face(), face()), (top, bottom), (face(), face()))
    done = assemble(rows, [header(i) for i in "abc"])
    assert [h.key.coil_id for h in done.coils.headers] == ["a", "c"]
    (reject,) = done.rejects
    assert reject.error == said
    assert reject.step == "assemble"


def test_rows_of_one_place_that_disagree_reject_their_coil_and_say_where() -> None:
    rows = rows_of((face(), face()), (face(), face()))
    twice = pick(rows, np.array([*range(len(rows.coil)), 12], dtype=np.int64))
    twice.mean_g_m2[-1, 3] += 1
    done = assemble(twice, [header("a"), header("b")])
    assert [h.key.coil_id for h in done.coils.headers] == ["a"]
    assert done.rejects[0].error == "top face has two rows at position 1000 that disagree"


def test_repeated_gaps_are_repeats() -> None:
    top = face()
    top[2, 2] = np.nan
    rows = rows_of((top, face()))
    done = assemble(pick(rows, np.array([*range(10), 2], dtype=np.int64)), [header()])
    assert len(done.coils) == 1


def test_what_decoding_found_wrong_rejects_the_coil_in_its_words() -> None:
    done = assemble(rows_of((face(), face()), (face(), face())), [header("a"), header("b")], {0: ("odd", "mend it")})
    assert [h.key.coil_id for h in done.coils.headers] == ["b"]
    assert (done.rejects[0].step, done.rejects[0].sentence()) == ("decode", "simulated: coil a: odd; mend it")


def test_rows_that_the_line_promised_are_expected() -> None:
    done = assemble(rows_of((face(), face())), [replace(header(), rows_per_face=8)])
    assert done.coils.expected_rows.tolist() == [8, 8]
    assert done.coils.reasons == (("missing_rows: 3 of 8 top, 3 of 8 bottom",),)


def test_no_coils_are_no_coils() -> None:
    done = assemble(rows_of((face(0), face(0))), [])
    assert len(done.coils) == 0
    assert not done.rejects
