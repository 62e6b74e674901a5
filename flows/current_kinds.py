"""What says kinds in this process: what coilflow came with, or what was fitted again on the words of people."""

import threading

from models.kinds import KindModel, kind_model, shipped_kinds
from store.connection import Connection
from store.kinds import last_kind_model, last_kind_model_id


class CurrentKinds:
    """A kind model, read again where a newer one was taken."""

    def __init__(self) -> None:
        self._shipped = shipped_kinds()
        self._lock = threading.Lock()
        self._known: tuple[int | None, KindModel] = (None, self._shipped)

    def of(self, connection: Connection) -> KindModel:
        """The newest that was taken.

        Raises:
            BundleError: it is damaged.
            StoreError: the database refused.
        """
        base = self._shipped.manifest.base
        newest = last_kind_model_id(connection, base)
        with self._lock:
            known, model = self._known
            if newest == known:
                return model
            stored = last_kind_model(connection, base, taken=True)
            if stored is None:
                return self._shipped
            model = kind_model(stored.manifest, stored.model, place=f"kind model {stored.manifest.version}")
            self._known = (stored.kind_model_id, model)
            return model
