"""A revision is reckoned again from what is stored, whatever came: rows, a matrix, grey levels, or half a coil."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from processors.assemble import assemble, gather
from processors.revisions import check_revision
from schemas.coils import NO_ORDER, ChunkRows, CoilHeader, CoilKey, Float32Array, Order
from schemas.layout import MATRIX_SHAPE
from schemas.matrices import Scale, matrix_batch
from schemas.readings import ipc_bytes, readings_of

ORDER = Order(zn_min_g_m2=100, zn_max_g_m2=120)
KEY = CoilKey(plant="linz", coil_id="1")


def rows(seed: int, *, faces: tuple[int, ...] = (0, 1)) -> ChunkRows:
    """Twelve rows a face, in no order."""
    rng = np.random.default_rng(seed)
    face = np.repeat(np.array(faces, dtype=np.int64), 12)
    order = rng.permutation(len(face))
    return ChunkRows(
        coil=np.zeros(len(face), dtype=np.int64),
        face=face[order],
        position=np.tile(np.arange(12.0) * 1000, len(faces))[order],
        mean_g_m2=rng.uniform(90, 130, (len(face), 9)),
        std_g_m2=rng.uniform(0, 2, (len(face), 9)),
    )


def stored_matrix(matrix: Float32Array, revision: str, scale: Scale) -> bytes:
    return ipc_bytes(
        matrix_batch(
            keys=[KEY],
            revisions=[revision],
            matrix=matrix[None],
            spread=np.zeros((1, *MATRIX_SHAPE), dtype=np.float32),
            observed=np.ones(1),
            scale=scale,
        )
    )


@pytest.mark.parametrize("seed", range(5))
def test_rows_hash_to_their_revision_and_to_no_other(seed: int) -> None:
    coils = assemble(rows(seed), [CoilHeader(key=KEY, order=ORDER)]).coils
    stored, [revision] = readings_of(coils, 0), coils.revisions
    assert check_revision(stored, revision, ORDER)[0] is True
    assert check_revision(stored, "0" * 64, ORDER)[0] is False
    coils.mean_g_m2[3, 4] += 1e-9
    assert check_revision(readings_of(coils, 0), revision, ORDER)[0] is False
    assert "band" in check_revision(stored, revision, Order(zn_min_g_m2=100, zn_max_g_m2=121))[1]


def test_half_a_coil_that_came_before_its_order_hashes_to_its_revision_after_it() -> None:
    found = gather(rows(1, faces=(1,)), CoilHeader(key=KEY, order=NO_ORDER))
    assert found is not None
    for order in (None, ORDER):
        assert check_revision(readings_of(found, 0), found.revisions[0], order)[0] is True


def test_a_matrix_and_grey_levels_hash_to_their_revisions() -> None:
    levels = np.random.default_rng(2).integers(0, 256, MATRIX_SHAPE, dtype=np.uint8)
    grey = levels.astype(np.float32) / np.float32(127.5) - np.float32(1)
    revision = hashlib.sha256(levels.tobytes()).hexdigest()
    assert check_revision(stored_matrix(grey, revision, "self"), revision, None)[0] is True
    revision = hashlib.sha256(grey.tobytes()).hexdigest()
    assert check_revision(stored_matrix(grey, revision, "limits"), revision, None)[0] is True
    assert check_revision(stored_matrix(grey, "1" * 64, "limits"), revision[::-1], None)[0] is False


def test_of_a_matrix_with_a_revision_of_other_readings_nobody_can_tell() -> None:
    matrix = np.zeros(MATRIX_SHAPE, dtype=np.float32)
    fits, found = check_revision(stored_matrix(matrix, "1" * 64, "limits"), "1" * 64, None)
    assert (fits, "nobody can tell" in found) == (None, True)


@pytest.mark.parametrize("length", [0, 1, 10, 200, -40])
def test_bytes_that_end_too_soon_do_not_fit(length: int) -> None:
    coils = assemble(rows(3), [CoilHeader(key=KEY, order=ORDER)]).coils
    assert check_revision(readings_of(coils, 0)[:length], coils.revisions[0], ORDER)[0] is False


@pytest.mark.parametrize("what", ["rows", "matrix"])
def test_no_damaged_byte_breaks_the_check(what: str) -> None:
    """Arrow aborts the process where a damaged length is looked at."""
    coils = assemble(rows(3), [CoilHeader(key=KEY, order=ORDER)]).coils
    matrix = np.random.default_rng(4).normal(size=MATRIX_SHAPE).astype(np.float32)
    own = hashlib.sha256(matrix.tobytes()).hexdigest()
    given = {"rows": (readings_of(coils, 0), coils.revisions[0]), "matrix": (stored_matrix(matrix, own, "limits"), own)}
    stored, revision = given[what]
    found = set()
    for at in range(0, min(len(stored), 3000), 3):
        damaged = bytearray(stored)
        damaged[at] ^= 0xFF
        found.add(check_revision(bytes(damaged), revision, ORDER)[0])
    assert False in found


def test_arrow_of_something_else_does_not_fit() -> None:
    other = ipc_bytes(pa.RecordBatch.from_pydict({"a": [1]}))
    assert check_revision(other, "0" * 64, ORDER)[0] is False
