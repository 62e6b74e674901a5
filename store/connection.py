"""Connections by DSN, and the one place where a driver's error becomes a sentence for the user."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from schemas.errors import StoreError, StoreUnavailableError

Connection = psycopg.Connection[DictRow]

_TOO_LARGE = "54"  # SQLSTATE class: a limit of the program that no waiting changes
_STOOD_STILL = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.TransactionTimeout)  # session ended
CONNECT_TIMEOUT_S = 5
# A server that vanished behind a broken network is noticed within half a minute, and not after two hours.
ALIVE = {"keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3", "tcp_user_timeout": "25000"}
# For a session that holds locks others wait for, silence is noticed in about ten seconds.
WATCHED = {
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_SECRETS = ("password", "sslpassword")
_REACH_REMEDY = "start the server or correct the DSN (yours, or COILFLOW_DATABASE_DSN), then run `coilflow doctor`"


def parameters_of(dsn: str) -> dict[str, str]:
    """Read a DSN, URL or `key=value`, into libpq's connection parameters.

    Raises:
        StoreError: it cannot be read; the message does not repeat it, since it may hold a password.
    """
    try:
        known = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    except (psycopg.Error, ValueError):
        # libpq quotes the part it cannot read, and that part may be the password: no cause is kept.
        raise _unreadable() from None
    if "://" in dsn and any("@" in known.get(name, "")[1:] for name in ("host", "dbname")):
        raise _unreadable()  # a password with @ or / as it is: its rest would be told as the host
    return known


def _unreadable() -> StoreError:
    return StoreError(
        "the database DSN cannot be read",
        remedy="write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded",
    )


def describe(dsn: str) -> str:
    """Where a DSN leads, without its secrets: `user@host:port/database`."""
    known = parameters_of(dsn)
    user = f"{known['user']}@" if "user" in known else ""
    port = f":{known['port']}" if "port" in known else ""
    return f"{user}{known.get('host', 'localhost')}{port}/{known.get('dbname', known.get('user', ''))}"


@contextmanager
def connect(dsn: str, *, application_name: str = "coilflow") -> Iterator[Connection]:
    """Open one connection, rows as dicts, each statement its own transaction unless `transaction()` says otherwise.

    Args:
        dsn: libpq URL or `key=value` string; a socket folder as host is fine.
        application_name: shown in `pg_stat_activity`.

    Raises:
        StoreError: the DSN cannot be read; a StoreUnavailableError where the server cannot be reached.
    """
    known = parameters_of(dsn)
    defaults = {"application_name": application_name, "connect_timeout": str(CONNECT_TIMEOUT_S), **ALIVE}
    conninfo = make_conninfo("", **{**defaults, **known})
    try:
        connection = psycopg.connect(conninfo, autocommit=True, row_factory=dict_row)
    except (psycopg.Error, UnicodeError) as error:
        raise StoreUnavailableError(
            f"PostgreSQL at {describe(dsn)} cannot be reached: {_sentence(error, known)}", remedy=_REACH_REMEDY
        ) from error
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def store_errors(step: str) -> Iterator[None]:
    """Turn what the driver raises inside into one StoreError that names the step.

    Args:
        step: what was being done, as in "record 64 verdicts".

    Raises:
        StoreError: in place of any psycopg error, with the original as its cause; a StoreUnavailableError where the
            same step may go well next time.
    """
    try:
        yield
    except (psycopg.OperationalError, *_STOOD_STILL) as error:
        if (error.sqlstate or "").startswith(_TOO_LARGE):
            raise StoreError(
                f"cannot {step}: {_sentence(error, {})}", remedy="nothing of this step was stored; give it less at once"
            ) from error
        raise StoreUnavailableError(
            f"cannot {step}: {_sentence(error, {})}", remedy="nothing of this step was stored; run it again"
        ) from error
    except psycopg.errors.UndefinedTable as error:
        raise StoreError(
            f"cannot {step}: the database lacks coilflow's tables",
            remedy="apply the migrations with `coilflow doctor --fix`",
        ) from error
    except (psycopg.Error, UnicodeError) as error:
        raise StoreError(
            f"cannot {step}: {_sentence(error, {})}", remedy="nothing of this step was stored; correct the value named"
        ) from error


def utf8_fault(text: str) -> str | None:
    """Why PostgreSQL cannot keep a text, or None where it can."""
    if "\x00" in text:
        return "holds a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode (a lone surrogate)"
    return None


def finite_or_none(value: float) -> float | None:
    """A probability for a nullable column: NaN, "could not be scored", becomes null."""
    return None if math.isnan(value) else value


def _sentence(error: Exception, known: dict[str, str]) -> str:
    """First line of a driver's message, without secrets."""
    detail = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    line = re.sub(r"\s+", " ", detail.strip().splitlines()[0] if detail.strip() else type(error).__name__)
    for name in _SECRETS:
        if known.get(name):
            line = line.replace(known[name], "***")
    return line.rstrip(".")
