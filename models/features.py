"""Features of coils by a bundle's own graph, without torch, kept on disk between two retrainings."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from models.bundle import Bundle, sha256
from models.ensemble import COILS_AT_ONCE
from schemas.coils import Float32Array
from schemas.errors import BundleError

FOLDER = "features"  # below the data folder
_KEY_BYTES = 32  # of a SHA-256
_SUFFIX = ".arrow"


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureCache:
    """Where features lie between two runs; the folder may be removed at any time.

    Each run adds one Arrow IPC file, named by the SHA-256 of its own content, so that a cut or altered file is known
    by its name and computed again; its time is when any of its rows was last used. A row is keyed by the SHA-256 of
    the coil's cells: a copy that augmentation changed, and a coil read with other limits, have a key of their own.
    """

    folder: Path
    backbone: str  # digest of the graph without its head, so that bundles with the same one share features


def features(
    bundle: Bundle,
    matrix: Float32Array,
    spread: Float32Array,
    *,
    cache: FeatureCache | None = None,
    on_coils: Callable[[int], None] = lambda _: None,
) -> Float32Array:
    """What the head of a bundle decides on.

    Args:
        bundle: its graph gives features.
        matrix: float32 [N, 264, 18] on the bundle's scale, N at least 1.
        spread: float32 [N, 264, 18] in the same unit; a bundle that does not take it leaves it aside.
        cache: where to look first and to keep what had to be computed.
        on_coils: called now and then with the number of coils whose features are there since the last call.

    Returns:
        float32 [N, D].

    Raises:
        BundleError: the graph gives no features, ONNX Runtime fails, or the cache cannot be written.
    """
    if cache is None:
        return _computed(bundle, matrix, spread, on_coils)
    keys = [_key(bundle, *coil) for coil in zip(matrix, spread, strict=True)]
    width = bundle.features(matrix[:1], spread[:1]).shape[1]
    known = _read(cache, width, set(keys))
    missing = list({key: place for place, key in enumerate(keys) if key not in known}.values())
    on_coils(len(keys) - len(missing))
    if missing:
        found = _computed(bundle, matrix[missing], spread[missing], on_coils)
        new = {keys[place]: row for place, row in zip(missing, found, strict=True)}
        _write(cache, new)
        known = {**known, **new}
    return np.stack([known[key] for key in keys])


def _computed(
    bundle: Bundle, matrix: Float32Array, spread: Float32Array, on_coils: Callable[[int], None]
) -> Float32Array:
    found = []
    for start in range(0, len(matrix), COILS_AT_ONCE):
        part = slice(start, start + COILS_AT_ONCE)
        found.append(bundle.features(matrix[part], spread[part]))
        on_coils(len(found[-1]))
    return np.concatenate(found)


def _key(bundle: Bundle, matrix: Float32Array, spread: Float32Array) -> bytes:
    digest = hashlib.sha256(np.ascontiguousarray(matrix).data)
    if bundle.takes_spread:
        digest.update(np.ascontiguousarray(spread).data)
    return digest.digest()


def _schema(width: int) -> pa.Schema:
    row = pa.list_(pa.field("item", pa.float32(), nullable=False), width)
    return pa.schema(
        [
            pa.field("coil", pa.binary(_KEY_BYTES), nullable=False),
            pa.field("features", row, nullable=False),
        ]
    )


def _read(cache: FeatureCache, width: int, wanted: Set[bytes]) -> Mapping[bytes, Float32Array]:
    """The wanted rows; a file that is not what its name says is removed, and one that holds any is as if new."""
    known: dict[bytes, Float32Array] = {}
    for path in sorted(_place(cache).glob(f"*{_SUFFIX}")):
        content = path.read_bytes()
        if sha256(content) != path.stem:
            path.unlink(missing_ok=True)
            continue
        with pa.ipc.open_file(content) as reader:
            table = reader.read_all().combine_chunks()
        if table.schema != _schema(width):
            continue
        values = table.column("features").combine_chunks().flatten().to_numpy().reshape(-1, width)
        keys = table.column("coil").to_pylist()
        known.update((key, row) for key, row in zip(keys, values, strict=True) if key in wanted)
        if not wanted.isdisjoint(keys):
            with suppress(FileNotFoundError):  # housekeeping was faster
                os.utime(path)
    return known


def _write(cache: FeatureCache, rows: Mapping[bytes, Float32Array]) -> None:
    content = _serialised(list(rows), np.stack(list(rows.values())))
    place = _place(cache)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, prefix=".", delete=False) as file:
            try:
                file.write(content)
                file.close()
                os.replace(file.name, place / f"{sha256(content)}{_SUFFIX}")
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise BundleError(
            f"{cache.folder}: features cannot be kept there ({error.strerror})",
            remedy="make room there, name another folder, or go without a cache",
        ) from error


def _serialised(keys: Sequence[bytes], values: Float32Array) -> bytes:
    schema = _schema(values.shape[1])
    flat = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), type=schema.field("features").type)
    batch = pa.RecordBatch.from_arrays([pa.array(keys, type=schema.field("coil").type), flat], schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _place(cache: FeatureCache) -> Path:
    return cache.folder / cache.backbone
