"""Files are kept by browsers for good, problems are pages to people alone, and reasons have words."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.web.heat_maps import figure_of
from console.web.pages import clock, moment, probability, templates
from console.web.reasons import worded
from console.web.static_files import static_files, static_url
from schemas.access import Role
from schemas.verdicts import Reason
from store.audit import feedback_on
from store.connection import Connection
from tests.web.conftest import Line
from tests.web.given import heat_of, session_of


@pytest.fixture
def client(console: str, line: Line) -> Iterator[httpx.Client]:
    """Somebody who is signed in."""
    with httpx.Client(base_url=console, cookies=session_of(line.dsn, "mia", Role.OPERATOR), timeout=30) as opened:
        yield opened


def test_every_file_that_a_page_names_is_kept_for_good_and_another_digest_is_asked_for_anew(
    client: httpx.Client,
) -> None:
    html = client.get("/", headers={"accept": "text/html"}).text
    named = re.findall(r'"(/static/[^"]+)"', html)
    assert len(named) >= 3
    for place in named:
        answer = client.get(place)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    old = client.get("/static/0123456789ab/coilflow.css")
    assert (old.status_code, old.headers["cache-control"]) == (200, "no-cache")
    assert client.get("/static/0123456789ab/pages.py").status_code == 404
    assert client.get(f"/static/{static_files().digest}/..%2Fpages.py").status_code == 404


def test_a_file_that_is_not_there_is_a_fault_of_the_template() -> None:
    with pytest.raises(KeyError):
        static_url("missing.css")


def test_what_a_template_is_not_given_is_a_fault() -> None:
    with pytest.raises(jinja2.UndefinedError):
        templates().from_string("{{ nobody_gave_this }}").render()


def test_a_problem_is_a_page_to_a_browser_and_problem_details_to_a_program(client: httpx.Client) -> None:
    place = "/coils/plant-1/never-seen"
    page = client.get(place, headers={"accept": "text/html,*/*;q=0.8"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "coil never-seen of plant plant-1 was never seen" in page.text
    assert "check both names" in page.text
    program = client.get(place, headers={"accept": "application/json"})
    assert (program.status_code, program.headers["content-type"]) == (404, "application/problem+json")
    rest = client.get(f"/api/v1{place}", headers={"accept": "text/html"})
    assert rest.headers["content-type"] == "application/problem+json"


def test_a_word_that_breaks_the_contract_is_a_problem_and_is_not_stored(
    client: httpx.Client, line: Line, connection: Connection
) -> None:
    key = line.keys[0]
    html = client.get(f"/coils/{key.plant}/{key.coil_id}", headers={"accept": "text/html"}).text
    [token] = set(re.findall(r'name="csrf_token" value="([^"]+)"', html))
    origin = {"accept": "text/html", "origin": str(client.base_url).rstrip("/")}
    place = f"/coils/{key.plant}/{key.coil_id}/feedback"
    wrong: list[dict[str, str]] = [
        {"label": "NOK", "from_m": "60", "to_m": "20"},
        {"label": "NOK", "from_m": "-1"},
        {"label": "MAYBE"},
        {"label": "NOK", "face": "side"},
    ]
    for fields in wrong:
        answer = client.post(place, data={**fields, "csrf_token": token}, headers=origin)
        assert answer.status_code == 422, fields
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert client.post(place, data={"label": "NOK"}, headers=origin).status_code == 403
    counted = connection.execute("select count(*) from coilflow.feedback where coil_id = %s", [key.coil_id]).fetchone()
    assert counted == {"count": 0}


def test_nobody_takes_back_a_word_of_somebody_else(client: httpx.Client, line: Line, connection: Connection) -> None:
    key = line.keys[3]
    [word] = feedback_on(connection, key)
    html = client.get(f"/coils/{key.plant}/{key.coil_id}", params={"said": word.event_id}).text
    assert "You said" not in html
    token = re.findall(r'name="csrf_token" value="([^"]+)"', html)[0]
    answer = client.post(
        f"/coils/{key.plant}/{key.coil_id}/feedback",
        data={"label": "OK", "corrects": word.event_id, "csrf_token": token},
        headers={"accept": "text/html", "origin": str(client.base_url).rstrip("/")},
    )
    assert answer.status_code == 403
    assert feedback_on(connection, key) == (word,)


def test_a_map_of_a_revision_is_kept_for_good_and_that_of_another_is_not_there(
    client: httpx.Client, line: Line, connection: Connection
) -> None:
    key = line.keys[0]
    row = connection.execute("select revision from coilflow.verdicts where coil_id = %s", [key.coil_id]).fetchone()
    assert row is not None
    place = f"/coils/{key.plant}/{key.coil_id}/map.png"
    light, dark = (client.get(place, params={"revision": row["revision"], "dark": dark}) for dark in (0, 1))
    assert light.headers["content-type"] == dark.headers["content-type"] == "image/png"
    assert light.content != dark.content
    assert "immutable" in light.headers["cache-control"]
    assert "immutable" not in client.get(place).headers["cache-control"]
    assert client.get(place, params={"revision": "none"}).status_code == 404


@pytest.mark.parametrize(("asked", "status"), [("cursor=none", 400), ("label=MAYBE", 422), ("since=then", 422)])
def test_a_list_that_cannot_be_is_a_problem(client: httpx.Client, asked: str, status: int) -> None:
    answer = client.get(f"/?{asked}", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")


def test_times_of_a_filter_are_those_of_the_servers_clock(
    client: httpx.Client, line: Line, connection: Connection
) -> None:
    key = line.keys[-3]
    row = connection.execute("select decided_at from coilflow.verdicts where coil_id = %s", [key.coil_id]).fetchone()
    assert row is not None
    local: datetime = row["decided_at"].astimezone().replace(tzinfo=None)
    minute = {"since": f"{local:%Y-%m-%dT%H:%M}", "until": f"{local + timedelta(minutes=1):%Y-%m-%dT%H:%M}"}
    html = client.get("/", params=minute, headers={"accept": "text/html"}).text
    assert re.findall(r'<a class="open"[^>]*>([^<]+)</a>', html) == [key.coil_id]


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_says_what_it_means_and_what_to_do(reason: Reason) -> None:
    said = worded(reason.of("5 of them"))
    assert said.detail == "5 of them"
    assert said.title
    assert said.means
    assert said.act


def test_a_reason_that_is_not_known_stands_for_itself() -> None:
    assert worded("new_code: so it is").title == "New code"


def test_times_are_told_by_the_servers_clock_and_in_utc() -> None:
    time = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
    assert 'datetime="2026-11-20T12:30:00Z"' in moment(time)
    assert time.astimezone().strftime("%Y-%m-%d %H:%M:%S") in moment(time)
    assert moment(None) == clock(None) == "–"
    assert re.search(r">\d\d-\d\d \d\d:\d\d<", clock(datetime.now(UTC) - timedelta(days=3)))


def test_a_probability_that_is_not_there_is_a_dash() -> None:
    assert [probability(value) for value in (0.5, None, float("nan"))] == ["0.500", "–", "–"]


@given(length_m=st.floats(min_value=0.5, max_value=5000))
def test_metres_are_round_and_few_and_lie_on_the_coil(length_m: float) -> None:
    ticks = figure_of(heat_of(length_m=length_m), url="/").ticks
    assert 1 <= len(ticks) <= 9
    assert all(0 <= tick.percent < 100 for tick in ticks)
    assert all(float(tick.text) == pytest.approx(tick.percent * length_m / 100) for tick in ticks)


@given(low=st.floats(min_value=30, max_value=200), width=st.floats(min_value=1, max_value=60))
def test_the_legend_ends_where_the_colours_do(low: float, width: float) -> None:
    heat = heat_of(band_g_m2=(low, low + width), reach=20.0)
    figure = figure_of(heat, url="/")
    assert [float(tick.text) for tick in figure.legend] == pytest.approx(
        [low - 20, low - 10, low + width + 10, low + width + 20], abs=0.51
    )
    assert [tick.percent for tick in figure.legend] == [0, 25, 75, 100]
