"""The first half of the road: from any source to normalised batches."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson
import pyarrow as pa
from pydantic import ValidationError

from flows.sources.seen import SeenCoils
from flows.sources.source import MatrixSource, ReadingsSource, Source
from processors.normalize import normalize
from schemas.coils import Limits, Order, Truth
from schemas.errors import SourceError, UsageError
from schemas.faults import first_fault
from schemas.readings import ipc_bytes, readings_of
from schemas.rejects import Reject


@dataclass(frozen=True, kw_only=True, slots=True)
class CoilRecord:
    """What the database keeps of a coil beside its verdict."""

    order: Order | None  # None where the source gives grey levels alone
    started_at: datetime | None
    truth: Truth | None
    readings: bytes  # Arrow IPC: the rows of the gauge, or the matrix where the source gives no rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Matrices of some coils, what the database keeps of each (empty where nobody asked), and rejects on the way."""

    batch: pa.RecordBatch
    records: tuple[CoilRecord, ...] = ()
    rejects: tuple[Reject, ...] = ()


def read_blocks(source: Source, limits: Limits, *, coils: int, records: bool) -> Iterator[Block]:
    """Read, assemble and normalise a source in blocks.

    Args:
        source: where the coils come from.
        limits: global limits for readings; matrices come normalised.
        coils: at most so many coils in a block.
        records: fill `records`, for the database.

    Raises:
        SourceError: it cannot be read, or holds nothing at all.
    """
    empty = True
    for block in (
        _from_matrices(source, records=records)
        if isinstance(source, MatrixSource)
        else _from_readings(source, limits, records=records)
    ):
        empty = empty and not block.rejects and not block.batch.num_rows
        if block.rejects:
            yield Block(batch=block.batch.slice(0, 0), rejects=block.rejects)
        for start in range(0, block.batch.num_rows, coils):
            yield Block(batch=block.batch.slice(start, coils), records=block.records[start : start + coils])
    if empty:
        raise SourceError(f"{source.name} holds no coil", remedy="check that it is the right one, and whole")


def _from_readings(source: ReadingsSource, limits: Limits, *, records: bool) -> Iterator[Block]:
    for assembled in source.read():
        done = normalize(assembled.coils, limits)
        rejected = {reject.key for reject in done.rejects}
        kept = tuple(
            CoilRecord(
                order=header.order,
                started_at=header.started_at,
                truth=header.label,
                readings=readings_of(assembled.coils, i),
            )
            for i, header in enumerate(assembled.coils.headers)
            if records and header.key not in rejected
        )
        yield Block(batch=done.batch, records=kept, rejects=assembled.rejects + done.rejects)


def _from_matrices(source: MatrixSource, *, records: bool) -> Iterator[Block]:
    with closing(SeenCoils()) as seen:
        for block in source.read():
            batch, repeats = seen.once(block.batch, source.name)
            kept = tuple(_record_of_matrix(batch, i) for i in range(batch.num_rows) if records)
            yield Block(batch=batch, records=kept, rejects=block.rejects + repeats)


def _record_of_matrix(batch: pa.RecordBatch, index: int) -> CoilRecord:
    coil = batch.slice(index, 1).select(["zn_min", "zn_max", "length_m", "label", "customer", "tolerance_profile"])
    values = coil.to_pylist()[0]
    banded = values["zn_min"] is not None and values["zn_max"] is not None
    order = (
        Order(
            zn_min_g_m2=values["zn_min"],
            zn_max_g_m2=values["zn_max"],
            length_m=values["length_m"],
            customer=values["customer"],
            tolerance_profile=values["tolerance_profile"],
        )
        if banded
        else None
    )
    return CoilRecord(order=order, started_at=None, truth=values["label"], readings=ipc_bytes(batch.slice(index, 1)))


def limits_from_file(path: Path) -> Limits:
    """Read `{"low": L, "high": H}` in g/m².

    Raises:
        UsageError: the file is not there or does not hold such limits.
    """
    try:
        return Limits.model_validate(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", remedy="give a JSON file of limits") from error
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise UsageError(
            f"{path} holds no limits ({_first_fault(error)})",
            remedy='write {"low": L, "high": H} in g/m², L below 0 and H above',
        ) from error


def _first_fault(error: orjson.JSONDecodeError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        return first_fault(error).sentence()
    return str(error)
