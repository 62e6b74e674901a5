"""Drift of a simulated line, from what a real PostgreSQL holds of its coils."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree

import pyarrow as pa
import pytest

from flows.change_models import new_ensemble
from flows.drift import check_drift, quantities_of_latest, reference_from_database
from flows.drift_report import write_drift_report
from flows.references import take_reference
from models.ensemble import SHIPPED, Ensemble, load_ensemble
from models.reference import REFERENCE, load_reference, write_reference
from plant.line import simulate
from plant.settings import PRODUCTION, LineSettings
from processors.assemble import assemble
from processors.decide import decide
from processors.normalize import normalize
from processors.score import score
from scheduler.drifting import drift
from schemas.errors import BundleError, SourceError, UsageError
from schemas.matrices import MATRIX_BATCH
from schemas.readings import readings_of
from schemas.settings import Settings, ToleranceProfile
from store.connection import Connection, connect
from store.drift import latest_coils, latest_drift_checks, plants_with_coils
from store.registry import start_registry
from store.verdicts import Decided, record_verdicts
from tests.retraining.given import ANNA, leading, run
from tests.scores.given import NOON, as_shadow, settings

COILS = 110
LATER = NOON + timedelta(hours=1)
MONTH_AGO = NOON - timedelta(days=30)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    """The shipped ensemble in a folder of its own, with a reference of coils of the same line."""
    folder = tmp_path_factory.mktemp("drift") / "ensemble"
    link(folder)
    loaded = load_ensemble(folder, threads=1)
    batches = [normalize(assemble(b.rows, b.headers).coils, loaded.limits).batch for b in simulate(300, seed=21)]
    batch = pa.Table.from_batches(batches, schema=MATRIX_BATCH).combine_chunks().to_batches()[0]
    write_reference(folder, take_reference(batch, loaded, source="a good week"))
    return loaded


def link(folder: Path) -> None:
    """The shipped ensemble's files, without its reference."""
    folder.mkdir()
    for file in SHIPPED.iterdir():
        if file.name != REFERENCE:
            (folder / file.name).symlink_to(file)


@pytest.fixture(scope="module")
def linz(ensemble: Ensemble) -> list[Decided]:
    """Coils of a line that runs as it should."""
    return judged(ensemble, replace(PRODUCTION, plant="linz"))


def judged(ensemble: Ensemble, line: LineSettings) -> list[Decided]:
    """Coils of a line."""
    stored = []
    for block in simulate(COILS, seed=22, line=line):
        coils = assemble(block.rows, block.headers).coils
        row_of = {header.key: row for row, header in enumerate(coils.headers)}
        scored = score(normalize(coils, ensemble.limits).batch, ensemble, place="line")
        verdicts = decide(
            scored.batch, scored.scores, profiles={"default": ToleranceProfile()}, customer_profiles={}, place="line"
        ).verdicts
        stored += [
            Decided(
                verdict=verdict,
                readings=readings_of(coils, row_of[verdict.key]),
                order=coils.headers[row_of[verdict.key]].order,
                started_at=None,
                truth=None,
            )
            for verdict in verdicts
        ]
    return stored


def store(connection: Connection, coils: Sequence[Decided]) -> None:
    """What the line's worker does."""
    record_verdicts(connection, coils, decided_at=NOON, destinations=())


def test_a_line_that_runs_as_it_did_has_not_drifted_and_one_whose_knives_aged_has(
    connection: Connection, ensemble: Ensemble, linz: list[Decided]
) -> None:
    store(connection, linz)
    store(connection, judged(ensemble, replace(PRODUCTION, plant="graz", restlessness=3.0, defect_share=0.35)))
    graz, calm = check_drift(connection, settings(), ensemble, LATER)
    assert (calm.plant, calm.drifted, calm.coils) == ("linz", False, COILS), calm.sentence
    assert calm.sentence == f"the latest {COILS} coils of linz have not drifted"
    assert graz.drifted
    assert "differ from a good week in " in graz.sentence
    assert {"mean_top", "length_m", "undecided", "observed", "p_nok cnn1d"} <= set(graz.figures)
    assert graz.figures["std"]["psi"] > graz.figures["std"]["at_least"]
    assert latest_drift_checks(connection) == (graz, calm)


def test_only_what_serves_and_stands_within_the_window_is_looked_at(
    connection: Connection, ensemble: Ensemble, linz: list[Decided]
) -> None:
    store(connection, linz)
    record_verdicts(connection, [as_shadow(one, "e2", 0.9) for one in linz], decided_at=LATER, destinations=())
    [check] = check_drift(connection, settings(), ensemble, LATER)
    assert check.coils == COILS
    assert check_drift(connection, settings(), ensemble, NOON - timedelta(seconds=1)) == ()
    [late] = check_drift(connection, settings(), ensemble, NOON + timedelta(days=31), plants=["linz"])
    assert late.sentence == "0 coils of linz are too few to tell whether they drifted, 100 are needed"


