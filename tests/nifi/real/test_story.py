"""Five hundred coils through our flows in a real NiFi, which is killed, changed and emptied while they come."""

import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from kafka import TopicPartition

from flows.kafka.client import reader
from flows.nifi.server import Nifi, SignIn
from models.ensemble import SHIPPED, load_ensemble
from schemas.access import Scope
from schemas.coils import CoilKey
from tests.nifi.real.coils import Phase, Reference, reference
from tests.nifi.real.server import alive, set_properties
from tests.nifi.real.world import SECOND, World, second_ensemble
from tests.rest.given import bearer
from tests.waiting import wait_until

pytestmark = pytest.mark.nifi

Say = Callable[[str], None]
MOST_S = 300.0
LEASE_S = 60  # so long a coil waits whose FlowFile NiFi had not kept yet when it was killed
OUTAGE_S = 20.0
GROUPS = 8  # in which the coils of a phase are sent
PACE_S = 1.0  # between two of them
P_TOLERANCE = 1e-4
OURS = 8
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


def test_install_says_what_nifi_needs_and_nifi_then_lists_our_processors(world: World, say: Say) -> None:
    home = str(world.nifi.home)
    status, told = world.coilflow("nifi", "install", "--nifi-home", home, "--json")
    assert status == 0, told
    needs = {one["name"]: one["wanted"] for one in orjson.loads(told)["needs"]}
    assert set(needs) == {"nifi.python.extensions.source.directory.coilflow"}
    set_properties(world.nifi.home, needs)
    status, told = world.coilflow("nifi", "install", "--nifi-home", home, "--json")
    assert orjson.loads(told)["needs"] == []
    began = time.monotonic()
    world.nifi.start()
    say(f"first start of NiFi: {time.monotonic() - began:.0f} s until it answers")
    types = Nifi(world.nifi.url, SignIn()).get("/flow/processor-types")["processorTypes"]
    ours = sorted(one["type"] for one in types if one["bundle"]["artifact"] == "python-extensions")
    say(f"NiFi lists {', '.join(ours)}")
    assert len(ours) == OURS


def test_deploying_brings_the_flows_in_and_a_second_time_changes_nothing(world: World, say: Say) -> None:
    parameters = world.folder / "plant.toml"
    parameters.write_text(
        "\n".join(
            f'"{name}" = "{value}"'
            for name, value in {
                "database.dsn": world.dsn,
                "data.directory": world.folder / "data",
                "plant": "linz",
                "lease.seconds": LEASE_S,
                "kafka.brokers": world.kafka.bootstrap_servers,
                "kafka.group": world.kafka.group_id,
                "kafka.topic.chunks": world.kafka.chunks_topic,
                "kafka.topic.verdicts": world.kafka.verdicts_topic,
                "kafka.topic.feedback": world.kafka.feedback_topic,
                "mqtt.broker": f"tcp://{world.mqtt.host}:{world.mqtt.port}",
            }.items()
        )
    )
    began = time.monotonic()
    status, told = world.deployed("deploy", "assess_coils", "model_score", "--parameters", str(parameters))
    say(f"deployed and running after {time.monotonic() - began:.0f} s, status {status}")
    assert status == 0, told
    status, told = world.deployed("deploy", "assess_coils", "model_score", "--parameters", str(parameters), "--json")
    outcomes = [orjson.loads(line) for line in told.splitlines()]
    assert [one["outcome"] for one in outcomes if one["is"] == "flow"] == ["unchanged", "unchanged"]
    assert [one["changed"] for one in outcomes if one["is"] == "parameters"] == [[]]
    status, told = world.deployed("diff", "assess_coils", "model_score")
    assert status == 0, told
    say("deployed again: unchanged; diff: nothing")
    memory = [one.memory_info().rss / 2**20 for one in world.nifi.python_processes().values()]
    say(f"{len(memory)} Python processes, {min(memory):.0f} to {max(memory):.0f} MiB each")


def test_coils_come_to_their_ends_through_kafka_and_mqtt(world: World, all_phases: list[Phase], say: Say) -> None:
    with _sent(world, all_phases[0], say, "in peace"):
        pass


