"""ScoreCoil: what serves judges, also when it changes while FlowFiles come; one bad coil harms no other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flows.nifi.normalize_coil import NormalizeCoil
from flows.nifi.score_coil import ScoreCoil, open_step
from flows.nifi.step import DEAD_LETTER, ERROR, FAILURE, REMEDY, SUCCESS, Hosted, StepResult
from flows.nifi.verdicts import decided_from_rows
from flows.served import Ensembles, Served, always
from processors.score import Scorer
from schemas.coils import CoilKey, Limits
from schemas.mapping import OUR_NAMES
from schemas.nifi_batches import NifiBatch, read_batch, write_batch
from schemas.settings import Settings
from schemas.verdicts import Label, Scores
from store.connection import Connection, connect
from store.registry import promote, shadow
from store.verdicts import Decided
from tests.flows.judging import MeanScorer
from tests.hosts.scenarios import SCENARIOS
from tests.models.coils import LIMITS
from tests.nifi.test_both_roads import assembled, due, mixed
from tests.streams.lines import coil
from tests.swap.given import ANNA, registered, settings_in, write_version
from tests.waiting import wait_until


def matrices(content: bytes) -> bytes:
    done = NormalizeCoil(limits=LIMITS, form=None, mapping=OUR_NAMES, plant="linz").run(content, {})
    assert done.contents is not None
    return done.contents


def coils(*names: str) -> bytes:
    return matrices(mixed([coil(name) for name in names]))


def decided(done: StepResult) -> list[Decided]:
    assert done.relationship == SUCCESS
    assert done.contents is not None
    return [one for one, _ in decided_from_rows(read_batch("verdicts", done.contents).rows)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of one machine; e1 is its first ensemble."""
    return settings_in(tmp_path, write_version(tmp_path, "e1"))


@pytest.fixture
def hosted(database: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosted]:
    """The step as a processor opens it."""
    monkeypatch.setenv("COILFLOW_ENSEMBLE", str(settings.ensemble))
    monkeypatch.setenv("COILFLOW_THREADS", "1")
    opened = Hosted("score_coil", open_step)
    opened.start({"Database DSN": database, "Data Directory": str(settings.data_dir)})
    try:
        yield opened
    finally:
        opened.stop()


def test_a_swap_in_the_middle_judges_the_next_flowfile_and_none_by_two(
    hosted: Hosted, database: str, settings: Settings, tmp_path: Path
) -> None:
    content = coils("a", "b")
    first = hosted.run(content, {})
    assert first.attributes["coilflow.ensemble"] == "e1"
    registered(database, settings, write_version(tmp_path, "e2"))
    with connect(database) as connection:
        promote(connection, "e2", ANNA)
    seen: list[StepResult] = []

    def swapped() -> bool:
        seen.append(hosted.run(content, {}))
        return seen[-1].attributes["coilflow.ensemble"] == "e2"

    wait_until(swapped, 60.0)
    for done in seen:
        assert done.attributes["coilflow.ensemble"] in ("e1", "e2")
        assert {one.verdict.ensemble_version for one in decided(done)} == {done.attributes["coilflow.ensemble"]}
        assert done.attributes["coilflow.coils"] == "2"


def test_a_shadow_judges_beside_the_champion_once_there_is_one(
    hosted: Hosted, database: str, settings: Settings, tmp_path: Path
) -> None:
    registered(database, settings, write_version(tmp_path, "e2"))
    with connect(database) as connection:
        shadow(connection, "e2", ANNA)
    content = coils("a")
    wait_until(lambda: len(decided(hosted.run(content, {}))) == 2, 60.0)
    champion, beside = decided(hosted.run(content, {}))
    assert (champion.role, beside.role) == ("champion", "shadow")
    assert (champion.verdict.ensemble_version, beside.verdict.ensemble_version) == ("e1", "e2")
    assert champion.readings == beside.readings
    assert beside.verdict.review_probability == champion.verdict.review_probability


