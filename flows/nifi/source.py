"""What a processor of ours that brings FlowFiles in does when NiFi calls it: a small sibling of `step` and `processor`.

NiFi keeps of an error in `create` a line in its log, and calls again at once. So nothing is raised here: what is wrong
is a bulletin, once and not with every try, and NiFi waits meanwhile.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from flows.nifi.orphan import end_with_nifi
from flows.nifi.processor import Context, Descriptor, evaluated
from flows.nifi.step import STEP, SUCCESS, Properties, StepResult, close_logged
from flows.observe import log_without_values
from schemas.errors import CoilflowError, UsageError

log = structlog.get_logger("coilflow.nifi")

WAIT_S = 1.0  # of one call for something to come: NiFi calls again at once, and cannot stop it meanwhile
LONGEST_PAUSE_S = 30.0  # between two tries
_STEADY_S = 10.0  # so long it has to go well before the same trouble is told again


class Logger(Protocol):
    """What we use of NiFi's logger, which is Java's: one text a call."""

    def warn(self, message: str, /) -> None:
        """Log it, and show it as a bulletin."""

    def info(self, message: str, /) -> None:
        """Log it."""


class Source(Protocol):
    """What brings FlowFiles in; one thread at a time."""

    def receive(self, wait_s: float) -> StepResult | None:
        """Return the next one, or None where none came in this time; what it returned before is NiFi's by now.

        Args:
            wait_s: for one to come.

        Raises:
            CoilflowError: none can come now; the next call tries anew.
        """

    def close(self) -> None:
        """Give back what it holds; what it returned is NiFi's by now."""


class HostedSource:
    """A source that is opened when NiFi asks for its first FlowFile, for a cluster schedules on every node.

    Args:
        name: as attribute `coilflow.step` has it.
        open_source: makes it from the processor's properties; may raise CoilflowError.
    """

    def __init__(self, name: str, open_source: Callable[[Properties], Source]) -> None:
        self.name, self._open_source = name, open_source
        self._one, self._stopped = threading.Lock(), threading.Event()
        self._properties: Properties | UsageError | None = None  # None: NiFi did not start it
        self._source: Source | None = None
        self._forget()

    def _forget(self) -> None:
        self._failures, self._next_try_s = 0, 0.0
        self._well_since_s: float | None = None  # None: not well now
        self._told: list[str] = []  # each once, until all is well

    def start(self, context: Context, descriptors: Iterable[Descriptor]) -> None:
        """Take these properties from now on; raises nothing, for NiFi could not be stopped then."""
        self.stop()
        with self._one:
            self._properties = evaluated(context, descriptors)
            self._forget()
            self._stopped.clear()

    def stop(self) -> None:
        """Close the source; what goes wrong is logged."""
        self._stopped.set()
        with self._one:
            self._properties = None
            self._close()

    def create(self, context: Context, descriptors: Iterable[Descriptor], logger: Logger) -> StepResult | None:
        """Return the next FlowFile, or None after a second without one; raises nothing.

        NiFi has stored what the call before returned: it commits before it calls again, with one concurrent task and
        without a run duration.
        """
        with self._one:
            if self._properties is None:  # NiFi makes a processor anew whose process died, and does not schedule it
                if self._stopped.is_set():
                    return None
                self._properties = evaluated(context, descriptors)
            pause_s = self._next_try_s - time.monotonic()
            if pause_s > 0 and (self._stopped.wait(min(pause_s, WAIT_S)) or pause_s > WAIT_S):
                return None
            try:
                if self._source is None:
                    self._source = self._opened()
                received = self._source.receive(WAIT_S)
            except Exception as error:  # noqa: BLE001 - whatever it is: NiFi would keep no reason
                self._broke(error, logger)
                return None
            self._went_well(logger, came=received is not None)
        if received is None:
            return None
        return StepResult(
            relationship=SUCCESS, contents=received.contents, attributes={STEP: self.name, **received.attributes}
        )

    def _opened(self) -> Source:
        if isinstance(self._properties, UsageError):
            raise self._properties.with_traceback(None)  # else it would grow with every try
        return self._open_source(self._properties or {})

    def _broke(self, error: Exception, logger: Logger) -> None:
        if isinstance(error, CoilflowError):
            said = f"{error}; {error.remedy}"
        else:
            log.error("a source broke", step=self.name, exc_info=error)
            said = f"unexpected {type(error).__name__}: {error}; report what NiFi's log shows"
            self._close()
        if said not in self._told:
            self._told.append(said)
            logger.warn(said)
        self._well_since_s = None
        self._next_try_s = time.monotonic() + min(2.0**self._failures, LONGEST_PAUSE_S)
        self._failures += 1

    def _went_well(self, logger: Logger, *, came: bool) -> None:
        now_s = time.monotonic()
        if self._well_since_s is None:
            self._well_since_s = now_s
            if self._told:
                logger.info(f"well again, after: {self._told[-1]}")
        # Two clients of one id throw each other out: each is well for a moment, and again and again.
        if came or now_s - self._well_since_s > _STEADY_S:
            self._failures, self._told = 0, []

    def _close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            close_logged(source.close, self.name)


def hosted(name: str, open_source: Callable[[Properties], Source]) -> HostedSource:
    """A processor's source, in a process that ends with its NiFi; arguments as of `HostedSource`."""
    end_with_nifi()
    log_without_values()
    return HostedSource(name, open_source)
