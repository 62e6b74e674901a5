"""An experiment from its specification: coils, plan, runs that are not done yet, and what all of them come to."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from flows.experiment.coils import (
    Material,
    Places,
    Plant,
    data_key,
    gather,
    gather_unlabelled,
    material_at,
    opened,
    refuse_shared,
)
from flows.experiment.plan import Run, plan
from flows.experiment.refusals import unlabelled_of
from flows.experiment.results import Done, finished, is_done, write_run
from flows.experiment.spec import ExperimentSpec, model_trees, train_spec
from flows.experiment.spread import spread

POPULATIONS, RUNS = "populations", "runs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """An experiment whose coils are at hand and whose plan was checked; nothing is trained yet."""

    spec: ExperimentSpec
    folder: Path  # of experiments: coils and runs in it are shared by all that name the same
    places: Places
    material: Material
    runs: tuple[Run, ...]

    @property
    def missing(self) -> tuple[Run, ...]:
        """Runs that have no result yet, each id once: two amounts can come to the same coils."""
        first: dict[str, Run] = {}
        for run in self.runs:
            first.setdefault(run.id, run)
        return tuple(run for run in first.values() if not is_done(self.folder / RUNS, run))


def prepare(spec: ExperimentSpec, folder: Path, plant: Plant) -> Prepared:
    """Simulate or read the coils and plan the runs; refuses here what training could not make good.

    Matrices are normalised with limits measured on the coils to learn from where those are simulated, else with those
    of the ensemble that serves; gold sets with the same.

    Raises:
        SpecError: the specification asks for what its coils cannot give, or coils are learnt from and judged on.
        SourceError: a source gives too few labelled coils.
    """
    store = folder / POPULATIONS
    population = gather(spec.data, None, store, plant, key="data")
    limits = opened(population).limits or plant.limits
    unlabelled = {
        data_key(data): data for name in model_trees(spec) for data in unlabelled_of(train_spec(spec, name, seed=0))
    }
    places = Places(
        population=population,
        gold=tuple((one.name, gather(one.data, limits, store, plant, key=f"gold ({one.name})")) for one in spec.gold),
        unlabelled={key: gather_unlabelled(data, limits, store, plant) for key, data in unlabelled.items()},
    )
    material = material_at(places)
    refuse_shared(material)
    return Prepared(spec=spec, folder=folder, places=places, material=material, runs=plan(spec, material))


def train_missing(prepared: Prepared, *, on_done: Callable[[Run], None]) -> None:
    """Train every run that has no result; stopped at any moment, what is done stays done.

    Args:
        prepared: the experiment.
        on_done: called after the result of each run was written.

    Raises:
        UsageError: Ray is asked for and not installed.
        BundleError: a result cannot be written.
    """
    missing = prepared.missing
    if not missing:
        return
    with closing(spread(missing, prepared.places, prepared.spec.parallel)) as trained:
        for run, files in trained:
            if not is_done(prepared.folder / RUNS, run):  # another process may train the same experiment
                write_run(prepared.folder / RUNS, run, files)
            on_done(run)


def results_of(prepared: Prepared, *, by_any_code: bool = False) -> list[Done]:
    """The results there are."""
    return finished(prepared.folder / RUNS, prepared.runs, by_any_code=by_any_code)
