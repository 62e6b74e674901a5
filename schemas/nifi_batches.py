"""What one FlowFile holds between two processors in NiFi: whole coils in Arrow, and what was refused on the way."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import orjson
import pyarrow as pa

from schemas.coils import CoilKey
from schemas.errors import SourceError
from schemas.matrices import MATRIX_BATCH
from schemas.rejects import Reject

_TIME = pa.timestamp("us", tz="UTC")
_CARRIED = [  # beside the matrix, for the database
    pa.field("readings", pa.binary(), nullable=False),  # schemas.readings, or the matrix where nobody knows the rows
    pa.field("order", pa.binary()),  # JSON of schemas.coils.Order
    pa.field("started_at", _TIME),
    pa.field("rows_per_face", pa.int32()),  # as coil.ended promised, 0 where it promised none; null: no such event
    pa.field("inbox_id", pa.int64()),  # last event of the inbox that it was made of; null: it came whole
]

COILS = pa.schema(
    [
        pa.field("plant", pa.string(), nullable=False),
        pa.field("coil_id", pa.string(), nullable=False),
        pa.field("revision", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
        pa.field("expected_rows", pa.list_(pa.int64(), 2), nullable=False),  # top, bottom
        pa.field(
            "header", pa.binary(), nullable=False
        ),  # JSON: what `schemas.coils.CoilHeader` has beside key and order
        pa.field("fragment", pa.bool_(), nullable=False),  # silent, without start or a face: UNDECIDED, no matrix
        *_CARRIED,
    ]
)
MATRICES = pa.schema([*MATRIX_BATCH, pa.field("fragment", pa.bool_(), nullable=False), *_CARRIED])
VERDICTS = pa.schema(
    [
        pa.field("plant", pa.string(), nullable=False),
        pa.field("coil_id", pa.string(), nullable=False),
        pa.field("revision", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),  # champion or shadow
        pa.field("verdict", pa.binary(), nullable=False),  # JSON of schemas.verdicts.Verdict
        pa.field("label", pa.string()),  # as the source gives it: OK, NOK or null
        *_CARRIED,
    ]
)

Kind = Literal["coils", "matrices", "verdicts"]
SCHEMAS: dict[Kind, pa.Schema] = {"coils": COILS, "matrices": MATRICES, "verdicts": VERDICTS}
_KIND, _REJECTS, _REFUSED = b"coilflow.kind", b"coilflow.rejects", b"coilflow.refused"
MIME_TYPE = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True, kw_only=True, slots=True)
class NifiBatch:
    """Coils of one FlowFile; `rejects` ride along to be stored with the verdicts, in the same transaction."""

    rows: pa.RecordBatch  # of one of SCHEMAS
    rejects: tuple[Reject, ...] = ()
    refused: Mapping[CoilKey, int] = field(default_factory=dict)  # of the inbox -> last event: settled as the rows are


def write_batch(kind: Kind, batch: NifiBatch) -> bytes:
    """One Arrow IPC stream, compressed by zstd: a matrix is mostly zero, and NiFi is slow by the byte.

    Raises:
        ValueError: the rows are of another schema.
    """
    if batch.rows.schema.remove_metadata() != SCHEMAS[kind]:
        raise ValueError(f"the rows are not of the schema {kind}")
    metadata = {
        _KIND: kind.encode(),
        _REJECTS: orjson.dumps([_reject_json(one) for one in batch.rejects]),
        _REFUSED: orjson.dumps([[*key, inbox_id] for key, inbox_id in batch.refused.items()]),
    }
    rows = batch.rows.replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
    with pa.ipc.new_stream(sink, rows.schema, options=options) as writer:
        writer.write_batch(rows)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_batch(kind: Kind, content: bytes) -> NifiBatch:
    """Read what `write_batch` wrote, validated in full: others may have sent it.

    Raises:
        SourceError: it is no such stream, or damaged.
    """
    remedy = f"connect the processor that gives {kind}, and send nothing else"
    try:
        with pa.ipc.open_stream(content) as reader:
            table = reader.read_all()
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"the content is no Arrow stream of {kind}: {error}", remedy=remedy) from error
    metadata = table.schema.metadata or {}
    if metadata.get(_KIND) != kind.encode() or table.schema.remove_metadata() != SCHEMAS[kind]:
        raise SourceError(f"the content is Arrow, and not {kind} of this version", remedy=remedy)
    try:
        table.validate(full=True)
        rejects = tuple(_reject(one) for one in orjson.loads(metadata[_REJECTS]))
        refused = {CoilKey(plant, coil_id): int(last) for plant, coil_id, last in orjson.loads(metadata[_REFUSED])}
    except (pa.ArrowInvalid, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise SourceError(f"the content is damaged: {error}", remedy="send it again from the source") from error
    return NifiBatch(rows=_one(table), rejects=rejects, refused=refused)


def is_batch(kind: Kind, content: bytes) -> bool:
    """Whether the content says that it is one of these."""
    try:
        with pa.ipc.open_stream(content) as reader:
            return bool((reader.schema.metadata or {}).get(_KIND) == kind.encode())
    except (pa.ArrowException, OSError):
        return False


def _one(table: pa.Table) -> pa.RecordBatch:
    schema = table.schema.remove_metadata()
    batches = table.replace_schema_metadata(None).combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=schema)


def _reject_json(reject: Reject) -> dict[str, object]:
    return {
        "step": reject.step,
        "place": reject.place,
        "key": list(reject.key) if reject.key else None,
        "error": reject.error,
        "remedy": reject.remedy,
        "original": base64.b64encode(reject.original).decode(),
        "whole_coil": reject.whole_coil,
    }


def _reject(given: dict[str, object]) -> Reject:
    key = given["key"]
    return Reject(
        step=given["step"],  # type: ignore[arg-type]  # what we wrote
        place=str(given["place"]),
        key=CoilKey(*key) if isinstance(key, list) else None,
        error=str(given["error"]),
        remedy=str(given["remedy"]),
        original=base64.b64decode(str(given["original"])),
        whole_coil=bool(given["whole_coil"]),
    )


def keys_of_rejects(rejects: Sequence[Reject]) -> set[CoilKey]:
    """Coils that were refused as a whole."""
    return {one.key for one in rejects if one.key is not None and one.whole_coil}
