"""What would end an experiment in its middle, or make its figures untrue, refused while nothing is trained yet."""

from pathlib import Path

from flows.experiment.coils import Material, data_key
from flows.experiment.spec import ExperimentSpec, model_trees, train_spec
from flows.population import Population
from models.data_spec import DataSpec
from models.networks.weights import SIMULATED
from models.spec import TrainSpec, read_spec
from models.thresholds import most_alarms
from schemas.coils import BoolArray, Limits
from schemas.errors import SpecError

_TENSORS = (".pt", ".safetensors")


def refuse_limits(spec: ExperimentSpec, material: Material) -> None:
    """Raise SpecError where a model would learn from, adapt to or be judged on coils of another scale or limits."""
    limits = material.population.limits
    for name in model_trees(spec):
        trained = train_spec(spec, name, seed=spec.seed)
        seen = [material.unlabelled[data_key(data)] for data in unlabelled_of(trained)]
        sets = [("data", material.population), *((f"gold ({gold})", coils) for gold, coils in material.gold)]
        for key, coils in (*sets, *(("adapt or pretrain", one) for one in seen)):
            if trained.scale == "limits" and coils.limits is None:
                raise SpecError(
                    f"key models.{name}.scale: the coils of {key}, {coils.source}, are grey and have no limits, so no "
                    "model on scale limits can take them",
                    remedy="set scale: self, or take coils with readings",
                )
            if _differ(limits, coils):
                raise SpecError(
                    f"key {key}: its coils are normalised with limits {coils.limits and coils.limits.version}, those "
                    f"of data with {limits and limits.version}",
                    remedy="normalise both from the readings",
                )


def refuse_weights(spec: ExperimentSpec) -> None:
    """Raise SpecError where weights to begin with are not there, or have learnt from coils of the experiment."""
    for name in model_trees(spec):
        trained = train_spec(spec, name, seed=spec.seed)
        weights = trained.network.weights
        if weights in ("none", "ultralytics"):
            continue
        key = f"key network.weights of {name}"
        if weights == "simulated":
            _refuse_known_line(spec, trained, key)
        elif Path(weights).suffix not in _TENSORS or not Path(weights).is_file():
            raise SpecError(
                f"{key}: there is no .pt or .safetensors file {weights}",
                remedy="name none, simulated, ultralytics, or a file that exists",
            )


def refuse_threshold(spec: TrainSpec, name: str, validation_is_nok: BoolArray) -> None:
    """Raise SpecError where so few validation coils cannot give the threshold that is asked for.

    Args:
        spec: with the rule.
        name: of the model and its amount, for the message.
        validation_is_nok: bool, of the coils that the threshold is set on.
    """
    rule, ok = spec.threshold, int((~validation_is_nok).sum())
    nok = len(validation_is_nok) - ok
    if rule.rule == "false_alarms" and most_alarms(ok, rule.most_false_alarms) is None:
        said = f"{ok} OK validation coils cannot show that false alarms stay within {rule.most_false_alarms:.2%}"
    elif rule.rule != "false_alarms" and not (ok and nok):
        said = f"the validation coils are {ok} OK and {nok} NOK, and rule {rule.rule} needs both labels"
    else:
        return
    raise SpecError(
        f"key threshold of {name}: {said}",
        remedy="learn from more coils, raise base.validation_share, or set another threshold.rule (f1: both labels, "
        "few coils; false_alarms: OK coils alone)",
    )


def unlabelled_of(spec: TrainSpec) -> list[DataSpec]:
    """Coils without a label that a model adapts to or is pre-trained on."""
    named = [spec.adapt.unlabelled if spec.adapt else None, spec.pretrain.unlabelled if spec.pretrain else None]
    return [data for data in named if data is not None]


def _differ(limits: Limits | None, coils: Population) -> bool:
    return limits is not None and coils.limits is not None and limits.version != coils.limits.version


def _refuse_known_line(spec: ExperimentSpec, trained: TrainSpec, key: str) -> None:
    """Our own weights learnt from a simulated line, of which other coils may be judged but never its own."""
    if not (SIMULATED / f"{trained.kind}.safetensors").is_file():
        raise SpecError(
            f"{key}: no weights of {trained.kind} pre-trained on the simulated line are installed",
            remedy="set weights: none, or name a file",
        )
    learnt = read_spec(SIMULATED / f"{trained.kind}.yaml").data.simulate
    for place, data in (("data", spec.data), *((f"gold ({one.name})", one.data) for one in spec.gold)):
        if learnt is not None and data.simulate is not None and data.simulate.seed == learnt.seed:
            raise SpecError(
                f"{key}: its weights have learnt from the line of seed {learnt.seed}, which {place} judges on",
                remedy="simulate with another seed, or set weights: none",
            )
