"""What the console shows of its requests: by route, however many coils are asked for."""

from collections.abc import Iterator

import httpx
import pytest
from prometheus_client import REGISTRY

from console.rest.service import running_service
from flows.served import always
from processors.decode import decode_message
from schemas.access import Scope
from schemas.settings import Settings
from tests.flows.judging import MeanScorer
from tests.rest.given import bearer, served
from tests.waiting import wait_until


@pytest.fixture
def client(database: str) -> Iterator[httpx.Client]:
    """Speaks to a console with a key that may do everything."""
    with (
        running_service(
            database, always(MeanScorer()), Settings(), decode=decode_message, connections=2, wait_s=5
        ) as running,
        served(running) as address,
        httpx.Client(base_url=address, headers=bearer(database, *Scope), timeout=30) as opened,
    ):
        yield opened


def counted(method: str, route: str, status: str) -> float:
    labels = {"method": method, "route": route, "status": status}
    return REGISTRY.get_sample_value("coilflow_http_requests_total", labels) or 0


def test_requests_are_counted_by_route_and_never_by_path(client: httpx.Client) -> None:
    route = "/api/v1/coils/{plant}/{coil_id}"
    before = counted("GET", route, "404")
    for coil_id in ("1", "2", "a%2Fb", "2%25"):
        assert client.get(f"/api/v1/coils/linz/{coil_id}").status_code == 404
    assert counted("GET", route, "404") == before + 4


def test_what_no_page_answers_and_odd_methods_are_counted_together(client: httpx.Client) -> None:
    before = counted("other", "none", "405") + counted("other", "none", "404") + counted("other", "/healthz", "405")
    refused = counted("GET", "none", "404")
    assert client.get("/no/such/page/1").status_code == 404
    assert client.get("/no/such/page/2").status_code == 404
    assert client.request("BREW", "/healthz").status_code in (404, 405)
    after = counted("other", "none", "405") + counted("other", "none", "404") + counted("other", "/healthz", "405")
    assert (counted("GET", "none", "404"), after) == (refused + 2, before + 1)


def test_refusals_of_the_guards_are_counted_too(client: httpx.Client) -> None:
    def refused() -> float:
        return sum(
            sample.value
            for family in REGISTRY.collect()
            for sample in family.samples
            if sample.name == "coilflow_http_requests_total" and sample.labels["status"] == "401"
        )

    before = refused()
    assert httpx.get(f"{client.base_url}/api/v1/schedule").status_code == 401
    assert refused() == before + 1


def test_open_event_streams_are_counted_until_they_end(client: httpx.Client) -> None:
    def streams() -> float:
        return REGISTRY.get_sample_value("coilflow_event_streams") or 0

    before = streams()
    with client.stream("GET", "/api/v1/stream") as answer:
        frames = answer.iter_bytes()  # kept: httpx hangs up once nobody holds it
        next(frames)
        assert streams() == before + 1
    wait_until(lambda: streams() == before)
