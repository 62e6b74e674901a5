"""Who is signed in: sessions and one-time links, kept by the digest of their token."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.access import Role
from store.connection import Connection, store_errors
from store.keys import digest_of
from store.queries import query

LINK_LIFE = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lifetime:
    """How long a session lasts."""

    idle: timedelta  # since the last request
    whole: timedelta  # since it began, whatever was done


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIn:
    """Whose session it is."""

    name: str
    role: Role


def start_session(
    connection: Connection,
    user_id: int,
    *,
    password_hash: str | None,
    instead_of: str | None,
    lifetime: Lifetime,
    now: datetime,
) -> str | None:
    """Begin a session with a new token; sessions that are over are forgotten on the way.

    Args:
        connection: on a database of this version.
        user_id: of who signed in.
        password_hash: that their password was checked against; None: they came by a link.
        instead_of: token of the session that the browser had, which ends; None: it had none.
        lifetime: of sessions.
        now: the time.

    Returns:
        The token, with 256 random bits; None where the person was disabled, or the password changed, meanwhile.

    Raises:
        StoreError: the database refused.
    """
    token = secrets.token_urlsafe(32)
    with store_errors("begin a session"), connection.transaction():
        connection.execute(query("drop_stale_sessions"), _since(lifetime, now))
        if instead_of is not None:
            connection.execute(query("end_session"), {"digest": digest_of(instead_of)})
        parameters = {
            "digest": digest_of(token),
            "user_id": user_id,
            "password_hash": password_hash,
            "now": now,
        }
        row = connection.execute(query("insert_session"), parameters).fetchone()
    return None if row is None else token


def signed_in(connection: Connection, token: str, *, lifetime: Lifetime, now: datetime) -> SignedIn | None:
    """Whose session this is, or None where it is over or never was; notes that it was used.

    Raises:
        StoreError: the database refused.
    """
    parameters = {"digest": digest_of(token), "now": now, **_since(lifetime, now)}
    with store_errors("look a session up"):
        row = connection.execute(query("use_session"), parameters).fetchone()
    return None if row is None else SignedIn(name=row["name"], role=Role(row["role"]))


def end_session(connection: Connection, token: str) -> None:
    """End a session.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("end a session"):
        connection.execute(query("end_session"), {"digest": digest_of(token)})


def link_for_engineer(connection: Connection, name: str, *, now: datetime) -> str | None:
    """Make a token that signs an engineer of this machine in, once, within ten minutes.

    Args:
        connection: on a database of this version.
        name: of the engineer, who is made on first use and has no password.
        now: the time.

    Returns:
        The token, with 256 random bits; None where somebody of that name has a password, or was disabled.

    Raises:
        StoreError: the database refused.
    """
    token = secrets.token_urlsafe(32)
    with store_errors(f"make a link for {name}"), connection.transaction():
        row = connection.execute(query("local_engineer"), {"name": name, "now": now}).fetchone()
        if row is None:
            return None
        parameters = {"digest": digest_of(token), "now": now, "expires_at": now + LINK_LIFE}
        connection.execute(query("insert_link"), {**parameters, "user_id": row["user_id"]})
    return token


def follow_link(connection: Connection, token: str, *, now: datetime) -> int | None:
    """Whose one-time link this is, by id, which uses it up; None where it was used, is too old or never was.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("follow a link"):
        row = connection.execute(query("follow_link"), {"digest": digest_of(token), "now": now}).fetchone()
    return None if row is None else int(row["user_id"])


def _since(lifetime: Lifetime, now: datetime) -> dict[str, datetime]:
    return {"idle_since": now - lifetime.idle, "started_since": now - lifetime.whole}
