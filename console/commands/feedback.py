"""`coilflow feedback`: what a person says of a coil."""

import getpass
import socket
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from console.database import command_database
from console.options import JsonOption
from console.output import out, print_json
from console.since import moment
from flows.feedback import Stored, say
from schemas.errors import UsageError
from schemas.settings import load_settings

_LABELS = ("OK", "NOK")


def feedback(
    coil: Annotated[str, typer.Argument(metavar="COIL", help="The coil's id (SID).")],
    label: Annotated[str, typer.Argument(metavar="LABEL", help="OK or NOK.")],
    *,
    kind: Annotated[str | None, typer.Option("--kind", help="Kind of defect, e.g. thin_edge.")] = None,
    note: Annotated[str | None, typer.Option("--note", help="What was seen, in words.")] = None,
    plant: Annotated[str | None, typer.Option("--plant", help="Plant of the coil; else that of the settings.")] = None,
    operator: Annotated[str | None, typer.Option("--operator", help="Who says it; else the login name.")] = None,
    face: Annotated[str | None, typer.Option("--face", help="Face of the place: top or bottom.")] = None,
    from_m: Annotated[float | None, typer.Option("--from-m", help="Start of the place, m from the head.")] = None,
    to_m: Annotated[float | None, typer.Option("--to-m", help="End of the place, m.")] = None,
    corrects: Annotated[
        str | None, typer.Option("--corrects", metavar="ID", help="Id of an earlier word that this one takes back.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="When it was said, else now: 2026-11-20T06:00, or 2h, 3d ago."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="REV", help="Revision of the coil that was looked at.")
    ] = None,
    settle: Annotated[bool, typer.Option("--settle", help="Ends a dispute: what others said before yields.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Say whether a coil is OK or NOK; of a coil that is not known yet, it waits for it.

    Two people who differ make the coil disputed, until one of them says otherwise, corrects the other's word by its id,
    or somebody settles it.
    """
    settings, said = load_settings(), label.upper()
    if said not in _LABELS:
        raise UsageError(f"{label!r} is no label", remedy="say OK or NOK")
    given: dict[str, object] = {
        "plant": plant or settings.plant,
        "coil_id": coil,
        "label": said,
        "defect_kind": kind,
        "note": note,
        "operator": operator or _login_name(),
        "face": face,
        "from_m": from_m,
        "to_m": to_m,
        "corrects": corrects,
        "settles": settle,
        "revision": revision,
    }
    now = datetime.now(UTC)
    given_at = moment(at, now=now, option="--at")
    if given_at is not None:
        given["given_at"] = given_at.isoformat()
    source = f"/coilflow/command/{quote(socket.gethostname(), safe='')}"
    with command_database(settings) as connection:
        stored = say(connection, given, source=source, now=now, plant_named=plant is not None)
    if as_json:
        print_json(_as_object(stored))
    else:
        out.print(Text(_sentence(stored)), soft_wrap=True)
    return 0


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:  # a container's user may have no name
        raise UsageError("nothing says who you are", remedy="name yourself with --operator") from error


def _as_object(stored: Stored) -> dict[str, object]:
    feedback, label = stored.feedback, stored.label
    return {
        "id": feedback.event_id,
        "plant": feedback.key.plant,
        "coil_id": feedback.key.coil_id,
        "said": feedback.label,
        "operator": feedback.operator,
        "given_at": feedback.given_at,
        "revision": feedback.revision,
        "coil_known": stored.coil_known,
        "corrected_known": stored.corrected_known,
        "label": label.label if label else None,
        "disputed": label.disputed if label else False,
        "voices": label.voices if label else 0,
    }


def _sentence(stored: Stored) -> str:
    feedback, label = stored.feedback, stored.label
    said = f"coil {feedback.key.coil_id} of plant {feedback.key.plant}: {feedback.operator} says {feedback.label}"
    if label is None:
        now = "a correction of it came before"
    elif label.disputed:
        now = f"it is disputed among {label.voices}; see `coilflow labels disputed`"
    else:
        now = f"its label is {label.label}" + (f", on which {label.voices} agree" if label.voices > 1 else "")
        now = f"its label is {label.label}, settled" if label.settled else now
    waits = "" if stored.coil_known else "; nothing else is known of this coil, so it waits for it"
    no_word = f"; no word {feedback.corrects} is known yet, so nothing is corrected unless it comes"
    return f"{said} (id {feedback.event_id}); {now}{waits}{'' if stored.corrected_known else no_word}"
