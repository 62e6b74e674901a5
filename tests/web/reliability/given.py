"""A line with a story: a champion that slipped, its successor, drift, a gauge, people, jobs and dead letters."""

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import httpx
import orjson
from playwright.sync_api import Page

from console.rest.access import CSRF_FIELD
from flows.change_models import new_ensemble
from flows.score_models import score_models
from models.ensemble import Ensemble
from schemas.access import Role
from schemas.coils import CoilKey
from schemas.rejects import Reject
from schemas.settings import Settings
from store import registry
from store.alarms import raise_alarm
from store.connection import Connection, connect
from store.deadletters import record_dead_letters
from store.decisions import record_decision
from store.drift import DriftCheck, store_drift_check
from store.leadership import leader_session, take_over
from store.migrations import migrate
from store.registry_steps import Actor
from store.schedule import begin_attempt, commit_attempt, end_attempt, request_fire
from store.schedules import register_schedules
from tests.flows.given import coil, events_of
from tests.retraining.given import coils, judge, label, write_champion
from tests.web.given import run_line, session_of

HOSTILE = "<script>document.title='taken'</script>\"'><img src=x onerror=alert(1)>"
PLANT, GAUGED = "linz", "plant-1"
CRONS = {"retrain": "0 1 * * 0", "score": "*/10 * * * *", "drift": "5 * * * *"}


def fill_story(dsn: str, ensemble: Ensemble, settings: Settings, folder: Path) -> tuple[CoilKey, ...]:
    """All of it; the coils of the gauge, the oldest first."""
    migrate(dsn)
    now = datetime.now(UTC)
    with connect(dsn) as connection:
        _models(connection, settings, folder, now)
        _drift(connection, now)
        _letters(connection)
        raise_alarm(connection, "drift", PLANT, text=f"look at {HOSTILE}", now=now)
    _runs(dsn, now)
    return run_line(dsn, ensemble, settings, coils=12, seed=7, every=timedelta(minutes=5))


def _models(connection: Connection, settings: Settings, folder: Path, now: datetime) -> None:
    """The champion agrees with people for a day; then they look at the other face, and its successor takes over."""
    first = Actor(who="anna", why="the first start", at=now - timedelta(days=5))
    registry.start_registry(connection, new_ensemble(write_champion(folder), settings), first)
    days = [now - timedelta(days=back) for back in (4, 3, 2)]
    for place, (at, face) in enumerate(zip(days, ("top", "bottom", "bottom"), strict=True)):
        batch = coils(40, first=40 * place)
        judge(connection, settings, batch, at=at)
        asked = [str(batch.first + nth) for nth in range(40)]
        label(connection, batch, asked, face=face, at=at + timedelta(hours=2))
        score_models(connection, settings, at + timedelta(hours=3))
    for version, parent in (("successor", "champion"), ("waiting", "successor")):
        made = new_ensemble(write_champion(folder, version, face="bottom", member=version), settings, parent=parent)
        at = now - timedelta(days=1, hours=12)
        registry.register_ensemble(connection, made, Actor(who="retrain", why=f"trained {HOSTILE}", at=at))
    promoted_at = now - timedelta(days=1)
    registry.promote(connection, "successor", Actor(who="promotion", why="better: F1", at=promoted_at))
    batch = coils(40, first=400)
    judge(connection, settings, batch, at=promoted_at + timedelta(hours=1), by="successor")
    asked = [str(batch.first + nth) for nth in range(40)]
    label(connection, batch, asked, face="bottom", at=promoted_at + timedelta(hours=3))
    score_models(connection, settings, promoted_at + timedelta(hours=4))


def _drift(connection: Connection, now: datetime) -> None:
    for hours in range(12, 0, -1):
        psi = 0.05 * (12 - hours)
        figures = {
            "below": {"psi": psi, "at_least": 0.25, "mean": 0.1 + psi, "reference_mean": 0.1, "coils": 500.0},
            HOSTILE: {"psi": 0.01, "at_least": 0.25, "mean": 1.0, "reference_mean": 1.0, "coils": 500.0},
        }
        check = DriftCheck(
            checked_at=now - timedelta(hours=hours),
            plant=PLANT,
            ensemble_version="successor",
            coils=500,
            drifted=psi > 0.25,
            sentence=f"the latest 500 coils differ in below {HOSTILE}",
            figures=figures,
        )
        store_drift_check(connection, check)


def _letters(connection: Connection) -> None:
    """A coil that can be judged when it is sent again, bytes that are no text, and one full of tags."""
    whole = b"\n".join(orjson.dumps(event) for event in events_of(coil("77")))
    for coil_id, step, error, original in (
        ("77", "score", "the model was away", whole),
        ("78", "decode", f"no event {HOSTILE}", HOSTILE.encode()),
        ("79", "decode", "no text", bytes(range(256)) * 3),
    ):
        key = CoilKey(plant=PLANT, coil_id=coil_id)
        reject = Reject(
            step=step,  # type: ignore[arg-type]
            place=f"POST /api/v1/events {HOSTILE}",
            key=key,
            error=error,
            remedy=f"send it again {HOSTILE}",
            original=original,
            whole_coil=True,
        )
        record_dead_letters(connection, [reject])


def _runs(dsn: str, now: datetime) -> None:
    """A leader that resigned, jobs with runs of each outcome, and decisions."""
    with leader_session(dsn) as session:
        taken = take_over(session, f"vm:1 {HOSTILE}", silent_after_s=60)
        assert taken is not None
        register_schedules(session, CRONS, epoch=taken.epoch, now=now - timedelta(days=1))
        with connect(dsn) as connection:
            for hours, failed in ((5, False), (4, True), (3, False)):
                at = now - timedelta(hours=hours)
                fire_id = request_fire(connection, "retrain", who=f"ana {HOSTILE}", why="to see", now=at)
                assert fire_id is not None
                attempt = begin_attempt(connection, fire_id, epoch=taken.epoch, now=at)
                assert attempt is not None
                ended = at + timedelta(seconds=75)
                if failed:
                    end_attempt(
                        connection,
                        attempt.attempt_id,
                        "failed",
                        error=HOSTILE,
                        at_fault=True,
                        next_attempt_at=None,
                        now=ended,
                    )
                else:
                    commit_attempt(connection, attempt.attempt_id, now=ended, said=f"no successor is due {HOSTILE}")
            record_decision(
                connection,
                "retrain",
                at=now,
                subject="every plant: ensemble successor",
                act=False,
                why=(f"agreement 95.0% over the window, within the bound 75.0% {HOSTILE}",),
                evidence={"labelled": 160, "note": HOSTILE},
            )


def as_somebody(address: str, dsn: str, role: Role, *, name: str = "ana") -> httpx.Client:
    """A browser without a screen, of somebody who is signed in."""
    headers = {"accept": "text/html"}
    return httpx.Client(base_url=address, cookies=session_of(dsn, name, role), headers=headers, timeout=60)


def token_of(client: httpx.Client, path: str = "/models") -> dict[str, str]:
    """What a form of this session sends along."""
    page = client.get(path).text
    return {CSRF_FIELD: page.partition('name="csrf-token" content="')[2].partition('"')[0]}


def serious(page: Page) -> list[str]:
    """What axe-core finds on a page that keeps somebody out: rule and elements."""
    page.evaluate((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {[node['html'][:160] for node in one['nodes']]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what bears that name, or that id, has the focus, and is seen to have it."""
    page.wait_for_load_state()
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.ariaLabel || document.activeElement.id") == name:
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"nobody sees where the focus is: {name}"
            return
    raise AssertionError(f"Tab never comes to {name}")