def test_without_its_database_a_flowfile_is_tried_again_and_says_why(tmp_path: Path) -> None:
    away = Hosted("score_coil", open_step)
    away.start({"Database DSN": f"host={tmp_path} dbname=none connect_timeout=2", "Data Directory": str(tmp_path)})
    done = away.run(b"whatever", {})
    away.stop()
    assert (done.relationship, done.contents) == (FAILURE, None)
    assert done.attributes[ERROR]


def test_a_stopped_step_leaves_no_session_on_the_server(hosted: Hosted, database: str, connection: Connection) -> None:
    assert hosted.run(coils("a"), {}).relationship == SUCCESS
    hosted.stop()
    wait_until(
        lambda: (
            not connection.execute(
                "select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
                " and application_name like 'coilflow%'"
            ).fetchall()
        )
    )


class Fussy(MeanScorer):
    """Breaks on one coil."""

    def score(self, batch: pa.RecordBatch) -> Scores:
        """As the mean, but for coil `bad`."""
        if "bad" in batch.column("coil_id").to_pylist():
            raise RuntimeError("out of cheese")
        return super().score(batch)


class Named(MeanScorer):
    """Under a name of its own."""

    def __init__(self, version: str) -> None:
        self.version = version

    def score(self, batch: pa.RecordBatch) -> Scores:
        """As the mean."""
        return replace(super().score(batch), ensemble_version=self.version)


def step(scorer: Scorer, settings: Settings | None = None, beside: Scorer | None = None) -> ScoreCoil:
    return ScoreCoil(current=always(scorer, beside), settings=settings or Settings())


def test_a_coil_that_a_model_breaks_on_is_refused_alone() -> None:
    done = step(Fussy()).run(coils("a", "bad", "b"), {})
    assert {one.verdict.key.coil_id for one in decided(done)} == {"a", "b"}
    assert done.contents is not None
    [reject] = read_batch("verdicts", done.contents).rejects
    assert reject.key == CoilKey(plant="linz", coil_id="bad")
    assert "out of cheese" in reject.error
    assert b"coil.started" in reject.original


def test_a_shadow_that_breaks_harms_no_verdict() -> None:
    done = step(MeanScorer(), beside=Fussy()).run(coils("a", "bad"), {})
    assert [(one.role, one.verdict.key.coil_id) for one in decided(done)] == [("champion", "a"), ("champion", "bad")]


def test_coils_of_two_plants_are_judged_by_the_ensemble_of_each() -> None:
    content = matrices(mixed([coil("a"), [line.replace(b"linz", b"steyr") for line in coil("b")]]))
    table = Ensembles(every_plant=Served(champion=Named("e1")), plants={"steyr": Served(champion=Named("e9"))})
    done = ScoreCoil(current=lambda: table, settings=Settings()).run(content, {})
    assert {one.verdict.key.plant: one.verdict.ensemble_version for one in decided(done)} == {
        "linz": "e1",
        "steyr": "e9",
    }
    assert done.attributes["coilflow.ensemble"] == "e1, e9"
    assert "coilflow.plant" not in done.attributes


def test_a_fragment_is_undecided_and_a_person_is_asked() -> None:
    content, _ = assembled(due({"no start": SCENARIOS["no start"], "good": SCENARIOS["good"]}, silent=["no start"]))
    done = step(MeanScorer()).run(matrices(content), {})
    by_id = {one.verdict.key.coil_id: one for one in decided(done)}
    piece = by_id["no start"]
    assert piece.verdict.label is Label.UNDECIDED
    assert np.isnan(piece.verdict.p_nok)
    assert piece.order is None
    assert piece.verdict.review
    assert done.attributes["coilflow.undecided"] == "1"
    assert by_id["good"].verdict.label is not Label.UNDECIDED


