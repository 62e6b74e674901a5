"""A small denoising diffusion model (Ho et al. 2020) of few steps for coils of 264 × 18."""

import math

import torch
from torch import nn
from torch.nn.functional import mse_loss, silu

from schemas.layout import MATRIX_SHAPE

STEPS = 50
_FOLD = 4  # rows folded into channels: 264 × 18 becomes 66 × 18, which is a quarter of the work
_MAPS = 32
_LEARNING_RATE = 2e-3
_BATCH = 32
_DRAWN_AT_ONCE = 128


class Denoiser(nn.Module):
    """The clean coil in a noisy one: an encoder and a decoder with a shortcut between (Ronneberger et al. 2015)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.step = nn.Embedding(STEPS, 2 * _MAPS)
        self.enter = nn.Conv2d(channels * _FOLD, _MAPS, 3, padding=1)
        self.down = nn.Conv2d(_MAPS, 2 * _MAPS, 3, stride=2, padding=1)
        self.wide = nn.ModuleList(nn.Conv2d(2 * _MAPS, 2 * _MAPS, 3, padding=d, dilation=d) for d in (1, 4, 8))
        self.norms = nn.ModuleList(nn.GroupNorm(8, 2 * _MAPS) for _ in self.wide)
        self.up = nn.Upsample(scale_factor=2)
        self.join = nn.Conv2d(3 * _MAPS, _MAPS, 3, padding=1)
        self.leave = nn.Conv2d(_MAPS, channels * _FOLD, 3, padding=1)

    def forward(self, noisy: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """The clean coils, float32 [N, C, 264, 18], of noisy ones at the given steps, int64 [N]."""
        size, channels, rows, columns = noisy.shape
        folded = noisy.reshape(size, channels, rows // _FOLD, _FOLD, columns).transpose(2, 3).flatten(1, 2)
        first = silu(self.enter(folded))
        maps = self.down(first) + self.step(step)[:, :, None, None]
        for convolution, norm in zip(self.wide, self.norms, strict=True):
            maps = maps + convolution(silu(norm(maps)))
        found: torch.Tensor = self.leave(silu(self.join(torch.cat([first, self.up(maps)], dim=1))))
        unfolded = found.reshape(size, channels, _FOLD, rows // _FOLD, columns).transpose(2, 3)
        return unfolded.reshape(size, channels, rows, columns)


def kept_shares() -> torch.Tensor:
    """Share of the coil's variance that is left at each step, float32 [50], by a cosine (Nichol and Dhariwal 2021)."""
    at = torch.arange(STEPS + 1) / STEPS
    curve = torch.cos((at + 0.008) / 1.008 * math.pi / 2) ** 2
    return (curve[1:] / curve[0]).clamp(1e-4, 0.9999)


def train_diffusion(coils: torch.Tensor, *, epochs: int, draws: torch.Generator) -> Denoiser:
    """Train a denoiser on coils with noise of a random step added.

    It learns the clean coil rather than the noise (Salimans and Ho 2022, section 4), which suits few steps.

    Args:
        coils: float32 [N, C, 264, 18] in [-1, 1], on the device to train on.
        epochs: passes over the coils.
        draws: CPU generator of batches, steps and noise; weights come from torch's global one.

    Returns:
        The denoiser in evaluation mode.
    """
    denoiser, kept = Denoiser(coils.shape[1]).to(coils.device), kept_shares().to(coils.device)
    optimiser = torch.optim.Adam(denoiser.parameters(), lr=_LEARNING_RATE)
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(coils), generator=draws), _BATCH):
            clean = coils[chosen.to(coils.device)]
            step = torch.randint(STEPS, (len(chosen),), generator=draws).to(coils.device)
            noise = torch.randn(clean.shape, generator=draws).to(coils.device)
            share = kept[step][:, None, None, None]
            optimiser.zero_grad()
            found = denoiser(share.sqrt() * clean + (1 - share).sqrt() * noise, step)
            mse_loss(found, clean).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return denoiser.eval()


@torch.no_grad()
def draw_diffusion(denoiser: Denoiser, count: int, *, draws: torch.Generator) -> torch.Tensor:
    """Made-up coils, float32 [count, C, 264, 18] in [-1, 1] on the CPU, by all steps back from noise."""
    parts = [min(_DRAWN_AT_ONCE, count - start) for start in range(0, count, _DRAWN_AT_ONCE)]
    return torch.cat([_from_noise(denoiser, part, draws) for part in parts])


def _from_noise(denoiser: Denoiser, count: int, draws: torch.Generator) -> torch.Tensor:
    device, kept = denoiser.enter.weight.device, kept_shares()
    shape = (count, denoiser.enter.in_channels // _FOLD, *MATRIX_SHAPE)
    coils = torch.randn(shape, generator=draws).to(device)
    for step in range(STEPS - 1, 0, -1):
        clean = _clean(denoiser, coils, step)
        now, before = float(kept[step]), float(kept[step - 1])
        # Mean and variance of the step before, given this one and the clean coil (Ho et al. 2020, eq. 7).
        of_clean = math.sqrt(before) * (1 - now / before) / (1 - now)
        of_noisy = math.sqrt(now / before) * (1 - before) / (1 - now)
        spread = math.sqrt((1 - before) / (1 - now) * (1 - now / before))
        noise = torch.randn(shape, generator=draws).to(device)
        coils = of_clean * clean + of_noisy * coils + spread * noise
    return _clean(denoiser, coils, 0).cpu()


def _clean(denoiser: Denoiser, noisy: torch.Tensor, step: int) -> torch.Tensor:
    found: torch.Tensor = denoiser(noisy, torch.full((len(noisy),), step, device=noisy.device))
    return found.clamp(-1, 1)
