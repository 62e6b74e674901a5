"""A scorer without models, and the whole way from a source to verdicts."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from flows.assess import JudgedCoil, assess
from flows.served import only
from flows.sources.open import open_source
from schemas.coils import Limits
from schemas.matrices import tensor_values
from schemas.rejects import Reject
from schemas.settings import Settings
from schemas.verdicts import MemberId, Scores


class MeanScorer:
    """Says NOK the surer the further a coil is from its band."""

    limits = Limits(low=-100.0, high=150.0)

    def score(self, batch: pa.RecordBatch) -> Scores:
        """`p_nok` is the mean distance from the band."""
        p_nok = np.abs(tensor_values(batch).astype(np.float64)).mean(axis=(1, 2)) if batch.num_rows else np.zeros(0)
        return Scores(
            ensemble_version="e1",
            threshold=0.5,
            members=(MemberId(model="mean", version="1"),),
            skipped=(),
            member_p_nok=p_nok[:, None],
            p_nok=p_nok,
        )


@dataclass
class Outcome:
    """What came of a source."""

    coils: list[JudgedCoil]
    rejects: list[Reject]

    @property
    def judged(self) -> list[str]:
        """Ids of the coils with a verdict."""
        return [coil.verdict.key.coil_id for coil in self.coils]

    @property
    def rejected(self) -> dict[str | None, Reject]:
        """Rejects by coil id; one coil is rejected once."""
        found: dict[str | None, Reject] = {}
        for reject in self.rejects:
            name = reject.key.coil_id if reject.key else None
            assert name is None or name not in found
            found[name] = reject
        return found

    def digest(self) -> dict[str, tuple[str, float, float, tuple[str, ...], bytes]]:
        """All that a verdict rests on, by coil."""
        return {
            coil.verdict.key.coil_id: (
                coil.verdict.revision,
                coil.verdict.p_nok,
                coil.verdict.observed,
                coil.verdict.reasons,
                coil.matrix.tobytes(),
            )
            for coil in self.coils
        }


def judge(source: str, settings: Settings | None = None) -> Outcome:
    """Assess a source with a scorer that needs no model."""
    outcome = Outcome(coils=[], rejects=[])
    for batch in assess(open_source(source, plant="default"), only(MeanScorer()), settings or Settings(), records=True):
        outcome.coils += batch.coils
        outcome.rejects += batch.rejects
    return outcome
