"""NOK matrices made by a generator that is trained on the training coils' own."""

import torch

from models.objectives_spec import Synthesis
from models.synthesis.diffusion import draw_diffusion, train_diffusion
from models.synthesis.form import sizes_of, to_coils, to_form
from models.synthesis.gan import draw_gan, train_gan
from schemas.coils import Float32Array
from schemas.errors import SpecError

_LEAST_COILS = 2


def synthesize(coils: Float32Array, how: Synthesis, *, grey: bool, seed: int, device: torch.device) -> Float32Array:
    """Train a generator on coils of one label and draw new ones from it.

    Args:
        coils: the training coils of that label, NOK, float32 [N, C, 264, 18], two at least.
        how: which generator, how many coils, how many passes.
        grey: coils are on scale `self`, in multiples of 1/255.
        seed: of weights, batches and noise; the same seed and coils give the same coils on the CPU of one machine.
        device: to train on.

    Returns:
        Float32 [how.coils, C, 264, 18], within the range of the given coils and with their share of cells in band.

    Raises:
        SpecError: fewer than two coils, between which nothing can vary.
    """
    if len(coils) < _LEAST_COILS:
        raise SpecError(
            f"a generator learns from two NOK coils at least, there is {len(coils)}",
            remedy="give more NOK coils to train on, or leave out key synthesis",
        )
    sizes = sizes_of(coils)
    real = to_form(coils, sizes).to(device)
    draws = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(), torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        torch.manual_seed(seed)
        if how.kind == "gan":
            made = draw_gan(train_gan(real, epochs=how.epochs, draws=draws), how.coils, draws=draws)
        else:
            made = draw_diffusion(train_diffusion(real, epochs=how.epochs, draws=draws), how.coils, draws=draws)
    return to_coils(made, coils, sizes, grey=grey)
