"""How a flow in NiFi differs from a definition, in words for people."""

from collections.abc import Mapping
from dataclasses import dataclass

from flows.nifi.definition import Json

_OF_GROUP = ("parameterContextName", "flowFileConcurrency", "flowFileOutboundPolicy", "executionEngine")
_KINDS = (
    "processors", "controllerServices", "connections", "funnels", "labels", "inputPorts", "outputPorts",
    "processGroups", "remoteProcessGroups",
)  # fmt: skip
_ASIDE = {  # what a person may move, what NiFi fills in, and what says nothing of what it does
    "position", "style", "zIndex", "scheduledState", "bundle", "propertyDescriptors", "controllerServiceApis",
    "groupIdentifier", "instanceIdentifier", "labelIndex", "bends", "source", "destination", "name", "componentType",
    "width", "height",
}  # fmt: skip
_EMPTY: tuple[object, ...] = (None, "", [], {})


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One difference; None stands for nothing there."""

    part: str
    what: str
    now: str | None
    wanted: str | None


def differences(now: Json, wanted: Json, defaults: Mapping[str, Mapping[str, str | None]]) -> list[Change]:
    """Compare two definitions by the stable identifiers of their parts.

    Args:
        now: as NiFi exports the group.
        wanted: ours.
        defaults: by the id of a component in NiFi, what its properties have that nobody set; that of a property which
            ours does not set either is no difference.

    Returns:
        What would change, in the order of the definition.
    """
    there, here = now["flowContents"], wanted["flowContents"]
    found = _of_part(_name(here), there, {name: here[name] for name in _OF_GROUP})
    for kind in _KINDS:
        old = {one["identifier"]: one for one in there.get(kind) or ()}
        new = {one["identifier"]: one for one in here[kind]}
        found += [
            Change(part=_name(one), what=kind, now="there", wanted=None) for key, one in old.items() if key not in new
        ]
        for key, one in new.items():
            if key in old:
                found += _of_part(_name(one), old[key], one)
                found += _set_besides(
                    _name(one), old[key], one, defaults.get(old[key].get("instanceIdentifier", ""), {})
                )
            else:
                found.append(Change(part=_name(one), what=kind, now=None, wanted="there"))
    return found


def _of_part(part: str, old: Json, new: Json) -> list[Change]:
    found = []
    for name, value in new.items():
        if name in _ASIDE:
            continue
        was = old.get(name)
        if name == "properties":
            found += [
                Change(part=part, what=one, now=_text((was or {}).get(one)), wanted=_text(to))
                for one, to in value.items()
                if (was or {}).get(one) != to
            ]
        elif not _same(was, value):
            found.append(Change(part=part, what=name, now=_text(was), wanted=_text(value)))
    return found


def _set_besides(part: str, old: Json, new: Json, defaults: Mapping[str, str | None]) -> list[Change]:
    """Properties that a person set and ours does not; `deploy` takes them back."""
    return [
        Change(part=part, what=name, now=_text(value), wanted=_text(defaults.get(name)))
        for name, value in (old.get("properties") or {}).items()
        if name not in new["properties"] and value not in {None, defaults.get(name)}
    ]


def _same(was: object, value: object) -> bool:
    if isinstance(was, list) and isinstance(value, list):
        return sorted(map(str, was)) == sorted(map(str, value))
    return was == value or (was in _EMPTY and value in _EMPTY)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _name(one: Json) -> str:
    if one.get("source"):
        to = (one.get("destination") or {}).get("name") or "funnel"
        return f"{one['source'].get('name')} -> {to}"
    return str(one.get("name") or (one.get("label") or one.get("componentType") or "").partition("\n")[0])
