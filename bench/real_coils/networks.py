"""Networks trained on simulated coils alone, on any of three kinds of label, and what they say of coils."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, smooth_l1_loss

from bench.real_coils.coils import SimulatedCoils
from models.augment import augment
from models.data_spec import Augmentation
from models.network_spec import NetworkKind, NetworkOptions
from models.networks import Network, build
from models.networks.cnn import Cnn
from models.networks.steps import GaugeSteps
from models.training.scoring import log_odds
from schemas.coils import Float32Array, FloatArray

Target = Literal["hard", "soft", "badness"]
AUGMENT = Augmentation(mirror=0.5, noise=0.01, shift_rows=16, contrast=0.3, offset=0.03)  # of models/specs/4-*
_AUGMENT_STEPS = Augmentation(mirror=0.5, noise=0.0, shift_rows=16)  # what keeps the grid of grey levels
_JITTER = 0.15
_BATCH = 64
_VALIDATION_SHARE = 0.15
_ROWS_A_MEAN = 4  # real coils have some sixty rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A network, its labels, and how long it learns."""

    kind: NetworkKind | Literal["short10", "short10-g", "both10"]
    target: Target
    coils: int
    seeds: tuple[int, ...]
    epochs: int = 10
    learning_rate: float = 2e-3


class ShortCnn(Cnn):
    """The CNN of ten convolutions on 66 rows, means of four: of shares of the range, of steps, or of both.

    While training, the scale that is read off the grey levels is off by some 15%.
    """

    def __init__(self, form: Literal["shares", "steps", "both"]) -> None:
        super().__init__(10, NetworkOptions())
        self.form = form
        self.of_steps = GaugeSteps()
        pools = iter(((2, 1), (1, 2), (2, 1), (2, 2)))
        layers = [nn.AvgPool2d(next(pools)) if isinstance(m, nn.AvgPool2d) else m for m in self.maps.layers]
        if form == "both":
            layers[0] = nn.Conv2d(2, 8, 3, padding=1, bias=False)
        self.maps.layers = nn.Sequential(*layers)

    def features(self, coils: torch.Tensor) -> torch.Tensor:
        """As those of the CNN, float32 [N, 128]."""
        if self.form != "shares":
            steps = self.of_steps(coils)
            if self.training:
                steps = steps * torch.exp(_JITTER * torch.randn(len(steps), 1, 1, 1))
            coils = torch.cat([coils, steps], dim=1) if self.form == "both" else steps
        return super().features(avg_pool2d(coils, (_ROWS_A_MEAN, 1)))


def new_network(kind: str) -> Network:
    """A network with random weights from torch's global generator."""
    forms: dict[str, Literal["shares", "steps", "both"]]
    forms = {"short10": "shares", "short10-g": "steps", "both10": "both"}
    if kind in forms:
        return ShortCnn(forms[kind])
    return build(kind, NetworkOptions(dropout=0.4) if kind == "cnn1d" else NetworkOptions())  # type: ignore[arg-type]


def validation_of(count: int) -> "tuple[np.ndarray, np.ndarray]":
    """Places learnt from and places that stop and calibrate, the same for every network; the first coils are shared."""
    validates = np.random.default_rng(0).random(count) < _VALIDATION_SHARE
    return np.flatnonzero(~validates), np.flatnonzero(validates)


def learn(recipe: Recipe, coils: SimulatedCoils, *, seed: int, said: Callable[[str], None]) -> Network:
    """Train by Adam along a cosine; the network of the best validation loss is kept."""
    training, validation = validation_of(len(coils))
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    network = new_network(recipe.kind)
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    batches = len(training) // _BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.epochs * batches, pct_start=0.1
    )
    target = _targets(recipe.target, coils)
    loss_of = _loss(recipe.target, target[training])
    how = _AUGMENT_STEPS if recipe.kind in ("short10-g", "both10") else AUGMENT
    best, kept = np.inf, network.state_dict()
    for epoch in range(recipe.epochs):
        network.train()
        for places in _batches(training, generator):
            taken = torch.from_numpy(coils.matrix[places][:, None])
            changed = augment(taken, how, grey=True, generator=generator)
            optimiser.zero_grad()
            loss_of(network(changed), torch.from_numpy(target[places])).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        odds = torch.from_numpy(log_odds(network, coils.matrix[validation][:, None]))
        loss = float(loss_of(odds, torch.from_numpy(target[validation])))
        said(f"pass {epoch + 1}: validation loss {loss:.4f}")
        if loss < best:
            best, kept = loss, {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)
    return network.eval()


def said_of(network: Network, matrix: Float32Array) -> FloatArray:
    """Log-odds of NOK (or badness), float64 [N], of float32 [N, 264, 18]."""
    return log_odds(network, matrix[:, None])


def _targets(target: Target, coils: SimulatedCoils) -> Float32Array:
    given = {"hard": coils.is_nok, "soft": coils.soft, "badness": coils.badness}[target]
    return np.asarray(given, dtype=np.float32)


def _loss(target: Target, given: Float32Array) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Badness: smooth L1. Labels: cross-entropy in which NOK and OK weigh the same in all."""
    if target == "badness":
        return lambda said, badness: smooth_l1_loss(said, badness.to(said.dtype))
    share = float(given.mean())

    def entropy(odds: torch.Tensor, likely: torch.Tensor) -> torch.Tensor:
        likely = likely.to(odds.dtype)
        weight = likely * (0.5 / share) + (1 - likely) * (0.5 / (1 - share))
        # A coil in doubt asks for what its own share of NOK becomes under those weights.
        asked = likely * (0.5 / share) / weight
        return (weight * binary_cross_entropy_with_logits(odds, asked, reduction="none")).mean()

    return entropy


def _batches(places: "np.ndarray", generator: torch.Generator) -> "Iterator[np.ndarray]":
    order = places[torch.randperm(len(places), generator=generator).numpy()]
    for start in range(0, len(order) - _BATCH + 1, _BATCH):
        yield order[start : start + _BATCH]
