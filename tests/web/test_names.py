"""Names of coils, plants and people are text on every page, whatever they hold, and links to them lead back."""

from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from urllib.parse import quote

import httpx
import pytest

from console.web.pages import own_place
from schemas.access import Role
from schemas.coils import CoilKey
from schemas.verdicts import Label
from store.connection import Connection
from store.feedback import Feedback, record_feedback
from store.verdicts import Decided, record_verdicts
from tests.web.conftest import Line
from tests.web.given import session_of, verdict_on

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "a/b",
    "a//b/../c",
    "%2F%252e",
    "?explain=1#x",
    "{{ 7 * 7 }}",
    "javascript:alert(1)",
    "ü ß 钢",
)


class Seen(HTMLParser):
    """The tags of a page with their attributes, and what it says."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep it."""
        self.text += data


@pytest.fixture
def client(console: str, line: Line) -> Iterator[httpx.Client]:
    """A browser that asks for pages, without running them."""
    cookies = session_of(line.dsn, "mia", Role.OPERATOR)
    with httpx.Client(base_url=console, cookies=cookies, headers={"accept": "text/html"}, timeout=30) as opened:
        yield opened


@pytest.fixture
def hostile(connection: Connection) -> list[CoilKey]:
    """Coils of such names, judged by hand, with words by people of such names."""
    keys = [CoilKey(plant=name, coil_id=name) for name in HOSTILE]
    now = datetime.now(UTC)
    for key in keys:
        verdict = verdict_on(key, Label.OK, reasons=(f"{key.coil_id}: {key.coil_id}",))
        one = Decided(verdict=verdict, readings=b"none", order=None, started_at=None, truth=None)
        record_verdicts(connection, [one], decided_at=now, destinations=())
    words = [
        Feedback(
            key=key,
            source="/tests",
            event_id=f"{key.coil_id}-{label}",
            label=label,
            given_at=now,
            operator=f"{key.coil_id} {label}",
            note=key.coil_id,
            defect_kind=key.coil_id,
        )
        for key in keys
        for label in ("OK", "NOK")
    ]
    record_feedback(connection, words)
    return keys


def harmless(html: str) -> Seen:
    """The page, whose tags are ours alone."""
    seen = Seen(html)
    for tag, attributes in seen.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert "style" not in attributes
        assert tag != "script" or (attributes.get("src") or "").startswith("/static/")
        assert tag != "img" or (attributes.get("src") or "").startswith("/")
        assert tag != "a" or (attributes.get("href") or "").startswith(("/", "?", "#"))
    return seen


@pytest.mark.parametrize("place", ["/", "/review"])
def test_lists_show_hostile_names_as_text_and_lead_to_their_pages(
    client: httpx.Client, hostile: list[CoilKey], place: str
) -> None:
    seen = harmless(client.get(place).text)
    links = {attributes["href"] for tag, attributes in seen.tags if tag == "a" and attributes.get("class") == "open"}
    for key in hostile:
        assert key.coil_id in seen.text
        assert "/coils/" + "/".join(quote(name, safe="") for name in key) in links


def test_coils_of_hostile_names_have_their_own_pages(client: httpx.Client, hostile: list[CoilKey]) -> None:
    for key in hostile:
        answer = client.get("/coils/" + "/".join(quote(name, safe="") for name in key))
        assert answer.status_code == 200
        seen = harmless(answer.text)
        assert f"Coil {key.coil_id} plant {key.plant}" in " ".join(seen.text.split()) or key.coil_id.split() != [
            key.coil_id
        ]
        assert seen.text.count(key.coil_id) > 4


def test_a_hostile_filter_is_shown_as_text(client: httpx.Client) -> None:
    for name in HOSTILE:
        seen = harmless(client.get("/", params={"coil": name, "plant": name}).text)
        [field] = [attributes for tag, attributes in seen.tags if attributes.get("name") == "coil"]
        assert field["value"] == name


def test_a_problem_shows_hostile_names_as_text(client: httpx.Client) -> None:
    for name in HOSTILE:
        answer = client.get(f"/coils/{quote(name, safe='')}/unknown")
        assert answer.status_code == 404
        assert f"of plant {name} was never seen" in harmless(answer.text).text


@pytest.mark.parametrize(
    "place", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/\t/evil.example"]
)
def test_nobody_is_led_to_another_place(place: str) -> None:
    assert own_place(place) == "/"
