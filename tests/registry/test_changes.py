"""Each change of what serves is done wholly, recorded with who and why, and refused with the reason otherwise."""

import threading
from collections.abc import Callable

import psycopg
import pytest

from schemas.bundles import BundleManifest
from schemas.coils import Limits
from schemas.errors import RegistryError, StoreError
from schemas.events import EVENT, ModelChangedEvent
from store.connection import Connection, connect
from store.registered import champion_of, ensemble, ensembles, model_changes, serving
from store.registry import (
    freeze,
    promote,
    register_ensemble,
    reject,
    rollback,
    shadow,
    start_registry,
    unfreeze,
    withdraw,
)
from store.registry_steps import Actor
from tests.registry.given import (
    ANNA,
    JOB,
    TOPIC,
    everything,
    later,
    member,
    new_ensemble,
    register,
    served,
    states,
    told,
)
from tests.store.given import NOON


def member_states(connection: Connection) -> dict[str, str]:
    rows = connection.execute("select version, state from coilflow.models").fetchall()
    return {row["version"]: row["state"] for row in rows}


def test_a_registered_ensemble_is_a_candidate_and_serves_nothing(connection: Connection) -> None:
    assert register_ensemble(connection, new_ensemble("e1"), ANNA)
    found = ensemble(connection, "e1")
    assert found is not None
    assert (found.state, found.parent, found.registered_at, found.location) == ("candidate", None, NOON, "ensembles/e1")
    assert found.manifest == new_ensemble("e1").manifest
    assert [(one.model, one.version) for one in found.members] == [("cnn", "e1")]
    assert (served(connection), told(connection)) == ({}, [("registered", "e1", "anna")])


def test_registering_again_changes_nothing_and_other_files_are_refused(connection: Connection) -> None:
    register(connection, "e1")
    before = everything(connection)
    assert not register_ensemble(connection, new_ensemble("e1"), later(ANNA, 1))
    with pytest.raises(RegistryError, match="e1 is registered with other files"):
        register_ensemble(connection, new_ensemble("e1", members=(member("other", "7"),)), ANNA)
    assert everything(connection) == before


def test_a_member_of_another_content_leaves_nothing_half_registered(connection: Connection) -> None:
    register(connection, "e1")
    before = everything(connection)
    other = member("cnn", "e1").model_copy(update={"threshold": 0.25})
    with pytest.raises(StoreError, match="cnn e1 is registered with another manifest"):
        register_ensemble(connection, new_ensemble("e2", members=(member("new", "1"), other)), ANNA)
    assert everything(connection) == before


def test_an_unknown_parent_is_refused(connection: Connection) -> None:
    with pytest.raises(RegistryError, match="no ensemble 'e0'"):
        register_ensemble(connection, new_ensemble("e1", parent="e0"), ANNA)
    assert ensembles(connection) == ()


def test_a_promoted_ensemble_serves_and_the_one_before_retires(connection: Connection) -> None:
    register(connection, "e1", "e2")
    promote(connection, "e1", ANNA)
    promote(connection, "e2", later(ANNA, 1))
    assert served(connection) == {"": ("e2", None)}
    assert states(connection, "e1", "e2") == {"e1": "retired", "e2": "champion"}
    assert member_states(connection) == {"e1": "retired", "e2": "champion"}
    last = model_changes(connection, version="e2")[-1]
    assert (last.change, last.who, last.why, last.at) == ("promoted", "anna", "it is better", later(ANNA, 1).at)
    assert last.before == {"champion": "e1", "shadow": None, "state": "candidate"}


def test_a_member_that_a_successor_keeps_stays_champion(connection: Connection) -> None:
    kept: BundleManifest = member("yolo", "kept")
    register_ensemble(connection, new_ensemble("e1", members=(kept, member("cnn", "old"))), ANNA)
    register_ensemble(connection, new_ensemble("e2", members=(kept, member("cnn", "new"))), ANNA)
    promote(connection, "e1", ANNA)
    promote(connection, "e2", ANNA)
    assert member_states(connection) == {"kept": "champion", "old": "retired", "new": "champion"}


def test_a_plant_may_have_a_champion_of_its_own(connection: Connection) -> None:
    register(connection, "e1", "e2")
    promote(connection, "e1", ANNA)
    promote(connection, "e2", ANNA, plant="linz")
    rows = serving(connection)
    assert [champion_of(rows, plant) for plant in ("linz", "graz", "")] == ["e2", "e1", "e1"]
    assert states(connection, "e1", "e2") == {"e1": "champion", "e2": "champion"}


def test_a_withdrawn_shadow_is_a_candidate_again_and_its_place_is_free(connection: Connection) -> None:
    register(connection, "e1", "e2", "e3")
    promote(connection, "e1", ANNA)
    shadow(connection, "e2", JOB, plant="linz")
    before = everything(connection)
    for version, plant in (("e2", ""), ("e3", "linz"), ("e1", "")):
        with pytest.raises(RegistryError, match=f"{version} does not shadow"):
            withdraw(connection, version, JOB, plant=plant)
    assert everything(connection) == before
    withdraw(connection, "e2", later(JOB, 1), plant="linz")
    assert served(connection) == {"": ("e1", None)}
    assert states(connection, "e2") == {"e2": "candidate"}
    last = model_changes(connection)[-1]
    assert (last.change, last.plant, last.who) == ("withdrawn", "linz", "promotion")
    assert last.before == {"champion": None, "shadow": "e2", "state": "shadow"}
    shadow(connection, "e3", JOB, plant="linz")
    freeze(connection, ANNA)
    with pytest.raises(RegistryError, match="frozen"):
        withdraw(connection, "e3", JOB, plant="linz")


