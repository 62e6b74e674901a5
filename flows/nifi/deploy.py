"""Deploy our flows to a running NiFi, twice without effect, and back to the version before."""

import copy
import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from dataclasses import replace as but
from typing import Literal

from flows.nifi.definition import Json, definition_of
from flows.nifi.definitions_of import flows
from flows.nifi.describe.tls import tls_of
from flows.nifi.difference import Change, differences
from flows.nifi.groups import Group, await_processors, defaults_of, find_groups, mark, replace, root_id, start
from flows.nifi.parameter_values import find_context, put_parameters, settle_parameters, standing_values
from flows.nifi.server import Nifi
from schemas.errors import NifiError, UsageError

KEPT = "coilflow deployed"  # parameter context with the definitions as they were deployed
_APART_PX = 400
Outcome = Literal["new", "changed", "unchanged"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployed:
    """What became of one flow."""

    flow: str
    outcome: Outcome
    digest: str
    changes: tuple[Change, ...]  # none of a new one
    idle: tuple[str, ...]  # processors that should run and do not


def known_flows(names: list[str]) -> list[str]:
    """The flows of these names, all where none is named; raises UsageError."""
    known = list(flows())
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"there is no flow {', '.join(unknown)}", remedy=f"give some of {', '.join(known)}")
    return names or known


def deploy(
    nifi: Nifi,
    names: list[str],
    given: Mapping[str, str],
    *,
    secrets_too: bool,
    run: bool,
    dry_run: bool,
    back: bool,
    limit_s: float,
) -> tuple[list[Deployed], list[str]]:
    """Bring NiFi to the state that is wanted.

    Args:
        nifi: the server.
        names: of flows.
        given: parameters.
        secrets_too: whether sensitive parameters that are set are set again.
        run: whether flows are started.
        dry_run: only say what would change.
        back: to the version that was deployed before, instead of this coilflow's.
        limit_s: how long processors and services may take to be ready, s.

    Returns:
        What became of each flow, and the parameters that changed.

    Raises:
        NifiError: NiFi refused, does not know our processors, or has no version before.
        UsageError: flows that are not named would need another form for TLS.
    """
    there = find_groups(nifi)
    _refuse_half(nifi, there.keys() - set(names), given)
    wanted = {name: _before(nifi, name) for name in names} if back else _wanted(nifi, names, given, limit_s)
    changed = settle_parameters(nifi, given, secrets_too=secrets_too, dry_run=True)
    if not dry_run:  # what is unset may still be needed by flows as they are: NiFi would wait for their services
        settle_parameters(nifi, {name: value for name, value in given.items() if value}, secrets_too=secrets_too)
    done = []
    for place, (name, definition) in enumerate(wanted.items()):
        digest = digest_of(definition)
        group = there.get(name)
        changes = () if group is None else tuple(_changes(nifi, group, definition))
        outcome: Outcome = (
            "new" if group is None else "unchanged" if not changes and group.digest == digest else "changed"
        )
        if not dry_run and outcome != "unchanged":
            there[name] = _bring(nifi, name, group, definition, digest, place=place, limit_s=limit_s)
        elif not dry_run:
            _keep(nifi, name, definition)  # where a deploy broke off before it did
        done.append(Deployed(flow=name, outcome=outcome, digest=digest, changes=changes, idle=()))
    if dry_run:
        return done, changed
    settle_parameters(nifi, {name: value for name, value in given.items() if not value}, secrets_too=secrets_too)
    if run:
        done = [but(one, idle=tuple(start(nifi, there[one.flow], limit_s=limit_s))) for one in done]
    return done, changed


def difference(nifi: Nifi, names: list[str], *, limit_s: float) -> dict[str, list[Change] | None]:
    """What `deploy` would change of each flow; None of one that is not there. Raises NifiError."""
    there = find_groups(nifi)
    wanted = _wanted(nifi, [name for name in names if name in there], {}, limit_s)
    return {name: _changes(nifi, there[name], wanted[name]) if name in there else None for name in names}


def digest_of(definition: Json) -> str:
    """Sixteen hexadecimal digits that stand for a definition."""
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:16]


