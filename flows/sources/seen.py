"""Which coils a source of matrices gave already, on disk."""

import sqlite3

import pyarrow as pa

from schemas.matrices import keys_of
from schemas.readings import ipc_bytes
from schemas.rejects import Reject
from schemas.sql import load_statements


class SeenCoils:
    """Keys and revisions in a temporary SQLite database that disappears with the process."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        statements = load_statements("sqlite")
        self._get, self._add = statements["seen_revision"], statements["add_seen"]
        self._db.execute(statements["create_seen"])
        self._db.execute("begin")

    def close(self) -> None:
        """Drop the temporary database."""
        self._db.close()

    def once(self, batch: pa.RecordBatch, place: str) -> tuple[pa.RecordBatch, tuple[Reject, ...]]:
        """Keep the first of each coil: a repeat of the same matrix is dropped, one that disagrees is a reject.

        Args:
            batch: of `schemas.matrices.MATRIX_BATCH`, with revisions.
            place: where it came from, for rejects.
        """
        fresh, rejects = [], []
        for i, (key, revision) in enumerate(zip(keys_of(batch), batch.column("revision").to_pylist(), strict=True)):
            name = f"{key.plant}\x1f{key.coil_id}".encode()
            known = self._db.execute(self._get, (name,)).fetchone()
            if known is None:
                self._db.execute(self._add, (name, revision))
                fresh.append(i)
            elif known[0] != revision:
                rejects.append(
                    Reject(
                        step="decode",
                        place=place,
                        key=key,
                        error="the coil stands there twice, with different matrices; the first was judged",
                        remedy="keep the right one",
                        original=ipc_bytes(batch.slice(i, 1)),
                    )
                )
        kept = batch if len(fresh) == batch.num_rows else batch.take(pa.array(fresh, type=pa.int64()))
        return kept, tuple(rejects)
