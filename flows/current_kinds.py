"""What says kinds in this process: what coilflow came with, or what was fitted again on the words of people."""

import threading

import structlog

from models.kinds import KindModel, kind_model, shipped_kinds
from schemas.errors import BundleError
from store.connection import Connection
from store.kinds import last_kind_model, last_kind_model_id

log = structlog.get_logger("coilflow.models")


class CurrentKinds:
    """A kind model, read again where a newer one was taken; one that is damaged is refused, and the old one goes on."""

    def __init__(self) -> None:
        self._shipped = shipped_kinds()
        self._lock = threading.Lock()
        self._known: tuple[int | None, KindModel] = (None, self._shipped)

    def of(self, connection: Connection) -> KindModel:
        """The newest that was taken and is whole; raises StoreError where the database refused."""
        base = self._shipped.manifest.base
        newest = last_kind_model_id(connection, base)
        with self._lock:
            known, model = self._known
            if newest == known:
                return model
            try:
                self._known = self._newest(connection, base)
            except BundleError as error:
                log.warning(
                    "a kind model is refused, the one before goes on", error=str(error), kept=model.manifest.version
                )
                self._known = (newest, model)
            return self._known[1]

    def _newest(self, connection: Connection, base: str) -> tuple[int | None, KindModel]:
        stored = last_kind_model(connection, base, taken=True)
        if stored is None:
            return None, self._shipped
        place = f"kind model {stored.kind_model_id}"
        return stored.kind_model_id, kind_model(stored.manifest, stored.model, place=place)
