"""A flow as the definition that NiFi exports and uploads (flow encoding version 1.0, NiFi 2.x).

Identifiers follow from names alone, so that the same description gives the same bytes, and a new one updates the parts
of a running flow that it changes, with their queues.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from flows.nifi.describe.parameters import CONTEXT
from flows.nifi.describe.parts import RETRIES, Bundle, Connection, Flow, Funnel, Label, Place, Processor, Service

Json = dict[str, Any]
_FIRST_IN = "org.apache.nifi.prioritizer.FirstInFirstOutPrioritizer"
_NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "urn:coilflow:nifi")


def definition_of(flow: Flow) -> Json:
    """The snapshot of a flow; equal descriptions give equal values, in an order of their own."""
    group = identifier(flow.key)
    names = {id(one): identifier(flow.key, one.type, one.name) for one in flow.processors}
    names |= {id(one): identifier(flow.key, "service", one.name) for one in flow.services}
    names |= {id(one): identifier(flow.key, "funnel", one.name) for one in flow.funnels}
    contents: Json = {
        "identifier": group,
        "name": flow.name,
        "comments": flow.comments,
        "componentType": "PROCESS_GROUP",
        "position": _position(Place(0, 0)),
        "parameterContextName": CONTEXT,
        "flowFileConcurrency": "UNBOUNDED",
        "flowFileOutboundPolicy": "STREAM_WHEN_AVAILABLE",
        "defaultFlowFileExpiration": "0 sec",
        "defaultBackPressureObjectThreshold": 1000,
        "defaultBackPressureDataSizeThreshold": "1 GB",
        "executionEngine": "INHERITED",
        "scheduledState": "ENABLED",
        "labels": [_label(one, group, flow.key) for one in flow.labels],
        "controllerServices": [_service(one, group, names) for one in flow.services],
        "processors": [_processor(one, group, names) for one in flow.processors],
        "funnels": [_funnel(one, group, names) for one in flow.funnels],
        "connections": [_connection(one, group, flow.key, names) for one in flow.connections],
        "inputPorts": [],
        "outputPorts": [],
        "processGroups": [],
        "remoteProcessGroups": [],
    }
    return {
        "flowEncodingVersion": "1.0",
        "flowContents": contents,
        "parameterContexts": {CONTEXT: _context(flow)},
        "parameterProviders": {},
        "externalControllerServices": {},
    }


def identifier(*names: str) -> str:
    """The stable identifier of a part: uuid5 of its names."""
    return str(uuid.uuid5(_NAMES, "/".join(names)))


def _context(flow: Flow) -> Json:
    return {
        "identifier": identifier("context", CONTEXT),
        "name": CONTEXT,
        "description": "What a plant sets of coilflow's flows.",
        "componentType": "PARAMETER_CONTEXT",
        "inheritedParameterContexts": [],
        "parameters": [
            {
                "name": one.name,
                "description": one.description,
                "sensitive": one.sensitive,
                "provided": False,
                **({} if one.sensitive or one.value is None else {"value": one.value}),
            }
            for one in flow.parameters
        ],
    }


def _processor(one: Processor, group: str, names: Mapping[int, str]) -> Json:
    return {
        **_part(one.name, names[id(one)], group, "PROCESSOR"),
        "comments": one.comments,
        "type": one.type,
        "bundle": _bundle(one.bundle),
        "position": _position(one.place),
        "style": {},
        **_properties(one.properties, one.sensitive, names, dynamic=one.dynamic),
        "schedulingStrategy": "TIMER_DRIVEN",
        "schedulingPeriod": one.every,
        "executionNode": "PRIMARY" if one.one_node else "ALL",
        "concurrentlySchedulableTaskCount": one.tasks,
        "runDurationMillis": 0,
        "penaltyDuration": "5 sec",
        "yieldDuration": "1 sec",
        "bulletinLevel": "WARN",
        "autoTerminatedRelationships": sorted(one.ended),
        "retriedRelationships": sorted(one.retried),
        "retryCount": RETRIES,
        "backoffMechanism": "YIELD_PROCESSOR",  # in its order: a coil whose chunks were overtaken is judged twice
        "maxBackoffPeriod": "30 secs",
        "scheduledState": "ENABLED",
    }


def _service(one: Service, group: str, names: Mapping[int, str]) -> Json:
    return {
        **_part(one.name, names[id(one)], group, "CONTROLLER_SERVICE"),
        "type": one.type,
        "bundle": _bundle(one.bundle),
        "controllerServiceApis": [{"type": name, "bundle": _bundle(of)} for name, of in sorted(one.apis.items())],
        **_properties(one.properties, one.sensitive, names),
        "bulletinLevel": "WARN",
        "scheduledState": "DISABLED",
    }


def _properties(
    given: Mapping[str, str | Service],
    sensitive: frozenset[str],
    names: Mapping[int, str],
    *,
    dynamic: frozenset[str] = frozenset(),
) -> Json:
    return {
        "properties": {name: names[id(to)] if isinstance(to, Service) else to for name, to in sorted(given.items())},
        "propertyDescriptors": {
            name: {
                "name": name,
                "displayName": name,
                "identifiesControllerService": isinstance(to, Service),
                "sensitive": name in sensitive,
                "dynamic": name in dynamic,
            }
            for name, to in sorted(given.items())
        },
    }


def _connection(one: Connection, group: str, key: str, names: Mapping[int, str]) -> Json:
    funnel = isinstance(one.to, Funnel)
    said = ", ".join(one.relationships)
    return {
        **_part("", identifier(key, "queue", names[id(one.source)], said, names[id(one.to)]), group, "CONNECTION"),
        "source": {"id": names[id(one.source)], "groupId": group, "name": one.source.name, "type": "PROCESSOR"},
        "destination": {
            "id": names[id(one.to)],
            "groupId": group,
            "name": "" if funnel else one.to.name,
            "type": "FUNNEL" if funnel else "PROCESSOR",
        },
        "selectedRelationships": list(one.relationships),
        "backPressureObjectThreshold": one.most,
        "backPressureDataSizeThreshold": one.most_size,
        "flowFileExpiration": one.expires,
        "bends": [_position(bend) for bend in one.bends],
        "labelIndex": one.label_at,
        "zIndex": 0,
        "prioritizers": [_FIRST_IN] if one.in_order else [],
        "loadBalanceStrategy": "DO_NOT_LOAD_BALANCE",
        "loadBalanceCompression": "DO_NOT_COMPRESS",
        "partitioningAttribute": "",
    }


def _funnel(one: Funnel, group: str, names: Mapping[int, str]) -> Json:
    part = _part(one.name, names[id(one)], group, "FUNNEL")
    del part["name"]
    return {**part, "position": _position(one.place)}


def _label(one: Label, group: str, key: str) -> Json:
    return {
        "identifier": identifier(key, "label", one.text.partition(":")[0]),
        "groupIdentifier": group,
        "componentType": "LABEL",
        "label": one.text,
        "position": _position(one.place),
        "width": float(one.width),
        "height": float(one.height),
        "style": {"background-color": one.color, "font-size": f"{one.font_px}px"},
        "zIndex": 0,
    }


def _part(name: str, identity: str, group: str, kind: str) -> Json:
    return {"identifier": identity, "groupIdentifier": group, "name": name, "componentType": kind}


def _bundle(one: Bundle) -> Json:
    return {"group": one.group, "artifact": one.artifact, "version": one.version}


def _position(place: Place) -> Json:
    return {"x": float(place.x), "y": float(place.y)}
