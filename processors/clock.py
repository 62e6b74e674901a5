"""Time of one partition of the log, by which open coils fall silent."""

LONGEST_GAP_MS = 60_000


class PartitionClock:
    """Runs on the broker's timestamps; and on the host's, while nothing is left to read.

    A gap of more than a minute between two messages counts as a minute: when a broker, a gauge or a worker was away
    for an hour, nothing was silent of its own accord, and no coil falls to its deadline. A clock that was set back or
    forward moves it by no more than that.
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self._latest_timestamp_ms: int | None = None
        self._idle_ms = 0

    def read(self, timestamp_ms: int) -> None:
        """A message with this broker timestamp was read."""
        latest = self._latest_timestamp_ms
        if latest is not None and latest - LONGEST_GAP_MS <= timestamp_ms <= latest:
            return  # producers' clocks differ a little: time goes on once the latest of them does
        if latest is not None and timestamp_ms > latest:
            self.now_ms += max(0, min(timestamp_ms - latest, LONGEST_GAP_MS) - self._idle_ms)
        self._latest_timestamp_ms = timestamp_ms
        self._idle_ms = 0

    def idle(self, elapsed_ms: int) -> None:
        """The log was read to its end, the broker answered, and nothing came for so long."""
        self.now_ms += elapsed_ms
        self._idle_ms += elapsed_ms