def test_an_outage_of_the_database_loses_no_coil(world: World, all_phases: list[Phase], say: Say) -> None:
    with _sent(world, all_phases[5], say, f"the database away for {OUTAGE_S:.0f} s"):
        world.lock_out(for_s=OUTAGE_S)
    assert not any("failed" in one["error"] for one in world.rows("select error from coilflow.dead_letters"))


def test_a_kill_of_nifi_in_mid_stream_loses_no_coil(world: World, all_phases: list[Phase], say: Say) -> None:
    with _sent(world, all_phases[1], say, "NiFi killed and started again"):
        orphans = list(world.nifi.python_processes().values())
        world.nifi.kill()
        wait_until(lambda: not any(alive(one) for one in orphans), MOST_S)
        say(f"SIGKILL: its {len(orphans)} Python processes end by themselves")
        began = time.monotonic()
        world.nifi.start()
        say(f"NiFi answers again {time.monotonic() - began:.0f} s after SIGKILL, its flows run by themselves")


def test_a_kill_of_python_processes_loses_no_coil(world: World, all_phases: list[Phase], say: Say) -> None:
    with _sent(world, all_phases[2], say, "every Python process killed"):
        before = world.nifi.python_processes()
        for one in before.values():
            one.send_signal(signal.SIGKILL)
        wait_until(lambda: len(world.nifi.python_processes().keys() - before.keys()) >= 1, MOST_S)
        say(f"{len(before)} Python processes killed")


def test_a_promoted_ensemble_judges_from_then_on(world: World, all_phases: list[Phase], say: Say) -> None:
    with _sent(world, all_phases[3], say, "another ensemble promoted"):
        status, told = world.coilflow("models", "register", str(second_ensemble(world.folder / SECOND)))
        assert status == 0, told
        status, told = world.coilflow("models", "promote", SECOND, "--why", "a test")
        assert status == 0, told
    versions = Counter(row["ensemble_version"] for row in world.rows("select ensemble_version from coilflow.verdicts"))
    say(f"verdicts by version: {dict(versions)}")
    assert versions[SECOND]


def test_a_new_version_of_the_flow_comes_in_under_load_and_goes_back(
    world: World, all_phases: list[Phase], say: Say
) -> None:
    description = next(
        (world.commands.parent / "lib").glob("python*/site-packages/flows/nifi/describe/assess_coils.py")
    )
    text = description.read_text()
    with _sent(world, all_phases[4], say, "another version of the flow deployed, and taken back"):
        description.write_text(text.replace("most=20", "most=15"))
        status, told = world.deployed("deploy", "assess_coils", "--json")
        assert status == 0, told
        [flow] = [one for line in told.splitlines() if (one := orjson.loads(line))["is"] == "flow"]
        assert flow["outcome"] == "changed"
        say(f"{len(flow['changes'])} changes: {flow['changes'][0]['part']}, {flow['changes'][0]['what']}")
        description.write_text(text)
        status, told = world.deployed("deploy", "assess_coils", "--back", "--json")
        assert status == 0, told
        assert '"outcome":"changed"' in told.replace(" ", "")
    status, told = world.deployed("diff", "assess_coils")
    assert status == 0, told


@pytest.fixture(scope="module")
def references(world: World, all_phases: list[Phase]) -> dict[str, Reference]:
    """What the local host makes of all coils, by each version."""
    events = world.folder / "events.jsonl"
    events.write_bytes(b"\n".join(world.sent) + b"\n")
    sources = [str(events), world.plant_source]
    loaded = [load_ensemble(folder, threads=2) for folder in (SHIPPED, world.folder / SECOND)]
    return {one.version: reference(sources, one, world.settings) for one in loaded}


