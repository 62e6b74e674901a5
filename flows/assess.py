"""The local host: reads a source, runs the steps, hands out verdicts in batches of bounded size."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from flows.matrices import Block, CoilRecord, read_blocks
from flows.served import Ensembles, Served, by_ensembles
from flows.shadows import Revision, shadow_verdicts, verdict_beside
from flows.sources.source import Source
from processors.decide import decide
from processors.review import ask_for_review
from processors.score import score
from schemas.coils import Float32Array, Truth
from schemas.matrices import Scale, keys_of, tensor_values
from schemas.rejects import Reject
from schemas.settings import Settings
from schemas.verdicts import Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedCoil:
    """A verdict with what it was given on."""

    verdict: Verdict
    truth: Truth | None
    matrix: Float32Array  # [264, 18]
    length_m: float | None
    band_g_m2: tuple[float, float] | None  # as ordered; None where it is not known
    scale: Scale  # of the matrix
    record: CoilRecord | None  # where the database is to keep it

    def alone(self) -> "JudgedCoil":
        """The coil without the batch that its matrix is a part of, and without its record: what may be kept."""
        return replace(self, matrix=self.matrix.copy(), record=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One batch on its way out: every coil read is in `coils` or in `rejects`."""

    coils: tuple[JudgedCoil, ...]
    rejects: tuple[Reject, ...]
    shadows: tuple[JudgedCoil, ...] = ()  # the same coils with what a shadow says of them


def assess(source: Source, ensembles: Ensembles, settings: Settings, *, records: bool) -> Iterator[Judged]:
    """Judge every coil of a source, one verdict each.

    Memory is bounded by the source's blocks and `settings.batch_coils`, whatever the number of coils.

    Args:
        source: where the coils come from.
        ensembles: the models by plant, all of the same limits; a shadow judges only what is recorded.
        settings: batch size and tolerance profiles.
        records: also give what the database keeps of each coil.
    """
    limits = ensembles.every_plant.champion.limits
    for block in read_blocks(source, limits, coils=settings.batch_coils, records=records):
        if not block.batch.num_rows:
            yield Judged(coils=(), rejects=block.rejects)
            continue
        plants = block.batch.column("plant").to_pylist()
        groups = by_ensembles(range(len(plants)), plants.__getitem__, ensembles)
        parts = [_judge_rows(block, rows, served, settings, place=source.name) for served, rows in groups]
        yield Judged(
            coils=tuple(coil for part in parts for coil in part.coils),
            rejects=block.rejects + tuple(reject for part in parts for reject in part.rejects),
            shadows=tuple(coil for part in parts for coil in part.shadows),
        )


def _judge_rows(block: Block, rows: Sequence[int], served: Served, settings: Settings, *, place: str) -> Judged:
    """Judge those coils of a block that one ensemble judges."""
    batch = block.batch if len(rows) == block.batch.num_rows else block.batch.take(pa.array(rows))
    scored = score(batch, served.champion, place=place)
    decided = decide(
        scored.batch,
        scored.scores,
        profiles=settings.tolerance_profiles,
        customer_profiles=settings.customer_profiles,
        place=place,
    )
    identities = zip(keys_of(batch), batch.column("revision").to_pylist(), strict=True)
    row_of = {identity: row for row, identity in enumerate(identities)}
    matrix = tensor_values(batch)
    known = batch.select(["label", "length_m", "zn_min", "zn_max", "scale"]).to_pylist()
    coils = []
    for verdict in decided.verdicts:
        row = row_of[verdict.key, verdict.revision]
        coils.append(
            JudgedCoil(
                verdict=ask_for_review(verdict, settings.review),
                truth=known[row]["label"],
                matrix=matrix[row],
                length_m=known[row]["length_m"],
                band_g_m2=_band(known[row]),
                scale=known[row]["scale"],
                record=block.records[rows[row]] if block.records else None,
            )
        )
    said = shadow_verdicts(served.shadow if block.records else None, scored.batch, settings)
    return Judged(
        coils=tuple(coils),
        rejects=scored.rejects + decided.rejects,
        shadows=tuple(one for coil in coils for one in _beside(coil, said)),
    )


def _band(row: Mapping[str, Any]) -> tuple[float, float] | None:
    return None if row["zn_min"] is None or row["zn_max"] is None else (row["zn_min"], row["zn_max"])


def _beside(coil: JudgedCoil, said: Mapping[Revision, Verdict]) -> tuple[JudgedCoil, ...]:
    verdict = verdict_beside(coil.verdict, said)
    return () if verdict is None else (replace(coil, verdict=verdict),)
