"""Labelled coils to train on, as matrices against one pair of limits."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.matrices import read_blocks
from flows.sources.source import Source
from models.data_spec import SimulatedData
from plant.line import BLOCK_COILS, simulate
from plant.settings import PRODUCTION, ExpertSettings, LineSettings
from processors.assemble import assemble
from processors.normalize import measure_limits, normalize
from schemas.coils import BoolArray, CoilBatch, Limits
from schemas.errors import SourceError, SpecError
from schemas.matrices import MATRIX_BATCH
from schemas.rejects import Reject

LEAST_OF_A_LABEL = 10
BOTH_LABELS = ("OK", "NOK")
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


def simulated(data: SimulatedData, limits: Limits | None, *, needed: Sequence[str] = BOTH_LABELS) -> Population:
    """Coils of the simulated line; without limits, those are measured on this very population.

    Raises:
        SpecError: `each_label` wants more coils of a label than were simulated.
        SourceError: a label of `needed` is rarer than ten coils.
    """
    parts, known = _of_line(data, limits)
    if data.each_label is not None:
        parts = _so_many_of_each_label(parts, data.each_label)
    return labelled(parts, limits=known, source=_said(data), needed=needed)


def from_source(source: Source, limits: Limits, *, needed: Sequence[str] = BOTH_LABELS) -> Population:
    """The labelled coils of a source, readings normalised with the given limits; grey levels have none.

    Raises:
        SourceError: matrices were normalised with other limits, too few coils have a label of `needed`, or a label is
            neither OK nor NOK.
    """
    parts, known = _of_source(source, limits)
    return labelled(parts, limits=known, source=source.name, needed=needed)


def unlabelled(data: SimulatedData | Source, limits: Limits | None) -> tuple[pa.RecordBatch, Limits | None]:
    """All coils of the line or of a source, with and without a label, and their limits (None: grey).

    Raises:
        SourceError: there are none, or matrices were normalised with other limits.
    """
    known: Limits | None
    if isinstance(data, SimulatedData):
        parts, known = _of_line(data, limits)
        name = _said(data)
    else:
        if limits is None:
            raise SourceError(f"{data.name}: there are no limits to normalise it with", remedy="use data.simulate")
        taken, known = _of_source(data, limits)
        parts, name = iter(taken), data.name
    batches = pa.Table.from_batches(list(parts), schema=MATRIX_BATCH).combine_chunks().to_batches()
    if not batches:
        raise SourceError(f"{name} holds no coil", remedy="check that it is the right one, and whole")
    return batches[0], known


def labelled(
    batches: Iterable[pa.RecordBatch], *, limits: Limits | None, source: str, needed: Sequence[str] = BOTH_LABELS
) -> Population:
    """Keep the coils that have a label; raises SourceError where a label of `needed` is rarer than ten coils."""
    table = pa.Table.from_batches(list(batches), schema=MATRIX_BATCH)
    table = table.filter(pc.is_valid(table.column("label"))).combine_chunks()
    parts = table.to_batches()
    labels = parts[0].column("label").to_pylist() if parts else []
    for label in needed:
        if labels.count(label) < LEAST_OF_A_LABEL:
            raise SourceError(
                f"{source}: {labels.count(label)} coils are labelled {label}, at least {LEAST_OF_A_LABEL} are needed",
                remedy="give more labelled coils, or raise data.simulate.coils or defect_share in the specification"
                + ("; kind: anomaly and kind: rule can do without NOK" if label == "NOK" else ""),
            )
    return Population(batch=parts[0], limits=limits, source=source)


def _of_line(data: SimulatedData, limits: Limits | None) -> tuple[Iterator[pa.RecordBatch], Limits]:
    line = LineSettings(
        defect_share=data.defect_share,
        restlessness=data.restlessness,
        drift_per_1000_coils=data.drift_per_1000_coils,
        started_at=data.started_at or PRODUCTION.started_at,
        expert=PRODUCTION.expert if data.lapse_share is None else ExpertSettings(lapse_share=data.lapse_share),
    )
    blocks = simulate(data.skip_coils + data.coils, seed=data.seed, line=line)
    skipped, offset = divmod(data.skip_coils, BLOCK_COILS)
    coils: Iterable[CoilBatch] = (assemble(one.rows, one.headers).coils for one in islice(blocks, skipped, None))
    if limits is None:
        coils = list(coils)
        limits = _measured(coils)
    known = limits
    parts = (normalize(part, known).batch for part in coils)
    return (part.slice(0 if place else offset) for place, part in enumerate(parts)), known


def _said(data: SimulatedData) -> str:
    after = f" after the first {data.skip_coils}" if data.skip_coils else ""
    drift = f", drift {data.drift_per_1000_coils:g} per 1,000" if data.drift_per_1000_coils else ""
    labels = "" if data.lapse_share is None else f", {data.lapse_share:g} of labels wrong"
    return f"plant: {data.coils} coils{after}, seed {data.seed}{drift}{labels}"


def _of_source(source: Source, limits: Limits) -> tuple[list[pa.RecordBatch], Limits | None]:
    batches = []
    for block in read_blocks(source, limits, coils=_COILS_AT_ONCE, records=False):
        _refuse_labels(block.rejects, source.name)
        batches.append(block.batch)
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
    return batches, None if grey else limits


def _refuse_labels(rejects: Iterable[Reject], source: str) -> None:
    """A coil that cannot be read is left out; one whose label means something else to the expert is never ignored."""
    for reject in rejects:
        if reject.error.startswith("label "):
            coil = f"coil {reject.key.coil_id}: " if reject.key else ""
            raise SourceError(f"{source}: {coil}{reject.error}", remedy=reject.remedy)


def _so_many_of_each_label(batches: Iterable[pa.RecordBatch], count: int) -> Iterator[pa.RecordBatch]:
    """The first NOK coils and for each the next OK coil: both labels of one period, so that drift cannot tell them.

    Asks for no more batches than that takes.
    """
    nok_left, ok_owed = count, 0
    for batch in batches:
        places = []
        for place, label in enumerate(batch.column("label").to_pylist()):
            if label == "NOK" and nok_left:
                nok_left, ok_owed = nok_left - 1, ok_owed + 1
                places.append(place)
            elif label == "OK" and ok_owed:
                ok_owed -= 1
                places.append(place)
        yield batch.take(pa.array(places, pa.int64()))
        if not nok_left and not ok_owed:
            return
    short = f"{count - nok_left} of the simulated coils are NOK" if nok_left else f"{ok_owed} OK coils are missing"
    raise SpecError(
        f"key data.simulate.each_label: {short}, wanted are {count}",
        remedy="raise data.simulate.coils, or lower each_label",
    )


def _measured(coils: list[CoilBatch]) -> Limits:
    pairs = [measure_limits(part) for part in coils]
    return Limits(low=min(low for low, _ in pairs), high=max(high for _, high in pairs))
