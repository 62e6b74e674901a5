"""`coilflow nifi deploy | diff | status | stop | remove`, spoken to a server that answers as NiFi's REST API does."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.cli import run
from flows.nifi.deploy import KEPT
from tests.kafka.certificates import make_certificates
from tests.nifi.rest_double import NifiDouble, serving

DSN = "postgresql://coilflow:hush@db/coilflow"


@pytest.fixture(name="nifi")
def _nifi(monkeypatch: pytest.MonkeyPatch) -> Iterator[NifiDouble]:
    double = NifiDouble()
    with serving(double) as url:
        monkeypatch.setenv("COILFLOW_NIFI_URL", url)
        yield double


def _parameters(nifi: NifiDouble, context: str = "coilflow") -> dict[str, str | None]:
    (found,) = [one for one in nifi.contexts.values() if one["name"] == context]
    return {one["parameter"]["name"]: one["parameter"].get("value") for one in found["parameters"]}


def test_a_second_deploy_changes_nothing(nifi: NifiDouble, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nifi", "deploy", "--json"]) == 0
    first = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["outcome"] for one in first if one["is"] == "flow"] == ["new"] * 3
    assert len(nifi.running) == 3
    groups = {key: json.dumps(one) for key, one in nifi.groups.items()}
    assert run(["nifi", "deploy", "--dry-run"]) == 0
    nifi.changes.clear()
    assert run(["nifi", "deploy"]) == 0
    assert {key: json.dumps(one) for key, one in nifi.groups.items()} == groups
    assert not [one for one in nifi.changes if not one.startswith("PUT /flow/process-groups")]  # but "run"
    assert run(["nifi", "diff"]) == 0


def test_a_dry_run_says_what_would_change_and_changes_nothing(nifi: NifiDouble) -> None:
    assert run(["nifi", "deploy", "--dry-run"]) == 1
    assert nifi.changes == []


def test_parameters_come_from_a_file_and_the_environment_which_wins(
    nifi: NifiDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "plant.toml"
    file.write_text('"kafka.brokers" = "file:9092"\n[mqtt]\nbroker = "tcp://mqtt:1883"\n', encoding="utf-8")
    monkeypatch.setenv("COILFLOW_NIFI_PARAMETER_KAFKA_BROKERS", "environment:9092")
    monkeypatch.setenv("COILFLOW_NIFI_PARAMETER_DATABASE_DSN", DSN)
    assert run(["nifi", "deploy", "--parameters", str(file)]) == 0
    set_there = _parameters(nifi)
    assert set_there["kafka.brokers"] == "environment:9092"
    assert set_there["mqtt.broker"] == "tcp://mqtt:1883"
    assert set_there["database.dsn"] == DSN
    assert "hush" not in capsys.readouterr().out
    assert "hush" not in json.dumps(_parameters(nifi, KEPT)) + json.dumps(list(nifi.groups.values()))
    monkeypatch.setenv("COILFLOW_NIFI_PARAMETER_DATABASE_DSN", DSN + "2")
    assert run(["nifi", "deploy", "--parameters", str(file)]) == 0
    assert _parameters(nifi)["database.dsn"] == DSN
    assert run(["nifi", "deploy", "--secrets", "--parameters", str(file)]) == 0
    assert _parameters(nifi)["database.dsn"] == DSN + "2"


def test_flows_get_tls_where_parameters_or_nifi_name_a_truststore_and_lose_it_where_it_is_taken_back(
    nifi: NifiDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def services() -> list[str]:
        (group,) = nifi.groups.values()
        return [one["name"] for one in group["flowContents"]["controllerServices"]]

    assert run(["nifi", "deploy", "model_score"]) == 0
    assert services() == ["Kafka of the plant"]
    file = tmp_path / "plant.toml"
    file.write_text('tls.truststore = {file = "/etc/plant.p12", password = "hush"}\n', encoding="utf-8")
    assert run(["nifi", "deploy", "model_score", "--parameters", str(file)]) == 0
    assert services() == ["TLS of the plant", "Kafka of the plant"]
    assert run(["nifi", "diff", "model_score"]) == 0
    assert run(["nifi", "deploy", "model_score", "--dry-run"]) == 0
    monkeypatch.setenv("COILFLOW_NIFI_PARAMETER_TLS_TRUSTSTORE_FILE", "")
    assert run(["nifi", "deploy", "model_score"]) == 0  # the flow first: NiFi waits for a service without its store
    assert services() == ["Kafka of the plant"]
    assert _parameters(nifi)["tls.truststore.file"] is None
    assert run(["nifi", "deploy", "model_score", "--dry-run"]) == 0


def test_tls_comes_and_goes_for_all_flows_that_have_brokers(
    nifi: NifiDouble, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["nifi", "deploy"]) == 0
    nifi.changes.clear()
    monkeypatch.setenv("COILFLOW_NIFI_PARAMETER_TLS_TRUSTSTORE_FILE", "/etc/plant.p12")
    assert run(["nifi", "deploy", "model_score"]) == 2
    assert "assess_coils" in capsys.readouterr().err
    assert nifi.changes == []
    assert run(["nifi", "deploy", "model_score", "assess_coils"]) == 0


def test_what_a_person_changed_is_shown_and_put_right(nifi: NifiDouble, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nifi", "deploy", "retrain"]) == 0
    (group,) = nifi.groups.values()
    ask = next(one for one in group["flowContents"]["processors"] if one["name"] == "ask the scheduler")
    ask["properties"]["HTTP Method"] = "GET"
    capsys.readouterr()
    assert run(["nifi", "diff", "retrain", "--json"]) == 1
    (change,) = json.loads(capsys.readouterr().out)["changes"]
    assert change == {"part": "ask the scheduler", "what": "HTTP Method", "now": "GET", "wanted": "POST"}
    assert run(["nifi", "deploy", "retrain"]) == 0
    assert run(["nifi", "diff", "retrain"]) == 0


def test_what_a_person_set_or_put_in_besides_is_shown_and_taken_back(
    nifi: NifiDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["nifi", "deploy", "retrain"]) == 0
    nifi.defaults = {"Connection Timeout": "5 secs"}
    assert run(["nifi", "diff", "retrain"]) == 0
    (group,) = nifi.groups.values()
    ask = next(one for one in group["flowContents"]["processors"] if one["name"] == "ask the scheduler")
    ask["properties"]["Connection Timeout"] = "1 hour"
    group["flowContents"]["processGroups"] = [{"identifier": "a", "name": "mine", "componentType": "PROCESS_GROUP"}]
    group["flowContents"]["parameterContextName"] = "another"
    capsys.readouterr()
    assert run(["nifi", "diff", "retrain", "--json"]) == 1
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert [(one["part"], one["what"], one["now"], one["wanted"]) for one in changes] == [
        ("coilflow: retrain", "parameterContextName", "another", "coilflow"),
        ("ask the scheduler", "Connection Timeout", "1 hour", "5 secs"),
        ("mine", "processGroups", "there", None),
    ]
    assert run(["nifi", "deploy", "retrain"]) == 0
    assert run(["nifi", "diff", "retrain"]) == 0


def test_a_flow_is_found_where_a_person_put_it_among_groups_that_nobody_may_see(nifi: NifiDouble) -> None:
    assert run(["nifi", "deploy", "retrain"]) == 0
    (ours,) = nifi.groups
    plant, secret = "22222222-0000-0000-0000-000000000000", "33333333-0000-0000-0000-000000000000"
    for key in (plant, secret):
        nifi.groups[key] = {"flowContents": {"name": "plant", "comments": ""}}
        nifi.contexts[key] = {"id": key, "name": "plant", "parameters": []}
    nifi.parents[ours] = plant
    nifi.hidden = {secret}
    assert run(["nifi", "deploy", "retrain"]) == 0
    assert set(nifi.groups) == {ours, plant, secret}
    assert run(["nifi", "diff", "retrain"]) == 0


def test_a_flow_of_another_coilflow_stands_in_nobodys_way(nifi: NifiDouble) -> None:
    theirs = {"flowContents": {"name": "bake", "comments": "Bakes. [coilflow bake 0123456789abcdef]"}}
    nifi.groups["22222222-0000-0000-0000-000000000000"] = theirs
    assert run(["nifi", "deploy", "retrain"]) == 0
    assert run(["nifi", "status", "retrain"]) == 0


def test_a_flow_that_is_there_twice_is_named_and_left_alone(
    nifi: NifiDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["nifi", "deploy", "retrain"]) == 0
    (ours,) = nifi.groups
    copy = "22222222-0000-0000-0000-000000000000"
    nifi.groups[copy] = nifi.groups[ours]
    nifi.changes.clear()
    assert run(["nifi", "deploy", "retrain"]) == 1
    said = capsys.readouterr().err
    assert ours in said
    assert copy in said
    assert nifi.changes == []


def test_a_deploy_that_broke_off_is_mended_by_the_next(nifi: NifiDouble) -> None:
    assert run(["nifi", "deploy", "retrain"]) == 0
    assert run(["nifi", "deploy", "model_score"]) == 0
    (kept,) = [one for one in nifi.contexts.values() if one["name"] == KEPT]
    kept["parameters"] = [one for one in kept["parameters"] if one["parameter"]["name"] != "model_score.now"]
    assert run(["nifi", "deploy"]) == 0
    assert _parameters(nifi, KEPT).keys() >= {"model_score.now", "retrain.now"}


def test_back_brings_the_version_before(nifi: NifiDouble, capsys: pytest.CaptureFixture[str]) -> None:
    nifi.python_version = "0.0.9"
    assert run(["nifi", "deploy", "model_score"]) == 0
    assert run(["nifi", "deploy", "model_score", "--back"]) == 1
    assert "before" in capsys.readouterr().err
    nifi.python_version = "0.1.0"
    assert run(["nifi", "deploy", "model_score"]) == 0
    assert run(["nifi", "deploy", "model_score", "--back"]) == 0
    (group,) = nifi.groups.values()
    ours = {one["bundle"]["version"] for one in group["flowContents"]["processors"] if "." not in one["type"]}
    assert ours == {"0.0.9"}


def test_processors_that_nifi_does_not_know_are_named(nifi: NifiDouble, capsys: pytest.CaptureFixture[str]) -> None:
    nifi.unknown_types = {"ScoreCoil"}
    assert run(["nifi", "deploy", "--wait", "1"]) == 1
    said = capsys.readouterr().err
    assert "ScoreCoil" in said
    assert "coilflow nifi install" in said
    assert nifi.groups == {}


def test_status_is_1_where_something_failed_or_stands(nifi: NifiDouble, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nifi", "status"]) == 1
    assert run(["nifi", "deploy"]) == 0
    assert run(["nifi", "status"]) == 0
    group = next(one for one in nifi.groups.values() if one["flowContents"]["name"] == "coilflow: assess coils")
    dead = next(one for one in group["flowContents"]["connections"] if one["selectedRelationships"] == ["dead_letter"])
    nifi.queued[dead["identifier"]] = 2
    capsys.readouterr()
    assert run(["nifi", "status", "assess_coils", "--json"]) == 1
    (queue,) = json.loads(capsys.readouterr().out)["queues"]
    assert (queue["source"], queue["flowfiles"]) == ("assemble coils", 2)


def test_stopping_drains_first_and_removing_refuses_to_lose_flowfiles(
    nifi: NifiDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["nifi", "deploy", "assess_coils"]) == 0
    ((key, group),) = nifi.groups.items()
    connections = group["flowContents"]["connections"]
    queue = next(one for one in connections if one["destination"]["type"] == "PROCESSOR")
    dead = next(one for one in connections if one["selectedRelationships"] == ["dead_letter"])
    nifi.queued = {queue["identifier"]: 5, dead["identifier"]: 1}
    assert run(["nifi", "stop"]) == 0
    assert key not in nifi.running
    assert nifi.queued == {dead["identifier"]: 1}
    assert run(["nifi", "remove"]) == 1
    assert "not empty" in capsys.readouterr().err
    assert run(["nifi", "remove", "--drop-queues"]) == 0
    assert nifi.contexts
    assert run(["nifi", "remove", "--parameters"]) == 0, "as where it broke off between the two"
    assert (nifi.groups, nifi.contexts) == ({}, {})


def test_parameters_that_a_flow_needs_still_are_not_removed(nifi: NifiDouble) -> None:
    assert run(["nifi", "deploy", "assess_coils", "retrain"]) == 0
    assert run(["nifi", "remove", "assess_coils", "--parameters"]) == 2
    assert len(nifi.groups) == 2
    assert run(["nifi", "remove", "--parameters"]) == 0
    assert (nifi.groups, nifi.contexts) == ({}, {})


def test_a_token_signs_in_and_a_stranger_learns_how(
    nifi: NifiDouble, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nifi.token = "sesame"  # noqa: S105 - of this test
    assert run(["nifi", "deploy", "retrain"]) == 1
    assert "COILFLOW_NIFI_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("COILFLOW_NIFI_TOKEN", "sesame")
    assert run(["nifi", "deploy", "retrain"]) == 0


def test_a_password_or_a_certificate_signs_in_by_tls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pems = make_certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pems.authority))
    tls.load_cert_chain(pems.broker)
    double = NifiDouble()
    double.token, double.password = "sesame", "open"
    monkeypatch.setenv("COILFLOW_NIFI_PASSWORD", "open")
    with serving(double, tls) as url:
        where = ["retrain", "--url", url, "--ca", str(pems.authority)]
        assert run(["nifi", "deploy", *where, "--user", "ada"]) == 0
        assert run(["nifi", "diff", *where[:3]]) == 1
        assert "--ca" in capsys.readouterr().err
        monkeypatch.setenv("COILFLOW_NIFI_PASSWORD", "shut")
        assert run(["nifi", "diff", *where, "--user", "ada"]) == 1
    double.token, tls.verify_mode = None, ssl.CERT_REQUIRED
    with serving(double, tls) as url:
        where = ["retrain", "--url", url, "--ca", str(pems.authority)]
        assert run(["nifi", "diff", *where, "--certificate", str(pems.client)]) == 0
        assert run(["nifi", "diff", *where]) == 1


def test_a_nifi_that_is_away_and_a_url_that_is_none_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nifi", "status", "--url", "http://127.0.0.1:1"]) == 1
    assert "does not answer" in capsys.readouterr().err
    assert run(["nifi", "status", "--url", "nifi"]) == 2
    assert run(["nifi", "deploy", "bake"]) == 2
