"""Random changes of training coils that keep spatial meaning (FACTS section 3)."""

import math

import torch
from torch.nn.functional import grid_sample

from models.data_spec import Augmentation
from schemas.layout import FACES, MATRIX_COLUMNS, MATRIX_ROWS, SENSORS_PER_FACE

_GREY_STEPS = 255
_ROWS_A_COLUMN = MATRIX_ROWS / MATRIX_COLUMNS  # a column is so many rows wide where the picture of a coil is square


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
    if how.rotation_deg:
        turns = (2 * torch.rand((size, len(FACES)), generator=generator) - 1) * math.radians(how.rotation_deg)
        moved = _rotate(moved, turns.to(coils.device))
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


def _rotate(coils: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Turn each face about its middle, edge cells repeated, cells between by bilinear interpolation.

    Angles are those of the square picture of a coil, in which a column is 264/18 rows wide, as the study's were:
    5° moves the ends of a coil by less than a sensor and its edges by six rows. On the strip itself, hundreds of
    metres long and about one wide, no such turn exists.

    Args:
        coils: float32 [N, C, 264, 18].
        turns: radians, float32 [N, 2], of the top and the bottom face.
    """
    rows = torch.arange(MATRIX_ROWS, device=coils.device) - (MATRIX_ROWS - 1) / 2
    columns = (torch.arange(SENSORS_PER_FACE, device=coils.device) - (SENSORS_PER_FACE - 1) / 2) * _ROWS_A_COLUMN
    down, across = torch.meshgrid(rows, columns, indexing="ij")
    faces = []
    for face, turn in enumerate(turns.T):
        cos, sin = torch.cos(turn)[:, None, None], torch.sin(turn)[:, None, None]
        # Where each cell comes from, in rows from the middle, then in halves of the face as grid_sample has it.
        from_across, from_down = cos * across - sin * down, sin * across + cos * down
        places = torch.stack([from_across / columns[-1], from_down / rows[-1]], dim=3)
        part = coils[..., face * SENSORS_PER_FACE : (face + 1) * SENSORS_PER_FACE]
        faces.append(grid_sample(part, places, mode="bilinear", padding_mode="border", align_corners=True))
    return torch.cat(faces, dim=3)
