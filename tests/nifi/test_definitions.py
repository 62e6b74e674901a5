"""Flow definitions: fresh, whole, readable, without a secret, and what NiFi's own models take."""

import json
import math
import re
from itertools import combinations, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nipyapi
import pytest

from flows.nifi.definition import definition_of
from flows.nifi.definitions_of import definition_files, flows, main
from flows.nifi.describe.kinds import OURS
from flows.nifi.describe.parameters import PARAMETERS
from flows.nifi.describe.parts import NIFI_VERSION, Connection, Flow, Funnel, Processor, Service
from flows.nifi.describe.tls import PLAIN, TRUSTING, Tls

FORMS = (PLAIN, TRUSTING, Tls(truststore=True, keystore=True))
FLOWS = flows()
OWN = Path(__file__).parents[2] / "processors" / "nifi"
EXPOSED = {  # by what NiFi's own types can send a FlowFile
    "ConsumeKafka": {"success"},
    "PublishKafka": {"success", "failure"},
    "ReceiveMqtt": {"success"},
    "PublishMQTT": {"success", "failure"},
    "GenerateFlowFile": {"success"},
    "JoltTransformRecord": {"success", "failure", "original"},
    "InvokeHTTP": {"Original", "Response", "Retry", "No Retry", "Failure"},
}
PROCESSOR_SIZE = (352, 128)  # as NiFi draws them, px
FUNNEL_SIZE = (48, 48)
QUEUE_SIZE = (240, 41)  # a connection's label
Point = tuple[float, float]
Box = tuple[float, float, float, float]  # x, y, width, height


@pytest.fixture(params=FORMS, ids=str, name="form")
def _form(request: pytest.FixtureRequest) -> Tls:
    form: Tls = request.param
    return form


@pytest.fixture(params=FLOWS, name="flow")
def _flow(request: pytest.FixtureRequest, form: Tls) -> Flow:
    return flows(form)[request.param]


def _read(definition: dict[str, Any]) -> Any:
    return nipyapi.nifi.ApiClient().deserialize(SimpleNamespace(data=json.dumps(definition)), "RegisteredFlowSnapshot")


def _declared(type_: str, what: str) -> set[str]:
    """Names that one of our processors declares, of relationships or properties."""
    return set(re.findall(what + r'\(\s*name="([^"]+)"', (OWN / f"{type_}.py").read_text(encoding="utf-8")))


def box_of(part: Processor | Funnel) -> Box:
    return (*part.place, *(PROCESSOR_SIZE if isinstance(part, Processor) else FUNNEL_SIZE))


def apart(first: Box, second: Box) -> bool:
    (ax, ay, a_wide, a_high), (bx, by, b_wide, b_high) = first, second
    return ax + a_wide <= bx or bx + b_wide <= ax or ay + a_high <= by or by + b_high <= ay


def line_of(one: Connection) -> list[Point]:
    """Ends at the borders of its boxes, towards their middles, as NiFi draws it."""
    source, to = box_of(one.source), box_of(one.to)
    turns: list[Point] = [(float(bend.x), float(bend.y)) for bend in one.bends]
    return [_border(source, (turns or [_middle(to)])[0]), *turns, _border(to, (turns or [_middle(source)])[-1])]


def label_of(one: Connection) -> Box:
    line = line_of(one)
    x, y = one.bends[one.label_at] if one.bends else ((line[0][0] + line[-1][0]) / 2, (line[0][1] + line[-1][1]) / 2)
    return (x - QUEUE_SIZE[0] / 2, y - QUEUE_SIZE[1] / 2, *QUEUE_SIZE)


def said_of(one: Connection) -> str:
    return f"{one.source.name} {one.relationships} {one.to.name}"


def _middle(box: Box) -> Point:
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def _border(box: Box, towards: Point) -> Point:
    (x, y), (to_x, to_y) = _middle(box), towards
    scale = min(
        box[2] / 2 / abs(to_x - x) if to_x != x else math.inf, box[3] / 2 / abs(to_y - y) if to_y != y else math.inf
    )
    return x + (to_x - x) * scale, y + (to_y - y) * scale


def _exposed(type_: str) -> set[str]:
    if type_ in EXPOSED:
        return EXPOSED[type_]
    return _declared(type_, "Relationship") | {"failure", "original"}  # those NiFi adds


