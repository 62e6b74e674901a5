"""`coilflow labels`: what people said of coils, where they differ, and what they are asked to look at."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from console.database import command_database
from console.options import JsonOption
from console.output import err, out, print_json
from console.since import SinceOption, moment
from schemas.settings import load_settings
from store.labels import Asked, CoilLabel, Word, list_labels, review_queue, shared_words, words_of

PlantOption = Annotated[str | None, typer.Option("--plant", help="Only of this plant.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="No more than so many.")]


def list_(
    *, plant: PlantOption = None, since: SinceOption = None, limit: LimitOption = 100, as_json: JsonOption = False
) -> int:
    """List labels of coils, those heard of last first; exit 1 where there are none."""
    with command_database(load_settings()) as connection:
        found = list_labels(connection, plant=plant, since=moment(since, now=datetime.now(UTC)), most=limit)
    if as_json:
        for one in found:
            print_json(_label_object(one))
    elif found:
        table = _table("plant", "coil", "label", "voices", "defect", "heard")
        for one in found:
            said = "disputed" if one.disputed else f"{one.label}{', settled' if one.settled else ''}"
            row = (
                one.key.plant,
                one.key.coil_id,
                said,
                str(one.voices),
                one.defect_kind or "",
                _minute(one.received_at),
            )
            table.add_row(*map(Text, row))
        out.print(table)
    else:
        out.print("no label")
    return 0 if found else 1


def disputed(
    *, plant: PlantOption = None, since: SinceOption = None, limit: LimitOption = 100, as_json: JsonOption = False
) -> int:
    """List coils of which people differ, and who says what; exit 1 where there are none."""
    with command_database(load_settings()) as connection:
        now = datetime.now(UTC)
        found = list_labels(connection, plant=plant, since=moment(since, now=now), disputed=True, most=limit)
        words = words_of(connection, [one.key for one in found])
    if as_json:
        for one in found:
            said = [_word_object(word) for word in words if word.key == one.key]
            print_json({"plant": one.key.plant, "coil_id": one.key.coil_id, "words": said})
    elif found:
        table = _table("plant", "coil", "who", "says", "when", "id", "note")
        for word in words:
            when = _minute(word.given_at)
            row = (word.key.plant, word.key.coil_id, word.voice, word.label, when, word.event_id, word.note or "")
            table.add_row(*map(Text, row))
        out.print(table)
        out.print("settle one with: coilflow feedback COIL OK|NOK --settle")
    else:
        out.print("no disputed coil")
    return 0 if found else 1


def agreement(
    *,
    plant: PlantOption = None,
    since: SinceOption = None,
    blind: Annotated[
        bool,
        typer.Option(
            "--blind", help="Only coils drawn for a second look, and what was said before knowing of another."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Say how far people agree: Cohen's kappa of each pair, and each beside the others; exit 1 if none share a coil.

    What each said first counts: who yields to another later did not agree.
    """
    from processors.agreement import Said, pair_agreements, voice_agreements  # noqa: PLC0415 - lists need no numpy

    with command_database(load_settings()) as connection:
        shared = shared_words(connection, plant=plant, since=moment(since, now=datetime.now(UTC)), blind=blind)
    words = [Said(key=word.key, voice=word.voice, label=word.label) for word in shared]
    pairs, voices = pair_agreements(words), voice_agreements(words)
    if as_json:
        for pair in pairs:
            facts = {"coils": pair.coils, "agreed": pair.agreed, "kappa": pair.kappa, "ci95": pair.ci95}
            print_json({"voices": pair.voices, **facts})
        for one in voices:
            print_json({"voice": one.voice, "coils": one.coils, "agreement": one.agreement, "ci95": one.ci95})
    elif pairs:
        table = _table("two voices", "shared coils", "agreed", "kappa", "95% interval")
        for pair in pairs:
            kappa = "undefined" if pair.kappa is None else f"{pair.kappa:.2f}"
            row = (" and ".join(pair.voices), str(pair.coils), str(pair.agreed), kappa, _interval(pair.ci95))
            table.add_row(*map(Text, row))
        out.print(table)
        table = _table("voice", "coils that others judged too", "agreement", "95% interval")
        for one in voices:
            table.add_row(Text(one.voice), str(one.coils), f"{one.agreement:.0%}", _interval(one.ci95))
        out.print(table)
    else:
        out.print("nobody shares a coil with another")
    return 0 if pairs else 1


