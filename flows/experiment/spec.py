"""What an experiment compares, and on what: read from YAML."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from models.data_spec import DataSpec, Share
from models.spec import TrainSpec, read_yaml
from models.spec_part import SpecPart
from schemas.combine import Combine
from schemas.errors import SpecError
from schemas.faults import FirstFault, first_fault

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
FOLDS = "folds"  # the judging set that every experiment has: each coil by the model that did not learn from it
_OURS = frozenset({"name", "data", "seed", "out", "holdout_share"})  # keys of TrainSpec that an experiment decides
_TELLS_APART = ("rule", "kind", "method")  # in threshold, loss, contrastive, synthesis and adapt
_WHY = "an experiment decides it for all models: by its own name, data, folds and seed"


class JudgingSet(SpecPart):
    """Coils that no model learns from and all are judged on, such as a later period's."""

    name: Name
    data: DataSpec


class EnsembleSpec(SpecPart):
    """Models that decide together; what it chooses, it chooses on the validation coils of each run.

    Its threshold follows the members' rule, which must be one.
    """

    members: Annotated[tuple[str, ...], Field(min_length=2)]
    combine: Combine = "mean"
    top_k: Annotated[int, Field(ge=1)] | None = None  # only so many, added one by one: `choose_top_k`


class Parallel(SpecPart):
    """Where runs are trained."""

    where: Literal["local", "ray"] = "local"
    jobs: Annotated[int, Field(ge=1, le=1024)] = 1  # runs at once
    threads: Annotated[int, Field(ge=1, le=256)] = 1  # torch's and ONNX Runtime's, of one run


class ExperimentSpec(SpecPart):
    """Models that are trained on the same folds of the same coils, and compared."""

    name: Name
    description: str = ""
    data: DataSpec
    gold: tuple[JudgingSet, ...] = ()
    folds: Annotated[int, Field(ge=2, le=100)] = 5
    train_folds: Annotated[int, Field(ge=1)] | None = None  # only the first so many folds; None: all
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    base: dict[str, Any] = Field(default_factory=dict)  # keys of a training specification that all models share
    models: dict[Name, dict[str, Any]] = Field(default_factory=dict)  # name -> what differs from the base
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)  # key path -> values
    ensembles: dict[Name, EnsembleSpec] = Field(default_factory=dict)
    compare: tuple[tuple[str, str], ...] = ()  # pairs of models or ensembles that tests are made of
    train_share: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = (1.0,)
    learning_curve: tuple[Annotated[int, Field(ge=10)], ...] = ()  # labelled coils, validation's among them
    prevalence: Share = 0.01  # share of NOK on the line
    coils_a_day: Annotated[float, Field(gt=0)] = 100.0
    parallel: Parallel = Parallel()

    @model_validator(mode="after")
    def _names_are_known_and_unlike(self) -> "ExperimentSpec":
        if not self.models and not self.sweep:
            raise ValueError("models: give models, a sweep, or both")
        known = [*self.models, *sweep_of(self.sweep)]
        _unlike("models, sweep or ensembles", [*known, *self.ensembles])
        _unlike("gold", [FOLDS, *(one.name for one in self.gold)])
        for name, ensemble in self.ensembles.items():
            for member in ensemble.members:
                if member not in known:
                    raise ValueError(f"ensembles.{name}.members: {member} is no model; there are {', '.join(known)}")
            if ensemble.top_k is not None and ensemble.top_k > len(ensemble.members):
                raise ValueError(f"ensembles.{name}.top_k is {ensemble.top_k} of {len(ensemble.members)} members")
        if self.train_folds is not None and self.train_folds > self.folds:
            raise ValueError(f"train_folds is {self.train_folds} of {self.folds} folds")
        subjects = self.subjects()
        for pair in self.compare:
            for name in pair:
                if name not in subjects:
                    raise ValueError(f"compare: {name} is not among {', '.join(subjects)}")
        return self

    @model_validator(mode="after")
    def _keys_that_are_a_models_own(self) -> "ExperimentSpec":
        changes = {f"models.{name}": tree for name, tree in self.models.items()}
        swept = {f"sweep.{path}": {path.split(".", maxsplit=1)[0]: None} for path in self.sweep}
        for place, tree in {"base": self.base, **changes, **swept}.items():
            for key in sorted(_OURS & tree.keys()):
                raise ValueError(f"{place}: {key} cannot be set here: {_WHY}")
        for place, tree in {"base": self.base, **changes, **swept}.items():
            if "parent" in tree:
                raise ValueError(f"{place}: parent cannot be set here: a parent may have learnt from the judged coils")
        if "validation_share" in self.sweep or any("validation_share" in tree for tree in self.models.values()):
            raise ValueError("validation_share belongs in base: models that are compared share their validation coils")
        return self

    def amounts(self) -> tuple["Amount", ...]:
        """How much of the training coils is learnt from, in the order of the specification."""
        shares = tuple(Amount(share=share) for share in dict.fromkeys(self.train_share))
        return shares + tuple(Amount(labels=labels) for labels in dict.fromkeys(self.learning_curve))

    def subjects(self) -> tuple[str, ...]:
        """What can be compared: models and ensembles, by amount, such as `cnn10`, `cnn10@0.5` and `cnn10@400`."""
        names = [*self.models, *sweep_of(self.sweep), *self.ensembles]
        return tuple(amount.of(name) for amount in self.amounts() for name in names)


