"""Models are seen and changed by REST as by `coilflow models`; what must not be is refused with the reason."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from console.rest.service import Service, running_service
from flows.serving import following
from processors.decode import decode_message
from schemas.access import ROLE_SCOPES, Role
from store.connection import connect
from store.registered import automation, model_changes, serving
from store.swaps import answers
from tests.audit.given import Line, a_line, bad, candidate, drifted, say
from tests.flows.given import coil
from tests.rest.given import bearer, client_with, served
from tests.waiting import wait_until

WHY = {"why": "trial week"}
CHANGES = ("v2/promote", "v2/shadow", "v2/reject", "rollback", "freeze", "unfreeze")


@pytest.fixture(name="line")
def _line(database: str, tmp_path: Path) -> Line:
    """A line whose champion is v1, with a candidate v2."""
    line = a_line(database, tmp_path)
    with connect(database) as connection:
        candidate(connection, line, "v2", parent="v1")
    return line


@pytest.fixture
def service(database: str, line: Line) -> Iterator[Service]:
    """A console that follows the registry."""
    with (
        following(database, line.settings, kind="inbox") as following_it,
        running_service(
            database, following_it.current, line.settings, decode=decode_message, connections=4, wait_s=2.0
        ) as running,
    ):
        yield running


@pytest.fixture
def client(service: Service, database: str) -> Iterator[httpx.Client]:
    """An engineer's machine."""
    with (
        served(service) as address,
        httpx.Client(base_url=address, headers=bearer(database, *ROLE_SCOPES[Role.ENGINEER]), timeout=120) as opened,
    ):
        yield opened


def change(client: httpx.Client, what: str, **body: Any) -> httpx.Response:
    return client.post(f"/api/v1/models/{what}", json={**WHY, **body})


def test_the_list_says_what_serves_where_and_comes_page_by_page(client: httpx.Client) -> None:
    first = client.get("/api/v1/models", params={"limit": 1}).json()
    assert [(one["version"], one["state"], one["champion_of"]) for one in first["items"]] == [("v2", "candidate", [])]
    assert [(row["plant"], row["champion"]) for row in first["serving"]] == [("", "v1")]
    assert first["automation"]["frozen"] is False
    second = client.get("/api/v1/models", params={"limit": 1, "cursor": first["next"]}).json()
    assert ([one["version"] for one in second["items"]], second["next"]) == (["v1"], None)
    assert [one["version"] for one in client.get("/api/v1/models?state=champion").json()["items"]] == ["v1"]


def test_an_ensemble_shows_its_manifest_members_lineage_and_changes(client: httpx.Client) -> None:
    found = client.get("/api/v1/models/v2").json()
    assert (found["manifest"]["version"], found["parent"]) == ("v2", "v1")
    assert [one["version"] for one in found["lineage"]] == ["v2", "v1"]
    assert [one["change"] for one in found["changes"]] == ["registered"]
    assert [one["manifest"]["kind"] for one in found["models"]] != []
    assert client.get("/api/v1/models/v9").status_code == 404
    assert client.get("/api/v1/models/v9/scores").status_code == 404
    assert client.get("/api/v1/models/v%00").status_code == 422


def test_a_person_promotes_the_workers_answer_and_a_rollback_goes_back(client: httpx.Client, database: str) -> None:
    promoted = change(client, "v2/promote")
    assert (promoted.status_code, promoted.json()) == (200, {"champion": "v2", "plant": None})
    with connect(database) as connection:
        [*_, noted] = model_changes(connection, version="v2")
        assert (noted.change, noted.who.startswith("key:test-"), noted.why) == ("promoted", True, "trial week")
        wait_until(lambda: [one.outcome for one in answers(connection, "v2")] == ["swapped"], 60.0)
        assert client.get("/readyz").json()["checks"]["bundle"]["said"] == "every plant: v2"
        again = change(client, "v2/promote")
        assert (again.status_code, "champion of every plant already" in again.json()["detail"]) == (409, True)
        assert change(client, "rollback").json() == {"champion": "v1", "plant": None}
        assert serving(connection)[""].champion == "v1"
    refused = change(client, "v2/promote")
    assert (refused.status_code, "rejected" in refused.json()["detail"]) == (409, True)
    assert change(client, "rollback", to="v9").status_code == 409
    assert change(client, "v9/promote").status_code == 404


