"""Which runs an experiment is made of: every model, repeat, fold and amount, each with its coils and an id."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold

from flows.experiment.coils import Material, code_digest, data_key, matrices_code
from flows.experiment.refusals import refuse_limits, refuse_threshold, refuse_weights, unlabelled_of
from flows.experiment.spec import Amount, ExperimentSpec, model_trees, train_spec
from flows.population import BOTH_LABELS, Population
from models.network_spec import family_of
from models.networks.weights import SIMULATED
from models.spec import TrainSpec
from schemas.coils import BoolArray, IntArray
from schemas.errors import SpecError

ID_DIGITS = 16
_SEEDS_A_REPEAT = 1000
_NO_LEARNERS = frozenset({"anomaly", "rule"})  # families that need no NOK coil to come about
_NOT_TRAINED_WITH = frozenset(  # what serves and judges: a run of another of these is the same run
    {
        "combine.py",
        "combine_fit.py",
        "ensemble.py",
        "evaluation.py",
        "features.py",
        "golden.py",
        "head_graph.py",
        "heads.py",
        "augment_numpy.py",
        "int8_graph.py",
        "quantize.py",
        "statistics.py",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One model to train on one part of the coils and to judge on the rest; indices are into the population."""

    model: str
    amount: Amount
    repeat: int  # from 0
    fold: int  # from 0
    spec: TrainSpec
    training: IntArray
    validation: IntArray  # stops, calibrates and sets the threshold
    judged: IntArray  # the fold that is left out
    made_of: str  # digest of everything but the code
    id: str  # of the code too: a run of the same id gives the same model

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.amount.of(self.model)} repeat {self.repeat + 1} fold {self.fold + 1}"


def plan(spec: ExperimentSpec, material: Material) -> tuple[Run, ...]:
    """Every run, in the order they are trained: a fold of all models before the next fold.

    Models share folds, validation coils and seeds, so that they can be compared in pairs. Amounts are nested: what
    learns from 200 labels sees the 100 of the run before, and validates on theirs.

    Raises:
        SpecError: there are fewer coils of a label than folds, an amount holds too few to learn from or to set a
            threshold, a model cannot take the scale of the coils, its weights are not there or know the coils, or a
            label is neither OK nor NOK.
    """
    population = material.population
    for key, coils in (("data", population), *((f"gold ({name})", one) for name, one in material.gold)):
        _refuse_labels(coils, key)
    _refuse_few(spec, population.is_nok)
    refuse_limits(spec, material)
    refuse_weights(spec)
    code = [code_digest("models", but=_NOT_TRAINED_WITH), matrices_code()]
    digests = [population.digest(), *(f"{name} {coils.digest()}" for name, coils in material.gold)]
    unlabelled = {key: coils.digest() for key, coils in material.unlabelled.items()}
    limits = population.limits.version if population.limits else None
    runs = []
    for repeat in range(spec.repeats):
        for fold, (rest, judged) in enumerate(_folds(spec, population.is_nok, repeat)):
            seed = (spec.seed + _SEEDS_A_REPEAT * repeat + fold) % 2**31
            for amount in spec.amounts():
                training, validation = divide(spec, amount, rest, population.is_nok, seed=seed)
                for name in model_trees(spec):
                    trained = train_spec(spec, name, seed=seed)
                    _refuse_unfit(trained, amount, name, population.is_nok, training, validation)
                    refuse_threshold(trained, amount.of(name), population.is_nok[validation])
                    made_of = _digest(
                        [digests, limits, _settings(trained, unlabelled), *map(_places, (training, validation, judged))]
                    )
                    runs.append(
                        Run(
                            model=name,
                            amount=amount,
                            repeat=repeat,
                            fold=fold,
                            spec=trained,
                            training=training,
                            validation=validation,
                            judged=judged,
                            made_of=made_of,
                            id=_digest([made_of, *code]),
                        )
                    )
    return tuple(runs)


