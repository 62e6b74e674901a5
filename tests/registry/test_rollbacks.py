"""A rollback returns to what really served before, and never to what was rejected."""

import pytest

from schemas.errors import RegistryError
from store.connection import Connection
from store.registered import champions_before
from store.registry import (
    promote,
    rollback,
)
from tests.registry.given import ANNA, everything, register, served, states, told


def test_a_rollback_brings_the_champion_before_back_and_another_the_one_before_that(connection: Connection) -> None:
    register(connection, "e1", "e2", "e3")
    for version in ("e1", "e2", "e3"):
        promote(connection, version, ANNA)
    assert rollback(connection, ANNA) == "e2"
    assert states(connection, "e1", "e2", "e3") == {"e1": "retired", "e2": "champion", "e3": "rejected"}
    assert rollback(connection, ANNA) == "e1"
    assert served(connection) == {"": ("e1", None)}
    before = everything(connection)
    with pytest.raises(RegistryError, match="no champion before e1"):
        rollback(connection, ANNA)
    assert everything(connection) == before
    assert told(connection)[-4:] == [
        ("rolled_back", "e3", "anna"),
        ("promoted", "e2", "anna"),
        ("rolled_back", "e2", "anna"),
        ("promoted", "e1", "anna"),
    ]


def test_a_rollback_passes_over_what_was_rejected_elsewhere(connection: Connection) -> None:
    register(connection, "e1", "e2", "e3")
    for version in ("e1", "e2", "e3"):
        promote(connection, version, ANNA)
    with connection.transaction():
        connection.execute("update coilflow.ensembles set state = 'rejected' where version = 'e2'")
    assert rollback(connection, ANNA) == "e1"


def test_a_plant_that_goes_back_behind_its_first_champion_is_served_as_every_plant(connection: Connection) -> None:
    register(connection, "e1", "e2")
    promote(connection, "e1", ANNA)
    promote(connection, "e2", ANNA, plant="linz")
    assert rollback(connection, ANNA, plant="linz") is None
    assert served(connection) == {"": ("e1", None)}
    assert states(connection, "e1", "e2") == {"e1": "champion", "e2": "rejected"}


def test_what_is_rolled_back_on_one_plant_stays_on_the_way_back_of_another(connection: Connection) -> None:
    register(connection, "e1", "e2", "e3")
    promote(connection, "e1", ANNA)
    promote(connection, "e3", ANNA, plant="graz")
    promote(connection, "e1", ANNA, plant="graz")
    promote(connection, "e2", ANNA)
    assert rollback(connection, ANNA, plant="graz") == "e3"
    assert states(connection, "e1") == {"e1": "retired"}
    assert champions_before(connection, "graz") == ()
    assert rollback(connection, ANNA) == "e1"
    assert states(connection, "e1", "e2") == {"e1": "champion", "e2": "rejected"}


def test_a_rollback_to_a_version_passes_over_those_between_for_good(connection: Connection) -> None:
    register(connection, "e1", "e2", "e3", "e4")
    for version in ("e1", "e2", "e3"):
        promote(connection, version, ANNA)
    with pytest.raises(RegistryError, match="every plant cannot go back to e4") as caught:
        rollback(connection, ANNA, to="e4")
    assert caught.value.remedy == "give one of e2, e1"
    assert rollback(connection, ANNA, to="e1") == "e1"
    assert champions_before(connection, "") == ()
