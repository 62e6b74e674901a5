"""A small generative adversarial network of convolutions (DCGAN: Radford et al. 2016) for coils of 264 × 18."""

import torch
from torch import nn
from torch.nn.functional import softplus
from torch.nn.utils.parametrizations import spectral_norm

_NOISE = 64
_MAPS = 32
_FROM = (33, 9)  # 264 × 18 halved three times along the coil and once across it
_LEARNING_RATE, _BETAS = 2e-4, (0.5, 0.999)  # of the paper
_BATCH = 32


class Generator(nn.Module):
    """Noise float32 [N, 64] to coils [N, C, 264, 18] in [-1, 1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.start = nn.Linear(_NOISE, 2 * _MAPS * _FROM[0] * _FROM[1])
        self.layers = nn.Sequential(
            nn.BatchNorm2d(2 * _MAPS), nn.ReLU(),
            nn.Upsample(scale_factor=(2, 2)), nn.Conv2d(2 * _MAPS, _MAPS, 3, padding=1),
            nn.BatchNorm2d(_MAPS), nn.ReLU(),
            nn.Upsample(scale_factor=(2, 1)), nn.Conv2d(_MAPS, _MAPS // 2, 3, padding=1),
            nn.BatchNorm2d(_MAPS // 2), nn.ReLU(),
            nn.Upsample(scale_factor=(2, 1)), nn.Conv2d(_MAPS // 2, channels, 3, padding=1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        """Coils, float32 [N, C, 264, 18]."""
        coils: torch.Tensor = self.layers(self.start(noise).unflatten(1, (2 * _MAPS, *_FROM)))
        return coils


def _critic(channels: int) -> nn.Module:
    """Log-odds that a coil is real; spectral norm keeps it from running away on few coils (Miyato et al. 2018)."""
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, _MAPS // 2, 4, stride=(2, 1), padding=1)), nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(_MAPS // 2, _MAPS, 4, stride=2, padding=1)), nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(_MAPS, 2 * _MAPS, 4, stride=2, padding=1)), nn.LeakyReLU(0.2),
        nn.AdaptiveAvgPool2d((3, 1)), nn.Flatten(), spectral_norm(nn.Linear(6 * _MAPS, 1)),
    )  # fmt: skip


def train_gan(coils: torch.Tensor, *, epochs: int, draws: torch.Generator) -> Generator:
    """Train a generator against a critic, one step each a batch, by the non-saturating loss (Goodfellow et al. 2014).

    Args:
        coils: float32 [N, C, 264, 18] in [-1, 1], on the device to train on.
        epochs: passes over the coils.
        draws: CPU generator of batches and noise; weights come from torch's global one.

    Returns:
        The generator in evaluation mode.
    """
    generator, critic = Generator(coils.shape[1]).to(coils.device), _critic(coils.shape[1]).to(coils.device)
    making = torch.optim.Adam(generator.parameters(), lr=_LEARNING_RATE, betas=_BETAS)
    judging = torch.optim.Adam(critic.parameters(), lr=_LEARNING_RATE, betas=_BETAS)
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(coils), generator=draws), _BATCH):
            if len(chosen) < 2:
                continue  # batch norm needs two
            made = generator(_noise(len(chosen), draws).to(coils.device))
            judging.zero_grad()
            loss = softplus(-critic(coils[chosen.to(coils.device)])).mean() + softplus(critic(made.detach())).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            judging.step()
            making.zero_grad()
            softplus(-critic(made)).mean().backward()  # type: ignore[no-untyped-call]
            making.step()
    return generator.eval()


@torch.no_grad()
def draw_gan(generator: Generator, count: int, *, draws: torch.Generator) -> torch.Tensor:
    """Made-up coils, float32 [count, C, 264, 18] in [-1, 1] on the CPU."""
    device = generator.start.weight.device
    return torch.cat([generator(noise.to(device)).cpu() for noise in torch.split(_noise(count, draws), _BATCH)])


def _noise(count: int, draws: torch.Generator) -> torch.Tensor:
    return torch.randn((count, _NOISE), generator=draws)
