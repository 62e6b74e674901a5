"""What is trained on simulated coils alone: trained once, its words on real and simulated coils kept on disk."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.real_coils.coils import RealCoils, SimulatedCoils
from bench.real_coils.networks import Recipe, learn, new_network, said_of, validation_of
from bench.real_coils.statistics import windows, windows_in_steps
from bench.real_coils.views import ALL, SETS, seen
from models.network_spec import NetworkKind, NetworkOptions
from models.networks import Network, build
from models.networks.steps_rule import StepsRule
from schemas.coils import Float32Array, FloatArray

FEW, MANY = 4500, 13500
_SEEDS = (4, 5, 6, 7)
RECIPES: Mapping[str, Recipe] = {
    "cnn10-soft": Recipe(kind="cnn10", target="soft", coils=FEW, seeds=_SEEDS),
    "short-soft": Recipe(kind="short10", target="soft", coils=FEW, seeds=_SEEDS),
    "short-g-soft": Recipe(kind="short10-g", target="soft", coils=FEW, seeds=_SEEDS),
    "both-soft": Recipe(kind="both10", target="soft", coils=FEW, seeds=_SEEDS),
    "both": Recipe(kind="both10", target="hard", coils=FEW, seeds=_SEEDS),
    "cnn10": Recipe(kind="cnn10", target="hard", coils=FEW, seeds=_SEEDS[:2]),
    "cnn1d-soft": Recipe(kind="cnn1d", target="soft", coils=FEW, seeds=_SEEDS[:2], learning_rate=1e-3),
    "cnn10-badness": Recipe(kind="cnn10", target="badness", coils=FEW, seeds=_SEEDS),
    "yolov8n-soft": Recipe(kind="yolov8n-cls", target="soft", coils=FEW, seeds=_SEEDS[:2], learning_rate=1e-3),
}
ON_WINDOWS = ("windows-lr", "windows-g-lr")
RULE: NetworkKind = "rule-in-steps"


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """Log-odds by one approach: of real coils [seeds, views, N], of simulated validation coils [seeds, views, M].

    Only the views of `mirrors and swap` are asked of simulated coils; the others are NaN.
    """

    real: FloatArray
    validation: FloatArray


def said_by(name: str, folder: Path, real: RealCoils, coils: SimulatedCoils, *, log: Callable[[str], None]) -> Said:
    """What an approach says; what was trained before is read."""
    place = folder / f"{name}.npz"
    if not place.exists():
        if name == RULE:
            words = _by_rule(real, coils)
        elif name in ON_WINDOWS:
            words = _by_windows(name, real, coils)
        else:
            words = _by_networks(name, folder, real, coils, log)
        sink = io.BytesIO()
        np.savez(sink, real=words.real, validation=words.validation)
        place.write_bytes(sink.getvalue())
    with np.load(place) as kept:
        return Said(real=kept["real"], validation=kept["validation"])


def kept_network(name: str, seed: int, folder: Path) -> Network:
    """A network that `said_by` trained."""
    network = new_network(RECIPES[name].kind)
    network.load_state_dict(safetensors.torch.load((folder / f"{name}-{seed}.safetensors").read_bytes()))
    return network.eval()


def _by_networks(name: str, folder: Path, real: RealCoils, coils: SimulatedCoils, log: Callable[[str], None]) -> Said:
    recipe, said = RECIPES[name], []
    for seed in recipe.seeds:
        place = folder / f"{name}-{seed}.safetensors"
        if not place.exists():
            network = learn(
                recipe,
                coils.take(slice(0, recipe.coils)),
                seed=seed,
                said=partial(_with_name, log, f"{name} {seed}"),
            )
            place.write_bytes(safetensors.torch.save(_contiguous(network)))
        network = kept_network(name, seed, folder)
        said.append(asked_of(partial(said_of, network), real, coils))
    return of_seeds(said)


def _with_name(log: Callable[[str], None], name: str, line: str) -> None:
    log(f"{name}: {line}")


def _by_rule(real: RealCoils, coils: SimulatedCoils) -> Said:
    training, _ = validation_of(FEW)
    network = build(RULE, NetworkOptions()).eval()
    if not isinstance(network, StepsRule):
        raise TypeError("the rule in steps is another network")
    network.learn(coils.matrix[training][:, None], coils.is_nok[training])
    return of_seeds([asked_of(partial(said_of, network), real, coils)])


def _by_windows(name: str, real: RealCoils, coils: SimulatedCoils) -> Said:
    training, _ = validation_of(FEW)
    numbers = windows_in_steps if "-g-" in name else windows
    found, soft = numbers(coils.matrix[training]), coils.soft[training]
    balanced = np.concatenate([1 - soft, soft]) * np.repeat([0.5 / (1 - soft.mean()), 0.5 / soft.mean()], len(soft))
    twice, labels = np.concatenate([found, found]), np.repeat([0, 1], len(soft))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    model.fit(twice, labels, logisticregression__sample_weight=balanced)

    def odds(matrix: Float32Array) -> FloatArray:
        found: FloatArray = model.decision_function(numbers(matrix))
        return found

    return of_seeds([asked_of(odds, real, coils)])


def asked_of(odds: Callable[[Float32Array], FloatArray], real: RealCoils, coils: SimulatedCoils) -> Said:
    """What one model says of the real coils and of the validation coils, view by view."""
    _, validation = validation_of(len(coils))
    of_real = np.stack([odds(seen(real.matrix, view)) for view in ALL])
    of_validation = np.full((len(ALL), len(validation)), np.nan)
    for view in SETS["mirrors and swap"]:
        of_validation[ALL.index(view)] = odds(seen(coils.matrix[validation], view))
    return Said(real=of_real, validation=of_validation)


def of_seeds(said: list[Said]) -> Said:
    """Several seeds of one approach."""
    return Said(real=np.stack([one.real for one in said]), validation=np.stack([one.validation for one in said]))


def _contiguous(network: Network) -> dict[str, torch.Tensor]:
    return {name: value.contiguous() for name, value in network.state_dict().items()}