def test_a_shadow_judges_beside_the_champion_until_it_is_promoted_or_rejected(connection: Connection) -> None:
    register(connection, "e1", "e2", "e3")
    promote(connection, "e1", ANNA)
    shadow(connection, "e2", JOB, plant="linz")
    assert served(connection) == {"": ("e1", None), "linz": (None, "e2")}
    assert champion_of(serving(connection), "linz") == "e1"
    with pytest.raises(RegistryError, match="plant linz has the shadow e2 already"):
        shadow(connection, "e3", JOB, plant="linz")
    promote(connection, "e2", JOB, plant="linz")
    assert served(connection) == {"": ("e1", None), "linz": ("e2", None)}
    shadow(connection, "e3", JOB)
    reject(connection, "e3", JOB)
    assert served(connection) == {"": ("e1", None), "linz": ("e2", None)}
    assert states(connection, "e3") == {"e3": "rejected"}


def test_nothing_shadows_before_anything_serves(connection: Connection) -> None:
    register(connection, "e1")
    with pytest.raises(RegistryError, match="nothing serves yet"):
        shadow(connection, "e1", ANNA)


Refused = Callable[[Connection], object]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: promote(c, "e1", ANNA), "e1 is retired and cannot be promoted"),
        (lambda c: promote(c, "e2", ANNA), "e2 is the champion of every plant already"),
        (lambda c: promote(c, "bad", ANNA), "bad is rejected and cannot be promoted"),
        (lambda c: promote(c, "nothing", ANNA), "there is no ensemble 'nothing' in the registry"),
        (lambda c: promote(c, "other limits", ANNA), "its limits are .* those of the champion e2 are"),
        (lambda c: promote(c, "of graz", ANNA, plant="linz"), "made for plant graz and cannot be promoted for plant l"),
        (lambda c: promote(c, "of graz", ANNA), "was made for plant graz and cannot be promoted for every plant"),
        (lambda c: shadow(c, "e1", ANNA), "e1 is retired and cannot shadow"),
        (lambda c: shadow(c, "e2", ANNA), "e2 is the champion of every plant already"),
        (lambda c: shadow(c, "other limits", ANNA), "cannot shadow: its limits are"),
        (lambda c: reject(c, "e2", ANNA), "e2 is a champion and cannot be rejected"),
        (lambda c: reject(c, "e1", ANNA), "e1 is retired and cannot be rejected"),
        (lambda c: reject(c, "nothing", ANNA), "there is no ensemble 'nothing'"),
        (lambda c: rollback(c, ANNA, plant="linz"), "plant linz has no champion of its own to roll back"),
    ],
)  # fmt: skip
def test_what_must_not_be_is_refused_with_the_reason_and_changes_nothing(
    connection: Connection, change: Refused, reason: str
) -> None:
    register(connection, "e1", "e2", "bad")
    register_ensemble(connection, new_ensemble("other limits", limits=Limits(low=-50.0, high=50.0)), ANNA)
    register_ensemble(connection, new_ensemble("of graz", plant="graz"), ANNA)
    reject(connection, "bad", ANNA)
    promote(connection, "e1", ANNA)
    promote(connection, "e2", ANNA)
    before = everything(connection)
    with pytest.raises(RegistryError, match=reason) as caught:
        change(connection)
    assert caught.value.remedy
    assert everything(connection) == before


def test_while_frozen_a_person_may_change_and_coilflow_may_not(connection: Connection) -> None:
    register(connection, "e1", "e2", "e3")
    promote(connection, "e1", ANNA)
    assert freeze(connection, ANNA)
    assert not freeze(connection, ANNA)
    before = everything(connection)
    for change in (
        lambda: promote(connection, "e2", JOB),
        lambda: shadow(connection, "e2", JOB),
        lambda: reject(connection, "e2", JOB),
        lambda: rollback(connection, JOB),
        lambda: unfreeze(connection, JOB),
    ):
        with pytest.raises(RegistryError, match=r"frozen since 2026-11-20 12:00 by anna \(it is better\)"):
            change()
    assert everything(connection) == before
    promote(connection, "e2", ANNA)
    register_ensemble(connection, new_ensemble("e4"), JOB)  # a training that was under way is not lost
    assert unfreeze(connection, ANNA)
    promote(connection, "e3", JOB)
    assert served(connection) == {"": ("e3", None)}


