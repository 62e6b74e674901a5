"""What the newest coils of a plant look like, kept in this process for as long as nothing new is embedded anyway."""

import threading
import time
from collections.abc import Callable

from models.similar import MADE_BY, WIDTH
from schemas.matrices import Scale
from store.connection import Connection
from store.embeddings import LatestEmbeddings, latest_embeddings

COMPARED = 100_000  # newest coils of the plant and scale, 13 MB
_FRESH_S = 60.0  # as often as the job `embed` runs
_MOST = 8  # plants and scales


class RecentShapes:
    """Embeddings read once a minute, by whichever question comes first; a hundred thousand take longer than to compare.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[str, Scale], tuple[float, LatestEmbeddings]] = {}

    def of(self, connection: Connection, plant: str, scale: Scale) -> LatestEmbeddings:
        """The embeddings of the newest coils of a plant and scale, at most a minute old.

        Raises:
            StoreError: the database refused.
        """
        with self._lock:
            read_at, latest = self._known.get((plant, scale), (float("-inf"), None))
            if latest is not None and self._clock() - read_at < _FRESH_S:
                return latest
            latest = latest_embeddings(connection, MADE_BY, plant=plant, scale=scale, width=WIDTH, coils=COMPARED)
            self._known.pop((plant, scale), None)
            if len(latest.verdict_ids):  # none: a line that just begins, which is asked again
                self._known[plant, scale] = self._clock(), latest
            for oldest in list(self._known)[:-_MOST]:
                del self._known[oldest]
            return latest
