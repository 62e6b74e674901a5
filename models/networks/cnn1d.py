"""The pilot's 1-D CNN over 264 × 18 (FACTS section 4)."""

import torch
from torch import nn

from models.network_spec import NetworkOptions
from models.networks.contract import Network, channels_of
from schemas.layout import MATRIX_COLUMNS

_FLAT = 32 * 98  # 264 rows: 245 and 226 after kernels of 20, pooled to 113, then 108, 103, 98 after kernels of 6


class PilotCnn(Network):
    """Conv 20/32 twice, average pool, conv 6/32 three times, dense 296-148-74; the pilot's dropout is 0.4.

    The rows are the sequence and the 18 sensors its channels. Where the pool stands and that it halves is not
    written down in the pilot's documents; between the two kinds of convolution is our reading.
    """

    input_form = "sequence_264x18"

    def __init__(self, options: NetworkOptions) -> None:
        super().__init__()
        self.channels = channels_of(options)
        self.convolutions = nn.Sequential(
            nn.Conv1d(self.channels * MATRIX_COLUMNS, 32, 20), nn.ReLU(),
            nn.Conv1d(32, 32, 20), nn.ReLU(),
            nn.AvgPool1d(2),
            nn.Conv1d(32, 32, 6), nn.ReLU(),
            nn.Conv1d(32, 32, 6), nn.ReLU(),
            nn.Conv1d(32, 32, 6), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
        self.dense = nn.Sequential(
            nn.Linear(_FLAT, 296), nn.ReLU(), nn.Dropout(options.dropout),
            nn.Linear(296, 148), nn.ReLU(), nn.Dropout(options.dropout),
            nn.Linear(148, 74), nn.ReLU(), nn.Dropout(options.dropout),
        )  # fmt: skip
        self.head = nn.Linear(74, 1)

    def features(self, coils: torch.Tensor) -> torch.Tensor:
        """Outputs of the last hidden layer, float32 [N, 74]."""
        sequence = coils.transpose(2, 3).flatten(1, 2)
        found: torch.Tensor = self.dense(self.convolutions(sequence))
        return found
