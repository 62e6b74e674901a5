"""A line's verdicts and what people say of its coils."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from schemas.coils import CoilKey, Order, Truth
from schemas.settings import Settings
from schemas.verdicts import Label, MemberVote, Role, Verdict
from store.connection import Connection
from store.feedback import Feedback, record_feedback
from store.verdicts import Decided, record_verdicts

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
THRESHOLD = 0.5


def settings() -> Settings:
    """As they come; tests run where no settings file is."""
    return Settings()


def decided(
    coil_id: str,
    p_nok: float = 0.1,
    *,
    plant: str = "linz",
    revision: str = "r1",
    role: Role = "champion",
    ensemble: str = "e1",
    members: Sequence[tuple[str, str, float]] = (("cnn1d", "1.0", 0.2), ("yolov8n-cls", "2.0", 0.7)),
    undecided: bool = False,
    drawn: float | None = None,
    asked: bool | None = None,
    material: str = "DX51D+Z",
    band: tuple[float, float] = (100, 120),
) -> Decided:
    """A decided coil; asked for where it is NOK or undecided, or where it was drawn with probability `drawn`."""
    label = Label.UNDECIDED if undecided else Label.NOK if p_nok >= THRESHOLD else Label.OK
    certain = label is not Label.OK
    review = ("alarm: p_nok",) if certain else ("random: drawn",) if asked else ()
    verdict = Verdict(
        key=CoilKey(plant=plant, coil_id=coil_id),
        revision=revision,
        label=label,
        p_nok=p_nok,
        threshold=THRESHOLD,
        ensemble_version=ensemble,
        members=tuple(MemberVote(model=m, version=v, p_nok=p) for m, v, p in members),
        observed=1.0,
        review=review,
        review_probability=1.0 if certain else drawn,
    )
    order = Order(zn_min_g_m2=band[0], zn_max_g_m2=band[1], length_m=540, material=material)
    return Decided(verdict=verdict, readings=b"", order=order, started_at=None, truth=None, role=role)


def decide(connection: Connection, *coils: Decided, at: datetime = NOON) -> None:
    """Store verdicts."""
    record_verdicts(connection, coils, decided_at=at, destinations=())


def say(
    connection: Connection,
    coil_id: str,
    label: Truth,
    *,
    operator: str = "mia",
    revision: str | None = None,
    plant: str = "linz",
    after: timedelta = timedelta(hours=1),
) -> None:
    """What an operator says of a coil, each time something else."""
    given = Feedback(
        key=CoilKey(plant=plant, coil_id=coil_id),
        source="console",
        event_id=f"{coil_id} {operator} {label} {after}",
        label=label,
        given_at=NOON + after,
        operator=operator,
        revision=revision,
    )
    record_feedback(connection, [given])


def as_shadow(one: Decided, ensemble: str, p_nok: float) -> Decided:
    """The same coil by a shadow, which asks nobody."""
    label = Label.NOK if p_nok >= THRESHOLD else Label.OK
    verdict = replace(
        one.verdict, ensemble_version=ensemble, p_nok=p_nok, label=label, review=(), review_probability=None
    )
    return replace(one, verdict=verdict, role="shadow")
