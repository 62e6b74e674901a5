"""What a SOURCE gives: blocks of whole coils, as readings or as matrices."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from processors.assemble import Assembled
from schemas.rejects import Reject


@dataclass(frozen=True, kw_only=True, slots=True)
class MatrixBlock:
    """Coils that come as matrices, and what could not be read."""

    batch: pa.RecordBatch
    rejects: tuple[Reject, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingsSource:
    """A source of readings: tables, events, the plant's database."""

    name: str
    read: Callable[[], Iterator[Assembled]]


@dataclass(frozen=True, kw_only=True, slots=True)
class MatrixSource:
    """A source of matrices: a normalised Arrow file, or grey levels."""

    name: str
    read: Callable[[], Iterator[MatrixBlock]]
    normalized: bool  # False: grey levels, whose scale is lost


Source = ReadingsSource | MatrixSource
