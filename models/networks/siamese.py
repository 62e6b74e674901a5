"""Siamese networks: a coil is NOK where it resembles NOK references more than OK ones (Koch et al. 2015)."""

import torch
from torch import nn
from torch.nn.functional import normalize

from models.network_spec import NetworkOptions
from models.networks.contract import Network, channels_of
from models.networks.convolutions import ConvolutionalBody, input_form

EMBEDDING = 64  # values of an embedding
_SCALE = 10.0  # of a difference of similarities, which lies in [-2, 2], until it is calibrated


class ReferenceHead(nn.Module):
    """Maps embeddings float32 [N, D] to log-odds of NOK [N, 1] by their mean similarity to references of each class.

    Until references are set they are zero, and every coil has log-odds of `bias`.
    """

    references_ok: torch.Tensor  # float32 [R, D], unit norm
    references_nok: torch.Tensor
    scale: torch.Tensor  # float32 [1]
    bias: torch.Tensor  # float32 [1]

    def __init__(self, references: int) -> None:
        super().__init__()
        self.register_buffer("references_ok", torch.zeros(references, EMBEDDING))
        self.register_buffer("references_nok", torch.zeros(references, EMBEDDING))
        self.register_buffer("scale", torch.full((1,), _SCALE))
        self.register_buffer("bias", torch.zeros(1))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """`scale` × (mean similarity to NOK − mean similarity to OK) + `bias`."""
        nok = (embeddings @ self.references_nok.T).mean(dim=1, keepdim=True)
        ok = (embeddings @ self.references_ok.T).mean(dim=1, keepdim=True)
        return self.scale * (nok - ok) + self.bias


class Siamese(Network):
    """An encoder from scratch; its features are unit vectors, so that their product is the cosine similarity."""

    head: ReferenceHead

    def __init__(self, convolutions: int, options: NetworkOptions) -> None:
        super().__init__()
        self.channels = channels_of(options)
        self.input_form = input_form(options.input)
        self.encoder = nn.Sequential(
            ConvolutionalBody(
                convolutions, channels=self.channels, form=options.input, norm=options.norm, pooling=options.pooling
            ),
            nn.Dropout(options.dropout),
            nn.Linear(ConvolutionalBody.width, EMBEDDING),
        )
        self.head = ReferenceHead(options.references)

    @property
    def references_ok(self) -> torch.Tensor:
        """Unit vectors that stand for OK, float32 [R, D]."""
        return self.head.references_ok

    @property
    def references_nok(self) -> torch.Tensor:
        """Unit vectors that stand for NOK, float32 [R, D]."""
        return self.head.references_nok

    @property
    def scale(self) -> torch.Tensor:
        """Log-odds of one unit of similarity, float32 [1]; filled in place to calibrate."""
        return self.head.scale

    @property
    def bias(self) -> torch.Tensor:
        """Log-odds of a coil as similar to OK as to NOK, float32 [1]; filled in place to calibrate."""
        return self.head.bias

    def features(self, coils: torch.Tensor) -> torch.Tensor:
        """Embeddings of unit norm, float32 [N, 64]."""
        return normalize(self.encoder(coils), dim=1)

    def refer_to(self, ok: torch.Tensor, nok: torch.Tensor) -> None:
        """Set the references; they are brought to unit norm, which centres of unit vectors have lost.

        Args:
            ok: float32 [R, D], R as in `references` of the options.
            nok: float32 [R, D].

        Raises:
            ValueError: another shape than [R, D].
        """
        for name, kept, given in (("ok", self.references_ok, ok), ("nok", self.references_nok, nok)):
            if given.shape != kept.shape:
                raise ValueError(f"references {name} are {tuple(given.shape)}, expected {tuple(kept.shape)}")
            kept.copy_(normalize(given.detach().to(kept), dim=1))
