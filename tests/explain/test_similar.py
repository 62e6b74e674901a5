"""Similar coils: the same defect at the same place first, of the same plant and scale, with what became of them."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from flows.recent_shapes import RecentShapes
from flows.similar import new_embeddings, similar_coils
from models.similar import MADE_BY, WIDTH, cosine, embed
from schemas.coils import CoilKey, Float32Array
from schemas.explanations import SimilarCoils
from schemas.layout import MATRIX_SHAPE
from store import embeddings
from store.connection import Connection
from store.embeddings import latest_embeddings
from store.feedback import Feedback, record_feedback
from store.verdicts import record_verdicts
from tests.explain.stored import decide, grey, line, run_job
from tests.models.coils import LIMITS
from tests.scheduler.given import NOON, rows
from tests.store.given import decided


def similar_to(connection: Connection, key: CoilKey, *, limit: int = 5) -> SimilarCoils:
    found = similar_coils(connection, key, RecentShapes(), limit=limit, otherwise=LIMITS)
    assert isinstance(found, SimilarCoils), found
    return found


def struck(first_row: int, column: int, *, depth: float) -> Float32Array:
    coil = np.zeros((1, *MATRIX_SHAPE), dtype=np.float32)
    coil[0, first_row : first_row + 40, column : column + 3] = depth
    return coil


def test_the_same_defect_is_nearer_than_elsewhere_and_that_nearer_than_another() -> None:
    coil = embed(struck(40, 2, depth=-12))
    others = np.concatenate(
        [
            embed(struck(46, 2, depth=-9)),  # nearly the same place, not as deep
            embed(struck(200, 2, depth=-12)),  # the same sensors, elsewhere along the strip
            embed(struck(200, 11, depth=-12)),  # the other face
            embed(struck(40, 2, depth=12)),  # too thick, not too thin
        ]
    )
    alike = cosine(coil, others)
    assert alike[0] > alike[1] > max(alike[2], alike[3]) + 0.2
    assert alike[3] < 0


def test_how_deep_is_no_matter_and_undisturbed_coils_are_alike_among_themselves_only() -> None:
    coil, plain = struck(40, 2, depth=-12), np.zeros((1, *MATRIX_SHAPE), dtype=np.float32)
    both = np.concatenate([embed(coil * np.float32(0.3)), embed(plain)])
    assert both.shape == (2, WIDTH)
    assert cosine(embed(coil), both).tolist() == pytest.approx([1, 0], abs=1e-3)
    assert cosine(embed(plain), both).tolist() == [0, 1]


def test_a_coil_finds_its_likes_with_what_became_of_them(database: str, connection: Connection) -> None:
    keys = decide(connection, line(60))
    assert run_job(database, "embed") == "60 coils embedded"
    found = similar_to(connection, keys[11])
    assert (found.state, found.compared, found.scale, len(found.items)) == ("ready", 60, "limits", 5)
    assert keys[11].coil_id not in {one.coil_id for one in found.items}, "not itself"
    said = [one.similarity for one in found.items]
    assert said == sorted(said, reverse=True)
    nearest = CoilKey(plant=found.items[0].plant, coil_id=found.items[0].coil_id)
    word = Feedback(key=nearest, source="test", event_id="1", label="NOK", given_at=NOON)
    record_feedback(connection, [word])
    again = similar_to(connection, keys[11])
    assert (again.items[0].coil_id, again.items[0].label) == (nearest.coil_id, "NOK")
    assert again.items[1].label is None


def test_what_is_embedded_is_embedded_once_and_later_coils_are_added(database: str, connection: Connection) -> None:
    decide(connection, line(10))
    assert run_job(database, "embed") == "10 coils embedded"
    assert run_job(database, "embed") == "0 coils embedded"
    decide(connection, line(5, seed=8))
    assert new_embeddings(connection, coils=3)[0].scale == "limits"
    assert run_job(database, "embed") == "5 coils embedded"


def test_a_coil_of_this_minute_is_answered_before_it_is_embedded(database: str, connection: Connection) -> None:
    decide(connection, line(10))
    run_job(database, "embed")
    [late] = decide(connection, line(1, seed=9))
    assert len(similar_to(connection, late).items) == 5


def test_where_nothing_is_embedded_the_answer_says_so(connection: Connection) -> None:
    [key, *_] = decide(connection, line(3))
    found = similar_to(connection, key)
    assert (found.state, found.compared, found.items) == ("empty", 0, [])
    nowhere = CoilKey(plant="linz", coil_id="none")
    assert similar_coils(connection, nowhere, RecentShapes(), limit=5, otherwise=LIMITS) is None


def test_plants_and_scales_are_not_compared(database: str, connection: Connection, tmp_path: Path) -> None:
    here = decide(connection, line(4))
    decide(connection, line(4, plant="wien", seed=8))
    grey_keys = decide(connection, grey(["1", "2", "3"], tmp_path))
    run_job(database, "embed")
    assert similar_to(connection, here[0]).compared == 4
    found = similar_to(connection, grey_keys[0])
    assert (found.scale, found.compared, {one.coil_id for one in found.items}) == ("self", 3, {"2", "3"})


def test_a_superseded_revision_is_no_similar_coil(database: str, connection: Connection) -> None:
    keys = decide(connection, line(4))
    run_job(database, "embed")
    again = decided(keys[1].coil_id, revision="r2")
    record_verdicts(connection, [again], decided_at=NOON + timedelta(days=1), destinations=[])
    assert keys[1].coil_id not in {one.coil_id for one in similar_to(connection, keys[0]).items}


def test_damaged_readings_stop_no_other_coil(database: str, connection: Connection) -> None:
    record_verdicts(connection, [decided("damaged")], decided_at=NOON, destinations=[])
    keys = decide(connection, line(3))
    assert run_job(database, "embed") == "4 coils embedded"
    assert run_job(database, "embed") == "0 coils embedded"
    assert similar_to(connection, keys[0]).compared == 3


def test_another_version_is_made_anew_and_the_old_one_goes(
    database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = decide(connection, line(4))
    run_job(database, "embed")
    connection.execute("update coilflow.embeddings set made_by = 'shape-0'")
    assert similar_to(connection, keys[0]).state == "empty", "embeddings of two versions are not compared"
    assert run_job(database, "embed") == "4 coils embedded, 4 old embeddings deleted"
    assert rows(connection, "select distinct made_by from coilflow.embeddings") == [{"made_by": MADE_BY}]
    monkeypatch.setattr(embeddings, "KEPT", 3)
    assert run_job(database, "embed") == "0 coils embedded, 1 old embeddings deleted"
    kept = latest_embeddings(connection, MADE_BY, plant="linz", scale="limits", width=WIDTH, coils=2)
    assert kept.embeddings.shape == (2, WIDTH)
    newest = rows(connection, "select verdict_id from coilflow.embeddings order by 1 desc limit 2")
    assert sorted(kept.verdict_ids.tolist(), reverse=True) == [row["verdict_id"] for row in newest]


def test_a_process_reads_them_once_a_minute_and_none_not_at_all(database: str, connection: Connection) -> None:
    now = 0.0
    recent = RecentShapes(clock=lambda: now)
    decide(connection, line(3))
    assert len(recent.of(connection, "linz", "limits").verdict_ids) == 0
    run_job(database, "embed")
    assert len(recent.of(connection, "linz", "limits").verdict_ids) == 3, "nothing is not kept"
    decide(connection, line(2, seed=8))
    run_job(database, "embed")
    now = 59.0
    assert len(recent.of(connection, "linz", "limits").verdict_ids) == 3
    assert len(recent.of(connection, "wien", "limits").verdict_ids) == 0
    now = 60.0
    assert len(recent.of(connection, "linz", "limits").verdict_ids) == 5


def test_one_that_commits_late_is_found(database: str, connection: Connection) -> None:
    """Numbers are given out before the commit: a verdict may turn up below those that are embedded."""
    decide(connection, line(6))
    run_job(database, "embed")
    connection.execute(
        "delete from coilflow.embeddings where verdict_id = (select min(verdict_id) + 2 from coilflow.embeddings)"
    )
    assert run_job(database, "embed") == "1 coils embedded"
