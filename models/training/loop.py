"""The loop that every objective is trained by: Adam, a cosine schedule, early stopping at the best epoch."""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from models.training.coils import Epoch, StageName
from schemas.errors import SpecError


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One objective, as the loop sees it: losses to lower, and a figure that says when to stop."""

    name: StageName
    losses: Callable[[], Iterator[torch.Tensor]]  # of one pass, one a batch; each is lowered before the next is asked
    validate: Callable[[], float]  # loss on validation coils; may leave the network in evaluation mode
    helpers: tuple[nn.Module, ...] = ()  # trained along and then left, as a projection
    epochs: int
    patience: int
    learning_rate: float


def run_stage(network: nn.Module, stage: Stage, *, on_epoch: Callable[[Epoch], None]) -> tuple[Epoch, ...]:
    """Train until the validation loss stops falling; the network is left at its best epoch.

    Only parameters that require a gradient are trained, by Adam (Kingma and Ba 2015) with the learning rate
    falling along a cosine to zero over `epochs` (Loshchilov and Hutter 2017).

    Args:
        network: trained in place.
        stage: what is lowered, for how long.
        on_epoch: called after every pass.

    Returns:
        Every pass, at most `stage.epochs`; the last `stage.patience` without a better validation loss where
        it stopped early.

    Raises:
        SpecError: no pass has a finite validation loss.
    """
    optimiser = torch.optim.Adam(_trainable((network, *stage.helpers)), lr=stage.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, stage.epochs)
    epochs: list[Epoch] = []
    best, best_at, kept = float("inf"), 0, copy.deepcopy(network.state_dict())
    for number in range(1, stage.epochs + 1):
        for module in (network, *stage.helpers):
            module.train()
        training_loss = _one_pass(optimiser, stage.losses())
        schedule.step()
        loss = stage.validate()
        if loss < best:
            best, best_at, kept = loss, number, copy.deepcopy(network.state_dict())
        epochs.append(
            Epoch(
                number=number,
                training_loss=training_loss,
                validation_loss=loss,
                best=best_at == number,
                stage=stage.name,
            )
        )
        on_epoch(epochs[-1])
        if number - best_at >= stage.patience:
            break
    if best_at == 0:
        raise SpecError(
            f"training diverged: the validation loss is finite after none of {len(epochs)} passes ({stage.name})",
            remedy=f"lower key learning_rate, which is {stage.learning_rate:g}",
        )
    network.load_state_dict(kept)
    return tuple(epochs)


def _trainable(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]


def _one_pass(optimiser: torch.optim.Optimizer, losses: Iterator[torch.Tensor]) -> float:
    seen = []
    for loss in losses:
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        seen.append(float(loss.detach()))
    return float(np.mean(seen))