def test_committed_definitions_are_those_of_the_descriptions() -> None:
    assert main(["--check"]) == 0


def test_the_docs_name_every_parameter() -> None:
    said = (Path(__file__).parents[2] / "docs" / "nifi.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| `([a-z.]+)` \| (?:`([^`]*)`)?", said, flags=re.MULTILINE))
    named = {name: table.get(name) for name in (one.name for one in PARAMETERS)}
    assert named == {one.name: one.value or "" for one in PARAMETERS}


def test_the_same_description_gives_the_same_bytes() -> None:
    assert definition_files() == definition_files()


def test_nipyapi_reads_every_field(flow: Flow) -> None:
    definition = definition_of(flow)
    snapshot = _read(definition)
    contents = snapshot.flow_contents
    assert contents.name == flow.name
    assert len(contents.processors) == len(flow.processors)
    assert all(one.bundle.version and one.type for one in contents.processors)
    for kind, model in (
        ("processors", nipyapi.nifi.VersionedProcessor),
        ("connections", nipyapi.nifi.VersionedConnection),
        ("controllerServices", nipyapi.nifi.VersionedControllerService),
        ("funnels", nipyapi.nifi.VersionedFunnel),
        ("labels", nipyapi.nifi.VersionedLabel),
    ):
        for part in definition["flowContents"][kind]:
            assert part.keys() <= set(model.attribute_map.values())
    assert definition["flowContents"].keys() <= set(nipyapi.nifi.VersionedProcessGroup.attribute_map.values())
    assert definition.keys() <= set(nipyapi.nifi.RegisteredFlowSnapshot.attribute_map.values())


def test_no_identifier_comes_twice() -> None:
    parts = [
        part["identifier"]
        for flow in FLOWS.values()
        for kind in ("processors", "connections", "controllerServices", "funnels", "labels")
        for part in definition_of(flow)["flowContents"][kind]
    ]
    assert len(parts) == len(set(parts))


def test_no_file_holds_a_secret(flow: Flow) -> None:
    definition = definition_of(flow)
    for context in definition["parameterContexts"].values():
        assert all("value" not in one for one in context["parameters"] if one["sensitive"])
    hidden = {one["name"] for one in definition["parameterContexts"]["coilflow"]["parameters"] if one["sensitive"]}
    for part in definition["flowContents"]["processors"] + definition["flowContents"]["controllerServices"]:
        for name, descriptor in part["propertyDescriptors"].items():
            value = part["properties"][name]
            references = set(re.findall(r"#\{([^}]+)\}", value))
            assert descriptor["sensitive"] == bool(references & hidden), f"{part['name']}: {name}"


def test_every_relationship_leads_somewhere_once_known(flow: Flow) -> None:
    for one in flow.processors:
        led = {name for connection in flow.connections if connection.source is one for name in connection.relationships}
        exposed = _exposed(one.type.rpartition(".")[2])
        assert led | one.ended == exposed, one.name
        assert not led & one.ended, one.name
        assert one.retried <= exposed, one.name


def test_every_parameter_that_is_referred_to_exists_and_none_is_idle(flow: Flow) -> None:
    referred = {
        name
        for given in (*(one.properties for one in flow.processors), *(one.properties for one in flow.services))
        for value in given.values()
        if isinstance(value, str)
        for name in re.findall(r"#\{([^}]+)\}", value)
    }
    assert referred == {one.name for one in flow.parameters}


def test_tls_is_in_a_flow_where_and_only_where_a_plant_gives_stores(flow: Flow, form: Tls) -> None:
    users = {"PublishMQTT", "Kafka3ConnectionService"}
    secure = [one for one in flow.services if one.type == "org.apache.nifi.ssl.StandardSSLContextService"]
    given = flow.key != "retrain" and form != PLAIN
    assert len(secure) == given
    parts: list[Processor | Service] = [*flow.processors, *flow.services]
    for one in parts:
        asked = one.type.rpartition(".")[2] in users and given
        assert one.properties.get("SSL Context Service") == (secure[0] if asked else None)
    for service in secure:
        stores = {name.partition(" ")[0].lower() for name in service.properties if name.endswith("Filename")}
        assert stores == {name for name in ("truststore", "keystore") if getattr(form, name)}
        assert len(service.properties) == 3 * len(stores) + 1  # all three of each, or NiFi holds it for invalid


