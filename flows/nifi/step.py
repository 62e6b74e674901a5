"""What a processor does with a FlowFile, without NiFi: content and attributes in, a result out, never an error."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from schemas.errors import BrokerError, BundleAwayError, CoilflowError, StoreUnavailableError

log = structlog.get_logger("coilflow.nifi")

SUCCESS, FAILURE, DEAD_LETTER = "success", "failure", "dead_letter"
ERROR, STEP, REMEDY = "coilflow.error", "coilflow.step", "coilflow.remedy"
_MAY_PASS = (StoreUnavailableError, BrokerError, BundleAwayError)
_AGAIN_S = 1.0  # between two tries to open what a step needs

Properties = Mapping[str, str | None]  # of a processor, by display name; None: not set


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """Where a FlowFile goes, and with what; every attribute is text, for NiFi takes nothing else."""

    relationship: str
    contents: bytes | None = None  # None: as they came
    attributes: Mapping[str, str] = field(default_factory=dict)


class Step(Protocol):
    """What a processor does between `onScheduled` and `onStopped`; several threads may run it at once."""

    def run(self, content: bytes, attributes: Mapping[str, str]) -> StepResult:
        """Do it with one FlowFile; errors are raised as CoilflowError, or are the result's."""

    def close(self) -> None:
        """Give back what it holds."""


def close_logged(close: Callable[[], None], name: str) -> None:
    """Close what a processor holds; raises nothing, for NiFi waits for the end: what goes wrong is logged."""
    try:
        close()
    except Exception:  # whatever it is
        log.exception("a step could not be closed", step=name)


class Hosted:
    """A step that is opened when it can be, and whose errors are results.

    NiFi tries a processor that fails on `onScheduled` every 30 s and cannot stop it meanwhile, and keeps no reason of
    what `transform` raises. So opening never fails here: until it goes well, every FlowFile goes to `failure`.

    Args:
        name: of the step, as attribute `coilflow.step` has it.
        open_step: makes it from the processor's properties; may raise CoilflowError.
    """

    def __init__(self, name: str, open_step: Callable[[Properties], Step]) -> None:
        self.name, self._open_step = name, open_step
        self._lock, self._starting = threading.Lock(), threading.Lock()
        self._started = False
        self._properties: Properties | CoilflowError = {}
        self._step: Step | None = None
        self._next_try_s = 0.0
        self._refusal: StepResult | None = None

    def start(self, properties: Properties | CoilflowError) -> None:
        """Open the step with these properties; what goes wrong, with them too, is told with every FlowFile."""
        self.stop()
        self._properties = properties if isinstance(properties, CoilflowError) else dict(properties)
        self._next_try_s, self._refusal, self._started = 0.0, None, True
        self._opened()

    def start_unless_started(self, read: Callable[[], Properties | CoilflowError]) -> None:
        """Start it where NiFi did not: it makes a processor anew whose process died, and does not schedule it again."""
        with self._starting:
            if not self._started:
                self.start(read())

    def stop(self) -> None:
        """Close the step; what goes wrong is logged."""
        with self._lock:
            step, self._step, self._started = self._step, None, False
        if step is not None:
            close_logged(step.close, self.name)

    def run(self, content: bytes, attributes: Mapping[str, str]) -> StepResult:
        """Do the step; raises nothing.

        What may pass (a database or broker that is away, files that cannot be reached) goes to `failure`, to be tried
        again; what never goes well to `dead_letter`. Both keep the FlowFile's content, and say what was wrong.
        """
        opened = self._opened()
        if isinstance(opened, StepResult):
            return opened
        try:
            done = opened.run(content, attributes)
        except Exception as error:  # noqa: BLE001 - whatever it is: NiFi would keep no reason
            return self.refuse(error)
        return StepResult(
            relationship=done.relationship, contents=done.contents, attributes={STEP: self.name, **done.attributes}
        )

    def _opened(self) -> Step | StepResult:
        with self._lock:
            if self._step is not None:
                return self._step
            if self._refusal is not None and time.monotonic() < self._next_try_s:
                return self._refusal
            try:
                self._step, self._refusal = self._open_with(self._properties), None
            except Exception as error:  # noqa: BLE001 - as above
                refused = self.refuse(error)
                self._refusal = StepResult(relationship=FAILURE, attributes=refused.attributes)
                self._next_try_s = time.monotonic() + _AGAIN_S
                return self._refusal
            return self._step

    def _open_with(self, properties: Properties | CoilflowError) -> Step:
        if isinstance(properties, CoilflowError):
            raise properties.with_traceback(None)  # else it would grow with every try
        return self._open_step(properties)

    def refuse(self, error: Exception) -> StepResult:
        """Return the error as a result: what may pass to `failure`, all else to `dead_letter`."""
        if isinstance(error, CoilflowError):
            where, said, remedy = FAILURE if isinstance(error, _MAY_PASS) else DEAD_LETTER, str(error), error.remedy
        else:
            log.error("a step broke", step=self.name, exc_info=error)
            where, said = DEAD_LETTER, f"unexpected {type(error).__name__}: {error}"
            remedy = "report what NiFi's log shows, then send it again"
        return StepResult(relationship=where, attributes={ERROR: said, STEP: self.name, REMEDY: remedy})
