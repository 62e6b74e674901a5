"""`coilflow users`: people who sign in to the console."""

import getpass
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from console.commands.keys import checked_name
from console.database import command_database
from console.options import JsonOption
from console.output import out, print_json
from console.passwords import hash_password
from schemas.access import Role
from schemas.errors import UsageError
from schemas.settings import load_settings
from store.users import User, add_user, disable_user, enable_user, list_users, set_password, set_role

NameArgument = Annotated[str, typer.Argument(help="By which the person signs in.")]
RoleOption = Annotated[
    Role,
    typer.Option(
        "--role",
        help="viewer looks; operator gives feedback too; engineer also changes models, schedule and dead letters.",
        show_default=False,
    ),
]


def add(name: NameArgument, *, role: RoleOption) -> int:
    """Let a person sign in; the password is asked for, or read from standard input."""
    name = checked_name(name)
    password_hash = hash_password(_password(name))
    with command_database(load_settings()) as connection:
        add_user(connection, name, role, password_hash=password_hash, now=datetime.now(UTC))
    out.print(f"{name} may sign in as {role}")
    return 0


def list_(*, as_json: JsonOption = False) -> int:
    """List people; exit 1 where there are none."""
    with command_database(load_settings()) as connection:
        found = list_users(connection)
    if as_json:
        for person in found:
            print_json(
                {
                    "name": person.name,
                    "role": person.role,
                    "created_at": person.created_at,
                    "disabled_at": person.disabled_at,
                    "seen_at": person.seen_at,
                }
            )
    elif found:
        out.print(_table(found))
    else:
        out.print("nobody")
    return 0 if found else 1


def set_role_(name: NameArgument, *, role: RoleOption) -> int:
    """Give a person another role, from the next request on."""
    with command_database(load_settings()) as connection:
        set_role(connection, checked_name(name), role)
    out.print(f"{name} is {role}")
    return 0


def set_password_(name: NameArgument) -> int:
    """Give a person another password, asked for or read from standard input; it signs them out everywhere."""
    name = checked_name(name)
    password_hash = hash_password(_password(name))
    with command_database(load_settings()) as connection:
        set_password(connection, name, password_hash=password_hash)
    out.print(f"{name} has another password")
    return 0


def disable(name: NameArgument) -> int:
    """Sign a person out and let them in no more; what they did stays."""
    with command_database(load_settings()) as connection:
        disable_user(connection, checked_name(name), now=datetime.now(UTC))
    out.print(f"{name} may not sign in any more")
    return 0


def enable(name: NameArgument) -> int:
    """Let a person who was disabled sign in again."""
    with command_database(load_settings()) as connection:
        enable_user(connection, checked_name(name), now=datetime.now(UTC))
    out.print(f"{name} may sign in again")
    return 0


def _password(name: str) -> str:
    """Asked for twice at a terminal, the first line of standard input elsewhere: never an argument, which all see."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"password of {name}: ")
    if getpass.getpass("once more: ") != password:
        raise UsageError("the two are not the same", remedy="run it again")
    return password


def _table(found: tuple[User, ...]) -> Table:
    table = Table(title="people", title_justify="left")
    for column in ("name", "role", "since", "signed in, last seen", "disabled"):
        table.add_column(column)
    for person in found:
        times = (
            f"{time:%Y-%m-%d %H:%M}" if time else "" for time in (person.created_at, person.seen_at, person.disabled_at)
        )
        table.add_row(person.name, person.role, *times)
    return table
