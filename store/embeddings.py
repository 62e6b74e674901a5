"""What coils look like, kept beside their verdicts so that similar ones are found."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import DictRow

from schemas.coils import CoilKey, IntArray, Limits, StoredCoil, Truth
from schemas.matrices import Scale
from schemas.verdicts import Label
from store.connection import Connection, store_errors
from store.log import stored_coil
from store.queries import query

KEPT = 200_000  # embeddings, of all plants
_SLACK = 10_000  # verdicts: more than are ever on their way side by side


@dataclass(frozen=True, kw_only=True, slots=True)
class UnembeddedCoil:
    """What a verdict was given on."""

    verdict_id: int
    coil: StoredCoil
    limits: Limits | None  # of the ensemble that judged; None where it was never registered


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedCoil:
    """The shape of the coil of a verdict; None where no matrix can be made of what is stored."""

    verdict_id: int
    plant: str
    scale: Scale | None
    embedding: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LatestEmbeddings:
    """Of the newest coils of a plant and scale, in no order."""

    verdict_ids: IntArray  # [N]
    embeddings: NDArray[np.int8]  # [N, D]


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownCoil:
    """A coil by the verdict that stands."""

    verdict_id: int
    key: CoilKey
    decided_at: datetime
    verdict: Label
    p_nok: float | None
    label: Truth | None  # what people say, where they agree

    @classmethod
    def from_row(cls, row: DictRow) -> "KnownCoil":
        """Read a row of query `coils_of_verdicts`."""
        return cls(
            verdict_id=row["verdict_id"],
            key=CoilKey(plant=row["plant"], coil_id=row["coil_id"]),
            decided_at=row["decided_at"],
            verdict=Label(row["verdict"]),
            p_nok=row["p_nok"],
            label=row["label"],
        )


def coils_to_embed(connection: Connection, made_by: str, *, coils: int) -> tuple[UnembeddedCoil, ...]:
    """The oldest coils that have no embedding yet, among the newest that are kept.

    Args:
        connection: on a database of this version.
        made_by: version of the embedding.
        coils: at most.

    Raises:
        StoreError: the database refused.
    """
    values = {"made_by": made_by, "coils": coils, "newest": KEPT, "slack": _SLACK}
    with store_errors("look for coils without an embedding"):
        rows = connection.execute(query("coils_to_embed"), values).fetchall()
    return tuple(
        UnembeddedCoil(
            verdict_id=row["verdict_id"],
            coil=stored_coil(row),
            limits=None if row["limits"] is None else Limits.model_validate(row["limits"]),
        )
        for row in rows
    )


def store_embeddings(connection: Connection, made_by: str, coils: Sequence[EmbeddedCoil]) -> None:
    """Keep embeddings; one that is there stays as it is. Raises StoreError where the database refuses."""
    values = {
        "made_by": made_by,
        "verdict_ids": [coil.verdict_id for coil in coils],
        "plants": [coil.plant for coil in coils],
        "scales": [coil.scale for coil in coils],
        "embeddings": [coil.embedding for coil in coils],
    }
    with store_errors(f"store {len(coils)} embeddings"):
        connection.execute(query("store_embeddings"), values)


def latest_embeddings(
    connection: Connection, made_by: str, *, plant: str, scale: Scale, width: int, coils: int
) -> LatestEmbeddings:
    """The embeddings of the newest coils of a plant and scale.

    Args:
        connection: on a database of this version.
        made_by: version of the embedding.
        plant: whose coils.
        scale: of their matrices.
        width: bytes of an embedding.
        coils: at most.

    Raises:
        StoreError: the database refused.
    """
    values = {"made_by": made_by, "plant": plant, "scale": scale, "coils": coils}
    with store_errors(f"read the embeddings of {plant!r}"), connection.cursor(binary=True) as cursor:
        row = cursor.execute(query("latest_embeddings"), values).fetchone() or {}
    return LatestEmbeddings(
        verdict_ids=np.frombuffer(row["verdict_ids"] or b"", dtype=">i8").astype(np.int64),
        embeddings=np.frombuffer(row["embeddings"] or b"", dtype=np.int8).reshape(-1, width),
    )


def coils_of_verdicts(connection: Connection, verdict_ids: Sequence[int]) -> dict[int, KnownCoil]:
    """Those of the verdicts that stand, by their numbers; raises StoreError where the database refuses."""
    with store_errors("look similar coils up"):
        rows = connection.execute(query("coils_of_verdicts"), {"verdict_ids": list(verdict_ids)}).fetchall()
    return {row["verdict_id"]: KnownCoil.from_row(row) for row in rows}


def prune_embeddings(connection: Connection, made_by: str, *, rows: int) -> int:
    """Delete a piece of the embeddings made otherwise and of all but the newest; returns how many.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("delete old embeddings"):
        return connection.execute(query("prune_embeddings"), {"made_by": made_by, "kept": KEPT, "rows": rows}).rowcount
