"""The matrix and the picture of a coil are those that were scored."""

import io
import json
from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from console.coil_picture import HEIGHT, WIDTH
from console.rest.matrices import ARROW, MatrixAnswer
from schemas.layout import MATRIX_SHAPE
from schemas.matrices import MATRIX_BATCH, tensor_values
from store.connection import Connection
from tests.flows.given import Given, coil, events_of, write_events
from tests.flows.judging import judge
from tests.rest.test_events import STRUCTURED, post
from tests.waiting import wait_until

COIL = "/api/v1/coils/linz/7"


def with_defects() -> Given:
    """A coil with a thin stretch on its top face, and a gauge that calibrates itself on the bottom one."""
    given = coil("7", rows=30)
    for row in range(10, 14):
        given.faces["top"][row][1][4] = 80.0
    for row in range(20, 26):
        given.faces["bottom"][row][1][2] = 1.0 if row == 22 else 60.0
    return given


@pytest.fixture
def judged(client: httpx.Client) -> dict[str, Any]:
    """It, judged; its answer."""
    post(client, events_of(with_defects()))
    wait_until(lambda: client.get(COIL).json()["state"] == "decided")
    found: dict[str, Any] = client.get(COIL).json()
    return found


def scored(tmp_path: Any) -> np.ndarray:
    """The matrix that `assess` scores."""
    outcome = judge(str(write_events([with_defects()], tmp_path / "events.jsonl")))
    return outcome.coils[0].matrix


def test_json_is_the_matrix_that_was_scored_and_null_where_nothing_was_measured(
    client: httpx.Client, judged: dict[str, Any], tmp_path: Any
) -> None:
    answer = client.get(f"{COIL}/matrix")
    found = MatrixAnswer.model_validate_json(answer.content)
    matrix = np.array(found.matrix, dtype=np.float32)
    wanted = scored(tmp_path)
    measured = ~np.isnan(matrix)
    assert matrix.shape == MATRIX_SHAPE
    assert (matrix[measured] == wanted[measured]).all()
    unseen = np.flatnonzero(~measured.all(axis=0))
    assert unseen.tolist() == [9 + 2]
    assert 0.15 < 1 - measured[:, 11].mean() < 0.25  # six rows of 30
    assert matrix[:, 4].min() < 0
    coating = np.array(found.coating_g_m2, dtype=np.float32)
    assert coating[:, 4].min() == pytest.approx(80)
    assert (found.revision, found.length_m, found.zn_min_g_m2) == (judged["verdict"]["revision"], 500.5, 100)
    assert found.metres is not None
    assert (found.metres[0], found.metres[-1]) == pytest.approx((500.5 / 528, 500.5 - 500.5 / 528))
    assert found.columns[11] == "bottom 3"


def test_arrow_is_what_was_scored(client: httpx.Client, judged: dict[str, Any], tmp_path: Any) -> None:
    answer = client.get(f"{COIL}/matrix", headers={"accept": ARROW}, params={"revision": judged["verdict"]["revision"]})
    assert answer.headers["content-type"] == ARROW
    with pa.ipc.open_stream(answer.content) as reader:
        batch = reader.read_next_batch()
    assert batch.schema == MATRIX_BATCH
    assert (tensor_values(batch)[0] == scored(tmp_path)).all()


def test_a_picture_is_png_or_svg(client: httpx.Client, judged: dict[str, Any]) -> None:
    assert judged["state"] == "decided"
    answer = client.get(f"{COIL}/picture")
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as light:
        assert light.size == (WIDTH, HEIGHT)
    dark = client.get(f"{COIL}/picture", params={"dark": "true"})
    assert dark.content != answer.content
    drawn = client.get(f"{COIL}/picture", headers={"accept": "image/svg+xml, image/png;q=0.5"})
    assert drawn.headers["content-type"] == "image/svg+xml"
    words = "".join(ElementTree.fromstring(drawn.text).itertext())  # noqa: S314 - our own
    assert "coil 7, plant linz" in words
    assert "band 100 to 120 g/m²" in words


