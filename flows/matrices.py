"""The first half of the road: from any source to normalised batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa
from pydantic import ValidationError

from flows.sources.source import MatrixSource, Source
from processors.normalize import normalize
from schemas.coils import CoilHeader, Limits
from schemas.errors import UsageError
from schemas.readings import ipc_bytes, readings_of
from schemas.rejects import Reject


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Coils of one block: their matrices, what the database keeps of each, and the rejects up to here.

    `headers` and `readings` are empty where the source gives matrices only.
    """

    batch: pa.RecordBatch
    headers: tuple[CoilHeader, ...]
    readings: tuple[bytes, ...]
    rejects: tuple[Reject, ...]


def read_blocks(source: Source, limits: Limits, *, coils: int, keep_readings: bool) -> Iterator[Block]:
    """Read, assemble and normalise a source in blocks.

    Args:
        source: where the coils come from.
        limits: global limits for readings; matrices come normalised.
        coils: at most so many coils in a block.
        keep_readings: fill `readings`, for the database.
    """
    if isinstance(source, MatrixSource):
        for given in source.read():
            yield from _cut(Block(batch=given.batch, headers=(), readings=(), rejects=given.rejects), coils)
        return
    for assembled in source.read():
        done = normalize(assembled.coils, limits)
        rejected = {reject.key for reject in done.rejects}
        good = [i for i, header in enumerate(assembled.coils.headers) if header.key not in rejected]
        block = Block(
            batch=done.batch,
            headers=tuple(assembled.coils.headers[i] for i in good),
            readings=tuple(readings_of(assembled.coils, i) for i in good) if keep_readings else (),
            rejects=assembled.rejects + done.rejects,
        )
        yield from _cut(block, coils)


def _cut(block: Block, coils: int) -> Iterator[Block]:
    yield Block(batch=block.batch.slice(0, 0), headers=(), readings=(), rejects=block.rejects)
    for start in range(0, block.batch.num_rows, coils):
        yield Block(
            batch=block.batch.slice(start, coils),
            headers=block.headers[start : start + coils],
            readings=block.readings[start : start + coils],
            rejects=(),
        )


def stored_matrix(batch: pa.RecordBatch, index: int) -> bytes:
    """What the database keeps of a coil that came as a matrix."""
    return ipc_bytes(batch.slice(index, 1))


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
            f"{path} holds no limits ({str(error).splitlines()[-1].strip()})",
            remedy='write {"low": L, "high": H} in g/m², L below 0 and H above',
        ) from error
