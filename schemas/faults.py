"""What pydantic found wrong first, for a sentence to a user; never a secret."""

from dataclasses import dataclass

from pydantic import SecretStr, ValidationError

_SECRET = ("password", "secret", "dsn", "token")
_MOST_SHOWN = 60  # characters of what was got
_WORDS = (
    ("Value error, ", ""),
    ("Tuple should have", "has to have"),
    ("List should have", "has to have"),
    ("items after validation", "values"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstFault:
    """The first of what validation found wrong."""

    field: str  # path with dots, empty where the whole is meant
    said: str
    got: str | None  # None where it is absent, large, or may hold a secret

    def sentence(self) -> str:
        """Such as "position: Input should be a valid number, got 'far'"."""
        got = "" if self.got is None else f", got {self.got}"
        return f"{self.field}: {self.said}{got}" if self.field else self.said


def first_fault(error: ValidationError, *, below: int = 0) -> FirstFault:
    """Read the first fault.

    Args:
        error: as pydantic raised it.
        below: how many leading parts of the path the user did not write, such as the tag of a union.
    """
    first = error.errors(include_url=False, include_context=False)[0]
    path = [str(part) for part in first["loc"][below:]]
    said = str(first["msg"])
    for theirs, ours in _WORDS:
        said = said.replace(theirs, ours)
    hidden = first["type"] == "missing" or any(word in part.lower() for part in path for word in _SECRET)
    return FirstFault(field=".".join(path), said=said, got=None if hidden else shown(first["input"]))


def shown(value: object) -> str | None:
    """A value in at most 60 characters; None for one that may hold a secret, or that is long by nature."""
    if isinstance(value, SecretStr | dict):
        return None
    if isinstance(value, str):
        value = value[: _MOST_SHOWN + 1]  # a long text is not quoted whole first
    elif isinstance(value, list | tuple):
        value = value[:_MOST_SHOWN]
    elif isinstance(value, int) and value.bit_length() > 8 * _MOST_SHOWN:
        return "a number of many digits"
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"