@pytest.mark.parametrize("what", ["matrix", "picture"])
def test_what_is_not_there_or_not_to_be_had_is_a_problem(
    client: httpx.Client, judged: dict[str, Any], connection: Connection, what: str
) -> None:
    post(client, events_of(coil("8"))[:3])
    revision = judged["verdict"]["revision"]
    asked = {
        404: [f"/api/v1/coils/linz/404/{what}", f"/api/v1/coils/linz/8/{what}", f"{COIL}/{what}?revision=x"],
        406: [f"{COIL}/{what}"],
        422: [f"{COIL}/{what}?revision=", f"{COIL}/{what}?revision=%00"],
    }
    for status, paths in asked.items():
        for path in paths:
            answer = client.get(path, headers={"accept": "text/csv" if status == 406 else "*/*"})
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), path
    connection.execute("update coilflow.readings set readings = '\\x00' where revision = %s", (revision,))
    answer = client.get(f"{COIL}/{what}")
    assert answer.status_code == 422
    assert "no readings that can be read" in answer.json()["detail"]


def test_names_with_slashes_are_told_from_what_is_asked_of_a_coil(client: httpx.Client) -> None:
    for plant, coil_id in (("linz/2", "a/matrix"), ("linz", "7/verdict"), ("50%2F", "%")):
        given = coil(coil_id)
        given.plant = plant
        events = events_of(given)
        sent = [client.post("/api/v1/events", content=json.dumps(one), headers=STRUCTURED) for one in events]
        place = sent[0].headers["location"]
        wait_until(lambda: client.get(place).json().get("state") == "decided")  # noqa: B023 - asked within the round
        found = client.get(place).json()
        assert (found["plant"], found["coil_id"]) == (plant, coil_id)
        assert client.get(f"{place}/matrix").json()["coil_id"] == coil_id
        assert client.get(f"{place}/verdict").json()["plant"] == plant
    assert client.get("/api/v1/coils/linz/7").status_code == 404


def test_a_verdict_that_is_known_is_not_sent_again(client: httpx.Client, judged: dict[str, Any]) -> None:
    answer = client.get(f"{COIL}/verdict")
    assert answer.json() == judged["verdict"]
    etag = answer.headers["etag"]
    for known in (etag, f'W/{etag}, "x"', "*"):
        again = client.get(f"{COIL}/verdict", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get(f"{COIL}/verdict", headers={"if-none-match": '"other"'}).status_code == 200


def test_a_coil_shows_its_history_its_words_and_who_voted(client: httpx.Client) -> None:
    events = events_of(coil("7"))
    post(client, [*events[:5], *events[6:]])
    wait_until(lambda: client.get(COIL).json()["state"] == "decided")
    post(client, [events[5]])
    wait_until(lambda: len(client.get(COIL).json()["history"]) == 2)
    word = {
        "specversion": "1.0", "type": "operator.feedback", "source": "/mes", "id": "f1",
        "data": {"plant": "linz", "coil_id": "7", "label": "NOK", "given_at": "2026-11-20T12:00:00Z"},
    }  # fmt: skip
    client.post("/api/v1/events", content=json.dumps(word), headers=STRUCTURED)
    found = client.get(COIL).json()
    newest, oldest = found["history"]
    assert (newest["stands"], oldest["stands"], newest["supersedes"]) == (True, False, oldest["revision"])
    assert [member["model"] for member in newest["members"]] == ["mean"]
    assert ([one["label"] for one in found["feedback"]], found["label"]["label"]) == (["NOK"], "NOK")
    assert (found["order"]["length_m"], found["early_warning"]) == (500.5, None)
    older = client.get(f"{COIL}/matrix", params={"revision": oldest["revision"]}).json()
    assert older["revision"] == oldest["revision"] != client.get(f"{COIL}/matrix").json()["revision"]
