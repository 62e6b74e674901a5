"""Laws of bringing the pieces of a coil together on disk."""

from itertools import pairwise

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.sources.spill import gathered, is_contiguous, whole_groups

Batches = list[list[str]]
BATCHES = st.lists(st.lists(st.sampled_from("abcdef"), max_size=12), max_size=6)


def batches_of(batches: Batches) -> list[pa.RecordBatch]:
    """Record batches of a binary key and a running number."""
    numbers = iter(range(1000))
    return [
        pa.record_batch(
            [pa.array([k.encode() for k in keys], pa.binary()), pa.array([next(numbers) for _ in keys], pa.int64())],
            names=["key", "n"],
        )
        for keys in batches
    ]


def rows_of(batches: list[pa.RecordBatch]) -> list[tuple[bytes, int]]:
    return [(row["key"], row["n"]) for batch in batches for row in batch.to_pylist()]


def runs(keys: list[bytes]) -> list[bytes]:
    return keys[:1] + [b for a, b in pairwise(keys) if a != b]


@given(BATCHES)
def test_contiguous_means_that_no_key_returns(batches: Batches) -> None:
    keys = [k.encode() for batch in batches for k in batch]
    found = runs(keys)
    assert is_contiguous(batch.column("key") for batch in batches_of(batches)) == (len(found) == len(set(found)))


def test_a_key_that_returns_is_found_without_reading_to_the_end() -> None:
    read = 0

    def keys() -> pa.Array:
        nonlocal read
        read += 1
        return pa.array([b"%d" % (i % 3) for i in range(10_000)], type=pa.binary())

    assert not is_contiguous(keys() for _ in range(10_000))
    assert read < 20


@given(BATCHES, st.integers(1, 5))
@settings(max_examples=40)
def test_gathering_keeps_every_row_and_the_order_within_a_key(batches: Batches, parts: int) -> None:
    got = rows_of(list(gathered(batches_of(batches), key="key", parts=parts)))
    assert sorted(got, key=lambda row: row[1]) == rows_of(batches_of(batches))
    found = runs([key for key, _ in got])
    assert len(found) == len(set(found))
    for key in set(found):
        numbers = [n for k, n in got if k == key]
        assert numbers == sorted(numbers)


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 9)), max_size=6, unique_by=lambda g: g[0]), st.data()
)
def test_blocks_are_whole_groups_of_at_most_so_many_rows(groups: list[tuple[str, int]], data: st.DataObject) -> None:
    keys = [key for key, size in groups for _ in range(size)]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(keys)), max_size=5)))
    batches = batches_of([keys[a:b] for a, b in pairwise([0, *cuts, len(keys)])])
    blocks = [[key for key, _ in rows_of([block])] for block in whole_groups(batches, key="key", at_most=1000)]
    assert [key for block in blocks for key in block] == [key.encode() for key in keys]
    found = [key for block in blocks for key in runs(block)]
    assert len(found) == len(set(found))


def test_of_an_endless_group_only_the_first_rows_are_kept() -> None:
    batches = batches_of([["a"], *[["b"] * 10] * 5, ["c"]])
    sizes = dict.fromkeys((b"a", b"b", b"c"), 0)
    for key, _ in rows_of(list(whole_groups(batches, key="key", at_most=12))):
        sizes[key] += 1
    assert (sizes[b"a"], sizes[b"c"]) == (1, 1)
    assert 12 <= sizes[b"b"] <= 22
