"""A compact vision transformer (Dosovitskiy et al. 2021) whose patches keep the faces apart."""

import torch
from torch import nn
from torchvision.models.vision_transformer import Encoder

from models.network_spec import NetworkOptions
from models.networks.contract import Network, channels_of
from models.networks.inputs import SQUARE, squared
from schemas.layout import MATRIX_COLUMNS, MATRIX_ROWS, SENSORS_PER_FACE

_NATIVE_PATCH = (12, SENSORS_PER_FACE)  # rows × columns: 22 × 2 patches, each of one face
_SQUARE_PATCH = (24, 24)  # 11 × 11 patches
_WIDTH = 128
_LAYERS = 4
_HEADS = 4
_MLP = 256


class VisionTransformer(Network):
    """Patches of the coil through four layers of torchvision's encoder; the mean of the patches is the coil.

    torchvision's own model takes square images only, its encoder any sequence. About 0.6 million parameters.
    """

    def __init__(self, options: NetworkOptions) -> None:
        super().__init__()
        self.channels = channels_of(options)
        self.square = options.input == "square"
        self.input_form = "square_264x264" if self.square else "native_264x18"
        patch = _SQUARE_PATCH if self.square else _NATIVE_PATCH
        rows, columns = (SQUARE, SQUARE) if self.square else (MATRIX_ROWS, MATRIX_COLUMNS)
        self.patches = nn.Conv2d(self.channels, _WIDTH, patch, stride=patch)
        self.encoder = Encoder(
            seq_length=(rows // patch[0]) * (columns // patch[1]),
            num_layers=_LAYERS,
            num_heads=_HEADS,
            hidden_dim=_WIDTH,
            mlp_dim=_MLP,
            dropout=options.dropout,
            attention_dropout=0.0,
        )
        self.head = nn.Linear(_WIDTH, 1)

    def features(self, coils: torch.Tensor) -> torch.Tensor:
        """The mean of the encoded patches, float32 [N, 128]."""
        patches = self.patches(squared(coils) if self.square else coils)
        encoded: torch.Tensor = self.encoder(patches.flatten(2).transpose(1, 2)).mean(dim=1)
        return encoded
