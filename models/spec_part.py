"""What all parts of a specification share."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict


class SpecPart(BaseModel):
    """Immutable, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def refuse_idle(part: SpecPart, keys: Iterable[str], where: str) -> None:
    """Refuse keys that mean nothing beside what another key says.

    One that holds what it holds unless given is let through: a manifest tells all keys, and is read back.

    Args:
        part: a part that is valid but for this.
        keys: what means nothing in it.
        where: what makes it so, for the message.

    Raises:
        ValueError: naming the key.
    """
    for key in sorted(part.model_fields_set & set(keys)):
        unless_given = type(part).model_fields[key].get_default(call_default_factory=True, validated_data=dict(part))
        if getattr(part, key) != unless_given:
            raise ValueError(f"{key} means nothing where {where}")