def test_a_candidate_shadows_and_is_given_up_for_good(client: httpx.Client, database: str) -> None:
    shadowing = change(client, "v2/shadow")
    assert (shadowing.status_code, shadowing.json()) == (200, {"shadow": "v2", "plant": None})
    assert [row["shadow"] for row in client.get("/api/v1/models").json()["serving"]] == ["v2"]
    assert (change(client, "v2/shadow").status_code, change(client, "v9/shadow").status_code) == (409, 404)
    rejected = change(client, "v2/reject")
    assert (rejected.status_code, rejected.json()) == (200, {"rejected": "v2"})
    with connect(database) as connection:
        noted = model_changes(connection, version="v2")[-1]
        assert (noted.change, noted.who.startswith("key:test-"), noted.why) == ("rejected", True, "trial week")
        assert serving(connection)[""].shadow is None
    assert [change(client, what).status_code for what in ("v2/reject", "v1/reject", "v9/reject")] == [409, 409, 404]


def test_a_repeated_promotion_is_one_and_tells_the_same(client: httpx.Client, database: str) -> None:
    key = {"Idempotency-Key": "promote v2"}
    told = [client.post("/api/v1/models/v2/promote", json=WHY, headers=key) for _ in range(2)]
    assert [one.status_code for one in told] == [200, 200]
    assert told[0].content == told[1].content
    with connect(database) as connection:
        assert [one.change for one in model_changes(connection, version="v2")] == ["registered", "promoted"]


def test_a_damaged_ensemble_is_not_promoted_and_says_why(client: httpx.Client, line: Line) -> None:
    for model in (line.settings.data_dir / "ensembles" / "v2").rglob("model.onnx"):
        model.write_bytes(b"nothing")
    refused = change(client, "v2/promote")
    assert (refused.status_code, "model.onnx" in refused.json()["detail"]) == (409, True), refused.text
    assert refused.headers["content-type"] == "application/problem+json"


def test_one_ensemble_is_tried_at_a_time(client: httpx.Client, service: Service) -> None:
    with service.trials:
        busy = change(client, "v2/promote"), client.get("/api/v1/audits/models/v1")
    assert [one.status_code for one in busy] == [409, 503]
    assert int(busy[1].headers["retry-after"]) > 0


def test_automatic_change_is_frozen_with_who_and_why(client: httpx.Client, database: str) -> None:
    frozen = change(client, "freeze").json()
    assert (frozen["frozen"], frozen["changed"], frozen["why"]) == (True, True, "trial week")
    assert change(client, "freeze").json()["changed"] is False
    with connect(database) as connection:
        stands = automation(connection)
        assert (stands.frozen, (stands.who or "").startswith("key:test-")) == (True, True)
    assert change(client, "unfreeze").json()["frozen"] is False
    assert client.post("/api/v1/models/freeze", json={}).status_code == 422


def test_an_operator_changes_nothing(client: httpx.Client, database: str) -> None:
    with client_with(client, database, *ROLE_SCOPES[Role.OPERATOR]) as operator:
        answers_ = [change(operator, what) for what in CHANGES]
    assert [one.status_code for one in answers_] == [403] * len(CHANGES)


def test_drift_and_scores_are_told_as_they_were_reckoned(client: httpx.Client, database: str) -> None:
    assert client.get("/api/v1/models/v1/scores").json() == {"items": [], "next": None}
    with connect(database) as connection:
        drifted(connection, "v1", hours=0)
    [check] = client.get("/api/v1/drift", params={"plant": "linz"}).json()["items"]
    assert (check["plant"], check["drifted"], check["figures"]["level"]["drifted"]) == ("linz", True, True)
    assert client.get("/api/v1/drift", params={"plant": "graz"}).json() == {"items": []}


def test_audits_come_as_json_and_as_markdown(client: httpx.Client, line: Line, database: str) -> None:
    line.assess(coil("1"), bad("a/b"))
    with connect(database) as connection:
        say(connection, "a/b", "NOK", by="anna")
    report = client.get("/api/v1/audits/coils/linz/a%2Fb").json()
    assert (report["format"], report["coil_id"]) == ("coilflow.audit.coil/1", "a/b")
    assert [word["voice"] for word in report["feedback"]] == ["anna"]
    text = client.get("/api/v1/audits/coils/linz/a%2Fb", params={"format": "markdown"})
    assert text.headers["content-type"].startswith("text/markdown")
    assert text.text.startswith("# Audit of coil a/b")
    assert client.get("/api/v1/audits/coils/linz/404").status_code == 404
    model = client.get("/api/v1/audits/models/v1").json()
    assert (model["format"], model["verification"][0]["good"]) == ("coilflow.audit.model/1", True)
    assert client.get("/api/v1/audits/models/v9").status_code == 404
