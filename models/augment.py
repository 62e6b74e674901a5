"""Random changes of training coils that keep spatial meaning (FACTS section 3)."""

import torch

from models.spec import Augmentation
from schemas.layout import FACES, SENSORS_PER_FACE

_GREY_STEPS = 255


def augment(matrix: torch.Tensor, how: Augmentation, *, grey: bool, generator: torch.Generator) -> torch.Tensor:
    """Change each coil at random.

    Args:
        matrix: float32 [N, 264, 18], not altered.
        how: which changes and how strong.
        grey: round to multiples of 1/255, as a `self` matrix is, and clip to [-1, 1].
        generator: CPU generator that all draws come from.

    Returns:
        float32 [N, 264, 18].
    """
    size, rows, _ = matrix.shape
    draw = torch.rand((size, 5), generator=generator).to(matrix.device)
    changed = _mirror(matrix, draw[:, :2] < how.mirror)
    changed = torch.where((draw[:, 2] < how.reverse)[:, None, None], changed.flip(1), changed)
    if how.shift_rows:
        moved = ((2 * draw[:, 3] - 1) * how.shift_rows).round().long()
        source = (torch.arange(rows, device=matrix.device)[None, :] + moved[:, None]).clamp(0, rows - 1)
        changed = changed.gather(1, source[:, :, None].expand_as(changed))
    if how.contrast:
        changed = changed * (1 + (2 * draw[:, 4] - 1) * how.contrast)[:, None, None]
    if how.offset:
        changed = changed + how.offset * torch.randn((size, 1, 1), generator=generator).to(matrix.device)
    if how.noise:
        changed = changed + how.noise * torch.randn(matrix.shape, generator=generator).to(matrix.device)
    return (changed.clamp(-1, 1) * _GREY_STEPS).round() / _GREY_STEPS if grey else changed


def _mirror(matrix: torch.Tensor, flipped: torch.Tensor) -> torch.Tensor:
    """Mirror the faces across the strip where `flipped` bool [N, 2] says so."""
    faces = []
    for face in range(len(FACES)):
        columns = matrix[:, :, face * SENSORS_PER_FACE : (face + 1) * SENSORS_PER_FACE]
        faces.append(torch.where(flipped[:, face, None, None], columns.flip(2), columns))
    return torch.cat(faces, dim=2)
