"""What a FlowFile from elsewhere holds: whole coils as chunk events or tile records, told by its first bytes."""

import io
from collections.abc import Iterator
from functools import partial
from typing import Literal, get_args

import pyarrow as pa

from flows.intake import split_batch
from flows.mapping import field_names
from flows.nifi.bounds import MOST_RECORDS, MOST_ROWS, refuse_too_many, refuse_too_many_lines, refuse_too_many_values
from flows.nifi.chunk_records import csv_chunks, event_lines, is_chunk_csv, is_chunks
from flows.nifi.properties import FORMAT
from flows.nifi.step import Properties
from flows.nifi.tile_records import (
    Records,
    arrow_records,
    csv_records,
    json_objects,
    json_records,
    names_of,
    read_records,
)
from flows.sources.events import EventLines, read_lines
from processors.assemble import Assembled
from processors.decode import structured_line
from processors.envelope import read_json
from schemas.errors import SourceError, UsageError
from schemas.mapping import OUR_NAMES, PlantMapping

Format = Literal["coils", "events", "tiles csv", "tiles json", "arrow"]

NAME = "the FlowFile"  # to people
_DETECT = "detect"
_BOM = b"\xef\xbb\xbf"
_STREAM_MAGIC, _FILE_MAGIC = b"\xff\xff\xff\xff", b"ARROW1"


def format_of(properties: Properties) -> Format | None:
    """What every FlowFile holds; None: each is looked at. Raises UsageError where the property names something else."""
    text = (properties.get(FORMAT) or "").strip() or _DETECT
    for known in get_args(Format):
        if text == known:
            found: Format = known
            return found
    if text == _DETECT:
        return None
    choices = ", ".join((_DETECT, *get_args(Format)))
    raise UsageError(f"property {FORMAT}: {text!r} is unknown", remedy=f"choose one of {choices}")


def detected(content: bytes) -> Format:
    """What content other than coils of ours seems to be; reading it says whether it is."""
    if content.startswith((_STREAM_MAGIC, _FILE_MAGIC)):
        return "arrow"
    start = content.removeprefix(_BOM).lstrip()
    if not start.startswith((b"{", b"[")):
        return "tiles csv"
    return "events" if b'"specversion"' in content else "tiles json"


def read_coils(content: bytes, form: Format, mapping: PlantMapping, *, plant: str) -> Iterator[Assembled]:
    """Assemble the coils of a FlowFile.

    Args:
        content: of the FlowFile, not empty.
        form: what it is; not `coils`.
        mapping: how the plant names columns, fields and faces.
        plant: of coils whose records name none.

    Raises:
        SourceError: it cannot be read at all, or a column is missing.
    """
    if form == "events":
        return _of_lines(_event_lines(content.removeprefix(_BOM)), mapping)
    found = _records(content.removeprefix(_BOM), form, mapping, plant)
    if isinstance(found, bytes):
        return _of_lines(found, OUR_NAMES)
    return read_records(found, mapping, name=NAME, plant=plant)


def _of_lines(lines: bytes, mapping: PlantMapping) -> Iterator[Assembled]:
    source = EventLines(name=NAME, opened=partial(io.BytesIO, lines), size_bytes=len(lines))
    return read_lines(source, field_names(mapping))


def _records(content: bytes, form: Format, mapping: PlantMapping, plant: str) -> Records | bytes:
    """Records of tiles; those of chunks as lines of events."""
    theirs = names_of(mapping)
    if form == "tiles csv":
        if is_chunk_csv(content):
            return event_lines(csv_chunks(content, name=NAME), plant=plant)
        return csv_records(content, name=NAME, theirs=theirs)
    if form == "tiles json":
        found = json_objects(content, name=NAME)
        if found.objects and is_chunks(tuple(found.objects[0])):
            return event_lines(found.objects, plant=plant) + b"".join(one.text + b"\n" for one in found.bad)
        return json_records(found, name=NAME, theirs=theirs)
    table = _arrow_table(content)
    if is_chunks(table.column_names):
        refuse_too_many(table.num_rows, most=MOST_RECORDS)
        return event_lines(table.to_pylist(), plant=plant)
    return arrow_records(table, name=NAME, theirs=theirs)


def _event_lines(content: bytes) -> bytes:
    """One event a line, however they came: in an array, one over several lines, or a line each."""
    if content.lstrip().startswith(b"["):
        refuse_too_many_values([content])
        split = split_batch(content, most=MOST_RECORDS)
        if isinstance(split, str):
            raise SourceError(f"{NAME}: {split}", remedy="send a JSON array of CloudEvents, or one a line")
        refuse_too_many(len(split), most=MOST_RECORDS)
        return b"".join(structured_line(message.value, ()) + b"\n" for message in split)
    refuse_too_many_lines(content, most=MOST_RECORDS)
    refuse_too_many_values(content.split(b"\n"))
    first = content.strip().split(b"\n", 1)[0]
    if not isinstance(read_json(first), dict) and isinstance(read_json(content), dict):
        return structured_line(content.strip(), ())
    return content


def _arrow_table(content: bytes) -> pa.Table:
    try:
        table = pa.Table.from_batches(_batches(content), schema=_opened(content).schema)
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        said = f"{NAME} is no Arrow that can be read ({' '.join(str(error).split())})"
        raise SourceError(said, remedy="write it again, as an Arrow IPC stream or file") from error
    return table


def _opened(content: bytes) -> pa.ipc.RecordBatchStreamReader | pa.ipc.RecordBatchFileReader:
    return pa.ipc.open_file(content) if content.startswith(_FILE_MAGIC) else pa.ipc.open_stream(content)


def _batches(content: bytes) -> Iterator[pa.RecordBatch]:
    """Batch by batch, for compressed ones may be far longer than what came."""
    rows = 0
    with _opened(content) as reader:
        is_file = isinstance(reader, pa.ipc.RecordBatchFileReader)
        for batch in map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader:
            rows += batch.num_rows
            refuse_too_many(rows, most=MOST_ROWS)
            yield batch
