"""A client can be made from the OpenAPI document: operations, types and headers have names of their own."""

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from console.rest.app import create_app
from console.rest.service import Service
from schemas.settings import Settings

DOCUMENT = create_app(cast("Service", SimpleNamespace(settings=Settings()))).openapi()
OPERATIONS = {f"{method} {path}": one for path, of in DOCUMENT["paths"].items() for method, one in of.items()}


def words(node: Any) -> Iterator[tuple[Any, ...]]:
    """Every set of words that is listed."""
    if isinstance(node, dict):
        if isinstance(node.get("enum"), list):
            yield tuple(node["enum"])
        for one in node.values():
            yield from words(one)
    elif isinstance(node, list):
        for one in node:
            yield from words(one)


def test_every_operation_is_called_by_a_plain_name_of_its_own() -> None:
    names = [one["operationId"] for one in OPERATIONS.values()]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and "api_v1" not in name for name in names), names
    known = {tag["name"] for tag in DOCUMENT["tags"]}
    assert all(set(one["tags"]) <= known and one["summary"] for one in OPERATIONS.values())


def test_types_have_names_that_people_would_give_them() -> None:
    assert [name for name in DOCUMENT["components"]["schemas"] if "__" in name] == []


def test_words_that_are_said_in_several_places_are_one_type() -> None:
    assert [said for said, times in Counter(words(DOCUMENT)).items() if times > 1] == []


def test_every_error_is_a_problem_and_says_when_to_come_again() -> None:
    for name, one in OPERATIONS.items():
        for status, answer in one["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (name, status)
            if status in ("429", "503"):
                assert "Retry-After" in answer["headers"], (name, status)


def test_events_can_be_sent_in_every_form_that_is_read() -> None:
    body = OPERATIONS["post /api/v1/events"]["requestBody"]
    assert list(body["content"]) == [
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "application/json",
        "application/vnd.apache.arrow.stream",
    ]
    assert set(DOCUMENT["components"]["schemas"]["Event"]["discriminator"]["mapping"]) == {
        "coil.started",
        "coil.chunk",
        "coil.ended",
        "operator.feedback",
    }
