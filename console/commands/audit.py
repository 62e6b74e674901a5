"""`coilflow audit`: what an auditor files of a coil or a model."""

import hashlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from console.audit_coil import coil_markdown
from console.audit_model import model_markdown
from console.database import command_database
from console.options import JsonOption
from console.output import out
from flows import audit
from flows.audit_picture import judged_again
from schemas.audit import CoilReport
from schemas.audit_model import ModelReport
from schemas.errors import UsageError
from schemas.settings import load_settings
from store.connection import Connection

_MOST_NAME = 120  # signs of a file's name, as one plant's ids could be any text
_DRAWN_WITH_OUT = "it is drawn beside a report that is written with --out"

OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Write the report there, as Markdown and JSON; else print it."),
]
PlantOption = Annotated[
    str | None, typer.Option("--plant", help="Plant of the coil; needed where several know its id.")
]


def coil(
    coil_id: Annotated[str, typer.Argument(metavar="ID", help="The coil's id (SID).")],
    *,
    plant: PlantOption = None,
    to: OutOption = None,
    as_json: JsonOption = False,
) -> int:
    """Report on a coil: readings, verdicts, votes, announcements, feedback and what it changed; exit 1 if unknown."""
    now = datetime.now(UTC)
    with command_database(load_settings()) as connection:
        key = audit.key_of_coil(connection, coil_id, plant)
        report = audit.coil_report(connection, key, now=now)
        stem = _stem("coil", f"{key.plant}-{key.coil_id}", now)
        if to is None:
            report = report.model_copy(update={"no_picture": _DRAWN_WITH_OUT})
        else:
            report = _with_picture(connection, report, _folder(to), f"{stem}.png")
    _tell(report, coil_markdown, stem, to, as_json=as_json)
    return 0


def model(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="Of an ensemble or a model; NAME@VERSION where several have it.")
    ],
    *,
    to: OutOption = None,
    as_json: JsonOption = False,
) -> int:
    """Report on a model: training, metrics, canaries now, approvals, where it ran, scores, drift; exit 1 if unknown."""
    now, settings = datetime.now(UTC), load_settings()
    with command_database(settings) as connection:
        report = audit.model_report(connection, version, settings, now=now)
    if to is not None:
        _folder(to)
    _tell(report, model_markdown, _stem("model", version, now), to, as_json=as_json)
    return 0


def _with_picture(connection: Connection, report: CoilReport, folder: Path, name: str) -> CoilReport:
    found = judged_again(connection, report)
    if isinstance(found, str):
        return report.model_copy(update={"no_picture": found})
    from console.pictures import draw_coil  # noqa: PLC0415 - a report without a picture starts faster

    judged, limits = found
    draw_coil(judged, folder / name, limits)
    sha256 = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return report.model_copy(update={"picture": name, "picture_sha256": sha256, "no_picture": None})


def _tell(
    report: CoilReport | ModelReport, markdown: Callable[..., str], stem: str, folder: Path | None, *, as_json: bool
) -> None:
    content = report.model_dump_json() + "\n"
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    if folder is None:
        sys.stdout.write(content if as_json else markdown(report, sha256=sha256, json_name=None))
        return
    written = {f"{stem}.json": content, f"{stem}.md": markdown(report, sha256=sha256, json_name=f"{stem}.json")}
    drawn = report.picture_sha256 if isinstance(report, CoilReport) else None
    of_picture = f"{drawn}  {stem}.png\n" if drawn else ""
    written[f"{stem}.sha256"] = f"{sha256}  {stem}.json\n{of_picture}"
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    if as_json:
        sys.stdout.write(content)
        return
    for name in [*written, *([f"{stem}.png"] if drawn else [])]:
        out.print(Text(str(folder / name)), soft_wrap=True)


def _folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} is no folder to write to ({error.strerror})", remedy="name another one") from error
    return folder


def _stem(kind: str, name: str, now: datetime) -> str:
    """A file's name that says of what and when, whatever signs are in an id: reports of two times do not collide."""
    return f"{kind}-{quote(name, safe='@+ ')[:_MOST_NAME]}-{now:%Y%m%dT%H%M%SZ}"