def test_a_freeze_waits_for_no_change_that_began_after_it(database: str) -> None:
    """What is under way when a person freezes is done before; what comes after is refused."""
    with connect(database) as first, connect(database) as second:
        register(first, "e1", "e2")
        promote(first, "e1", ANNA)
        refused: list[str] = []

        def promote_by_itself() -> None:
            try:
                promote(second, "e2", JOB)
            except RegistryError as error:
                refused.append(str(error))

        with first.transaction():
            freeze(first, ANNA)
            thread = threading.Thread(target=promote_by_itself)
            thread.start()
        thread.join()
        assert [text.startswith("automatic change is frozen") for text in refused] == [True]
        assert served(first) == {"": ("e1", None)}


def test_processes_that_start_together_agree_on_one_first_ensemble(database: str) -> None:
    won: list[bool] = []
    start = threading.Barrier(4)

    def begin(version: str) -> None:
        with connect(database) as connection:
            start.wait()
            actor = Actor(who="start", why="the first start", at=NOON)
            won.append(start_registry(connection, new_ensemble(version), actor))

    threads = [threading.Thread(target=begin, args=(version,)) for version in ("a", "a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, False, False, True]
    with connect(database) as connection:
        [(champion, shadowing)] = served(connection).values()
        assert (states(connection, "a", "b", "c"), shadowing) == ({champion: "champion"}, None)


def test_a_change_that_the_database_breaks_off_is_not_half_done(database: str) -> None:
    with connect(database) as connection, connect(database) as other:
        register(connection, "e1", "e2")
        promote(connection, "e1", ANNA)
        before = everything(connection)
        pid = other.info.backend_pid

        def promote_and_be_cut_off() -> None:
            with other.transaction():
                promote(other, "e2", ANNA)
                connection.execute("select pg_terminate_backend(%s)", (pid,))

        with pytest.raises(psycopg.OperationalError):
            promote_and_be_cut_off()
        assert everything(connection) == before


def test_changes_can_be_neither_altered_nor_deleted(connection: Connection) -> None:
    register(connection, "e1")
    for statement in ("update coilflow.model_changes set who = 'x'", "delete from coilflow.model_changes"):
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            connection.execute(statement.encode())


def test_every_change_of_what_serves_is_announced_in_order_and_passes_its_contract(connection: Connection) -> None:
    actor = Actor(who="anna", why="better", at=NOON, announce=(TOPIC,))
    register_ensemble(connection, new_ensemble("e1"), actor)
    register_ensemble(connection, new_ensemble("e2", parent="e1"), actor)
    promote(connection, "e1", actor)
    shadow(connection, "e2", actor)
    promote(connection, "e2", actor)
    rollback(connection, actor)
    freeze(connection, actor)
    rows = connection.execute("select event_id, destination, key, payload from coilflow.outbox order by outbox_id")
    events = []
    for row in rows.fetchall():
        event = EVENT.validate_python(row["payload"])
        assert isinstance(event, ModelChangedEvent)
        assert (str(row["event_id"]), row["destination"], row["key"]) == (event.id, TOPIC, "models/")
        events.append((event.data.change, event.data.version, event.data.parent))
    assert events == [
        ("registered", "e1", None),
        ("registered", "e2", "e1"),
        ("promoted", "e1", None),
        ("shadowed", "e2", "e1"),
        ("promoted", "e2", "e1"),
        ("retired", "e1", None),
        ("rolled_back", "e2", "e1"),
        ("promoted", "e1", None),
    ]


def test_workers_are_told_at_once_and_only_when_a_change_is_committed(database: str) -> None:
    with connect(database) as listening, connect(database) as connection:
        listening.execute("listen coilflow_models")
        register(connection, "e1", "e2")
        with pytest.raises(RegistryError):
            promote(connection, "nothing", ANNA)
        assert list(listening.notifies(timeout=0.05)) == []
        promote(connection, "e1", ANNA)
        assert [one.channel for one in listening.notifies(timeout=5, stop_after=1)] == ["coilflow_models"]
        freeze(connection, ANNA)
        assert [one.channel for one in listening.notifies(timeout=5, stop_after=1)] == ["coilflow_models"]


def test_a_shadow_of_one_plant_that_is_promoted_for_every_plant_leaves_its_place(connection: Connection) -> None:
    register(connection, "e1", "e2", "e3", "e4")
    promote(connection, "e1", ANNA)
    promote(connection, "e3", ANNA, plant="graz")
    shadow(connection, "e2", ANNA, plant="linz")
    shadow(connection, "e2", ANNA, plant="graz")
    promote(connection, "e2", ANNA)
    assert served(connection) == {"": ("e2", None), "graz": ("e3", "e2")}
    shadow(connection, "e4", ANNA, plant="linz")
    assert served(connection)["linz"] == (None, "e4")


def test_every_plant_is_served_with_the_same_limits_whatever_was_promoted_first(connection: Connection) -> None:
    register_ensemble(connection, new_ensemble("other", limits=Limits(low=-50.0, high=50.0)), ANNA)
    promote(connection, "other", ANNA, plant="linz")
    before = everything(connection)
    with pytest.raises(RegistryError, match=r"e1 cannot be promoted: its limits are .* of the champion other are"):
        start_registry(connection, new_ensemble("e1"), ANNA)
    assert everything(connection) == before
