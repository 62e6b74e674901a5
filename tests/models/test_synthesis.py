"""Promises of made-up NOK coils."""

import numpy as np
import pytest
import torch

from models.objectives_spec import Synthesis
from models.synthesis import synthesize
from models.synthesis.diffusion import STEPS, Denoiser, kept_shares
from models.training import class_weights, fit, log_odds
from models.training.calibration import cross_entropy, temperature
from models.training.fit import with_made_up
from schemas.coils import Float32Array
from schemas.errors import SpecError
from tests.models.coils import random_matrix
from tests.models.test_training_objectives import _coils, _spec

CPU = torch.device("cpu")


def _nok(n: int, channels: int = 1) -> Float32Array:
    """Coils with a thin stretch in the middle of the top face; the spread, where there is one, is small."""
    matrix = random_matrix(n) * np.float32(0.2)
    matrix[:, 100:160, 2:7] = -0.6
    spread = np.abs(random_matrix(n, seed=1)) * np.float32(0.05)
    return np.stack([matrix, spread][:channels], axis=1)


def _made(kind: str, *, channels: int = 1, grey: bool = False, seed: int = 0, epochs: int = 1) -> Float32Array:
    how = Synthesis.model_validate({"kind": kind, "coils": 4, "epochs": epochs})
    return synthesize(_nok(16, channels), how, grey=grey, seed=seed, device=CPU)


@pytest.mark.parametrize("kind", ["gan", "diffusion"])
@pytest.mark.parametrize("channels", [1, 2])
def test_made_up_coils_lie_within_what_real_ones_show(kind: str, channels: int) -> None:
    made, real = _made(kind, channels=channels), _nok(16, channels)
    assert made.shape == (4, channels, 264, 18)
    assert made.dtype == np.float32
    assert (np.abs(made).max(axis=(0, 2, 3)) <= np.abs(real).max(axis=(0, 2, 3)) + 1e-6).all()
    assert (made[:, 0] == 0).mean() == pytest.approx((real[:, 0] == 0).mean(), abs=0.01)
    assert (made[:, 1:] >= 0).all()


@pytest.mark.parametrize("kind", ["gan", "diffusion"])
def test_the_same_seed_makes_the_same_coils_and_touches_no_global_generator(kind: str) -> None:
    before = torch.get_rng_state()
    first, again, other = _made(kind), _made(kind), _made(kind, seed=1)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_made_up_grey_coils_are_grey() -> None:
    made = _made("diffusion", grey=True)
    np.testing.assert_allclose(np.rint(made * 255) / 255, made, atol=1e-6)


def test_diffusion_learns_where_the_defect_is() -> None:
    made = _made("diffusion", epochs=60)[:, 0]
    assert made[:, 110:150, 3:6].mean() < -0.3
    assert abs(made[:, 200:, 9:].mean()) < 0.1


def test_noise_grows_from_next_to_nothing_to_nearly_all() -> None:
    shares = kept_shares()
    assert shares.shape == (STEPS,)
    assert (shares[1:] < shares[:-1]).all()
    assert shares[0] > 0.99
    assert shares[-1] < 0.01


def test_folding_rows_keeps_every_cell_in_its_place() -> None:
    denoiser = Denoiser(2).eval()
    noisy = torch.zeros((1, 2, 264, 18))
    with torch.inference_mode():
        plain = denoiser(noisy, torch.zeros(1, dtype=torch.long))
        noisy[0, 0, 4, 0] = 100.0  # the first row of the second fold
        moved = (denoiser(noisy, torch.zeros(1, dtype=torch.long)) - plain).abs().sum(dim=(1, 3))[0]
    assert moved[:12].mean() > 10 * moved[200:].mean()


def test_made_up_coils_join_the_training_coils_only() -> None:
    training, how = _coils(16, 1), Synthesis(kind="gan", coils=8, epochs=1)
    spec = _spec(synthesis=how.model_dump())
    joined = with_made_up(spec, training, CPU)
    made = synthesize(training.coils[training.is_nok], how, grey=False, seed=spec.seed, device=CPU)
    np.testing.assert_array_equal(joined.coils, np.concatenate([training.coils, made]))
    np.testing.assert_array_equal(joined.is_nok, np.append(training.is_nok, np.ones(8, dtype=np.bool_)))
    assert with_made_up(_spec(), training, CPU) is training


def test_made_up_coils_do_not_change_what_validation_coils_weigh() -> None:
    training, validation = _coils(16, 1), _coils(24, 2)
    spec = _spec(epochs=1, synthesis={"kind": "gan", "coils": 64, "epochs": 1})
    trained = fit(spec, training, validation, on_epoch=lambda _: None)
    odds, weights = log_odds(trained.network, validation.coils), class_weights(spec, training.is_nok)
    assert trained.epochs[0].validation_loss == pytest.approx(cross_entropy(odds, validation.is_nok, weights), rel=1e-4)
    assert trained.temperature == temperature(odds, validation.is_nok, weights)


@pytest.mark.parametrize("kind", ["gan", "diffusion"])
def test_one_coil_is_too_few_to_learn_from(kind: str) -> None:
    how = Synthesis.model_validate({"kind": kind, "coils": 4, "epochs": 1})
    with pytest.raises(SpecError, match="two NOK coils at least, there is 1") as caught:
        synthesize(_nok(1), how, grey=False, seed=0, device=CPU)
    assert "key synthesis" in caught.value.remedy
