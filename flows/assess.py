"""The local host: reads a source, runs the steps, hands out verdicts in batches of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from flows.matrices import CoilRecord, read_blocks
from flows.sources.source import Source
from processors.decide import decide
from processors.review import ask_for_review
from processors.score import Scorer, score
from schemas.coils import Float32Array, Truth
from schemas.matrices import keys_of, tensor_values
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
    record: CoilRecord | None  # where the database is to keep it

    def alone(self) -> "JudgedCoil":
        """The coil without the batch that its matrix is a part of, and without its record: what may be kept."""
        return replace(self, matrix=self.matrix.copy(), record=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One batch on its way out: every coil read is in `coils` or in `rejects`."""

    coils: tuple[JudgedCoil, ...]
    rejects: tuple[Reject, ...]


def assess(source: Source, ensemble: Scorer, settings: Settings, *, records: bool) -> Iterator[Judged]:
    """Judge every coil of a source, one verdict each.

    Memory is bounded by the source's blocks and `settings.batch_coils`, whatever the number of coils.

    Args:
        source: where the coils come from.
        ensemble: the models and their limits.
        settings: batch size and tolerance profiles.
        records: also give what the database keeps of each coil.
    """
    for block in read_blocks(source, ensemble.limits, coils=settings.batch_coils, records=records):
        if not block.batch.num_rows:
            yield Judged(coils=(), rejects=block.rejects)
            continue
        scored = score(block.batch, ensemble, place=source.name)
        decided = decide(
            scored.batch,
            scored.scores,
            profiles=settings.tolerance_profiles,
            customer_profiles=settings.customer_profiles,
            place=source.name,
        )
        row_of = {
            (key, revision): row
            for row, (key, revision) in enumerate(
                zip(keys_of(block.batch), block.batch.column("revision").to_pylist(), strict=True)
            )
        }
        matrix = tensor_values(block.batch)
        truth, length_m = block.batch.column("label").to_pylist(), block.batch.column("length_m").to_pylist()
        coils = []
        for verdict in decided.verdicts:
            row = row_of[verdict.key, verdict.revision]
            coils.append(
                JudgedCoil(
                    verdict=ask_for_review(verdict, settings.review),
                    truth=truth[row],
                    matrix=matrix[row],
                    length_m=length_m[row],
                    record=block.records[row] if block.records else None,
                )
            )
        yield Judged(coils=tuple(coils), rejects=block.rejects + scored.rejects + decided.rejects)