def _changes(nifi: Nifi, group: Group, definition: Json) -> list[Change]:
    now = nifi.get(f"/process-groups/{group.group_id}/download")
    return differences(now, definition, defaults_of(nifi, group))


def _bring(
    nifi: Nifi, name: str, group: Group | None, definition: Json, digest: str, *, place: int, limit_s: float
) -> Group:
    marked = copy.deepcopy(definition)
    contents = marked["flowContents"]
    contents["comments"] = f"{contents['comments']} {mark(name, digest)}"
    if group is None:
        nifi.upload(root_id(nifi), marked, name=contents["name"], x=float(place * _APART_PX), y=0.0)
    else:
        replace(nifi, group, marked, limit_s=limit_s)
    _keep(nifi, name, definition)
    found = find_groups(nifi)[name]
    await_processors(nifi, found, limit_s=limit_s)
    return found


def _keep(nifi: Nifi, name: str, definition: Json) -> None:
    """Keep what was deployed in NiFi itself, so that any machine can go back."""
    kept, text = _kept(nifi), json.dumps(definition, ensure_ascii=False)
    if kept.get(f"{name}.now") == text:
        return
    told: list[Json] = [{"name": f"{name}.now", "sensitive": False, "value": text}]
    if f"{name}.now" in kept:
        told.append({"name": f"{name}.before", "sensitive": False, "value": kept[f"{name}.now"]})
    put_parameters(nifi, KEPT, "What `coilflow nifi deploy` deployed, and before: `deploy --back` reads it.", told)


def _before(nifi: Nifi, name: str) -> Json:
    text = _kept(nifi).get(f"{name}.before")
    if text is None:
        raise NifiError(f"{nifi.url}: no version of {name} was deployed before", remedy="deploy without --back")
    definition: Json = json.loads(text)
    return definition


def _kept(nifi: Nifi) -> dict[str, str]:
    context = find_context(nifi, KEPT)
    parameters = [] if context is None else [one["parameter"] for one in context["parameters"]]
    return {one["name"]: one["value"] for one in parameters if one.get("value") is not None}


def _refuse_half(nifi: Nifi, others: Set[str], given: Mapping[str, str]) -> None:
    was, becomes = (flows(tls_of(standing_values(nifi, values))) for values in ({}, given))
    changed = sorted(name for name in others & was.keys() if was[name] != becomes[name])
    if changed:
        raise UsageError(
            f"TLS would come or go for {', '.join(changed)} too", remedy="deploy these flows in the same command"
        )


def _wanted(nifi: Nifi, names: list[str], given: Mapping[str, str], limit_s: float) -> dict[str, Json]:
    """This coilflow's definitions, in the form for TLS that the parameters ask for."""
    described = flows(tls_of(standing_values(nifi, given)))
    return {name: _resolved(nifi, definition_of(described[name]), limit_s) for name in names}


def _resolved(nifi: Nifi, definition: Json, limit_s: float) -> Json:
    """The definition with the versions of bundles that this NiFi has; waits for processors that it still finds."""
    result = copy.deepcopy(definition)
    contents = result["flowContents"]
    parts = [*contents["processors"], *contents["controllerServices"]]
    types = {one["type"] for one in parts}
    try:
        nifi.wait("finding the processors", lambda: types <= _types(nifi).keys(), limit_s=limit_s)
    except NifiError as error:
        missing = ", ".join(sorted(types - _types(nifi).keys()))
        raise NifiError(
            f"{nifi.url}: NiFi does not know {missing or 'its processors'}",
            remedy="run `coilflow nifi install` on its machine, and restart it where that says so",
        ) from error
    known = _types(nifi)
    for part in parts:
        of_group = [one for one in known[part["type"]] if one["artifact"] == part["bundle"]["artifact"]]
        if of_group and part["bundle"] not in of_group:
            part["bundle"] = max(of_group, key=lambda one: one["version"])
    return result


def _types(nifi: Nifi) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    listed = nifi.get("/flow/processor-types")["processorTypes"]
    listed += nifi.get("/flow/controller-service-types")["controllerServiceTypes"]
    for one in listed:
        bundle = {name: one["bundle"][name] for name in ("group", "artifact", "version")}
        found.setdefault(one["type"], []).append(bundle)
    return found
