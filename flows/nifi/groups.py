"""A deployed flow: a process group that says in its comments which of ours it is, wherever a person has put it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from flows.nifi.definition import Json
from flows.nifi.parameter_values import await_request
from flows.nifi.server import Nifi
from schemas.errors import NifiError

_MARK = re.compile(r"\[coilflow (\w+) ([0-9a-f]{16})\]")
_SETTLES_S = 60.0
_STARTS_S = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """One of ours, as it stands in NiFi."""

    group_id: str
    name: str
    flow: str  # its key
    digest: str  # of the definition that it was deployed from


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """A connection that holds FlowFiles."""

    source: str
    destination: str
    flowfiles: int
    size_bytes: int
    full_percent: int  # of its back-pressure


@dataclass(frozen=True, kw_only=True, slots=True)
class Invalid:
    """A component that cannot run, and why."""

    name: str
    said: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bulletin:
    """What a component complained of within the last minutes."""

    name: str
    level: str
    said: str
    at: str  # NiFi's clock


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupStatus:
    """How a flow does."""

    group: Group
    running: int  # processors
    stopped: int
    queues: tuple[Queue, ...]
    invalid: tuple[Invalid, ...]
    bulletins: tuple[Bulletin, ...]

    @property
    def healthy(self) -> bool:
        """Whether all of it runs, and nothing has failed: what a CI asks."""
        lost = any(queue.destination in {"", "Funnel"} and queue.source != "sample for review" for queue in self.queues)
        return self.running > 0 and self.stopped == 0 and not self.invalid and not lost


def root_id(nifi: Nifi) -> str:
    """Of the group that holds all others; raises NifiError."""
    return str(nifi.get("/flow/process-groups/root")["processGroupFlow"]["id"])


def mark(flow: str, digest: str) -> str:
    """What comments carry."""
    return f"[coilflow {flow} {digest}]"


def find_groups(nifi: Nifi) -> dict[str, Group]:
    """Our groups by the flow's key.

    Raises:
        NifiError: NiFi refused, or a flow is there twice, as a copy of a group is.
    """
    found: dict[str, Group] = {}
    for one in _marked(nifi, root_id(nifi)):
        if one.flow in found:
            raise NifiError(
                f"{nifi.url}: {one.flow} is there twice: {found[one.flow].name} ({found[one.flow].group_id}) and "
                f"{one.name} ({one.group_id})",
                remedy="remove one of the two in NiFi, then run it again",
            )
        found[one.flow] = one
    return found


def _marked(nifi: Nifi, parent: str) -> Iterator[Group]:
    """Those within a group; what this user may not see is passed over."""
    for entity in nifi.get(f"/process-groups/{parent}/process-groups")["processGroups"]:
        component = entity.get("component")
        if component is None:
            continue
        marked = _MARK.search(component.get("comments") or "")
        if marked:
            yield Group(group_id=entity["id"], name=component["name"], flow=marked[1], digest=marked[2])
        else:
            yield from _marked(nifi, entity["id"])


def processors_of(nifi: Nifi, group: Group) -> list[Json]:
    """Its processors, as NiFi tells of them; raises NifiError."""
    found: list[Json] = nifi.get(f"/process-groups/{group.group_id}/processors")["processors"]
    return found


def await_processors(nifi: Nifi, group: Group, *, limit_s: float) -> None:
    """Wait until no processor is being loaded or validated: those in Python load while NiFi goes on.

    Raises:
        NifiError: they were not in time.
    """

    def loaded() -> bool:
        return all(
            one["component"].get("relationships")
            and one["component"].get("validationStatus") != "VALIDATING"
            and not any("not yet" in said for said in one["component"].get("validationErrors") or ())
            for one in processors_of(nifi, group)
        )

    nifi.wait(f"loading the processors of {group.name}", loaded, limit_s=limit_s)


def start(nifi: Nifi, group: Group, *, limit_s: float) -> list[str]:
    """Enable its services, then run all that is valid.

    Args:
        nifi: the server.
        group: of ours.
        limit_s: how long services and processors may take to be ready, s.

    Returns:
        Names of processors that do not run; `status_of` says why.

    Raises:
        NifiError: they were not ready in time, or NiFi refused.
    """
    _services(nifi, group, "ENABLED", limit_s=limit_s)
    await_processors(nifi, group, limit_s=limit_s)

    def all_run() -> bool:  # NiFi validates again behind the services, and starts only what it holds for valid
        _schedule(nifi, group, "RUNNING")
        return not _idle(nifi, group)

    with suppress(NifiError):
        nifi.wait(f"starting {group.name}", all_run, limit_s=min(limit_s, _STARTS_S))
    return _idle(nifi, group)


def stop(nifi: Nifi, group: Group, *, drain_s: float) -> bool:
    """Stop what brings FlowFiles in, let the rest work off what is queued, then stop all.

    Args:
        nifi: the server.
        group: of ours.
        drain_s: how long to wait for the queues before processors, s; what is left then stays queued.

    Returns:
        Whether they ran empty.

    Raises:
        NifiError: NiFi refused.
    """
    connections = nifi.get(f"/process-groups/{group.group_id}/connections")["connections"]
    fed = {one["destinationId"] for one in connections}
    sources = {one["id"]: one["revision"] for one in processors_of(nifi, group) if one["id"] not in fed}
    drained = not _waiting(nifi, group)
    if sources and drain_s > 0:
        _schedule(nifi, group, "STOPPED", components=sources)
        try:
            nifi.wait("draining", lambda: not _waiting(nifi, group) and not _busy(nifi, group), limit_s=drain_s)
            drained = True
        except NifiError:
            drained = False
    _schedule(nifi, group, "STOPPED")
    nifi.wait(f"stopping {group.name}", lambda: not _busy(nifi, group), limit_s=_SETTLES_S)
    return drained


def remove(nifi: Nifi, group: Group, *, drop_queues: bool) -> None:
    """Take a stopped group out of NiFi.

    Args:
        nifi: the server.
        group: of ours.
        drop_queues: whether FlowFiles in its queues are dropped with it; else NiFi refuses where there are some.

    Raises:
        NifiError: NiFi refused.
    """
    home = f"/process-groups/{group.group_id}"
    _services(nifi, group, "DISABLED", limit_s=_SETTLES_S)
    if drop_queues:
        asked = nifi.post(f"{home}/empty-all-connections-requests", {})["dropRequest"]
        path = f"{home}/empty-all-connections-requests/{asked['id']}"
        nifi.wait("emptying its queues", lambda: bool(nifi.get(path)["dropRequest"]["finished"]), limit_s=_SETTLES_S)
        nifi.delete(path)
    nifi.delete(home, version=str(nifi.get(home)["revision"]["version"]))


def replace(nifi: Nifi, group: Group, definition: Json, *, limit_s: float) -> None:
    """Update it in place: parts that stay keep their queues, and what ran runs again; raises NifiError."""
    home = f"/process-groups/{group.group_id}"
    body = {"processGroupRevision": nifi.get(home)["revision"], "versionedFlowSnapshot": definition}
    asked = nifi.post(f"{home}/replace-requests", body)["request"]
    await_request(
        nifi, f"/process-groups/replace-requests/{asked['requestId']}", f"replace {group.name}", limit_s=limit_s
    )


def defaults_of(nifi: Nifi, group: Group) -> dict[str, Mapping[str, str | None]]:
    """What properties of its processors and services have that nobody set, by a component's id; raises NifiError."""
    processors = {one["id"]: one["component"]["config"].get("descriptors") for one in processors_of(nifi, group)}
    services = {one["id"]: one["component"].get("descriptors") for one in _all_services(nifi, group)}
    return {
        key: {name: said.get("defaultValue") for name, said in (descriptors or {}).items()}
        for key, descriptors in (processors | services).items()
    }


