"""A kind of defect that only people know is learnt from what they mark, and then told of coils nobody looked at."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from structlog.testing import capture_logs

from console.cli import run
from console.rest.names import coil_path
from console.rest.service import Service, running_service
from console.web.pages import coil_url
from flows.coil_matrix import coil_matrix
from flows.marked_kinds import KindsStoppedError, MarkedPlaces, Part, agreed
from flows.refit_kinds import Refit, refit
from flows.served import always
from models.ensemble import Ensemble
from models.kind_places import Kinds, KnownPlaces
from models.kinds import kind_model, shipped_kinds, shipped_places
from processors.decode import decode_message
from scheduler.jobs import JobContext
from scheduler.naming import name_kinds
from schemas.coils import CoilKey, Float32Array
from schemas.layout import MATRIX_SHAPE
from schemas.settings import Settings
from store.connection import Connection
from store.feedback import record_feedback
from store.kinds import MarkedKind, last_kind_model, store_kind_model
from tests.explain.drips import Drip, drips
from tests.explain.linear import linear_ensemble
from tests.explain.stored import decide, run_job
from tests.rest.conftest import SETTINGS
from tests.scheduler.given import NOON

TAUGHT = 40


@pytest.fixture(scope="module")
def thick_is_nok(tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    weights = np.full(MATRIX_SHAPE, 0.1, dtype=np.float32)
    return linear_ensemble(tmp_path_factory.mktemp("thick"), weights, bias=-3.0)


@pytest.fixture
def service(database: str, thick_is_nok: Ensemble) -> Iterator[Service]:
    with running_service(
        database, always(thick_is_nok), SETTINGS, decode=decode_message, connections=2, wait_s=5.0
    ) as running:
        yield running


@pytest.fixture
def marked(connection: Connection, thick_is_nok: Ensemble) -> list[Drip]:
    """Decided coils with drips that nobody has said anything of yet."""
    source, found = drips(TAUGHT, seed=11)
    decide(connection, source, thick_is_nok)
    return found


def told(client: httpx.Client, key: CoilKey) -> str:
    """The kind that the explanation says first of the region that contributes most."""
    said = client.get(f"{coil_path(key)}/explanation").json()
    region = said["regions"][0]
    assert region["delta_p_nok"] > 0
    kind: str = region["kinds"][0]["kind"]
    assert f"looks like {kind.replace('_', ' ')}" in region["text"] or kind == "none"
    return kind


def test_a_kind_that_people_mark_is_told_of_the_next_coils(
    client: httpx.Client, connection: Connection, database: str, marked: list[Drip], thick_is_nok: Ensemble
) -> None:
    source, unseen = drips(10, seed=12)
    decide(connection, source, thick_is_nok)
    assert "zinc_drip" not in {told(client, drip.key) for drip in unseen}
    # People write it as they like.
    written = ("zinc drip", "Zinc-drip", "zinc_drip")
    record_feedback(connection, [drip.word(written[nth % 3]) for nth, drip in enumerate(marked)])
    assert "zinc drip is told" in run_job(database, "kinds")
    found = [told(client, drip.key) for drip in unseen]
    assert found.count("zinc_drip") >= 8, found
    stored = last_kind_model(connection, shipped_kinds().manifest.base, taken=True)
    assert stored is not None
    said = client.get(f"{coil_path(unseen[0].key)}/explanation").json()
    assert said["kinds_version"] == stored.manifest.version
    assert stored.manifest.metrics["recall"]["zinc_drip"] > 0.5


def test_what_was_learnt_already_is_not_learnt_again(connection: Connection, database: str, marked: list[Drip]) -> None:
    assert run_job(database, "kinds") == "nobody has marked the kind and place of a defect yet"
    record_feedback(connection, [drip.word("zinc_drip") for drip in marked])
    run_job(database, "kinds")
    assert run_job(database, "kinds").startswith("nothing was marked since")


def test_a_kind_that_few_marked_is_not_told_and_says_how_many_are_needed(
    connection: Connection, database: str, marked: list[Drip]
) -> None:
    record_feedback(connection, [drip.word("zinc_drip") for drip in marked[:6]])
    assert "10 and 4 are needed" in run_job(database, "kinds")
    stored = last_kind_model(connection, shipped_kinds().manifest.base, taken=True)
    assert stored is not None
    assert stored.manifest.kinds == shipped_kinds().manifest.kinds


def test_disputed_words_and_contradicting_kinds_teach_nothing(
    connection: Connection, database: str, marked: list[Drip]
) -> None:
    half = len(marked) // 2
    words = [drip.word("zinc_drip") for drip in marked]
    disputing = [replace(drip.word("zinc_drip", operator="ben"), label="OK") for drip in marked[:half]]
    other_kind = [drip.word("dross", operator="ben") for drip in marked[half:]]
    record_feedback(connection, [*words, *disputing, *other_kind])
    assert run_job(database, "kinds") == "nobody has marked the kind and place of a defect yet"


def test_a_stretch_past_the_end_of_the_strip_teaches_nothing() -> None:
    inside = MarkedKind(
        key=CoilKey(plant="linz", coil_id="1"),
        voice="anna",
        revision=None,
        defect_kind="zinc drip",
        face=None,
        from_m=400.0,
        to_m=600.0,
        length_m=500.0,
        feedback_id=1,
    )
    beyond = replace(inside, key=CoilKey(plant="linz", coil_id="2"), from_m=510.0)
    assert agreed([inside, beyond]) == (inside,)


def test_the_job_tells_people_kinds_of_any_name_and_how_many_places_cannot_be_looked_at(
    connection: Connection,
    database: str,
    marked: list[Drip],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [drip.word("[/red] <b>drip</b>") for drip in marked[:6]]
    words[:2] = [replace(word, revision="0" * 64) for word in words[:2]]  # which nobody judged
    record_feedback(connection, words)
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", database)
    assert run(["scheduler", "once", "kinds"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "of 6 places that people marked, of which 2 cannot be looked at again: [/red] <b>drip</b> was marked" in said


def part(features: Float32Array, kind: Kinds) -> Part:
    return Part(features=features, kind=kind, coils=Counter(kind.tolist()))


def marked_as(places: KnownPlaces, kind: Kinds) -> MarkedPlaces:
    """Simulated places as if people had marked and named them."""
    learnt = ~places.holdout
    nothing = part(places.features[:0], kind[:0])
    return MarkedPlaces(learnt=part(places.features[learnt], kind[learnt]), judged=nothing, digest="0" * 64)


def test_words_that_make_the_model_worse_are_not_taken_and_right_ones_are() -> None:
    base, places = shipped_places()
    wrong = np.random.default_rng(0).permutation(places.kind)
    spoilt = refit(base, places, marked_as(places, wrong), shipped_kinds())
    assert not spoilt.taken
    assert "not taken: macro F1 -" in spoilt.why
    right = refit(base, places, marked_as(places, places.kind), shipped_kinds())
    assert right.taken, right.why


def test_a_kind_that_is_hardly_ever_found_is_not_told() -> None:
    base, places = shipped_places()
    some = np.random.default_rng(0).choice(np.flatnonzero(~places.holdout), 60, replace=False)
    kind = np.array(["whim"] * 60)  # given at random: nothing of a place tells it
    features = places.features[some]
    marked = MarkedPlaces(learnt=part(features[:40], kind[:40]), judged=part(features[40:], kind[40:]), digest="0" * 64)
    found = refit(base, places, marked, shipped_kinds())
    assert found.manifest.kinds == base.kinds
    assert "whim is found too seldom to be told" in found.why


def blots(learnt: int) -> MarkedPlaces:
    """Places like no other, of so many coils to learn from and of twenty to judge by."""
    places = shipped_places()[1]
    some = np.random.default_rng(0).choice(np.flatnonzero(~places.holdout), learnt + 20, replace=False)
    features, kind = places.features[some] + 10 * places.features.std(axis=0), np.array(["blot"] * len(some))
    return MarkedPlaces(
        learnt=part(features[20:], kind[20:]), judged=part(features[:20], kind[:20]), digest=f"{learnt:064}"
    )


@pytest.fixture(scope="module")
def blot_is_told() -> Refit:
    return refit(*shipped_places(), blots(40), shipped_kinds())


def test_a_kind_that_too_few_coils_teach_by_now_is_let_go_and_holds_no_later_model_back(blot_is_told: Refit) -> None:
    base, places = shipped_places()
    assert blot_is_told.taken
    assert blot_is_told.manifest.kinds == (*base.kinds, "blot")
    before = kind_model(blot_is_told.manifest, blot_is_told.model, place="the one before")
    later = refit(base, places, blots(4), before)
    assert later.taken, later.why
    assert later.manifest.kinds == base.kinds
    assert "blot was marked on 4 coils" in later.why
    assert "blot is no longer told" in later.why


def test_a_model_that_is_not_taken_says_what_would_have_been(blot_is_told: Refit) -> None:
    base, places = shipped_places()
    wrong = marked_as(places, np.random.default_rng(0).permutation(places.kind))
    worse = refit(base, places, wrong, kind_model(blot_is_told.manifest, blot_is_told.model, place="the one before"))
    assert not worse.taken
    assert "blot would no longer be told" in worse.why


def test_a_run_that_is_given_up_learns_nothing(
    connection: Connection, database: str, marked: list[Drip], monkeypatch: pytest.MonkeyPatch
) -> None:
    record_feedback(connection, [drip.word("zinc_drip") for drip in marked])
    given_up = JobContext(
        settings=Settings(),
        dsn=database,
        job="kinds",
        fire_at=NOON,
        attempt=1,
        attempt_id=1,
        epoch=1,
        now=NOON,
        stop=threading.Event(),
    )

    def look_once(*asked: Any, **more: Any) -> object:
        given_up.stop.set()
        return coil_matrix(*asked, **more)

    monkeypatch.setattr("flows.marked_kinds.coil_matrix", look_once)
    with pytest.raises(KindsStoppedError):
        name_kinds(given_up)
    assert last_kind_model(connection, shipped_kinds().manifest.base, taken=False) is None


def test_what_was_not_taken_is_not_asked(client: httpx.Client, connection: Connection, marked: list[Drip]) -> None:
    shipped = shipped_kinds().manifest
    other = shipped.model_copy(update={"version": "worse"})
    store_kind_model(connection, other, b"no graph", taken=False, why="not taken: it is worse", made_at=NOON)
    assert client.get(f"{coil_path(marked[0].key)}/explanation").json()["kinds_version"] == shipped.version


@pytest.mark.parametrize(
    "damage",
    [
        "update coilflow.kind_models set model = '\\x00'",
        """update coilflow.kind_models set manifest = manifest || '{"new": 1}'""",
    ],
)
def test_a_damaged_model_is_refused_once_the_one_before_goes_on_and_the_next_that_is_learnt_is_asked(
    client: httpx.Client, connection: Connection, database: str, marked: list[Drip], damage: str
) -> None:
    shipped = shipped_kinds()
    store_kind_model(connection, shipped.manifest, b"", taken=True, why="taken", made_at=NOON)
    connection.execute(damage.encode())
    explanation = f"{coil_path(marked[0].key)}/explanation"
    with capture_logs() as logs:
        for _ in range(2):
            assert client.get(explanation).json()["kinds_version"] == shipped.manifest.version
            assert client.get(coil_url(*marked[0].key)).status_code == 200
    assert [one["event"] for one in logs if "kind model" in one["event"]] == [
        "a kind model is refused, the one before goes on"
    ]
    connection.execute("update coilflow.kind_models set manifest = manifest - 'new'")
    record_feedback(connection, [drip.word("zinc_drip") for drip in marked])
    assert "zinc drip is told" in run_job(database, "kinds")
    assert client.get(explanation).json()["kinds_version"] != shipped.manifest.version


def test_a_voice_that_marks_ok_or_no_place_teaches_nothing(
    connection: Connection, database: str, marked: list[Drip]
) -> None:
    placeless = [replace(drip.word("zinc_drip"), from_m=None, to_m=None) for drip in marked[:20]]
    fine = [replace(drip.word("zinc_drip"), label="OK") for drip in marked[20:]]
    record_feedback(connection, [*placeless, *fine])
    assert run_job(database, "kinds") == "nobody has marked the kind and place of a defect yet"


def test_the_form_offers_the_kinds_that_are_told(
    client: httpx.Client, connection: Connection, database: str, marked: list[Drip]
) -> None:
    record_feedback(connection, [drip.word("zinc_drip") for drip in marked])
    run_job(database, "kinds")
    answer = client.get(coil_url(*marked[0].key))
    assert '<option value="zinc_drip">' in answer.text
    assert '<option value="none">' not in answer.text
