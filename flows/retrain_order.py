"""What the scheduler orders of the process that trains; it needs nothing that trains."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from schemas.combine import PlainCombine
from schemas.settings import ToleranceProfile

ANSWER = "answer.json"  # of the process, in the folder of the attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What is to be trained."""

    champion: Path  # folder of the ensemble that is to be succeeded
    snapshot: Path
    members: tuple[str, ...]  # names of those to train anew
    must: bool  # every one of them has to be trained; else those that cannot stay as they are
    how: Literal["head", "full"]
    holdout_share: float
    regardless: bool  # labels come without regard to verdicts, so that every coil stands for itself
    combine: PlainCombine | None  # how members decide on this line; None: as the ensembles say
    seed: int
    out: Path  # folder of the attempt
    cache: Path  # of features
    profiles: Mapping[str, ToleranceProfile]


def order_of(told: dict[str, Any]) -> Order:
    """Read an order that `as_json` wrote."""
    paths = {name: Path(told[name]) for name in ("champion", "snapshot", "out", "cache")}
    profiles = {name: ToleranceProfile.model_validate(one) for name, one in told["profiles"].items()}
    return Order(**{**told, **paths, "profiles": profiles, "members": tuple(told["members"])})


def as_json(order: Order) -> dict[str, Any]:
    """An order as plain values."""
    told = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(order).items()}
    return {**told, "profiles": {name: one.model_dump() for name, one in order.profiles.items()}}
