"""A line that has run for a while, people who are signed in, and a browser that misses nothing."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from playwright.sync_api import Browser, BrowserContext, Page

from console.heat_map import HeatMap
from console.rest.access import SESSION_COOKIE
from flows.assess import assess
from flows.change_models import new_ensemble
from flows.demo import LINE
from flows.record import record
from flows.served import always
from flows.similar import new_embeddings
from flows.sources.open import open_source
from models.ensemble import SHIPPED, Ensemble
from models.similar import MADE_BY
from plant.events import write_events
from plant.line import simulate
from schemas.access import Role
from schemas.coils import CoilKey
from schemas.layout import MATRIX_SHAPE
from schemas.settings import Settings
from schemas.verdicts import Label, Verdict
from store.connection import Connection, connect
from store.embeddings import store_embeddings
from store.feedback import Feedback, record_feedback
from store.labels import LabelledOnce, store_second_reviews
from store.migrations import migrate
from store.registry import start_registry
from store.registry_steps import Actor
from store.sessions import Lifetime, start_session
from store.users import add_user
from tests.waiting import wait_until

COILS = 28
MOST_MS = 90_000  # until a page shows what is waited for
A_DAY = Lifetime(idle=timedelta(days=1), whole=timedelta(days=1))
_HASH = "no password fits"


def run_line(
    dsn: str, ensemble: Ensemble, settings: Settings, *, coils: int, seed: int, every: timedelta
) -> tuple[CoilKey, ...]:
    """Let a simulated line run up to now, judged by an ensemble; the coils, the oldest first."""
    now = datetime.now(UTC)
    sound = replace(LINE.gauge, damaged_share=0.0)
    line = replace(LINE, restlessness=2.0, started_at=now - timedelta(days=1), gauge=sound)
    keys: list[CoilKey] = []
    with connect(dsn) as connection, tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.jsonl"
        for block in simulate(coils, seed=seed, line=line):
            write_events([block], events)
            for judged in assess(open_source(str(events), plant="default"), always(ensemble)(), settings, records=True):
                for coil in judged.coils:
                    decided_at = now - every * (coils - len(keys))
                    record(connection, replace(judged, coils=(coil,), shadows=()), settings, decided_at=decided_at)
                    keys.append(coil.verdict.key)
    return tuple(keys)


def fill(dsn: str, ensemble: Ensemble, settings: Settings) -> tuple[CoilKey, ...]:
    """A database with a registered ensemble, judged coils, a dispute, a second look and what looks alike."""
    migrate(dsn)
    with connect(dsn) as connection:
        start = Actor(who="test", why="the first start", at=datetime.now(UTC) - timedelta(days=2))
        start_registry(connection, new_ensemble(SHIPPED, settings), start)
    keys = run_line(dsn, ensemble, settings, coils=COILS, seed=7, every=timedelta(minutes=5))
    with connect(dsn) as connection:
        disputed, seen_once = keys[2], keys[3]
        say(connection, disputed, "jo", "OK")
        say(connection, disputed, "ada", "NOK", note="thin at the edge")
        say(connection, seen_once, "jo", "NOK")
        drawn = [LabelledOnce(key=seen_once, revision=revision_of(connection, seen_once))]
        store_second_reviews(connection, drawn, probability=0.1, drawn_at=datetime.now(UTC))
        store_embeddings(connection, MADE_BY, new_embeddings(connection, coils=COILS))
    return keys


def say(connection: Connection, key: CoilKey, operator: str, label: str, *, note: str | None = None) -> None:
    """A word of an operator that came by another way."""
    word = Feedback(
        key=key,
        source="/tests",
        event_id=f"{key.coil_id}-{operator}",
        label="OK" if label == "OK" else "NOK",
        given_at=datetime.now(UTC),
        operator=operator,
        note=note,
    )
    record_feedback(connection, [word])


def warn(connection: Connection, key: CoilKey) -> None:
    """An open coil that is out of its band already."""
    connection.execute(
        "insert into coilflow.coils (plant, coil_id, state) values (%s, %s, 'open')", [key.plant, key.coil_id]
    )
    connection.execute(
        "insert into coilflow.early_warnings (plant, coil_id, data, warned_at) values (%(plant)s, %(coil_id)s,"
        " jsonb_build_object('plant', %(plant)s::text, 'coil_id', %(coil_id)s::text, 'face', 'top', 'side', 'below',"
        " 'bound_g_m2', 100, 'worst_g_m2', 81.5, 'from_position', 0, 'to_position', 9, 'out_of_band_m', 42,"
        " 'warned_at', %(now)s::timestamptz), %(now)s)",
        {**key._asdict(), "now": datetime.now(UTC)},
    )


def revision_of(connection: Connection, key: CoilKey) -> str:
    """Of the verdict that stands."""
    row = connection.execute(
        "select revision from coilflow.standing_verdicts where plant = %s and coil_id = %s", list(key)
    ).fetchone()
    assert row is not None
    return str(row["revision"])


def labelled(connection: Connection, label: Label) -> list[CoilKey]:
    """Coils with that verdict, the newest first."""
    rows = connection.execute(
        "select plant, coil_id from coilflow.verdicts where label = %s order by decided_at desc", [label.value]
    )
    return [CoilKey(plant=row["plant"], coil_id=row["coil_id"]) for row in rows]


def words_on(connection: Connection, key: CoilKey) -> list[tuple[str, str]]:
    """Who said what of a coil, in the order in which it came."""
    rows = connection.execute(
        "select operator, label from coilflow.feedback where plant = %s and coil_id = %s order by feedback_id",
        list(key),
    )
    return [(row["operator"], row["label"]) for row in rows]


def verdict_on(key: CoilKey, label: Label, *, reasons: tuple[str, ...] = ()) -> Verdict:
    """A verdict that needs no model."""
    return Verdict(
        key=key,
        revision="r1",
        label=label,
        p_nok=0.125,
        threshold=0.5,
        ensemble_version="e1",
        members=(),
        observed=1.0,
        reasons=reasons,
    )


def heat_of(
    *, length_m: float | None = 500.0, band_g_m2: tuple[float, float] | None = (100.0, 120.0), reach: float = 20.0
) -> HeatMap:
    """A heat map of a coil that is in its band."""
    return HeatMap(
        distance=np.zeros(MATRIX_SHAPE, dtype=np.float32),
        coating_g_m2=None,
        unit="g/m²",
        length_m=length_m,
        band_g_m2=band_g_m2,
        reach=reach,
    )


def session_of(dsn: str, name: str, role: Role) -> dict[str, str]:
    """The cookie of somebody who has just signed in."""
    now = datetime.now(UTC)
    with connect(dsn) as connection:
        user_id = add_user(connection, name, role, password_hash=_HASH, now=now)
        token = start_session(connection, user_id, password_hash=_HASH, instead_of=None, lifetime=A_DAY, now=now)
    assert token is not None
    return {SESSION_COOKIE: token}


@dataclass
class Seen:
    """What a browser asked for, and what went wrong in it."""

    origin: str
    faults: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@contextmanager
def signed_in_page(
    browser: Browser, address: str, cookies: dict[str, str], *, dark: bool = False, script: bool = True
) -> Iterator[tuple[Page, Seen]]:
    """A window of who is signed in; at its end nothing may have gone wrong, and no other origin been asked."""
    context = browser.new_context(
        base_url=address,
        viewport={"width": 1440, "height": 900},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
        reduced_motion="reduce",
    )
    try:
        context.add_cookies([{"name": name, "value": value, "url": address} for name, value in cookies.items()])
        page = context.new_page()
        page.set_default_timeout(MOST_MS)
        seen = watch(context, page, address)
        yield page, seen
        assert not seen.faults
        assert not seen.foreign
    finally:
        context.close()


def watch(context: BrowserContext, page: Page, address: str) -> Seen:
    """Note what a page asks for and complains of."""
    seen = Seen(origin=address)
    page.on("console", lambda said: seen.faults.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.faults.append(str(error)))
    page.on(
        "response", lambda answer: seen.faults.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
    )
    context.on("request", lambda asked: seen.foreign.append(asked.url) if not _is_own(asked.url, address) else None)
    return seen


def _is_own(url: str, address: str) -> bool:
    return urlsplit(url)[:2] == urlsplit(address)[:2]


def texts(page: Page, selector: str) -> Sequence[str]:
    """What the elements say, without the spaces around it."""
    return [text.strip() for text in page.locator(selector).all_inner_texts()]


def weight_of(page: Page, place: str) -> int:
    """Bytes that come over the wire for a page with all that belongs to it, the pictures further down too."""
    weights: list[int] = []
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    session.on("Network.loadingFinished", lambda said: weights.append(said["encodedDataLength"]))
    page.goto(place)
    page.wait_for_load_state("load")
    page.locator("[data-later]").wait_for(state="detached")
    page.evaluate("for (const one of document.images) one.loading = 'eager'")
    wait_until(lambda: page.evaluate("[...document.images].every((image) => image.complete)"))
    session.detach()
    assert weights
    return round(sum(weights))
