"""Who may do what: scopes of API keys, and roles of people, which are scopes by name."""

import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

# Of a person or a key; letters of any language, no space, no colon: `key:NAME` tells a machine from a person.
Name = Annotated[str, Field(pattern=r"^[\w.@-]{1,64}$")]


class Scope(StrEnum):
    """One kind of thing that may be done."""

    READ = "read"  # look at everything
    FEEDBACK = "feedback"  # give feedback, settle disputes
    OPERATE = "operate"  # dead letters, schedule
    MODELS = "models"  # promote, roll back, freeze
    EVENTS = "events"  # send events: for machines only


class Role(StrEnum):
    """What a person is there for."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"


ROLE_SCOPES: Mapping[Role, frozenset[Scope]] = MappingProxyType(
    {
        Role.VIEWER: frozenset({Scope.READ}),
        Role.OPERATOR: frozenset({Scope.READ, Scope.FEEDBACK}),
        Role.ENGINEER: frozenset(Scope) - {Scope.EVENTS},
    }
)


def one_spelling(text: str) -> str:
    """A name or a password with each character in one spelling, however a keyboard or a system makes it."""
    return unicodedata.normalize("NFKC", text)
