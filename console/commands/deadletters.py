"""`coilflow deadletters`: what got no verdict, and how to send it through again."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from console.database import command_database
from console.letters import as_object, message_facts, readable, table_of
from console.login import login_name
from console.options import JsonOption
from console.output import err, out, print_json
from console.since import SinceOption, moment
from schemas.errors import UsageError
from schemas.settings import load_settings
from store.connection import Connection
from store.deadletters import DeadLetter, Wanted, WholeDeadLetter, dead_letter, discard, list_dead_letters

_STATES = ("new", "replayed", "resolved", "discarded")

PlantOption = Annotated[str | None, typer.Option("--plant", help="Only of this plant.")]
CoilOption = Annotated[str | None, typer.Option("--coil", help="Only of this coil id.")]
StepOption = Annotated[str | None, typer.Option("--step", help="Only refused by this step, e.g. decode.")]
TopicOption = Annotated[str | None, typer.Option("--topic", help="Only from this Kafka topic.")]
StateOption = Annotated[str | None, typer.Option("--state", help=f"Only in this state: {', '.join(_STATES)}.")]


def list_(
    *,
    plant: PlantOption = None,
    coil: CoilOption = None,
    step: StepOption = None,
    state: StateOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, newest first.")] = 100,
    as_json: JsonOption = False,
) -> int:
    """List dead letters, newest first; exit 1 where there are none."""
    wanted = _wanted(plant=plant, coil=coil, step=step, state=state, topic=topic, since=since)
    with command_database(load_settings()) as connection:
        found = list_dead_letters(connection, wanted, most=limit)
    if as_json:
        for letter in found:
            print_json(as_object(letter))
    elif found:
        out.print(table_of(found))
    else:
        out.print("no dead letter")
    return 0 if found else 1


def show(
    dead_letter_id: Annotated[int, typer.Argument(metavar="ID")],
    *,
    original: Annotated[
        Path | None, typer.Option("--original", metavar="FILE", help="Also write the bytes as they came to FILE.")
    ] = None,
) -> int:
    """Show one dead letter: why, from where, its headers and its bytes."""
    with command_database(load_settings()) as connection:
        whole = dead_letter(connection, dead_letter_id)
    if whole is None:
        err.print(f"there is no dead letter {dead_letter_id}; see `coilflow deadletters list`")
        return 1
    if original is not None:
        original.write_bytes(whole.original)
    facts = Table(show_header=False, box=None)
    for name, value in as_object(whole.letter).items():
        facts.add_row(name, Text("" if value is None else str(value), overflow="fold"))
    for name, value in message_facts(whole):
        facts.add_row(name, Text(value, overflow="fold"))
    out.print(facts)
    out.print()
    out.print(Text(readable(whole.original)), soft_wrap=True)
    return 0


def replay(
    ids: Annotated[list[int] | None, typer.Argument(metavar="[ID]...")] = None,
    *,
    plant: PlantOption = None,
    coil: CoilOption = None,
    step: StepOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    all_new: Annotated[bool, typer.Option("--all", help="Every new one.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also those of the IDs that were sent before.")] = False,
) -> int:
    """Send dead letters through again, by ID or by filter; exit 1 where nothing was sent.

    What came from Kafka goes to its topic, key, headers and bytes as they were, and a header that names the dead
    letter; feedback counts again where its coil came; anything else goes into the inbox. One that was sent before is
    not sent again.
    """
    from flows import deadletters as flow  # noqa: PLC0415 - listing needs no broker's client
    from flows.mapping import decoder_of  # noqa: PLC0415

    filters = _wanted(plant=plant, coil=coil, step=step, state="new", topic=topic, since=since)
    if not ids and not all_new and filters == Wanted(state="new"):
        raise UsageError("nothing says which dead letters", remedy="name ids, a filter such as --topic, or --all")
    if again and not ids:
        raise UsageError("--again needs ids", remedy="name those that are to be sent once more")
    settings = load_settings()
    decode = decoder_of(settings)
    sent = 0
    with command_database(settings) as connection:
        letters = list_dead_letters(connection, Wanted(ids=tuple(ids)) if ids else filters)[::-1]
        _say_missing(ids or [], letters)
        plans = (
            (flow.planned(whole, decode, again=again) for whole in _whole(connection, letters))
            if dry_run
            else flow.replay(connection, letters, settings, decode, again=again)
        )
        for plan in plans:
            verb = "not sent" if plan.refusal else ("would send" if dry_run else "sent")
            out.print(Text(f"dead letter {plan.letter.dead_letter_id}: {verb}: {plan.sentence}"), soft_wrap=True)
            sent += plan.refusal is None
    out.print(f"{sent} {'would be sent' if dry_run else 'sent'}, {len(letters) - sent} not")
    return 0 if sent else 1


def discard_(
    ids: Annotated[list[int], typer.Argument(metavar="ID...")],
    *,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Kept with them.")],
    who: Annotated[str | None, typer.Option("--who", metavar="NAME", help="Who does it; else the login name.")] = None,
) -> int:
    """Give dead letters up, so that nobody looks at them any more; exit 1 where none was new or replayed."""
    done, now, name = 0, datetime.now(UTC), who or login_name()
    with command_database(load_settings()) as connection:
        letters = list_dead_letters(connection, Wanted(ids=tuple(ids)))[::-1]
        _say_missing(ids, letters)
        for letter in letters:
            given_up = discard(connection, letter.dead_letter_id, who=name, why=why, now=now)
            done += given_up
            said = "discarded" if given_up else f"not discarded: it is {letter.state}"
            out.print(Text(f"dead letter {letter.dead_letter_id}: {said}"), soft_wrap=True)
    return 0 if done else 1


def _wanted(
    *, plant: str | None, coil: str | None, step: str | None, state: str | None, topic: str | None, since: str | None
) -> Wanted:
    if state is not None and state not in _STATES:
        raise UsageError(f"there is no state {state!r}", remedy=f"give one of {', '.join(_STATES)}")
    return Wanted(
        plant=plant, coil_id=coil, step=step, state=state, topic=topic, since=moment(since, now=datetime.now(UTC))
    )


def _whole(connection: Connection, letters: tuple[DeadLetter, ...]) -> Iterator[WholeDeadLetter]:
    for letter in letters:
        whole = dead_letter(connection, letter.dead_letter_id)
        if whole is not None:
            yield whole


def _say_missing(ids: list[int], letters: tuple[DeadLetter, ...]) -> None:
    for missing in sorted(set(ids) - {letter.dead_letter_id for letter in letters}):
        err.print(f"there is no dead letter {missing}")
