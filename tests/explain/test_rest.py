"""The explanation and the similar coils of a decided coil by HTTP."""

import json
from io import BytesIO

import httpx
import pytest
from PIL import Image

from console.rest.names import coil_path
from models.kinds import shipped_kinds
from schemas.access import Scope
from schemas.coils import CoilKey
from store.connection import Connection
from tests.explain.stored import decide, line, run_job
from tests.flows.given import Given, coil, events_of
from tests.rest.given import client_with
from tests.rest.test_events import STRUCTURED, post
from tests.waiting import wait_until

THIN = "/api/v1/coils/linz/7"


def thin_at_the_end() -> Given:
    """60 rows, of which the last 20 of the bottom face are 25 g/m² too thin at the first three sensors."""
    given = coil("7", rows=60)
    for _, readings in given.faces["bottom"][40:]:
        readings[:3] = [value - 35 for value in readings[:3]]
    return given


def judged(client: httpx.Client, given: Given) -> None:
    post(client, events_of(given))
    path = coil_path(CoilKey(plant=given.plant, coil_id=given.coil_id))
    wait_until(lambda: client.get(path).json()["state"] != "open")


def test_the_explanation_names_face_metres_and_sensors(client: httpx.Client) -> None:
    judged(client, thin_at_the_end())
    said = client.get(f"{THIN}/explanation").json()
    [region] = said["regions"]
    assert (region["face"], region["sensors"]) == ("bottom", [1, 2, 3])
    # Row 40 of 60 comes to lie at 40 / 59 of the length, 500.5 m; a window is a twenty-fourth of it.
    assert region["from_m"] == pytest.approx(500.5 * 40 / 59, abs=500.5 / 24)
    assert region["to_m"] == 500.5
    assert region["kinds"][0]["kind"] in shipped_kinds().manifest.kinds
    likely = [one["p"] for one in region["kinds"]]
    assert likely == sorted(likely, reverse=True)
    assert 0.05 <= min(likely) <= sum(likely) <= 1.001
    assert said["kinds_version"] == shipped_kinds().manifest.version
    assert "24 g/m² too thin" in region["text"] or "25 g/m² too thin" in region["text"]
    assert said["ensemble_version"] == said["judged_by"] == "l1"
    assert said["base_p_nok"] == pytest.approx(client.get(THIN).json()["verdict"]["p_nok"], abs=1e-5)
    # The only region: without it the coil is undisturbed, and nothing else disturbs it.
    assert region["p_nok_without"] == pytest.approx(said["p_nok_without_regions"], abs=1e-5)
    assert region["p_nok_alone"] == pytest.approx(said["base_p_nok"], abs=0.05)
    assert region["delta_p_nok"] == pytest.approx(said["base_p_nok"] - said["undisturbed_p_nok"], abs=0.05)
    cells = said["cells"]
    assert (len(cells), len(cells[0]), len(cells[0][0])) == (2, len(said["windows_m"]), len(said["sensor_groups"]))
    assert sum(map(sum, cells[0])) == 0, "nothing on the top face"
    assert said["windows_m"][0][0] == 0
    assert said["windows_m"][-1][1] == 500.5


def test_who_wants_a_picture_gets_a_png(client: httpx.Client) -> None:
    judged(client, thin_at_the_end())
    answer = client.get(f"{THIN}/explanation", headers={"accept": "image/png"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    with Image.open(BytesIO(answer.content)) as picture:
        assert picture.size[0] > 1000
    rather_json = client.get(f"{THIN}/explanation", headers={"accept": "image/png;q=0.1, application/json"})
    assert (rather_json.headers["content-type"], rather_json.headers["vary"]) == ("application/json", "Accept")
    assert client.get(f"{THIN}/explanation", headers={"accept": "text/plain"}).status_code == 406


def test_a_name_with_slashes_is_explained_too(client: httpx.Client) -> None:
    given = thin_at_the_end()
    given.plant, given.coil_id = "linz/2 ü", "a/b c%2F"
    judged(client, given)
    path = coil_path(CoilKey(plant=given.plant, coil_id=given.coil_id))
    said = client.get(f"{path}/explanation").json()
    assert (said["plant"], said["coil_id"]) == (given.plant, given.coil_id)
    assert client.get(f"{path}/similar").json()["state"] == "empty"


@pytest.mark.parametrize("what", ["explanation", "similar"])
def test_what_cannot_be_explained_is_a_problem_with_its_reason(client: httpx.Client, what: str) -> None:
    unseen = client.get(f"/api/v1/coils/linz/404/{what}")
    assert (unseen.status_code, unseen.json()["detail"]) == (404, "coil 404 of plant linz was never seen")
    client.post("/api/v1/events", content=json.dumps(events_of(coil("8"))[0]), headers=STRUCTURED)
    undecided = client.get(f"/api/v1/coils/linz/8/{what}")
    assert (undecided.status_code, undecided.json()["detail"]) == (404, "coil 8 of plant linz has no verdict")
    assert undecided.headers["content-type"] == "application/problem+json"


def test_another_revision_than_there_is_has_nothing_to_explain(client: httpx.Client) -> None:
    judged(client, coil("7"))
    answer = client.get(f"{THIN}/explanation", params={"revision": "0" * 64})
    assert (answer.status_code, "no verdict of revision 000" in answer.json()["detail"]) == (404, True)
    assert client.get(f"{THIN}/explanation", params={"revision": "a\x00"}).status_code == 422


def test_similar_coils_come_nearest_first_and_no_more_than_asked_for(
    client: httpx.Client, connection: Connection, database: str
) -> None:
    keys = decide(connection, line(12))
    run_job(database, "embed")
    found = client.get(f"{coil_path(keys[3])}/similar", params={"limit": 3}).json()
    assert (found["state"], found["compared"], len(found["items"])) == ("ready", 12, 3)
    assert client.get(f"{coil_path(keys[3])}/similar", params={"limit": 1000}).status_code == 422


@pytest.mark.parametrize("what", ["explanation", "similar"])
def test_who_may_not_read_is_told_nothing(client: httpx.Client, database: str, what: str) -> None:
    with client_with(client, database, Scope.EVENTS) as sender, client_with(client, database) as nobody:
        assert sender.get(f"{THIN}/{what}").status_code == 403
        assert nobody.get(f"{THIN}/{what}").status_code == 401
