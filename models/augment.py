"""Random changes of training coils that keep spatial meaning (FACTS section 3)."""

import torch

from models.data_spec import Augmentation
from schemas.layout import FACES, SENSORS_PER_FACE

_GREY_STEPS = 255


def augment(coils: torch.Tensor, how: Augmentation, *, grey: bool, generator: torch.Generator) -> torch.Tensor:
    """Change each coil at random.

    Args:
        coils: float32 [N, C, 264, 18], not altered; what changes readings changes channel 0, the matrix, alone.
        how: which changes and how strong.
        grey: round to multiples of 1/255, as a `self` matrix is, and clip to [-1, 1].
        generator: CPU generator that all draws come from.

    Returns:
        float32 [N, C, 264, 18].
    """
    size, _, rows, _ = coils.shape
    draw = torch.rand((size, 5), generator=generator).to(coils.device)
    moved = _mirror(coils, draw[:, :2] < how.mirror)
    moved = torch.where((draw[:, 2] < how.reverse)[:, None, None, None], moved.flip(2), moved)
    if how.shift_rows:
        by = ((2 * draw[:, 3] - 1) * how.shift_rows).round().long()
        source = (torch.arange(rows, device=coils.device)[None, :] + by[:, None]).clamp(0, rows - 1)
        moved = moved.gather(2, source[:, None, :, None].expand_as(moved))
    matrix = moved[:, 0]
    if how.contrast:
        matrix = matrix * (1 + (2 * draw[:, 4] - 1) * how.contrast)[:, None, None]
    if how.offset:
        matrix = matrix + how.offset * torch.randn((size, 1, 1), generator=generator).to(coils.device)
    if how.noise:
        matrix = matrix + how.noise * torch.randn(matrix.shape, generator=generator).to(coils.device)
    if grey:
        matrix = (matrix.clamp(-1, 1) * _GREY_STEPS).round() / _GREY_STEPS
    return torch.cat([matrix.unsqueeze(1), moved[:, 1:]], dim=1)


def _mirror(coils: torch.Tensor, flipped: torch.Tensor) -> torch.Tensor:
    """Mirror the faces across the strip where `flipped` bool [N, 2] says so."""
    faces = []
    for face in range(len(FACES)):
        columns = coils[..., face * SENSORS_PER_FACE : (face + 1) * SENSORS_PER_FACE]
        faces.append(torch.where(flipped[:, face, None, None, None], columns.flip(3), columns))
    return torch.cat(faces, dim=3)
