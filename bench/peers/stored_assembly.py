"""Open coils that outlive a restart, as a user of a framework without state would keep them: in tables.

What came of open coils, positions and verdicts are committed in one transaction for each batch, so that the pipeline is
as durable as ours. Messages that a restart brings again lie below the stored position.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from bench.peers.pipeline import Judge, whole
from processors.chunks import CoilEvents
from processors.decode import ChunkEvent
from schemas.coils import CoilKey
from store.connection import Connection

_TABLES = """
create table if not exists open_events (
    plant text, coil_id text, topic_partition int, topic_offset bigint, type text, data bytea,
    primary key (plant, coil_id, topic_partition, topic_offset)
);
create table if not exists next_offsets (topic_partition int primary key, next_offset bigint);
"""
_KEEP = "copy open_events (plant, coil_id, topic_partition, topic_offset, type, data) from stdin"
_FORGET = """
delete from open_events using unnest(%s::text[], %s::text[]) as decided (plant, coil_id)
where open_events.plant = decided.plant and open_events.coil_id = decided.coil_id
"""
_ADVANCE = """
insert into next_offsets select * from unnest(%s::int[], %s::bigint[])
on conflict (topic_partition) do update set next_offset = excluded.next_offset
"""


class Placed(NamedTuple):
    """An event and where its message stood."""

    partition: int
    offset: int
    event: ChunkEvent


@dataclass(frozen=True, slots=True)
class StoredAssembly:
    """Open coils in memory and in tables beside the verdicts."""

    judge: Judge
    _open: dict[CoilKey, list[ChunkEvent]] = field(default_factory=dict, init=False)
    _next: dict[int, int] = field(default_factory=dict, init=False)

    def load(self) -> None:
        """Go on from what the tables have."""
        self._connection.execute(_TABLES)
        rows = self._connection.execute("select * from open_events order by topic_partition, topic_offset").fetchall()
        for row in rows:
            key = CoilKey(plant=row["plant"], coil_id=row["coil_id"])
            self._open.setdefault(key, []).append(ChunkEvent(row["type"], key, orjson.loads(row["data"])))
        for row in self._connection.execute("select * from next_offsets").fetchall():
            self._next[row["topic_partition"]] = row["next_offset"]

    def store(self, batch: Sequence[Placed]) -> None:
        """Take a batch; its ended coils' verdicts, what came of others, and positions are committed together."""
        ended: list[CoilEvents] = []
        fresh: dict[CoilKey, list[Placed]] = {}
        for place in batch:
            if place.offset < self._next.get(place.partition, 0):
                continue
            self._next[place.partition] = place.offset + 1
            key = place.event.key
            self._open.setdefault(key, []).append(place.event)
            fresh.setdefault(key, []).append(place)
            if place.event.type == "coil.ended":
                ended.append(whole(self._open.pop(key)))
                del fresh[key]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            self.judge.store(ended)
            cursor.execute(_FORGET, ([coil.key.plant for coil in ended], [coil.key.coil_id for coil in ended]))
            with cursor.copy(_KEEP) as copy:
                for (plant, coil_id), places in fresh.items():
                    for partition, offset, event in places:
                        copy.write_row((plant, coil_id, partition, offset, event.type, orjson.dumps(event.data)))
            cursor.execute(_ADVANCE, ([*self._next], [*self._next.values()]))

    @property
    def _connection(self) -> Connection:
        return self.judge.connection