def test_every_client_of_mqtt_that_keeps_a_session_has_an_id_of_its_own_by_the_plants_prefix() -> None:
    receivers = [one for flow in FLOWS.values() for one in flow.processors if one.type == "ReceiveMqtt"]
    ids = [one.properties["Client ID"] for one in receivers]
    assert ids == ["#{mqtt.client}-assess", "#{mqtt.client}-feedback"]
    for one in receivers:  # it acknowledges a message as it is called again, of which it must know that NiFi committed
        assert (one.tasks, one.every, one.one_node) == (1, "50 ms", True)


def test_a_message_of_mqtt_is_received_by_our_own_processor_for_nifis_loses_what_it_holds(flow: Flow) -> None:
    assert not [one.name for one in flow.processors if one.type.endswith(".ConsumeMQTT")]


def test_nifi_lets_nothing_that_has_a_queue_run_on_the_primary_node_alone(flow: Flow) -> None:
    assert not [one.name for one in flow.processors if one.one_node and any(c.to is one for c in flow.connections)]


def test_services_and_ends_of_connections_are_of_the_group(flow: Flow) -> None:
    contents = definition_of(flow)["flowContents"]
    services = {one["identifier"] for one in contents["controllerServices"]}
    for part in contents["processors"] + contents["controllerServices"]:
        for name, descriptor in part["propertyDescriptors"].items():
            if descriptor["identifiesControllerService"]:
                assert part["properties"][name] in services
    parts = {one["identifier"] for one in contents["processors"] + contents["funnels"]}
    for connection in contents["connections"]:
        assert {connection["source"]["id"], connection["destination"]["id"]} <= parts
        assert {connection["source"]["groupId"], connection["destination"]["groupId"]} == {contents["identifier"]}


def test_nothing_overlaps_on_the_canvas(flow: Flow) -> None:
    boxes: list[tuple[str, Box]] = [(one.text[:30], (*one.place, one.width, one.height)) for one in flow.labels]
    parts: list[Processor | Funnel] = [*flow.processors, *flow.funnels]
    boxes += [(one.name, box_of(one)) for one in parts]
    boxes += [(said_of(one), label_of(one)) for one in flow.connections]
    for (first, a), (second, b) in combinations(boxes, 2):
        assert apart(a, b), f"{first} and {second}"


def test_no_line_runs_behind_what_it_does_not_connect(flow: Flow) -> None:
    parts: list[Processor | Funnel] = [*flow.processors, *flow.funnels]
    for one in flow.connections:
        behind = [(part.name, box_of(part)) for part in parts if part is not one.source and part is not one.to]
        behind += [(said_of(other), label_of(other)) for other in flow.connections if other is not one]
        behind += [(note.text[:30], (*note.place, note.width, note.height)) for note in flow.labels]
        for a, b in pairwise(line_of(one)):
            steps = [(a[0] + (b[0] - a[0]) * i / 500, a[1] + (b[1] - a[1]) * i / 500) for i in range(501)]
            hit = [said for said, box in behind if any(not apart((*step, 0, 0), box) for step in steps)]
            assert hit == [], said_of(one)


def test_queues_between_processors_are_bounded_and_only_copies_for_people_expire(flow: Flow) -> None:
    for one in flow.connections:
        if one.relationships != ("review",):
            assert one.most > 0
        if one.expires != "0 sec":
            assert one.relationships == ("review",) or one.source.name in {"each second", "each hour"}


def test_bundles_are_of_the_nifi_that_they_were_tried_with(flow: Flow) -> None:
    for bundle in (*(one.bundle for one in flow.processors), *(one.bundle for one in flow.services)):
        assert bundle.artifact == "python-extensions" or bundle.version == NIFI_VERSION


def test_our_processors_are_given_only_what_they_declare(flow: Flow) -> None:
    for one in flow.processors:
        if one.bundle == OURS:
            declared = _declared(one.type, "PropertyDescriptor")
            assert one.properties.keys() <= declared, one.name
            assert f'version = "{OURS.version}"' in (OWN / f"{one.type}.py").read_text(encoding="utf-8")
