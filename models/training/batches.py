"""Batches of coils, drawn at random and augmented."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from models.augment import augment
from models.data_spec import Augmentation
from models.training.coils import LabelledCoils
from schemas.coils import Float32Array, IntArray

_LEAST_OF_A_LABEL = 2  # in a batch that must hold both: a pair of one label


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """How batches are drawn: everything random comes from the one generator."""

    size: int
    augment: Augmentation
    grey: bool  # of scale `self`
    generator: torch.Generator  # on the CPU
    device: torch.device

    def changed(self, coils: Float32Array) -> torch.Tensor:
        """Coils float32 [B, C, 264, 18] on the device, each changed at random."""
        taken = torch.from_numpy(coils).to(self.device)
        return augment(taken, self.augment, grey=self.grey, generator=self.generator)


Batch = tuple[torch.Tensor, torch.Tensor]  # coils float32 [B, C, 264, 18] and is_nok float32 [B], 1 where NOK


def shuffled(coils: LabelledCoils, drawing: Drawing) -> Iterator[Batch]:
    """Every coil once, in random order; a last batch that is not full is left out, unless it is the only one."""
    for chosen in orders(len(coils), drawing):
        yield _batch(coils.take(chosen), drawing)


def orders(coils: int, drawing: Drawing) -> Iterator[IntArray]:
    """Places of `coils` coils in random order, a batch at a time; what is left over is left out."""
    order = torch.randperm(coils, generator=drawing.generator).numpy()
    for start in range(0, len(order) - len(order) % drawing.size or len(order), drawing.size):
        yield order[start : start + drawing.size]


def with_both_labels(coils: LabelledCoils, drawing: Drawing, *, even: bool) -> Iterator[Batch]:
    """Batches that each hold at least two coils of each label; OK coils stand before NOK ones.

    Args:
        coils: both labels; a label too rare for all batches is gone through again, in another order.
        drawing: as for `shuffled`; a batch of fewer than four is one of four.
        even: half of each batch is NOK; else about as much as of the coils, but two coils of either label at least.
    """
    size, nok = batch_of_both(coils, drawing, even=even)
    batches = max(1, len(coils) // size)
    drawn_ok = _again_and_again(np.flatnonzero(~coils.is_nok), batches * (size - nok), drawing.generator)
    drawn_nok = _again_and_again(np.flatnonzero(coils.is_nok), batches * nok, drawing.generator)
    for of_ok, of_nok in zip(np.split(drawn_ok, batches), np.split(drawn_nok, batches), strict=True):
        yield _batch(coils.take(np.concatenate([of_ok, of_nok])), drawing)


def batch_of_both(coils: LabelledCoils, drawing: Drawing, *, even: bool) -> tuple[int, int]:
    """How many coils, and how many NOK ones among them, each batch of `with_both_labels` holds."""
    size = max(min(drawing.size, len(coils)), 2 * _LEAST_OF_A_LABEL)
    nok_share = 0.5 if even else float(coils.is_nok.mean())
    return size, min(max(round(size * nok_share), _LEAST_OF_A_LABEL), size - _LEAST_OF_A_LABEL)


def without_end(coils: Float32Array, drawing: Drawing) -> Iterator[torch.Tensor]:
    """Batches of coils without a label, for ever: every coil once, then again in another order."""
    while True:
        for chosen in orders(len(coils), drawing):
            yield drawing.changed(coils[chosen])


def _again_and_again(places: IntArray, count: int, generator: torch.Generator) -> IntArray:
    rounds = -(-count // len(places))
    orders_of = [places[torch.randperm(len(places), generator=generator).numpy()] for _ in range(rounds)]
    return np.concatenate(orders_of)[:count]


def _batch(chosen: LabelledCoils, drawing: Drawing) -> Batch:
    labels = torch.from_numpy(chosen.is_nok.astype(np.float32)).to(drawing.device)
    return drawing.changed(chosen.coils), labels