def divide(
    spec: ExperimentSpec, amount: Amount, rest: IntArray, is_nok: BoolArray, *, seed: int
) -> tuple[IntArray, IntArray]:
    """Training and validation coils of one run, both labels in the share that `rest` has them.

    Args:
        spec: `base.validation_share` is the share of the labelled coils that validate, 0.15 unless given.
        amount: how many of `rest` count as labelled.
        rest: indices of the coils that are not judged.
        is_nok: bool, of all coils.
        seed: of the draw; a smaller amount draws a part of a larger one's coils.

    Raises:
        SpecError: there are not that many coils.
    """
    count = amount.coils_of(len(rest))
    if count > len(rest):
        raise SpecError(
            f"key learning_curve: {count} labelled coils are asked for, a fold leaves {len(rest)} to learn from",
            remedy="lower the number, or give more coils",
        )
    rng = np.random.default_rng(seed)
    nok, ok = (rng.permutation(rest[is_nok[rest] == label]) for label in (True, False))
    nok_count = round(count * len(nok) / len(rest))
    share = float(spec.base.get("validation_share", TrainSpec.model_fields["validation_share"].default))
    labelled = [part[:size] for part, size in ((nok, nok_count), (ok, count - nok_count))]
    validates = [_every(len(part), share) for part in labelled]
    training = np.concatenate([part[~chosen] for part, chosen in zip(labelled, validates, strict=True)])
    validation = np.concatenate([part[chosen] for part, chosen in zip(labelled, validates, strict=True)])
    return np.sort(training), np.sort(validation)


def _every(size: int, share: float) -> BoolArray:
    """Marks that share of the places, evenly and from the second on, so that few coils are divided too."""
    place = np.arange(size)
    marked: BoolArray = np.floor((place - 1) * share) > np.floor((place - 2) * share)
    return marked


def _folds(spec: ExperimentSpec, is_nok: BoolArray, repeat: int) -> list[tuple[IntArray, IntArray]]:
    folds = StratifiedKFold(n_splits=spec.folds, shuffle=True, random_state=(spec.seed + repeat) % 2**31)
    return list(folds.split(np.zeros(len(is_nok)), is_nok))[: spec.train_folds]


def _refuse_labels(population: Population, key: str) -> None:
    labels = set(population.batch.column("label").to_pylist())
    if not labels <= set(BOTH_LABELS):
        found = ", ".join(sorted(map(repr, labels - set(BOTH_LABELS))))
        raise SpecError(f"key {key}: a label is {found}, expected OK or NOK", remedy="correct the labels of the source")


def _refuse_few(spec: ExperimentSpec, is_nok: BoolArray) -> None:
    for label, count in (("NOK", int(is_nok.sum())), ("OK", int((~is_nok).sum()))):
        if count < spec.folds:
            raise SpecError(
                f"key folds: {spec.folds} folds of {len(is_nok)} coils, of which {count} are {label}: "
                "a fold would hold none",
                remedy=f"take at most {count} folds, or give more {label} coils",
            )


def _refuse_unfit(
    spec: TrainSpec, amount: Amount, name: str, is_nok: BoolArray, training: IntArray, validation: IntArray
) -> None:
    if family_of(spec.kind) in _NO_LEARNERS:
        return
    key = "learning_curve" if amount.labels is not None else "train_share"
    for part, place in ((training, "training"), (validation, "validation")):
        labels = is_nok[part]
        if labels.all() or not labels.any():
            raise SpecError(
                f"key {key}: of {amount.of(name)}, the {len(part)} {place} coils are "
                f"{'none' if not len(part) else 'all ' + ('NOK' if labels.all() else 'OK')}, "
                f"and {spec.kind} needs both labels",
                remedy="learn from more coils, or raise the share of NOK in data",
            )


def _settings(spec: TrainSpec, unlabelled: Mapping[str, str]) -> dict[str, object]:
    """What shapes a model, but its name and its labelled coils; a file of weights counts by its content."""
    named = spec.network.weights
    weights = SIMULATED / f"{spec.kind}.safetensors" if named == "simulated" else Path(named)
    return {
        **spec.model_dump(mode="json", exclude={"name", "data", "out", "holdout_share"}),
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else None,
        "unlabelled": [unlabelled[data_key(data)] for data in unlabelled_of(spec)],
    }


def _places(index: IntArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(index, dtype="<i8").tobytes()).hexdigest()


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:ID_DIGITS]
