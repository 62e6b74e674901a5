"""ScoreModels: a tick in, what changed of the models' scores out."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson

from flows.nifi.database import pool_of
from flows.nifi.outcome import JSON_LINES, MIME
from flows.nifi.properties import settings_from
from flows.nifi.step import SUCCESS, Properties, StepResult
from flows.score_models import score_models
from schemas.settings import Settings
from store.pool import Pool, borrowed
from store.scores import member_performance

UNCHANGED = "unchanged"
SCORES = "coilflow.scores"  # how many changed


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreModels:
    """The step, with its connections."""

    pool: Pool
    settings: Settings
    held: ExitStack = field(default_factory=ExitStack)

    def run(self, content: bytes, attributes: Mapping[str, str]) -> StepResult:
        """Score every version again, whatever the FlowFile holds; raises StoreError."""
        with borrowed(self.pool) as connection:
            changed = score_models(connection, self.settings, datetime.now(UTC))
            if not changed:
                return StepResult(relationship=UNCHANGED, attributes={SCORES: "0"})
            rows = member_performance(connection)
        return StepResult(
            relationship=SUCCESS,
            contents=b"".join(orjson.dumps(row) + b"\n" for row in rows),
            attributes={SCORES: str(len(changed)), MIME: JSON_LINES},
        )

    def close(self) -> None:
        """Give the connections back."""
        self.held.close()


def open_step(properties: Properties) -> ScoreModels:
    """Connect to the database.

    Raises:
        UsageError: a property or a setting is wrong.
        StoreError: the database cannot be reached, or is of another version.
    """
    settings = settings_from(properties)
    with ExitStack() as stack:
        pool = stack.enter_context(pool_of(settings, step="score_models"))
        return ScoreModels(pool=pool, settings=settings, held=stack.pop_all())
