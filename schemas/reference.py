"""`reference.json` of an ensemble: what coils and scores look like while the models are as good as they were tested."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.bundles import Sha256

_Share = Annotated[float, Field(gt=0, le=1)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class QuantityReference(_Part):
    """How one figure of a coil is distributed: shares of coils between the cuts, each bin with its upper cut."""

    cuts: tuple[_Finite, ...]  # rising; deciles, fewer where many coils have one value
    shares: tuple[_Share, ...]  # one more than cuts
    mean: _Finite
    coils: Annotated[int, Field(ge=1)]  # that have the figure
    inflation: Annotated[float, Field(ge=1)]  # of chance, for neighbouring coils are alike; 1: as if drawn singly

    @model_validator(mode="after")
    def _one_more_share_than_cuts(self) -> "QuantityReference":
        if len(self.shares) != len(self.cuts) + 1:
            raise ValueError(f"{len(self.cuts)} cuts make {len(self.cuts) + 1} shares, got {len(self.shares)}")
        if list(self.cuts) != sorted(set(self.cuts)):
            raise ValueError("cuts have to rise")
        return self


class Reference(_Part):
    """Beside `ensemble.json`, and no part of its digest: without it models serve, and only drift cannot be told."""

    format: Literal["coilflow.reference/1"] = "coilflow.reference/1"
    ensemble_version: str
    limits_version: str
    source: str  # coils that it was taken from, e.g. "plant: 4500 coils, seed 11"
    quantities: dict[str, QuantityReference]
    digest: Sha256 | None = None  # of all the above

    def own_digest(self) -> str:
        """SHA-256 over every field but `digest` and those that are unset, as JSON with sorted keys."""
        content = json.dumps(self.model_dump(mode="json", exclude={"digest"}, exclude_none=True), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()
