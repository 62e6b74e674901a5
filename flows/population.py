"""Labelled coils to train on, as matrices against one pair of limits."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.matrices import read_blocks
from flows.sources.source import Source
from models.data_spec import SimulatedData
from plant.line import simulate
from plant.settings import PRODUCTION, LineSettings
from processors.assemble import assemble
from processors.normalize import measure_limits, normalize
from schemas.coils import BoolArray, CoilBatch, Limits
from schemas.errors import SourceError
from schemas.matrices import MATRIX_BATCH

_LEAST_OF_A_LABEL = 10
_COILS_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Population:
    """Labelled coils of MATRIX_BATCH, the limits they were normalised with (None: grey), and where they are from."""

    batch: pa.RecordBatch
    limits: Limits | None
    source: str

    @property
    def is_nok(self) -> BoolArray:
        """Which the expert called NOK, bool [N]."""
        labels: BoolArray = np.asarray(self.batch.column("label").to_pylist()) == "NOK"
        return labels

    def digest(self) -> str:
        """SHA-256 over revisions and labels, sorted: the same coils in any order have the same."""
        rows = zip(self.batch.column("revision").to_pylist(), self.batch.column("label").to_pylist(), strict=True)
        return hashlib.sha256("\n".join(sorted(f"{r} {label}" for r, label in rows)).encode()).hexdigest()


def simulated(data: SimulatedData, limits: Limits | None) -> Population:
    """Coils of the simulated line; without limits, those are measured on this very population."""
    line = LineSettings(
        defect_share=data.defect_share,
        restlessness=data.restlessness,
        drift_per_1000_coils=data.drift_per_1000_coils,
        started_at=data.started_at or PRODUCTION.started_at,
    )
    coils = [assemble(block.rows, block.headers).coils for block in simulate(data.coils, seed=data.seed, line=line)]
    limits = limits or _measured(coils)
    return labelled(
        (normalize(part, limits).batch for part in coils),
        limits=limits,
        source=f"plant: {data.coils} coils, seed {data.seed}",
    )


def from_source(source: Source, limits: Limits) -> Population:
    """The labelled coils of a source, readings normalised with the given limits; grey levels have none.

    Raises:
        SourceError: matrices were normalised with other limits, or too few coils have a label.
    """
    batches = [block.batch for block in read_blocks(source, limits, coils=_COILS_AT_ONCE, records=False)]
    scales = {scale for batch in batches for scale in batch.column("scale").unique().to_pylist()}
    versions = {v for batch in batches for v in batch.column("limits_version").unique().to_pylist()}
    if len(scales) > 1:
        raise SourceError(f"{source.name}: its coils are of both scales", remedy="train on coils of one scale")
    grey = "self" in scales
    if not grey and versions - {limits.version, None}:
        raise SourceError(
            f"{source.name}: normalised with limits {', '.join(sorted(versions - {None}))}, "
            f"the model's are {limits.version}",
            remedy="normalise it again from the readings, without --limits",
        )
    return labelled(batches, limits=None if grey else limits, source=source.name)


def labelled(batches: Iterable[pa.RecordBatch], *, limits: Limits | None, source: str) -> Population:
    """Keep the coils that have a label; raises SourceError where either label is rarer than ten coils."""
    table = pa.Table.from_batches(batches, schema=MATRIX_BATCH)
    table = table.filter(pc.is_valid(table.column("label"))).combine_chunks()
    parts = table.to_batches()
    labels = parts[0].column("label").to_pylist() if parts else []
    for label in ("OK", "NOK"):
        if labels.count(label) < _LEAST_OF_A_LABEL:
            raise SourceError(
                f"{source}: {labels.count(label)} coils are labelled {label}, at least {_LEAST_OF_A_LABEL} are needed",
                remedy="give more labelled coils, or raise data.simulate.coils or defect_share in the specification",
            )
    return Population(batch=parts[0], limits=limits, source=source)


def _measured(coils: list[CoilBatch]) -> Limits:
    pairs = [measure_limits(part) for part in coils]
    return Limits(low=min(low for low, _ in pairs), high=max(high for _, high in pairs))
