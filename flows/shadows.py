"""What a shadow says of the coils that its champion judged, on the same matrices; nothing it does harms a verdict."""

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
import structlog

from flows.swap_metrics import SHADOW_FAILURES
from processors.decide import decide
from processors.score import Scorer, score
from schemas.coils import CoilKey
from schemas.settings import Settings
from schemas.verdicts import Verdict
from store.verdicts import Decided

log = structlog.get_logger("coilflow.models")

Revision = tuple[CoilKey, str]


def shadow_verdicts(shadow: Scorer | None, batch: pa.RecordBatch, settings: Settings) -> Mapping[Revision, Verdict]:
    """The shadow's verdicts by coil and revision; none where it breaks, which is counted and logged.

    Args:
        shadow: None where the plant has none.
        batch: of MATRIX_BATCH, as the champion scored it.
        settings: tolerance profiles.
    """
    if shadow is None:
        return {}
    try:
        scored = score(batch, shadow, place="shadow")
        decided = decide(
            scored.batch,
            scored.scores,
            profiles=settings.tolerance_profiles,
            customer_profiles=settings.customer_profiles,
            place="shadow",
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the champion's verdicts stand
        SHADOW_FAILURES.labels("score").inc()
        log.warning("the shadow cannot judge a batch", coils=batch.num_rows, why=repr(error))
        return {}
    return {(verdict.key, verdict.revision): verdict for verdict in decided.verdicts}


def verdict_beside(champion: Verdict, said: Mapping[Revision, Verdict]) -> Verdict | None:
    """The shadow's verdict on a coil, to be stored beside the champion's; None where it gave none.

    Who looks at the coil, and with which probability, follows from the champion's verdict alone.
    """
    verdict = said.get((champion.key, champion.revision))
    return None if verdict is None else replace(verdict, review_probability=champion.review_probability)


def beside(champion: Decided, said: Mapping[Revision, Verdict]) -> tuple[Decided, ...]:
    """The same with the coil's readings, ready to be stored."""
    verdict = verdict_beside(champion.verdict, said)
    return () if verdict is None else (replace(champion, verdict=verdict, role="shadow"),)


def count_unstored(why: Exception) -> None:
    """Note that shadows' verdicts could not be stored, and the champions' were."""
    SHADOW_FAILURES.labels("store").inc()
    log.warning("the shadow's verdicts are left out", why=str(why))