def test_every_coil_has_one_verdict_that_of_the_local_host(
    world: World, references: dict[str, Reference], say: Say
) -> None:
    wait_until(world.drained, MOST_S)
    rows = world.rows("select plant, coil_id, revision, label, p_nok, ensemble_version, reasons from coilflow.verdicts")
    seen = Counter((row["plant"], row["coil_id"]) for row in rows)
    assert not [row for row in rows if seen[row["plant"], row["coil_id"]] > 1], "a coil was judged twice"
    first = next(iter(references.values()))
    assert {CoilKey(plant=row["plant"], coil_id=row["coil_id"]) for row in rows} == set(first.verdicts)
    apart = 0.0
    for row in rows:
        wanted = references[row["ensemble_version"]].verdicts[CoilKey(plant=row["plant"], coil_id=row["coil_id"])]
        assert (row["revision"], row["label"]) == (wanted.revision, wanted.label), (row, wanted)
        if row["p_nok"] is None or wanted.p_nok is None:
            assert row["p_nok"] == wanted.p_nok
        else:
            apart = max(apart, abs(row["p_nok"] - wanted.p_nok))
    assert apart <= P_TOLERANCE
    say(f"{len(rows)} verdicts, each as the local host's: same revision and label, p(NOK) apart by at most {apart:.1e}")


def test_every_coil_that_is_refused_is_one_dead_letter_with_its_reason(
    world: World, all_phases: list[Phase], references: dict[str, Reference], say: Say
) -> None:
    first = next(iter(references.values()))
    unknown = {one.coil_id for phase in all_phases for one in phase.asked if not one.listed}
    rows = world.rows("select plant, coil_id, error, whole_coil, place, created_at from coilflow.dead_letters")
    whole = [row for row in rows if row["whole_coil"]]
    found = {CoilKey(plant=row["plant"], coil_id=row["coil_id"]): row["error"] for row in whole}
    letters = Counter((row["plant"], row["coil_id"]) for row in whole)
    assert not [row for row in whole if letters[row["plant"], row["coil_id"]] > 1], "a coil has two dead letters"
    assert {key: found[key] for key in first.refused} == first.refused
    assert {key.coil_id for key in found.keys() - first.refused.keys()} == unknown
    assert sum(row["coil_id"] is None for row in rows) == first.unreadable
    say(f"{len(rows)} dead letters: " + "; ".join(f"{n} × {error}" for error, n in _by_kind(rows).items()))


def test_kafka_and_coilready_told_what_is_stored_and_nothing_else(world: World, say: Say) -> None:
    stored = {row["coil_id"]: row["label"] for row in world.rows("select coil_id, label from coilflow.verdicts")}
    codes = {"OK": 1, "NOK": 2, "UNDECIDED": 0}
    told: list[dict[str, Any]] = []

    def all_told() -> bool:
        told[:] = _verdicts_on_kafka(world)
        return {one["data"]["coil_id"] for one in told} >= set(stored)

    wait_until(all_told, MOST_S)
    assert {one["data"]["coil_id"]: one["data"]["label"] for one in told} == stored
    assert len({one["id"] for one in told}) == len(stored)
    wait_until(lambda: {one["SID"] for one in list(world.ready.said)} >= set(stored), MOST_S)
    assert {one["SID"]: one["LABEL"] for one in world.ready.said} == {name: codes[to] for name, to in stored.items()}
    say(
        f"{len(told)} messages on {len(stored)} verdicts in Kafka ({len(told) - len(stored)} repeats of the same id), "
        f"{len(world.ready.said)} on coilready"
    )


def test_what_operators_say_by_mqtt_is_joined_and_scored(world: World, say: Say) -> None:
    rows = world.rows("select coil_id, label from coilflow.verdicts where label <> 'UNDECIDED' and plant = 'linz'")
    words = [{"COILID": row["coil_id"], "LABEL": 1 if row["label"] == "OK" else 2} for row in rows[:20]]
    world.tell("opfeedback", *words)
    wait_until(lambda: world.rows("select count(*) as n from coilflow.feedback")[0]["n"] == len(words), MOST_S)
    say(f"{len(words)} words of operators are joined to their verdicts")