def twins(
    *,
    plant: PlantOption = None,
    since: SinceOption = None,
    distance: Annotated[
        float, typer.Option("--distance", min=0, help="Most root mean square difference of two saliency matrices.")
    ] = 0.02,
    coils: Annotated[int, typer.Option("--coils", min=2, help="Look at so many labelled coils, the newest.")] = 5000,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> int:
    """List NOK coils that look nearly the same as an OK coil, the nearest first; exit 1 where there are none."""
    from flows.champions import limits_that_serve  # noqa: PLC0415
    from flows.labelled import labelled_matrices  # noqa: PLC0415
    from processors.agreement import twins as find_twins  # noqa: PLC0415

    settings = load_settings()
    with command_database(settings) as connection:
        now = datetime.now(UTC)
        labels = list_labels(connection, plant=plant, since=moment(since, now=now), disputed=False, most=coils)
        known = labelled_matrices(connection, labels, limits_that_serve(connection, settings, plant))
    err.print(f"{len(known.keys)} labelled coils compared, {int(known.is_nok.sum())} of them NOK")
    nok, ok = ([i for i, is_nok in enumerate(known.is_nok.tolist()) if is_nok is wanted] for wanted in (True, False))
    found = find_twins(known.matrix[nok], known.matrix[ok], most_distance=distance, most=limit)
    rows = [(known.keys[nok[pair.nok]], known.keys[ok[pair.ok]], pair) for pair in found]
    if as_json:
        for one, other, pair in rows:
            print_json({"nok": one._asdict(), "ok": other._asdict(), "distance": pair.distance, "twins": pair.twins})
    elif rows:
        table = _table("plant", "NOK coil", "plant", "nearest OK coil", "distance", "OK coils as near")
        for one, other, pair in rows:
            table.add_row(*map(Text, (*one, *other, f"{pair.distance:.4f}", str(pair.twins))))
        out.print(table)
    else:
        out.print(f"no two coils of opposite labels within {distance:g}")
    return 0 if rows else 1


def queue(
    *,
    plant: PlantOption = None,
    since: SinceOption = None,
    operator: Annotated[
        str | None, typer.Option("--operator", metavar="NAME", help="Without the coils that NAME labelled already.")
    ] = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> int:
    """List coils that a person is asked to look at and why, disputes first, then the oldest; exit 1 if there are none.

    What anybody has said of them is not shown: who looks is to judge for himself.
    """
    with command_database(load_settings()) as connection:
        since_at = moment(since, now=datetime.now(UTC))
        found = review_queue(connection, plant=plant, since=since_at, operator=operator, most=limit)
    if as_json:
        for one in found:
            print_json(_asked_object(one))
    elif found:
        table = _table("plant", "coil", "why", "judged")
        for one in found:
            judged = _minute(one.decided_at) if one.decided_at else ""
            table.add_row(*map(Text, (one.key.plant, one.key.coil_id, "; ".join(one.reasons), judged)))
        out.print(table)
    else:
        out.print("nothing to look at")
    return 0 if found else 1


def _table(*names: str) -> Table:
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _minute(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _interval(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"


def _label_object(one: CoilLabel) -> dict[str, Any]:
    return {
        **one.key._asdict(),
        "label": one.label,
        "disputed": one.disputed,
        "settled": one.settled,
        "voices": one.voices,
        "defect_kind": one.defect_kind,
        "received_at": one.received_at,
    }


def _word_object(word: Word) -> dict[str, Any]:
    names = ("event_id", "label", "defect_kind", "note", "settles", "given_at")
    return {"voice": word.voice, **{name: getattr(word, name) for name in names}}


def _asked_object(one: Asked) -> dict[str, Any]:
    judged = {"revision": one.revision, "decided_at": one.decided_at}
    return {**one.key._asdict(), "why": one.why, "reasons": one.reasons, **judged}
