"""Decided coils and rejects to store."""

from datetime import UTC, datetime

from schemas.coils import CoilKey, Order, Truth
from schemas.rejects import Reject
from schemas.verdicts import Label, MemberVote, Verdict
from store.verdicts import Decided

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KAFKA = "kafka:coil.verdicts"
MQTT = "mqtt:coilready"
ORDER = Order(zn_min_g_m2=100, zn_max_g_m2=120, length_m=542.5)


def key_of(coil_id: str) -> CoilKey:
    """A coil of the plant `linz`."""
    return CoilKey(plant="linz", coil_id=coil_id)


def decided(
    coil_id: str,
    *,
    revision: str = "r1",
    supersedes: str | None = None,
    label: Label = Label.OK,
    p_nok: float = 0.125,
    truth: Truth | None = None,
    reasons: tuple[str, ...] = (),
    order: Order | None = ORDER,
) -> Decided:
    """A coil decided by two members."""
    key = key_of(coil_id)
    return Decided(
        order=order,
        started_at=NOON,
        truth=truth,
        verdict=Verdict(
            key=key,
            revision=revision,
            label=label,
            p_nok=p_nok,
            threshold=0.5,
            ensemble_version="e1",
            members=(
                MemberVote(model="cnn1d", version="1.0", p_nok=0.1),
                MemberVote(model="yolov8n-cls", version="2.0", p_nok=0.15),
            ),
            observed=0.98,
            reasons=reasons,
            supersedes=supersedes,
        ),
        readings=b"ARROW1" + coil_id.encode("utf-8", "replace"),
    )


def reject(coil_id: str | None, *, original: bytes = b"{", place: str = "coils.jsonl, line 3") -> Reject:
    """A piece of input that was refused."""
    return Reject(
        step="decode",
        place=place,
        key=None if coil_id is None else key_of(coil_id),
        error="the line is no JSON",
        remedy="send it again",
        original=original,
    )
