"""Callers of the console: what each sends."""

import secrets
from datetime import UTC, datetime

import httpx

from schemas.access import Scope
from store.connection import connect
from store.keys import create_key


def bearer(dsn: str, *scopes: Scope) -> dict[str, str]:
    """Headers of a machine with a new key that has these scopes."""
    with connect(dsn) as connection:
        key = create_key(connection, f"test-{secrets.token_hex(4)}", scopes, expires_at=None, now=datetime.now(UTC))
    return {"authorization": f"Bearer {key}"}


def client_with(client: httpx.Client, dsn: str, *scopes: Scope) -> httpx.Client:
    """Another client of the same console, with a key that has these scopes only; without any, with no key."""
    return httpx.Client(base_url=client.base_url, headers=bearer(dsn, *scopes) if scopes else {}, timeout=30)
