"""A plain training loop: Adam, class weights, early stopping, CUDA where there is one."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from models.augment import augment
from models.networks import Network, build
from models.objectives_spec import ClassWeights
from models.spec import TrainSpec
from schemas.coils import BoolArray, Float32Array, FloatArray

_EVALUATED_AT_ONCE = 256
_HOTTEST = 8.0  # largest temperature tried


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledCoils:
    """N coils on the scale of the model: `coils` float32 [N, C, 264, 18], as networks take them, and `is_nok` [N]."""

    coils: Float32Array
    is_nok: BoolArray

    def __len__(self) -> int:
        return len(self.is_nok)

    def take(self, index: np.ndarray) -> "LabelledCoils":
        """The coils at the given places."""
        return LabelledCoils(coils=self.coils[index], is_nok=self.is_nok[index])


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """What one pass over the training coils led to; losses are class-weighted means."""

    number: int  # from 1
    training_loss: float
    validation_loss: float
    best: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A network at its best epoch, on the CPU in evaluation mode, and how it got there."""

    network: Network
    epochs: tuple[Epoch, ...]
    temperature: float  # divides the log-odds


def fit(
    spec: TrainSpec, training: LabelledCoils, validation: LabelledCoils, *, on_epoch: Callable[[Epoch], None]
) -> Trained:
    """Train a network from random weights until its validation loss stops falling.

    The same specification and coils give the same weights on the same machine: all draws come from
    `spec.seed`, and torch's global generator is left as it was.

    Args:
        spec: network, loop and augmentation.
        training: at least two coils, both labels.
        validation: decides when to stop and the temperature; both labels.
        on_epoch: called after every pass.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights = class_weights(spec, training.is_nok)
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        network = build(spec.kind, spec.network).to(device)
        optimiser = torch.optim.Adam(network.parameters(), lr=spec.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, spec.epochs)
        generator = torch.Generator().manual_seed(spec.seed)
        epochs: list[Epoch] = []
        best, best_at, kept = float("inf"), 0, copy.deepcopy(network.state_dict())
        for number in range(1, spec.epochs + 1):
            batches = _batches(spec, training, generator, device)
            training_loss = _one_pass(network, optimiser, batches, weights)
            schedule.step()
            loss = _loss(log_odds(network, validation.coils), validation.is_nok, weights)
            if loss < best:
                best, best_at, kept = loss, number, copy.deepcopy(network.state_dict())
            epochs.append(
                Epoch(number=number, training_loss=training_loss, validation_loss=loss, best=best_at == number)
            )
            on_epoch(epochs[-1])
            if number - best_at >= spec.patience:
                break
    network.load_state_dict(kept)
    network.cpu().eval()
    temperature = _temperature(log_odds(network, validation.coils), validation.is_nok, weights)
    return Trained(network=network, epochs=tuple(epochs), temperature=temperature)


def class_weights(spec: TrainSpec, is_nok: BoolArray) -> ClassWeights:
    """Weights of the two labels in the loss; `balanced` gives both labels the same total weight."""
    if isinstance(spec.class_weight, ClassWeights):
        return spec.class_weight
    share = float(is_nok.mean())
    return ClassWeights(ok=0.5 / (1 - share), nok=0.5 / share)


def log_odds(network: nn.Module, coils: Float32Array) -> FloatArray:
    """Log-odds of NOK, float64 [N], of coils float32 [N, C, 264, 18]; the network is left in evaluation mode."""
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        parts = [
            network(torch.from_numpy(coils[start : start + _EVALUATED_AT_ONCE]).to(device)).cpu().numpy()
            for start in range(0, len(coils), _EVALUATED_AT_ONCE)
        ]
    return np.concatenate(parts).astype(np.float64)


def _batches(
    spec: TrainSpec, coils: LabelledCoils, generator: torch.Generator, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    order = torch.randperm(len(coils), generator=generator).numpy()
    for start in range(0, len(order) - len(order) % spec.batch or len(order), spec.batch):
        chosen = coils.take(order[start : start + spec.batch])
        taken = torch.from_numpy(chosen.coils).to(device)
        grey = spec.scale == "self"
        yield (
            augment(taken, spec.augment, grey=grey, generator=generator),
            torch.from_numpy(chosen.is_nok.astype(np.float32)).to(device),
        )


def _one_pass(
    network: Network,
    optimiser: torch.optim.Optimizer,
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]],
    weights: ClassWeights,
) -> float:
    network.train()
    losses = []
    for coils, is_nok in batches:
        optimiser.zero_grad()
        weight = torch.where(is_nok > 0, weights.nok, weights.ok)
        loss = binary_cross_entropy_with_logits(network(coils), is_nok, weight=weight)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


def _loss(odds: FloatArray, is_nok: BoolArray, weights: ClassWeights) -> float:
    """Class-weighted cross-entropy of log-odds [N]."""
    weight = np.where(is_nok, weights.nok, weights.ok)
    return float(np.average(np.logaddexp(0.0, np.where(is_nok, -odds, odds)), weights=weight))


def _temperature(odds: FloatArray, is_nok: BoolArray, weights: ClassWeights) -> float:
    """The temperature of least validation loss (Guo et al. 2017), by search over a grid."""
    grid = np.exp(np.linspace(-np.log(_HOTTEST), np.log(_HOTTEST), 201))
    return float(min(grid, key=lambda t: _loss(odds / t, is_nok, weights)))
