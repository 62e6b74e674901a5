"""Promises of the forms in which networks see a coil, and of the convolutional body that CNN and Siamese share."""

import numpy as np
import pytest
import torch
from torch import nn

from models.network_spec import CnnKind, NetworkOptions, SiameseKind
from models.networks import build
from models.networks.inputs import framed, squared, three_channels
from tests.models.coils import random_matrix


def _coils(channels: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([random_matrix(2, seed) for seed in range(channels)], axis=1))


def test_the_frame_is_in_band_and_the_coil_in_its_middle() -> None:
    image = framed(_coils(1))
    assert image.shape == (2, 1, 288, 32)
    assert torch.equal(image[:, :, 12:-12, 7:-7], _coils(1))
    assert image.abs().sum() == _coils(1).abs().sum()


def test_the_square_form_repeats_each_column_fifteen_times_and_is_cut_at_264() -> None:
    coils = _coils(2)
    expected = np.repeat(coils.numpy(), 15, axis=3)[..., :264]
    np.testing.assert_array_equal(squared(coils).numpy(), expected)


def test_three_channels_are_the_matrix_thrice_or_the_matrix_twice_and_the_spread() -> None:
    one, two = _coils(1), _coils(2)
    assert torch.equal(three_channels(one), torch.cat([one, one, one], dim=1))
    assert torch.equal(three_channels(two), torch.cat([two[:, :1], two[:, :1], two[:, 1:]], dim=1))


@pytest.mark.parametrize("depth", range(3, 11))
@pytest.mark.parametrize("family", ["cnn", "siamese"])
def test_a_kind_has_as_many_convolutions_as_it_says(family: str, depth: int) -> None:
    kind: CnnKind | SiameseKind = f"{family}{depth}"  # type: ignore[assignment]
    convolutions = [m for m in build(kind, NetworkOptions()).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == depth
    assert all(one.kernel_size == (3, 3) for one in convolutions)


def test_norm_pooling_and_dropout_are_what_the_options_say() -> None:
    def parts(**options: object) -> set[type[nn.Module]]:
        return {type(m) for m in build("cnn6", NetworkOptions.model_validate(options)).modules()}

    assert {nn.BatchNorm2d, nn.AvgPool2d} <= parts()
    assert {nn.GroupNorm, nn.MaxPool2d} <= parts(norm="layer", pooling="max")
    assert not {nn.BatchNorm2d, nn.AvgPool2d} & parts(norm="layer", pooling="max")
    dropouts = [m.p for m in build("cnn6", NetworkOptions(dropout=0.5)).modules() if isinstance(m, nn.Dropout)]
    assert dropouts == [0.5]


def test_the_default_cnn_of_ten_keeps_its_structure() -> None:
    network = build("cnn10", NetworkOptions())
    widths = [(m.in_channels, m.out_channels) for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [(1, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32), (32, 48), (48, 48), (48, 64), (64, 64)]
    pools = [m.kernel_size for m in network.modules() if isinstance(m, nn.AvgPool2d)]
    assert pools == [(2, 1), (2, 2), (2, 1), (2, 2)]
    assert sum(p.numel() for p in network.parameters()) == 117_801


def test_the_vision_transformer_is_compact_and_its_patches_keep_the_faces_apart() -> None:
    network = build("vit", NetworkOptions())
    assert sum(p.numel() for p in network.parameters()) < 1_000_000
    (patches,) = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert patches.kernel_size == patches.stride == (12, 9)
