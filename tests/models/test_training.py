"""Promises of the training loop and of its augmentation."""

import numpy as np
import pytest
import torch

from models.augment import augment
from models.data_spec import Augmentation, DataSpec, SimulatedData
from models.objectives_spec import ClassWeights
from models.spec import TrainSpec
from models.training import Epoch, LabelledCoils, Trained, class_weights, fit, log_odds
from models.training.calibration import temperature
from tests.models.coils import random_matrix

NOTHING = Augmentation(mirror=0, reverse=0, noise=0, shift_rows=0, contrast=0, offset=0)


def _spec(**changes: object) -> TrainSpec:
    data = DataSpec(simulate=SimulatedData(coils=100, seed=0))
    spec = TrainSpec(name="t", kind="cnn5", data=data, epochs=3, batch=16, learning_rate=0.003, seed=5)
    return spec.model_copy(update=changes)


def _coils(n: int, seed: int) -> LabelledCoils:
    """Coils that are NOK where a stretch of one face is thin."""
    matrix = random_matrix(n, seed) * np.float32(0.2)
    is_nok = np.random.default_rng(seed).random(n) < 0.4
    matrix[is_nok, 100:160, 2:7] = -0.8
    return LabelledCoils(coils=matrix[:, None], is_nok=is_nok)


def _fit(spec: TrainSpec, seen: list[Epoch] | None = None) -> Trained:
    return fit(spec, _coils(64, 1), _coils(32, 2), on_epoch=([] if seen is None else seen).append)


def test_the_same_specification_gives_the_same_weights() -> None:
    first, second = _fit(_spec(epochs=2)), _fit(_spec(epochs=2))
    torch.testing.assert_close(first.network.state_dict(), second.network.state_dict(), rtol=0, atol=0)
    other = _fit(_spec(epochs=2, seed=6))
    assert not torch.equal(first.network.state_dict()["head.weight"], other.network.state_dict()["head.weight"])