class Amount(SpecPart):
    """How much of a fold's training coils is learnt from: a share, or a number of labelled coils."""

    share: float = 1.0
    labels: int | None = None

    def of(self, name: str) -> str:
        """The name of a model that learns from so much."""
        if self.labels is not None:
            return f"{name}@{self.labels}"
        return name if self.share == 1 else f"{name}@{self.share:g}"

    def coils_of(self, coils: int) -> int:
        """How many of so many coils."""
        return self.labels if self.labels is not None else round(self.share * coils)


def read_experiment(path: Path) -> ExperimentSpec:
    """Read a specification; raises SpecError that names the file and the wrong key.

    With `extends: other.yaml`, what is not said is taken from that file, which stands relative to this one.
    """
    content = _extended(path, ())
    try:
        spec = ExperimentSpec.model_validate(content)
    except ValidationError as error:
        fault = first_fault(error)
        raise SpecError(
            f"{path}: {_place(content, fault)}",
            remedy=f"the keys are extends, {', '.join(ExperimentSpec.model_fields)}",
        ) from error
    for name in model_trees(spec):
        _checked(path, spec, name)
    for name in spec.ensembles:
        _one_threshold_rule(path, spec, name)
    return spec


def model_trees(spec: ExperimentSpec) -> dict[str, dict[str, Any]]:
    """What differs from the base, by model: those that are named, then those that the sweep makes."""
    return {**spec.models, **sweep_of(spec.sweep)}


def train_spec(spec: ExperimentSpec, name: str, *, seed: int) -> TrainSpec:
    """The training specification of one model; raises pydantic's ValidationError."""
    tree = merged(spec.base, model_trees(spec)[name])
    return TrainSpec.model_validate({**tree, "name": name, "data": spec.data, "seed": seed})


def sweep_of(sweep: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """Every combination of the values, by a name like `yolov8n-freeze5`.

    Example:
        >>> sweep_of({"kind": ["yolov8n-cls"], "network.freeze": [0, 5]})["yolov8n-freeze5"]
        {'kind': 'yolov8n-cls', 'network': {'freeze': 5}}
    """
    made: dict[str, dict[str, Any]] = {"": {}} if sweep else {}
    for path, values in sweep.items():
        *above, key = path.split(".")
        longer: dict[str, dict[str, Any]] = {}
        for name, tree in made.items():
            for value in values:
                own: dict[str, Any] = {key: value}
                for part in reversed(above):
                    own = {part: own}
                word = str(value).removesuffix("-cls") if key == "kind" else f"{key}{value}".lower().replace("_", "-")
                longer["-".join(filter(None, [name, word]))] = merged(tree, own)
        made = longer
    return made


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Both trees in one; where both have a key the second wins, unless both hold trees, which are merged.

    A tree that says another rule, kind or method replaces the first's: what was said beside that means nothing to it.
    """
    result = dict(first)
    for key, value in second.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and not _of_another(old, value):
            result[key] = merged(old, value)
        else:
            result[key] = value
    return result


def _of_another(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return any(key in first and key in second and first[key] != second[key] for key in _TELLS_APART)


def _checked(path: Path, spec: ExperimentSpec, name: str) -> None:
    try:
        if train_spec(spec, name, seed=spec.seed).threshold.rule == "profile":
            raise SpecError(
                f"{path}: key threshold.rule of {name}: a profile's threshold is not chosen on coils",
                remedy="take f1, false_alarms or costs",
            )
    except ValidationError as error:
        place = f"models.{name}" if name in spec.models else f"sweep ({name})"
        raise SpecError(
            f"{path}: key {place}: {first_fault(error).sentence()}",
            remedy="correct it there or in base; the keys are those of a training specification",
        ) from error


def _one_threshold_rule(path: Path, spec: ExperimentSpec, name: str) -> None:
    ensemble = spec.ensembles[name]
    rules = {member: train_spec(spec, member, seed=spec.seed).threshold for member in ensemble.members}
    first, *others = rules
    unlike = [other for other in others if rules[other] != rules[first]]
    if unlike:
        raise SpecError(
            f"{path}: key ensembles.{name}: its threshold follows its members' rule, and {first} and {unlike[0]} have "
            "different ones",
            remedy="set threshold in base, or leave one of them out",
        )


def _place(content: object, fault: FirstFault) -> str:
    if fault.field:
        return f"key {fault.sentence()}"
    return f"key {fault.said}" if isinstance(content, dict) else f"the whole file: {fault.said}"


def _extended(path: Path, readers: tuple[Path, ...]) -> object:
    content = read_yaml(path)
    if not isinstance(content, dict) or "extends" not in content:
        return content
    other = content["extends"]
    own = {key: value for key, value in content.items() if key != "extends"}
    if not isinstance(other, str):
        raise SpecError(f"{path}: key extends: it names no file", remedy="give the path of a YAML file")
    if path.resolve() in readers:
        raise SpecError(f"{path}: key extends: it comes back to itself", remedy="extend a file that does not")
    below = _extended(path.parent / other, (*readers, path.resolve()))
    if not isinstance(below, dict):
        raise SpecError(f"{path}: key extends: {other} holds no keys", remedy="extend a specification")
    return merged(below, own)


def _unlike(place: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{place}: the name {name} is taken twice")
