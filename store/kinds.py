"""Models of the kinds of defects in the database, and the places that people marked."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import DictRow
from pydantic import ValidationError

from schemas.coils import CoilKey
from schemas.errors import BundleError
from schemas.faults import first_fault
from schemas.kinds import KindManifest
from schemas.layout import Face
from store.connection import Connection, store_errors
from store.queries import query


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkedKind:
    """What a voice says that a stretch of a coil is."""

    key: CoilKey
    voice: str
    revision: str | None  # that it looked at; None: the standing verdict is meant
    defect_kind: str
    face: Face | None  # None: it did not say
    from_m: float
    to_m: float
    length_m: float  # of the strip
    feedback_id: int

    @classmethod
    def from_row(cls, row: DictRow) -> "MarkedKind":
        """Read a row of query `marked_kinds`; a stretch without an end reaches to that of the coil."""
        same = ("voice", "revision", "defect_kind", "face", "length_m", "feedback_id")
        return cls(
            key=CoilKey(plant=row["plant"], coil_id=row["coil_id"]),
            from_m=row["from_m"] or 0.0,
            to_m=row["length_m"] if row["to_m"] is None else row["to_m"],
            **{name: row[name] for name in same},
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredKindModel:
    """A kind model that was fitted again."""

    kind_model_id: int
    manifest: KindManifest
    model: bytes  # ONNX
    taken: bool
    why: str
    made_at: datetime

    @classmethod
    def from_row(cls, row: DictRow) -> "StoredKindModel":
        """Read a row of query `last_kind_model`; raises BundleError where its manifest is not as this version's are."""
        try:
            manifest = KindManifest.model_validate(row["manifest"])
        except ValidationError as error:
            raise BundleError(
                f"kind model {row['kind_model_id']} has another manifest than this version's: "
                f"{first_fault(error).sentence()}",
                remedy="run the version of coilflow that fitted it",
            ) from error
        return cls(**{**row, "manifest": manifest})


def marked_kinds(connection: Connection, *, most: int) -> tuple[MarkedKind, ...]:
    """What people marked on coils that they agree are NOK, the newest first; raises StoreError."""
    with store_errors("read which kinds of defects people marked"):
        return tuple(map(MarkedKind.from_row, connection.execute(query("marked_kinds"), {"most": most})))


def last_kind_model(connection: Connection, base: str, *, taken: bool) -> StoredKindModel | None:
    """The newest that was fitted on a base, or the newest that was taken; None where there is none.

    Args:
        connection: on a database of this version.
        base: version of the kind model that coilflow came with.
        taken: only such.

    Raises:
        BundleError: its manifest is not as this version's are.
        StoreError: the database refused.
    """
    with store_errors("read the kind model"):
        row = connection.execute(query("last_kind_model"), {"base": base, "taken": taken}).fetchone()
    return None if row is None else StoredKindModel.from_row(row)


def last_kind_model_id(connection: Connection, base: str) -> int | None:
    """Number of the newest that was taken; None where there is none. Raises StoreError."""
    with store_errors("look for a newer kind model"):
        [row] = connection.execute(query("last_kind_model_id"), {"base": base}).fetchall()
    found: int | None = row["kind_model_id"]
    return found


def store_kind_model(
    connection: Connection, manifest: KindManifest, model: bytes, *, taken: bool, why: str, made_at: datetime
) -> None:
    """Keep a kind model; one that is taken is asked from now on. Raises StoreError."""
    values = {
        "base": manifest.base,
        "version": manifest.version,
        "manifest": manifest.model_dump_json(),
        "model": model,
        "taken": taken,
        "why": why,
        "made_at": made_at,
    }
    with store_errors("store a kind model"):
        connection.execute(query("store_kind_model"), values)
