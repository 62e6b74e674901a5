"""People who sign in to the console, and what they are there for."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import DictRow

from schemas.access import Role
from schemas.errors import NotFoundError, UsageError
from store.connection import Connection, store_errors
from store.queries import query


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """A person."""

    user_id: int
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None  # None: may sign in
    seen_at: datetime | None  # to the minute; None: not signed in

    @classmethod
    def from_row(cls, row: DictRow) -> "User":
        """From a row of `list_users`."""
        return cls(**{**row, "role": Role(row["role"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class SignIn:
    """What is needed to tell whether a person is who they say."""

    user_id: int
    name: str
    password_hash: str


def add_user(connection: Connection, name: str, role: Role, *, password_hash: str, now: datetime) -> int:
    """Let a person sign in; returns their id.

    Raises:
        UsageError: there is somebody of that name, however it is written.
        StoreError: the database refused.
    """
    parameters = {"name": name, "role": role, "password_hash": password_hash, "now": now}
    with store_errors(f"add {name}"):
        row = connection.execute(query("insert_user"), parameters).fetchone()
    if row is None:
        raise UsageError(
            f"there is a {name} already", remedy="give another name, or change that one; see `coilflow users list`"
        )
    user_id: int = row["user_id"]
    return user_id


def list_users(connection: Connection) -> tuple[User, ...]:
    """Everybody, by name.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("list the people"):
        return tuple(map(User.from_row, connection.execute(query("list_users"))))


def user_to_sign_in(connection: Connection, name: str) -> SignIn | None:
    """Who may sign in by that name and a password; None where nobody may.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("look a person up"):
        row = connection.execute(query("user_to_sign_in"), {"name": name}).fetchone()
    return None if row is None else SignIn(**row)


def set_role(connection: Connection, name: str, role: Role) -> None:
    """Give a person another role; it counts from their next request on.

    Raises:
        NotFoundError: there is nobody of that name.
        StoreError: the database refused.
    """
    _change(connection, "set_role", name, {"role": role})


def set_password(connection: Connection, name: str, *, password_hash: str) -> None:
    """Give a person another password, which ends their sessions and links.

    Raises:
        NotFoundError: there is nobody of that name.
        StoreError: the database refused.
    """
    with connection.transaction():
        _end_sessions(connection, _change(connection, "set_password", name, {"password_hash": password_hash}))


def disable_user(connection: Connection, name: str, *, now: datetime) -> None:
    """Let a person do nothing any more, from their next request on; what they did stays.

    Raises:
        NotFoundError: there is nobody of that name.
        StoreError: the database refused.
    """
    with connection.transaction():
        _end_sessions(connection, _change(connection, "set_disabled", name, {"disabled": True, "now": now}))


def enable_user(connection: Connection, name: str, *, now: datetime) -> None:
    """Let a person who was disabled sign in again.

    Raises:
        NotFoundError: there is nobody of that name.
        StoreError: the database refused.
    """
    _change(connection, "set_disabled", name, {"disabled": False, "now": now})


def _change(connection: Connection, statement: str, name: str, values: dict[str, object]) -> int:
    with store_errors(f"change {name}"):
        row = connection.execute(query(statement), {"name": name, **values}).fetchone()
    if row is None:
        raise NotFoundError(f"there is no {name}", remedy="see `coilflow users list`")
    user_id: int = row["user_id"]
    return user_id


def _end_sessions(connection: Connection, user_id: int) -> None:
    with store_errors("end the sessions of a person"):
        connection.execute(query("end_sessions_of_user"), {"user_id": user_id})
