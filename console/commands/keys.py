"""`coilflow keys`: keys by which machines speak to the console."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from rich.table import Table

from console.database import command_database
from console.options import JsonOption
from console.output import err, out, print_json
from schemas.access import Name, Scope, one_spelling
from schemas.errors import NotFoundError, UsageError
from schemas.settings import load_settings
from store.keys import ApiKey, create_key, list_keys, revoke_key

_MOST_DAYS = 36_500


def create(
    name: Annotated[str, typer.Argument(help="Of the machine, e.g. mes-linz.")],
    *,
    scopes: Annotated[
        list[Scope],
        typer.Option("--scope", help="What it may do; several by several --scope.", show_default=False),
    ],
    expires_days: Annotated[
        int | None, typer.Option("--expires-days", min=1, max=_MOST_DAYS, help="It ends then; else never.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Make a key and show it, this once: it is kept nowhere."""
    name, now = checked_name(name), datetime.now(UTC)
    expires_at = None if expires_days is None else now + timedelta(days=expires_days)
    with command_database(load_settings()) as connection:
        key = create_key(connection, name, frozenset(scopes), expires_at=expires_at, now=now)
    if as_json:
        print_json({"name": name, "scopes": sorted(set(scopes)), "expires_at": expires_at, "key": key})
    else:
        out.print(key, soft_wrap=True)
        err.print("keep it: it is shown this once; send it as `Authorization: Bearer KEY`")
    return 0


def list_(*, as_json: JsonOption = False) -> int:
    """List keys, those revoked too; exit 1 where there are none."""
    with command_database(load_settings()) as connection:
        found = list_keys(connection)
    now = datetime.now(UTC)
    if as_json:
        for key in found:
            print_json(_as_object(key, now=now))
    elif found:
        out.print(_table(found, now=now))
    else:
        out.print("no key")
    return 0 if found else 1


def revoke(name: Annotated[str, typer.Argument(help="Of the key, or its id.")], *, as_json: JsonOption = False) -> int:
    """End a key; who uses it is refused from the next request on."""
    now = datetime.now(UTC)
    with command_database(load_settings()) as connection:
        revoked = revoke_key(connection, name, now=now)
    if revoked is None:
        raise NotFoundError(f"there is no valid key {name}", remedy="see `coilflow keys list`")
    if as_json:
        print_json(_as_object(revoked, now=now))
    else:
        out.print(f"key {revoked.name} is revoked")
    return 0


def checked_name(name: str) -> str:
    """The name of a person or a key, each character in one spelling.

    Raises:
        UsageError: it cannot be one.
    """
    try:
        return TypeAdapter(Name).validate_python(one_spelling(name))
    except ValidationError as error:
        raise UsageError(
            f"{name!r} cannot be a name", remedy="give up to 64 letters, digits, dots, dashes, underscores or @"
        ) from error


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "valid"


def _as_object(key: ApiKey, *, now: datetime) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "state": _state(key, now),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def _table(found: tuple[ApiKey, ...], *, now: datetime) -> Table:
    table = Table(title="keys", title_justify="left")
    for column in ("id", "name", "scopes", "state", "made", "ends", "last used"):
        table.add_column(column)
    for key in found:
        times = (
            f"{time:%Y-%m-%d %H:%M}" if time else "" for time in (key.created_at, key.expires_at, key.last_used_at)
        )
        table.add_row(key.key_id, key.name, ", ".join(sorted(key.scopes)), _state(key, now), *times)
    return table
