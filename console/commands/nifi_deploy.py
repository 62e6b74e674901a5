"""`coilflow nifi deploy | diff | status | start | stop | remove`: our flows in a NiFi that runs."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from console.options import JsonOption
from console.output import err, out, print_json
from flows.nifi.deploy import KEPT, Deployed, deploy, difference, known_flows
from flows.nifi.describe.parameters import CONTEXT
from flows.nifi.difference import Change
from flows.nifi.groups import Group, GroupStatus, find_groups, remove, start, status_of, stop
from flows.nifi.parameter_values import forget_context, given_values
from flows.nifi.server import Nifi, SignIn
from schemas.errors import NotFoundError, UsageError

FlowsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[FLOW]...", help="assess_coils, model_score, retrain; none: all.")
]
UrlOption = Annotated[
    str, typer.Option("--url", envvar="COILFLOW_NIFI_URL", metavar="URL", help="Of NiFi, as a browser opens it.")
]
UserOption = Annotated[
    str | None,
    typer.Option("--user", metavar="NAME", help="Signs in; COILFLOW_NIFI_PASSWORD has the password."),
]
CaOption = Annotated[Path | None, typer.Option("--ca", metavar="PEM", help="That signed NiFi's certificate.")]
CertificateOption = Annotated[
    Path | None, typer.Option("--certificate", metavar="PEM", help="Signs in; a client certificate of this user.")
]
KeyOption = Annotated[
    Path | None,
    typer.Option("--key", metavar="PEM", help="Of the certificate; COILFLOW_NIFI_KEY_PASSWORD has its password."),
]
WaitOption = Annotated[float, typer.Option("--wait", min=1, metavar="S", help="For processors to be ready, seconds.")]
DrainOption = Annotated[float, typer.Option("--drain", min=0, metavar="S", help="For queues to run empty, seconds.")]
_URL = "https://localhost:8443/nifi"


def deploy_(
    flows: FlowsArgument = None,
    *,
    url: UrlOption = _URL,
    user: UserOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    parameters: Annotated[
        Path | None, typer.Option("--parameters", metavar="FILE", help="TOML or JSON, names and values.")
    ] = None,
    secrets: Annotated[bool, typer.Option("--secrets", help="Set sensitive parameters that are set already.")] = False,
    stopped: Annotated[bool, typer.Option("--stopped", help="Start nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    back: Annotated[bool, typer.Option("--back", help="To the version that was deployed before.")] = False,
    wait: WaitOption = 180.0,
    as_json: JsonOption = False,
) -> int:
    """Bring flows and parameters into NiFi; a second time changes nothing.

    Exit 1 where a processor does not run then, and with --dry-run where something would change.
    """
    names, given = known_flows(flows or []), given_values(parameters, os.environ)
    nifi = _nifi(url, user=user, ca=ca, certificate=certificate, key=key)
    done, changed = deploy(
        nifi, names, given, secrets_too=secrets, run=not stopped, dry_run=dry_run, back=back, limit_s=wait
    )
    for one in done:
        if as_json:
            print_json({"is": "flow", **asdict(one)})
        else:
            _say_deployed(one, dry_run=dry_run)
    if as_json:
        print_json({"is": "parameters", "changed": changed})
    elif changed:
        out.print(f"parameters {'to set' if dry_run else 'set'}: {', '.join(changed)}", soft_wrap=True)
    would_change = dry_run and (changed or any(one.outcome != "unchanged" for one in done))
    return 1 if would_change or any(one.idle for one in done) else 0


def diff(
    flows: FlowsArgument = None,
    *,
    url: UrlOption = _URL,
    user: UserOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    wait: WaitOption = 180.0,
    as_json: JsonOption = False,
) -> int:
    """Show how the flows in NiFi differ from those of this coilflow; exit 1 where they do."""
    nifi = _nifi(url, user=user, ca=ca, certificate=certificate, key=key)
    found = difference(nifi, known_flows(flows or []), limit_s=wait)
    for name, changes in found.items():
        if as_json:
            print_json({"flow": name, "there": changes is not None, "changes": [asdict(one) for one in changes or ()]})
        elif changes is None:
            out.print(f"{name} is not there")
        elif changes:
            out.print(_changes_table(name, changes))
        else:
            out.print(f"{name} is as it has to be")
    return 0 if all(changes == [] for changes in found.values()) else 1


def status(
    flows: FlowsArgument = None,
    *,
    url: UrlOption = _URL,
    user: UserOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show queues, bulletins and invalid components; exit 1 where a flow does not run whole, or something failed."""
    nifi = _nifi(url, user=user, ca=ca, certificate=certificate, key=key)
    found = [status_of(nifi, group) for group in _groups(nifi, flows)]
    for one in found:
        if as_json:
            print_json({**asdict(one), "healthy": one.healthy})
        else:
            _say_status(one)
    return 0 if all(one.healthy for one in found) else 1


def start_(
    flows: FlowsArgument = None,
    *,
    url: UrlOption = _URL,
    user: UserOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    wait: WaitOption = 180.0,
) -> int:
    """Start deployed flows; exit 1 where a processor does not run then."""
    nifi = _nifi(url, user=user, ca=ca, certificate=certificate, key=key)
    idle = {group.flow: start(nifi, group, limit_s=wait) for group in _groups(nifi, flows)}
    for flow, names in idle.items():
        out.print(f"{flow} runs" + (f" without {', '.join(names)}" if names else ""), soft_wrap=True)
    return 1 if any(idle.values()) else 0


