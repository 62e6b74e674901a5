"""Values of the flows' parameters: from a file and the environment into NiFi's parameter context."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from flows.nifi.describe.parameters import CONTEXT, PARAMETERS
from flows.nifi.server import Json, Nifi
from schemas.errors import NifiError, UsageError

ENVIRONMENT = "COILFLOW_NIFI_PARAMETER_"  # and the name in capitals, its dots as underscores
_UPDATE_S = 120.0


def given_values(file: Path | None, environment: Mapping[str, str]) -> dict[str, str]:
    """Parameters that a file (TOML or JSON) and the environment set; the environment wins.

    Raises:
        UsageError: the file cannot be read, or names what is no parameter.
    """
    values = {} if file is None else _file_values(file)
    known = {one.name for one in PARAMETERS}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise UsageError(
            f"{file}: {', '.join(unknown)} is no parameter of the flows",
            remedy=f"give some of {', '.join(sorted(known))}",
        )
    for name in known:
        set_there = environment.get(ENVIRONMENT + name.replace(".", "_").upper())
        if set_there is not None:
            values[name] = set_there
    return values


def settle_parameters(nifi: Nifi, given: Mapping[str, str], *, secrets_too: bool, dry_run: bool = False) -> list[str]:
    """Make the context, or set in it what differs; NiFi restarts the processors that a change concerns.

    Args:
        nifi: the server.
        given: by name; what is not given keeps its value, and at first gets the default; an empty text unsets one.
        secrets_too: whether sensitive ones that are set get the given value: NiFi does not tell the one it has.
        dry_run: only say what would change.

    Returns:
        Names of parameters that change.

    Raises:
        NifiError: NiFi refused.
    """
    context = find_context(nifi, CONTEXT)
    present = {} if context is None else {p["parameter"]["name"]: p["parameter"] for p in context["parameters"]}
    changed: list[Json] = []
    for one in PARAMETERS:
        has = present.get(one.name)
        value = given.get(one.name, one.value if has is None else None)
        told = {"name": one.name, "description": one.description, "sensitive": one.sensitive}
        if has is None:
            changed.append({**told, **({"value": value} if value else {})})
        elif value is not None and _differs(has.get("value"), value, secret=one.sensitive, secrets_too=secrets_too):
            changed.append({**told, "value": value or None, "valueRemoved": not value})
    if changed and not dry_run:
        put_parameters(nifi, CONTEXT, "What a plant sets of coilflow's flows.", changed)
    return [one["name"] for one in changed]


def _differs(has: str | None, value: str, *, secret: bool, secrets_too: bool) -> bool:
    """Whether it has to be set; what a secret is, NiFi does not tell."""
    if secret and has and value:
        return secrets_too
    return (has or "") != value


def standing_values(nifi: Nifi, given: Mapping[str, str]) -> dict[str, str]:
    """Parameters that are given, or else set in NiFi already, less the secrets there; raises NifiError."""
    context = find_context(nifi, CONTEXT)
    present = [] if context is None else [one["parameter"] for one in context["parameters"]]
    there = {one["name"]: one["value"] for one in present if not one["sensitive"] and one.get("value") is not None}
    return {**there, **given}


def find_context(nifi: Nifi, name: str) -> Json | None:
    """The context's component; None where there is none of the name."""
    for entity in nifi.get("/flow/parameter-contexts")["parameterContexts"]:
        if (entity.get("component") or {}).get("name") == name:  # none where this user may not see it
            component: Json = nifi.get(f"/parameter-contexts/{entity['id']}")["component"]
            return component
    return None


def put_parameters(nifi: Nifi, context_name: str, description: str, parameters: list[Json]) -> None:
    """Set parameters of a context, which is made where there is none."""
    entities = [{"parameter": one} for one in parameters]
    context = find_context(nifi, context_name)
    if context is None:
        component = {
            "name": context_name,
            "description": description,
            "parameters": entities,
            "inheritedParameterContexts": [],
        }
        nifi.post("/parameter-contexts", {"revision": {"version": 0}, "component": component})
        return
    home = f"/parameter-contexts/{context['id']}"
    revision = nifi.get(home)["revision"]
    asked = nifi.post(
        f"{home}/update-requests",
        {"id": context["id"], "revision": revision, "component": {"id": context["id"], "parameters": entities}},
    )["request"]
    await_request(nifi, f"{home}/update-requests/{asked['requestId']}", "set parameters")


def forget_context(nifi: Nifi, name: str) -> bool:
    """Remove a context that no group refers to; returns whether there was one, raises NifiError."""
    context = find_context(nifi, name)
    if context is None:
        return False
    home = f"/parameter-contexts/{context['id']}"
    nifi.delete(home, version=str(nifi.get(home)["revision"]["version"]))
    return True


def await_request(nifi: Nifi, path: str, what: str, *, limit_s: float = _UPDATE_S) -> None:
    """Wait for one of NiFi's own requests, and forget it; raises NifiError where it failed."""
    try:
        nifi.wait(what, lambda: bool(nifi.get(path)["request"]["complete"]), limit_s=limit_s)
        failure = nifi.get(path)["request"].get("failureReason")
    finally:
        nifi.delete(path)
    if failure:
        raise NifiError(f"{nifi.url}: {what}: {failure}", remedy="see `coilflow nifi status`, then run it again")


def _file_values(file: Path) -> dict[str, str]:
    try:
        text = file.read_text(encoding="utf-8")
        read = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{file} cannot be read: {error}", remedy="give a TOML or JSON file of names and values"
        ) from error
    if not isinstance(read, dict):
        raise UsageError(f"{file} holds no names and values", remedy="give a TOML or JSON file of names and values")
    return {name: str(value) for name, value in _flat(read)}


def _flat(values: Mapping[str, object], before: str = "") -> list[tuple[str, object]]:
    """TOML's tables as dotted names."""
    found: list[tuple[str, object]] = []
    for name, value in values.items():
        found += _flat(value, f"{before}{name}.") if isinstance(value, dict) else [(before + name, value)]
    return found
