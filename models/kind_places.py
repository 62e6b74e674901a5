"""Places whose kind is known, as a kind model learns them: small enough to ship, so that it can be fitted again."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.place_features import MADE_BY, WIDTH
from schemas.coils import BoolArray, Float32Array, FloatArray
from schemas.errors import BundleError

CODED_MOST = 4.0  # standard deviations: further out counts no more
_STEPS = 31  # of a standard deviation: 124 of the 127 of a signed byte
_SCHEMA = pa.schema(
    [
        pa.field("coded", pa.list_(pa.int8(), WIDTH), nullable=False),
        pa.field("kind", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("holdout", pa.bool_(), nullable=False),
    ]
)
_MEAN, _DEVIATION, _MADE_BY = b"mean", b"deviation", b"made_by"

Coded = npt.NDArray[np.int8]
Kinds = npt.NDArray[np.str_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Coding:
    """Mean and standard deviation of each number of a place, float32 [D]: how they are brought to one scale."""

    mean: Float32Array
    deviation: Float32Array

    def code(self, features: Float32Array) -> Coded:
        """Features float32 [N, D] as signed bytes [N, D]."""
        standard = np.clip((features - self.mean) / self.deviation, -CODED_MOST, CODED_MOST)
        coded: Coded = np.rint(standard * _STEPS).astype(np.int8)
        return coded


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownPlaces:
    """N places: coded features int8 [N, D], their kinds [N], and which only judge [N]."""

    coding: Coding
    coded: Coded
    kind: Kinds
    holdout: BoolArray

    @property
    def standard(self) -> FloatArray:
        """Features in standard deviations from the mean, float64 [N, D]."""
        values: FloatArray = self.coded.astype(np.float64) / _STEPS
        return values

    @property
    def features(self) -> Float32Array:
        """Features as a model takes them, float32 [N, D], but for what coding left out."""
        return (self.standard * self.coding.deviation + self.coding.mean).astype(np.float32)

    def beside(self, coded: Coded, kind: Kinds, holdout: BoolArray) -> "KnownPlaces":
        """These and others."""
        return KnownPlaces(
            coding=self.coding,
            coded=np.concatenate([self.coded, coded]),
            kind=np.concatenate([self.kind, kind]),
            holdout=np.concatenate([self.holdout, holdout]),
        )


def coding_of(features: Float32Array) -> Coding:
    """The coding that brings features [N, D] to one scale; what never differs stays zero."""
    deviation = features.std(axis=0)
    return Coding(
        mean=features.mean(axis=0).astype(np.float32),
        deviation=np.where(deviation > 0, deviation, 1).astype(np.float32),
    )


def places_bytes(places: KnownPlaces) -> bytes:
    """Places as an Arrow file."""
    about = {_MEAN: places.coding.mean.tobytes(), _DEVIATION: places.coding.deviation.tobytes(), _MADE_BY: MADE_BY}
    schema = _SCHEMA.with_metadata(about)
    coded = pa.FixedSizeListArray.from_arrays(pa.array(places.coded.reshape(-1)), WIDTH)
    kinds = pa.array(places.kind.tolist()).dictionary_encode().cast(_SCHEMA.field("kind").type)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([coded, kinds, pa.array(places.holdout)], schema=schema))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_places(content: bytes, *, place: str) -> KnownPlaces:
    """Read what `places_bytes` wrote.

    Args:
        content: of the file.
        place: of it, for errors.

    Raises:
        BundleError: it is damaged, or its features are not made as this version makes them.
    """
    try:
        table = pa.ipc.open_file(content).read_all().combine_chunks()
        about = table.schema.metadata or {}
        coding = Coding(
            mean=np.frombuffer(about[_MEAN], dtype=np.float32),
            deviation=np.frombuffer(about[_DEVIATION], dtype=np.float32),
        )
        coded = table.column("coded").chunk(0).flatten().to_numpy().reshape(-1, WIDTH)
        kind = np.array(table.column("kind").to_pylist(), dtype=np.str_)
        holdout = table.column("holdout").to_numpy()
    except (pa.ArrowException, KeyError, IndexError, ValueError) as error:
        raise BundleError(f"{place} cannot be read ({error})", remedy="restore it from a good copy") from error
    if about[_MADE_BY] != MADE_BY.encode() or coding.mean.shape != (WIDTH,):
        raise BundleError(
            f"{place}: places are described as {about[_MADE_BY].decode()}, this version does it as {MADE_BY}",
            remedy="take the file of this version",
        )
    return KnownPlaces(coding=coding, coded=coded, kind=kind, holdout=holdout)