def test_an_unknown_tolerance_profile_refuses_its_coil_with_the_inbox_event_to_settle() -> None:
    lines = SCENARIOS["good"]
    odd = [lines[0].replace(b'"length_m"', b'"tolerance_profile":"strict","length_m"'), *lines[1:]]
    content, _ = assembled(due({"good": odd}))
    done = step(MeanScorer()).run(matrices(content), {})
    assert done.contents is not None
    batch = read_batch("verdicts", done.contents)
    [reject] = batch.rejects
    assert reject.step == "decide"
    assert b'"strict"' in reject.original
    assert batch.refused == {CoilKey(plant="linz", coil_id="good"): 0}


def test_of_two_revisions_in_a_batch_only_the_one_from_the_inbox_settles_it() -> None:
    content, _ = assembled(due({"good": SCENARIOS["good"]}))
    inbox = read_batch("matrices", matrices(content)).rows
    table = read_batch("matrices", matrices(mixed([[*SCENARIOS["good"][:4], *SCENARIOS["good"][5:]]]))).rows
    done = step(MeanScorer()).run(write_batch("matrices", NifiBatch(rows=pa.concat_batches([table, inbox]))), {})
    assert done.contents is not None
    found = decided_from_rows(read_batch("verdicts", done.contents).rows)
    assert {one.verdict.revision: inbox_id for one, inbox_id in found} == {
        table.column("revision")[0].as_py(): None,
        inbox.column("revision")[0].as_py(): 0,
    }


def test_rejects_of_the_steps_before_ride_along() -> None:
    content = matrices(mixed([coil("a"), SCENARIOS["negative"]]))
    done = step(MeanScorer()).run(content, {})
    assert done.contents is not None
    assert read_batch("verdicts", done.contents).rejects == read_batch("matrices", content).rejects
    assert done.attributes["coilflow.rejects"] == "1"


def test_a_batch_without_coils_passes_on_what_it_carries() -> None:
    given = read_batch("matrices", coils("a"))
    last = {CoilKey(plant="linz", coil_id="x"): 7}
    done = step(MeanScorer()).run(write_batch("matrices", NifiBatch(rows=given.rows.slice(0, 0), refused=last)), {})
    assert done.contents is not None
    assert read_batch("verdicts", done.contents).refused == last


@pytest.mark.parametrize("cut", [0, 10, 500, -20])
def test_damaged_or_foreign_arrow_is_a_dead_letter(cut: int) -> None:
    hosted = Hosted("score_coil", lambda _: step(MeanScorer()))
    hosted.start({})
    content = coils("a")
    done = hosted.run(content[:cut], {})
    assert (done.relationship, done.contents) == (DEAD_LETTER, None)
    coils_batch, _ = assembled(due({"good": SCENARIOS["good"]}))
    assert hosted.run(coils_batch, {}).relationship == DEAD_LETTER


def test_coils_that_were_normalised_with_other_limits_are_not_refused_one_by_one_but_kept_with_what_to_set() -> None:
    other = NormalizeCoil(limits=Limits(low=-50.0, high=60.0), form=None, mapping=OUR_NAMES, plant="linz")
    given = other.run(mixed([coil("a"), coil("b")]), {})
    assert given.contents is not None
    hosted = Hosted("score_coil", lambda _: step(MeanScorer()))
    hosted.start({})
    done = hosted.run(given.contents, {})
    assert (done.relationship, done.contents) == (DEAD_LETTER, None)
    assert '{"low": -100.0, "high": 150.0}' in done.attributes[REMEDY]


def test_concurrent_tasks_give_what_one_gives(hosted: Hosted) -> None:
    contents = [coils(f"{i}a", f"{i}b") for i in range(8)]
    alone = [hosted.run(content, {}).contents for content in contents]
    with ThreadPoolExecutor(4) as tasks:
        assert [done.contents for done in tasks.map(lambda content: hosted.run(content, {}), contents)] == alone
