"""Store what a host judged; a coil that the database refuses becomes a dead letter, and stops no other."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from flows.judge import Outcome
from flows.shadows import count_unstored
from schemas.errors import StoreError, StoreUnavailableError
from schemas.rejects import Reject
from schemas.settings import Settings
from store.connection import Connection
from store.deadletters import record_dead_letters
from store.verdicts import Recorded, record_verdicts

log = structlog.get_logger("coilflow.judge")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedOutcome:
    """What became of it."""

    new: int  # verdicts
    repeated: int  # stood already; nothing was changed or announced
    rejects: tuple[Reject, ...]  # those given, and coils that the database refused


def record_outcome(connection: Connection, outcome: Outcome, settings: Settings, *, place: str) -> RecordedOutcome:
    """Store verdicts and dead letters; in mode `observe` nothing is queued for announcement.

    Args:
        connection: inside `connection.transaction()`.
        outcome: what was judged.
        settings: mode and destinations.
        place: of a coil that the database refuses, for people.

    Raises:
        StoreError: the database is away, or refuses even a dead letter.
    """
    announced = settings.destinations if settings.mode == "announce" else ()
    decided_at = datetime.now(UTC)

    def store(part: Outcome) -> Recorded:
        with connection.transaction():  # a savepoint
            recorded = record_verdicts(
                connection, (*part.decided, *part.shadows), decided_at=decided_at, destinations=announced
            )
            record_dead_letters(connection, part.rejects)
        return recorded

    try:
        stored = store(outcome)
    except StoreUnavailableError:
        raise
    except StoreError as error:
        log.warning("a batch was refused by the database and is stored coil by coil", coils=len(outcome.decided))
        if outcome.shadows:
            count_unstored(error)
    else:
        return RecordedOutcome(new=stored.new, repeated=stored.repeated, rejects=outcome.rejects)
    store(Outcome(decided=(), rejects=outcome.rejects))
    alone = [_stored_alone(store, Outcome(decided=(one,), rejects=()), place) for one in outcome.decided]
    return RecordedOutcome(
        new=sum(one.new for one in alone if isinstance(one, Recorded)),
        repeated=sum(one.repeated for one in alone if isinstance(one, Recorded)),
        rejects=(*outcome.rejects, *(one for one in alone if isinstance(one, Reject))),
    )


def _stored_alone(store: Callable[[Outcome], Recorded], one: Outcome, place: str) -> Recorded | Reject:
    """Store one coil, or why it cannot be stored."""
    try:
        return store(one)
    except StoreUnavailableError:
        raise
    except StoreError as error:
        verdict = one.decided[0].verdict
        reject = Reject(
            step="store",
            place=place,
            key=verdict.key,
            error=str(error),
            remedy=error.remedy,
            original=one.decided[0].readings,
        )
        store(Outcome(decided=(), rejects=(reject,)))
        return reject