def test_torchs_global_generator_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    _fit(_spec(epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_plain_defect_is_learnt() -> None:
    seen: list[Epoch] = []
    fit(_spec(epochs=6, batch=8), _coils(96, 1), _coils(32, 2), on_epoch=seen.append)
    assert min(epoch.validation_loss for epoch in seen) < 0.3 < seen[0].validation_loss


def test_training_stops_when_the_validation_loss_no_longer_falls_and_keeps_the_best() -> None:
    seen: list[Epoch] = []
    validation = _coils(32, 2)
    reversed_labels = LabelledCoils(coils=validation.coils, is_nok=~validation.is_nok)
    spec = _spec(kind="cnn1d", epochs=50, patience=2, class_weight=ClassWeights(ok=1, nok=1))
    trained = fit(spec, _coils(64, 1), reversed_labels, on_epoch=seen.append)
    assert trained.epochs == tuple(seen)
    best = max(epoch.number for epoch in seen if epoch.best)
    assert len(seen) == best + 2 < 50
    odds = log_odds(trained.network, validation.coils)
    loss = np.mean(np.logaddexp(0, np.where(reversed_labels.is_nok, -odds, odds)))
    assert loss == pytest.approx(seen[best - 1].validation_loss, rel=1e-4)


def test_balanced_weights_give_both_labels_the_same_total() -> None:
    is_nok = np.arange(100) < 20
    weights = class_weights(_spec(), is_nok)
    assert weights.nok * 20 == pytest.approx(weights.ok * 80)
    assert class_weights(_spec(class_weight=ClassWeights(ok=1, nok=5)), is_nok) == ClassWeights(ok=1, nok=5)


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_log_odds_too_sure_is_found_again(true: float) -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, 20_000)
    is_nok = rng.random(20_000) < 1 / (1 + np.exp(-honest))
    assert temperature(honest * true, is_nok, ClassWeights(ok=1, nok=1)) == pytest.approx(true, rel=0.05)


def test_log_odds_that_say_nothing_are_cooled_as_far_as_the_grid_goes() -> None:
    is_nok = np.arange(1000) % 2 == 0
    assert temperature(np.random.default_rng(0).normal(0, 9, 1000), is_nok, ClassWeights(ok=1, nok=1)) > 7.9


def _augmented(how: Augmentation, *, grey: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    matrix = torch.from_numpy(random_matrix(32))
    changed = augment(matrix[:, None], how, grey=grey, generator=torch.Generator().manual_seed(1))
    return matrix, changed[:, 0]


def test_no_augmentation_changes_nothing() -> None:
    matrix, changed = _augmented(NOTHING)
    assert torch.equal(matrix, changed)


def test_a_mirrored_face_keeps_its_own_columns() -> None:
    matrix, changed = _augmented(NOTHING.model_copy(update={"mirror": 1.0}))
    assert torch.equal(changed[:, :, :9], matrix[:, :, :9].flip(2))
    assert torch.equal(changed[:, :, 9:], matrix[:, :, 9:].flip(2))


def test_reversal_turns_the_coil_end_for_end() -> None:
    matrix, changed = _augmented(NOTHING.model_copy(update={"reverse": 1.0}))
    assert torch.equal(changed, matrix.flip(1))


def test_a_shift_moves_all_sensors_alike_and_repeats_the_end() -> None:
    matrix, changed = _augmented(NOTHING.model_copy(update={"shift_rows": 10}))
    for before, after in zip(matrix, changed, strict=True):
        rows = [before[torch.arange(264).add(k).clamp(0, 263)] for k in range(-10, 11)]
        assert any(torch.equal(after, moved) for moved in rows)


def test_a_slight_turn_moves_ends_by_less_than_a_sensor_and_keeps_the_middle() -> None:
    top = torch.arange(9.0).expand(264, 9)  # a level for each sensor
    sides = torch.arange(264.0)[:, None].expand(264, 9)  # a level for each row
    both = torch.cat([top, sides], dim=1).expand(16, 1, 264, 18)
    how = NOTHING.model_copy(update={"rotation_deg": 5.0})
    changed = augment(both, how, grey=False, generator=torch.Generator().manual_seed(1))[:, 0]
    across, along = changed[:, :, :9] - top, changed[:, :, 9:] - sides
    assert 0.3 < across.abs().max() < 1
    assert 3 < along.abs().max() < 6.5
    assert across[:, 131:133, 4].abs().max() < 0.01
    assert (across[:, 0, 4] * across[:, -1, 4] < 0).all()
    assert not torch.equal(across[:, 0, 4].sign(), along[:, 131, 0].sign())  # faces turn each by itself


def test_a_turn_by_nothing_changes_nothing_and_an_even_face_stays_even() -> None:
    matrix, changed = _augmented(NOTHING.model_copy(update={"rotation_deg": 1e-9}))
    torch.testing.assert_close(changed, matrix, atol=1e-4, rtol=0)
    even = torch.full((2, 1, 264, 18), -0.25)
    how = NOTHING.model_copy(update={"rotation_deg": 5.0})
    torch.testing.assert_close(augment(even, how, grey=False, generator=torch.Generator().manual_seed(1)), even)


def test_a_grey_coil_stays_grey() -> None:
    how = NOTHING.model_copy(update={"noise": 0.1, "contrast": 0.5, "offset": 0.1})
    _, changed = _augmented(how, grey=True)
    assert changed.abs().max() <= 1
    assert torch.equal((changed * 255).round() / 255, changed)


def _strength(**how: float) -> torch.Tensor:
    """What is added to each of 256 even coils at -0.5, off the grey scale."""
    coils = torch.full((256, 1, 264, 18), -0.5)
    changed = augment(coils, NOTHING.model_copy(update=how), grey=False, generator=torch.Generator().manual_seed(1))
    return (changed - coils)[:, 0]


def test_noise_has_the_deviation_asked_for_in_every_cell() -> None:
    added = _strength(noise=0.03)
    assert float(added.std()) == pytest.approx(0.03, rel=0.01)
    assert float(added.mean()) == pytest.approx(0, abs=1e-3)
    assert float(added.mean(dim=(1, 2)).abs().max()) < 0.003, "cells of a coil are not drawn each by itself"


def test_contrast_changes_a_coil_as_a_whole_by_at_most_the_share_asked_for() -> None:
    added = _strength(contrast=0.2)
    assert (added == added[:, :1, :1]).all()
    share = added[:, 0, 0] / -0.5
    assert share.min() == pytest.approx(-0.2, abs=0.01)
    assert share.max() == pytest.approx(0.2, abs=0.01)


def test_offset_moves_a_coil_as_a_whole_by_the_deviation_asked_for() -> None:
    added = _strength(offset=0.05)
    assert (added == added[:, :1, :1]).all()
    assert float(added[:, 0, 0].std()) == pytest.approx(0.05, rel=0.15)
    assert float(added[:, 0, 0].mean()) == pytest.approx(0, abs=0.01)