def test_coils_read_back_give_what_they_gave_when_they_were_judged(
    connection: Connection, ensemble: Ensemble, linz: list[Decided]
) -> None:
    store(connection, linz)
    found = latest_coils(connection, "linz", after=MONTH_AGO, until=LATER, coils=COILS)
    values = quantities_of_latest(found, ensemble)
    observed = {one.verdict.key: one.verdict.observed for one in linz}
    p_nok = {(one.verdict.key, m.model): m.p_nok for one in linz for m in one.verdict.members}
    keys = [one.stored.key for one in found]
    assert values["observed"].tolist() == pytest.approx([observed[key] for key in keys])
    assert values["p_nok cnn1d"].tolist() == pytest.approx([p_nok[key, "cnn1d"] for key in keys])
    few = latest_coils(connection, "linz", after=MONTH_AGO, until=LATER, coils=7)
    assert few == found[-7:], "the newest, oldest first"
    assert plants_with_coils(connection, after=MONTH_AGO, until=LATER) == ("linz",)


def test_an_ensemble_without_a_reference_says_so(connection: Connection, linz: list[Decided], tmp_path: Path) -> None:
    link(tmp_path / "bare")
    bare = load_ensemble(tmp_path / "bare", threads=1)
    store(connection, linz)
    [check] = check_drift(connection, settings(), bare, LATER)
    assert not check.drifted
    assert check.sentence == (
        f"whether the coils of linz drifted cannot be told: ensemble {bare.version} has no reference.json"
    )


def test_a_successor_takes_its_reference_from_the_coils_that_came(
    connection: Connection, ensemble: Ensemble, linz: list[Decided]
) -> None:
    store(connection, linz)
    with pytest.raises(SourceError, match=f"{COILS} coils were decided from 2026-10-21 to 2026-11-20, 500 are needed"):
        reference_from_database(connection, ensemble, after=MONTH_AGO, until=LATER, coils=2000)


def test_a_reference_that_was_altered_or_is_another_ensembles_is_refused(ensemble: Ensemble, tmp_path: Path) -> None:
    folder = tmp_path / "altered"
    link(folder)
    altered = load_ensemble(folder, threads=1)
    good = load_reference(ensemble)
    assert good is not None
    write_reference(folder, good)
    assert load_reference(altered) == good
    text = (folder / REFERENCE).read_text(encoding="utf-8")
    (folder / REFERENCE).write_text(text.replace("a good week", "a bad week"), encoding="utf-8")
    with pytest.raises(BundleError, match="its digest does not fit it"):
        load_reference(altered)
    (folder / REFERENCE).write_text("{", encoding="utf-8")
    with pytest.raises(BundleError, match=r"reference\.json: Invalid JSON"):
        load_reference(altered)
    write_reference(folder, good.model_copy(update={"ensemble_version": "another"}))
    with pytest.raises(BundleError, match="of ensemble another"):
        load_reference(altered)


def test_the_shipped_ensemble_has_a_reference_of_its_own() -> None:
    reference = load_reference(load_ensemble(None, threads=1))
    assert reference is not None
    assert {"mean_top", "undecided", "p_nok yolov8n-cls"} <= set(reference.quantities)


def test_settings_of_drift_are_read_by_the_check(
    connection: Connection, ensemble: Ensemble, linz: list[Decided]
) -> None:
    store(connection, linz)
    strict = Settings().model_copy(update={"drift": Settings().drift.model_copy(update={"least_coils": COILS + 1})})
    [check] = check_drift(connection, strict, ensemble, LATER)
    assert check.figures == {}


def test_a_page_compares_the_latest_coils_with_those_before_or_says_what_is_not_installed(
    connection: Connection, ensemble: Ensemble, linz: list[Decided], tmp_path: Path
) -> None:
    page = tmp_path / "drift.html"
    store(connection, linz)
    given = settings()
    halves = given.model_copy(
        update={"drift": given.drift.model_copy(update={"window_coils": COILS // 2, "least_coils": COILS // 2})}
    )
    if find_spec("evidently") is None:
        with pytest.raises(UsageError, match="a drift report needs evidently, which is not installed"):
            write_drift_report(connection, halves, ensemble, LATER, plant="linz", out=page)
        return
    write_drift_report(connection, halves, ensemble, LATER, plant="linz", out=page)
    text = page.read_text(encoding="utf-8")
    assert all(name in text for name in ("mean_top", "p_nok cnn1d", "length_m"))
    with pytest.raises(SourceError, match=f"0 coils of linz ran before the latest {COILS}, 100 are needed"):
        write_drift_report(connection, given, ensemble, LATER, plant="linz", out=page)


def test_a_plant_that_begins_to_drift_has_what_serves_looked_at_once(
    database: str, ensemble: Ensemble, tmp_path: Path
) -> None:
    given = Settings(data_dir=tmp_path)
    folder = tmp_path / "ensembles" / "e"
    copytree(SHIPPED, folder)
    with connect(database) as connection:
        start_registry(connection, new_ensemble(folder, given), ANNA)
        store(connection, judged(ensemble, replace(PRODUCTION, plant="graz", restlessness=3.0, defect_share=0.35)))
        with leading(database) as epoch:
            for hours in (1, 2):
                said = run(database, given, drift, "drift", epoch=epoch, now=NOON + timedelta(hours=hours))
                assert said == "1 plants checked, drifted: graz"
        fires = connection.execute("select requested_by, fire_at from coilflow.fires where job = 'retrain'").fetchall()
    assert fires == [{"requested_by": "drift", "fire_at": LATER}]