def status_of(nifi: Nifi, group: Group) -> GroupStatus:
    """How it does now; raises NifiError."""
    shots = [one["status"]["aggregateSnapshot"] for one in _connections(nifi, group)]
    components = [one["component"] for one in processors_of(nifi, group)]
    services = [one["component"] for one in _all_services(nifi, group)]
    board = nifi.get("/flow/bulletin-board", groupId=group.group_id)["bulletinBoard"]["bulletins"]
    return GroupStatus(
        group=group,
        running=sum(one.get("state") == "RUNNING" for one in components),
        stopped=sum(one.get("state") != "RUNNING" for one in components),
        queues=tuple(
            Queue(
                source=one.get("sourceName") or "",
                destination=one.get("destinationName") or "",
                flowfiles=one["flowFilesQueued"],
                size_bytes=one["bytesQueued"],
                full_percent=max(one.get("percentUseCount") or 0, one.get("percentUseBytes") or 0),
            )
            for one in shots
            if one["flowFilesQueued"]
        ),
        invalid=tuple(
            Invalid(name=one["name"], said=tuple(one.get("validationErrors") or ()))
            for one in (*components, *services)
            if one.get("validationStatus") == "INVALID"
        ),
        bulletins=tuple(
            Bulletin(
                name=one["bulletin"].get("sourceName") or "",
                level=one["bulletin"].get("level") or "",
                said=one["bulletin"].get("message") or "",
                at=one["bulletin"].get("timestamp") or "",
            )
            for one in board
            if one.get("bulletin")
        ),
    )


def _connections(nifi: Nifi, group: Group) -> list[Json]:
    found: list[Json] = nifi.get(f"/process-groups/{group.group_id}/connections")["connections"]
    return found


def _waiting(nifi: Nifi, group: Group) -> bool:
    """Whether FlowFiles wait before a processor; those before a funnel wait for a person."""
    return any(
        one["status"]["aggregateSnapshot"]["flowFilesQueued"] and one["destinationType"] == "PROCESSOR"
        for one in _connections(nifi, group)
    )


def _busy(nifi: Nifi, group: Group) -> bool:
    shot = nifi.get(f"/flow/process-groups/{group.group_id}/status")["processGroupStatus"]["aggregateSnapshot"]
    return bool(shot["activeThreadCount"])


def _idle(nifi: Nifi, group: Group) -> list[str]:
    components = [one["component"] for one in processors_of(nifi, group)]
    return [one["name"] for one in components if one.get("state") != "RUNNING"]


def _schedule(nifi: Nifi, group: Group, state: str, *, components: dict[str, Json] | None = None) -> None:
    body: Json = {"id": group.group_id, "state": state}
    nifi.put(
        f"/flow/process-groups/{group.group_id}", body if components is None else body | {"components": components}
    )


def _all_services(nifi: Nifi, group: Group) -> list[Json]:
    path = f"/flow/process-groups/{group.group_id}/controller-services"
    found: list[Json] = nifi.get(path, includeAncestorGroups="false")["controllerServices"]
    return found


def _services(nifi: Nifi, group: Group, state: str, *, limit_s: float) -> None:
    services = _all_services(nifi, group)
    if not services:
        return
    path = f"/flow/process-groups/{group.group_id}/controller-services"
    nifi.put(path, {"id": group.group_id, "state": state})
    nifi.wait(
        f"the services of {group.name} to be {state.lower()}",
        lambda: all(
            one["component"]["state"] == state or one["component"].get("validationStatus") == "INVALID"
            for one in _all_services(nifi, group)
        ),
        limit_s=limit_s,
    )
