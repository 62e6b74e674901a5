"""The two forms in which a two-dimensional network sees a coil, and its channels; all families share them."""

import torch
from torch.nn.functional import pad

from schemas.layout import MATRIX_COLUMNS, MATRIX_ROWS

SQUARE = 264  # rows and columns of the square form
_REPEATS = 15  # of each column, before the cut at 264
_FRAME_ROWS = (288 - MATRIX_ROWS) // 2
_FRAME_COLUMNS = (32 - MATRIX_COLUMNS) // 2


def framed(coils: torch.Tensor) -> torch.Tensor:
    """Coils float32 [N, C, 264, 18] in a frame of 0, which is in band: [N, C, 288, 32]."""
    return pad(coils, (_FRAME_COLUMNS, _FRAME_COLUMNS, _FRAME_ROWS, _FRAME_ROWS))


def squared(coils: torch.Tensor) -> torch.Tensor:
    """Coils float32 [N, C, 264, 18], each column repeated 15 times and cut at 264: [N, C, 264, 264] (FACTS section 2).

    The cut leaves 9 of the 15 repeats of the last column, so no reading is lost.
    """
    return coils.unsqueeze(4).expand(-1, -1, -1, -1, _REPEATS).flatten(3)[..., :SQUARE]


def three_channels(coils: torch.Tensor) -> torch.Tensor:
    """For networks of colour images: [N, 1, ...] is repeated to three, [N, 2, ...] gives matrix, matrix, spread."""
    if coils.shape[1] == 1:
        return coils.expand(-1, 3, -1, -1)
    return torch.cat([coils[:, :1], coils], dim=1)