def test_retrain_asks_the_scheduler(world: World, say: Say) -> None:
    with _process(world, "scheduler", "run"), _process(world, "console", "--port", "0") as console:
        wait_until(lambda: world.rows("select epoch from coilflow.leaders where ended_at is null"), MOST_S)
        wait_until(lambda: _ADDRESS.search(console.read_text()), MOST_S)
        [address] = set(_ADDRESS.findall(console.read_text()))
        parameters = world.folder / "console.toml"
        known = bearer(world.dsn, Scope.OPERATE)["authorization"]
        parameters.write_text(f'"console.url" = "{address}"\n"console.authorization" = "{known}"\n')
        status, told = world.deployed("deploy", "retrain", "--parameters", str(parameters))
        assert status == 0, told
        asked = "select why from coilflow.fires where job = 'retrain' and requested_by = 'http'"
        wait_until(lambda: world.rows(asked), MOST_S)
    say(f"the scheduler was asked to retrain: {world.rows(asked)[0]['why']}")


def test_taking_all_away_leaves_nothing_in_nifi(world: World, say: Say) -> None:
    status, told = world.deployed("remove", "--parameters")
    assert status != 0, "dead letters wait in a queue, and nobody allowed to drop them"
    assert "Traceback" not in told
    status, told = world.deployed("remove", "--parameters", "--drop-queues")
    assert status == 0, told
    nifi = Nifi(world.nifi.url, SignIn())
    flow = nifi.get("/flow/process-groups/root")["processGroupFlow"]["flow"]
    assert [flow[kind] for kind in ("processGroups", "processors", "connections")] == [[], [], []]
    assert nifi.get("/flow/parameter-contexts")["parameterContexts"] == []
    assert nifi.get("/flow/process-groups/root/controller-services")["controllerServices"] == []
    left = list(world.nifi.python_processes().values())
    world.nifi.stop()
    wait_until(lambda: not any(alive(one) for one in left), MOST_S)
    status, told = world.coilflow("nifi", "remove", "--nifi-home", str(world.nifi.home))
    assert status == 0, told
    assert list((world.nifi.home / "python" / "extensions").iterdir()) == []
    say(f"removed: no group, service, parameter or file is left; NiFi's {len(left)} Python processes end with it")


@contextmanager
def _sent(world: World, phase: Phase, say: Say, what: str) -> Iterator[None]:
    """Send a phase while the block goes on, which begins in mid-stream, and wait until each coil has come to an end."""
    before = len(world.ended())
    failed: list[BaseException] = []

    def send() -> None:
        pace = threading.Event()
        try:
            for number in range(GROUPS):
                world.send_events(phase.coils[number::GROUPS])
                world.tell("assesscoil", *({"SID": one.coil_id} for one in phase.asked[number::GROUPS]))
                pace.wait(PACE_S)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    sender = threading.Thread(target=send)
    began = time.monotonic()
    sender.start()
    wait_until(lambda: len(world.ended()) > before, MOST_S)
    yield
    sender.join()
    assert not failed, failed
    coils = len(phase.coils) + len(phase.asked)
    try:
        wait_until(lambda: len(world.ended()) >= before + coils, MOST_S)
    except AssertionError as late:
        late.add_note(world.open())
        raise
    say(f"{coils} coils, {what}: all at their end {time.monotonic() - began:.0f} s after the first was sent")


@contextmanager
def _process(world: World, *words: str) -> Iterator[Path]:
    """Run a service of coilflow; gives the file that it prints to."""
    printed = world.folder / f"{words[0]}.log"
    with printed.open("wb") as file:
        command = [str(world.commands / "coilflow"), *words]
        process = subprocess.Popen(command, env=world.environment(), stdout=file, stderr=file)
    try:
        yield printed
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60.0)


def _verdicts_on_kafka(world: World) -> list[dict[str, Any]]:
    consumer = reader(world.kafka)
    try:
        places = [TopicPartition(world.kafka.verdicts_topic, n) for n in range(world.kafka.partitions or 1)]
        consumer.assign(places)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(places)
        found: list[dict[str, Any]] = []
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(timeout_ms=500).values():
                found += [orjson.loads(record.value) for record in records]
        return found
    finally:
        consumer.close()


def _by_kind(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(re.sub(r"\d+", "N", row["error"])[:60] for row in rows)
