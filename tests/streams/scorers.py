"""Models for the tests: slow ones, failing ones, and later versions."""

import threading
from dataclasses import replace

import numpy as np
import pyarrow as pa

from schemas.errors import BundleError
from schemas.verdicts import Scores
from tests.flows.judging import MeanScorer


class LaterScorer(MeanScorer):
    """The ensemble after a swap, which says NOK to everything."""

    def score(self, batch: pa.RecordBatch) -> Scores:
        """All NOK."""
        return replace(super().score(batch), ensemble_version="e2", p_nok=np.ones(batch.num_rows))


class WaitingScorer(MeanScorer):
    """Says that it has begun, and goes on when it is told to."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()

    def score(self, batch: pa.RecordBatch) -> Scores:
        """As soon as it may."""
        if batch.num_rows:
            self.began.set()
            self.go_on.wait(30)
        return super().score(batch)


class FailingScorer(MeanScorer):
    """Fails on batches with a coil whose band is its bad one."""

    def score(self, batch: pa.RecordBatch) -> Scores:
        """Raises BundleError for a coil named `bad`."""
        if "bad" in batch.column("coil_id").to_pylist():
            raise BundleError("the models failed on a batch", remedy="look into the log")
        return super().score(batch)