def stop_(
    flows: FlowsArgument = None,
    *,
    url: UrlOption = _URL,
    user: UserOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    drain: DrainOption = 60.0,
) -> int:
    """Stop deployed flows: first what brings FlowFiles in, then, their queues empty, all; exit 1 where some wait."""
    nifi = _nifi(url, user=user, ca=ca, certificate=certificate, key=key)
    drained = [_stopped(nifi, group, drain) for group in _groups(nifi, flows)]
    return 0 if all(drained) else 1


def remove_(
    flows: FlowsArgument = None,
    *,
    nifi_home: Annotated[
        Path | None,
        typer.Option("--nifi-home", metavar="DIR", help="Take our processors off this installation instead."),
    ] = None,
    url: UrlOption = _URL,
    user: UserOption = None,
    ca: CaOption = None,
    certificate: CertificateOption = None,
    key: KeyOption = None,
    drain: DrainOption = 60.0,
    drop_queues: Annotated[
        bool, typer.Option("--drop-queues", help="Drop what is queued, failed and dead too.")
    ] = False,
    parameters: Annotated[bool, typer.Option("--parameters", help="Their parameters too, with all flows.")] = False,
) -> int:
    """Stop flows and take them out of NiFi. With --nifi-home, the processors; exit 1 where there are none."""
    if nifi_home is not None:
        return _uninstalled(nifi_home, flows)
    nifi = _nifi(url, user=user, ca=ca, certificate=certificate, key=key)
    there = find_groups(nifi)
    if parameters and flows and there.keys() - set(flows):
        raise UsageError("flows that stay need the parameters", remedy="name no flow, or leave --parameters out")
    for group in [] if parameters and not there else _groups(nifi, flows):
        _stopped(nifi, group, drain)
        remove(nifi, group, drop_queues=drop_queues)
        out.print(f"{group.flow} is removed")
    if parameters:
        for name in (CONTEXT, KEPT):
            forget_context(nifi, name)
        out.print("the parameters are removed")
    return 0


def _uninstalled(nifi_home: Path, flows: list[str] | None) -> int:
    from flows.nifi.install import uninstall  # noqa: PLC0415 - needs no server

    if flows:
        raise UsageError("--nifi-home takes all processors away", remedy="name flows, or --nifi-home")
    done = uninstall(nifi_home)
    out.print("the processors are removed; restart NiFi" if done else "there are none of ours")
    return 0 if done else 1


def _nifi(url: str, *, user: str | None, ca: Path | None, certificate: Path | None, key: Path | None) -> Nifi:
    secret = os.environ.get
    return Nifi(
        url,
        SignIn(
            user=user,
            password=secret("COILFLOW_NIFI_PASSWORD"),
            token=secret("COILFLOW_NIFI_TOKEN"),
            certificate=certificate,
            key=key or certificate,  # one file may hold both
            key_password=secret("COILFLOW_NIFI_KEY_PASSWORD"),
            ca=ca,
        ),
    )


def _groups(nifi: Nifi, flows: list[str] | None) -> list[Group]:
    there = find_groups(nifi)
    missing = [name for name in known_flows(flows or []) if name not in there]
    if (flows and missing) or not there:
        raise NotFoundError(f"{', '.join(missing)} is not deployed", remedy="see `coilflow nifi deploy`")
    return [there[name] for name in known_flows(flows or []) if name in there]


def _stopped(nifi: Nifi, group: Group, drain_s: float) -> bool:
    drained = stop(nifi, group, drain_s=drain_s)
    out.print(f"{group.flow} is stopped" + ("" if drained else "; FlowFiles wait in its queues"))
    return drained


def _say_deployed(one: Deployed, *, dry_run: bool) -> None:
    would = "would be " if dry_run and one.outcome != "unchanged" else ""
    out.print(f"{one.flow}: {would}{one.outcome} ({one.digest})")
    if one.changes:
        out.print(_changes_table(one.flow, one.changes))
    if one.idle:
        err.print(f"{one.flow}: {', '.join(one.idle)} does not run; see `coilflow nifi status`")


def _changes_table(name: str, changes: tuple[Change, ...] | list[Change]) -> Table:
    table = Table("part", "what", "in NiFi", "wanted", title=name, title_justify="left")
    for one in changes:
        table.add_row(*(Text(text or "") for text in (one.part, one.what, one.now, one.wanted)))
    return table


def _say_status(one: GroupStatus) -> None:
    out.print(f"{one.group.flow}: {one.running} run, {one.stopped} stopped, {len(one.invalid)} invalid")
    if one.queues:
        table = Table("from", "to", "FlowFiles", "bytes", "full")
        for queue in one.queues:
            figures = (f"{queue.flowfiles:,}", f"{queue.size_bytes:,}", f"{queue.full_percent} %")
            table.add_row(Text(queue.source), Text(queue.destination or "funnel"), *figures)
        out.print(table)
    for invalid in one.invalid:
        out.print(Text(f"invalid: {invalid.name}: {'; '.join(invalid.said)}"), soft_wrap=True)
    for bulletin in one.bulletins:
        out.print(Text(f"{bulletin.at} {bulletin.level} {bulletin.name}: {bulletin.said}"), soft_wrap=True)
