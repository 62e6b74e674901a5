"""What all parts of a specification share."""

from pydantic import BaseModel, ConfigDict


class SpecPart(BaseModel):
    """Immutable, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
