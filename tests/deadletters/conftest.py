"""Dead letters of every kind in a real database, and the command line on it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from console.cli import run
from processors.decode import structured_line
from schemas.coils import CoilKey
from schemas.rejects import LogPlace, Reject
from store.connection import Connection
from store.deadletters import record_dead_letters
from tests.flows.given import coil, events_of, lines_of

LINES = lines_of(events_of(coil("7"))).splitlines()
KEY = CoilKey(plant="linz", coil_id="7")
HEADERS = (("ce_type", b"coil.chunk"), ("trace", b"\x00\xff"), ("ce_specversion", b"1.0"), ("trace", b"2"))
TOPIC = "coil.chunks"


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def command(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs `coilflow deadletters`; no user ever sees a stack trace."""
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", database)

    def ran(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run(["deadletters", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Ran(code, captured.out, captured.err)

    return ran


def message(offset: int, *, topic: str = TOPIC, key: CoilKey | None = None, original: bytes = b"{\xff") -> Reject:
    """One message of a Kafka topic that was refused."""
    return Reject(
        step="decode",
        place=f"{topic}, partition 1, offset {offset}",
        key=key,
        error="the message is no JSON",
        remedy="send one whole CloudEvent a message",
        original=original,
        whole_coil=False,
        log=LogPlace(topic=topic, partition=1, offset=offset, key=b"linz/7", headers=HEADERS),
    )


def whole_coil(offset: int, *, topic: str = TOPIC) -> Reject:
    """A coil of a Kafka topic that was refused."""
    return Reject(
        step="assemble",
        place=f"{topic}, partition 1, offset {offset}",
        key=KEY,
        error="two coil.started events disagree",
        remedy="send the right one alone",
        original=b"".join(structured_line(line, ()) + b"\n" for line in LINES),
        log=LogPlace(topic=topic, partition=1, offset=offset),
    )


def from_inbox() -> Reject:
    """A coil that came without Kafka."""
    return replace(whole_coil(0), place="inbox", log=None)


def kept(connection: Connection, *rejects: Reject) -> list[int]:
    """Ids of dead letters, kept one by one so that their order is known."""
    ids = []
    for reject in rejects:
        assert record_dead_letters(connection, [reject]).new == 1
        row = connection.execute("select max(dead_letter_id) as id from coilflow.dead_letters").fetchone()
        assert row is not None
        ids.append(row["id"])
    return ids


def state(connection: Connection, dead_letter_id: int) -> str:
    row = connection.execute(
        "select state from coilflow.dead_letters where dead_letter_id = %s", [dead_letter_id]
    ).fetchone()
    assert row is not None
    return str(row["state"])
