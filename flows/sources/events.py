"""Chunk events of whole coils as a source: one CloudEvent a line."""

import codecs
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from flows.sources.columns import grouped
from flows.sources.spill import gathered, is_contiguous, parts_for, whole_groups
from processors.assemble import Assembled
from processors.chunks import CoilEvents, coils_from_events
from processors.decode import Decoder, EventFault, decoder
from processors.event_rows import FieldNames
from schemas.coils import CoilKey, Origin
from schemas.rejects import Reject

_MAX_EVENTS = 20_000  # a coil with more is rejected, so that one coil cannot fill the memory
_LINES = 16_384  # read at once
_KEY = "_key"
_SEPARATOR = "\x1f"


@dataclass(frozen=True, kw_only=True, slots=True)
class EventLines:
    """Where the lines come from; each call of `opened` starts a new pass."""

    name: str  # for people
    opened: Callable[[], IO[bytes]]
    size_bytes: int


def read_events(path: Path, names: FieldNames | None = None) -> Iterator[Assembled]:
    """Assemble the coils of an events file; as `read_lines`."""
    lines = EventLines(name=path.name, opened=lambda: path.open("rb"), size_bytes=path.stat().st_size)
    yield from read_lines(lines, names)


def read_lines(lines: EventLines, names: FieldNames | None = None) -> Iterator[Assembled]:
    """Assemble the coils of events, block by block, in memory that does not grow with their number.

    Where the events of a coil do not stand together they are sorted on disk. A line that names no coil, or is of a type
    that carries no readings, is a reject of its own; one that names its coil but breaks its contract rejects the coil.

    Args:
        lines: the events.
        names: how the plant names the fields of its events; None: as the contract does.
    """
    decode = decoder(names)
    rejects: list[Reject] = []
    batches: Iterator[pa.RecordBatch] = _lines(lines, rejects, decode)
    with closing(_lines(lines, [], decode)) as scan:
        together = is_contiguous(batch.column(_KEY) for batch in scan)
    if not together:
        batches = gathered(batches, key=_KEY, parts=parts_for(lines.size_bytes))
    for block in whole_groups(batches, key=_KEY, at_most=_MAX_EVENTS + 1):
        yield _assembled(block, lines.name, decode)
        yield Assembled(rejects=tuple(rejects))
        rejects.clear()
    yield Assembled(rejects=tuple(rejects))


def _lines(lines: EventLines, rejects: list[Reject], decode: Decoder) -> Generator[pa.RecordBatch]:
    """Lines that name a coil, with its key; the others go to `rejects`."""
    with lines.opened() as handle:
        if handle.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            handle.seek(0)
        numbered = enumerate(handle, start=1)
        while chunk := list(islice(numbered, _LINES)):
            keys, kept = [], []
            for number, line in chunk:
                if not line.strip():
                    continue
                found = decode(line, ())
                event = found if isinstance(found, EventFault) else found[0]
                if isinstance(event, EventFault) and (event.aside or event.key is None):
                    rejects.append(
                        Reject(
                            step="decode",
                            place=f"{lines.name}, line {number}",
                            key=event.key,
                            error=event.error,
                            remedy=event.remedy,
                            original=line,
                        )
                    )
                elif event.key is not None:
                    keys.append(f"{event.key.plant}{_SEPARATOR}{event.key.coil_id}".encode())
                    kept.append((number, line))
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array([number for number, _ in kept], type=pa.int64()),
                    pa.array([line for _, line in kept], type=pa.binary()),
                    pa.array(keys, type=pa.binary()),
                ],
                names=["number", "line", _KEY],
            )


def _assembled(block: pa.RecordBatch, name: str, decode: Decoder) -> Assembled:
    keys, coil = grouped(block.column(_KEY))
    starts = np.searchsorted(coil, np.arange(len(keys) + 1))
    lines, numbers = block.column("line").to_pylist(), block.column("number").to_pylist()
    coils = []
    for i, key in enumerate(keys):
        mine = lines[starts[i] : starts[i + 1]]
        plant, coil_id = key.decode().split(_SEPARATOR, 1)
        decoded = [decode(line, ()) for line in mine]
        faults = [(found.error, found.remedy) for found in decoded if isinstance(found, EventFault)]
        if len(mine) > _MAX_EVENTS:
            faults.append(
                (f"the coil has more than {_MAX_EVENTS} events", "check its coil_id: many coils seem to share it")
            )
        coils.append(
            CoilEvents(
                key=CoilKey(plant=plant, coil_id=coil_id),
                origin=Origin(place=f"{name}, line {numbers[starts[i]]}", original=partial(b"".join, mine)),
                events=tuple(e for found in decoded if not isinstance(found, EventFault) for e in found),
                fault=faults[0] if faults else None,
            )
        )
    return coils_from_events(coils)
