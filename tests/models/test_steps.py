"""Promises of a coil's steps: the scale that grey levels lost is read off the grid that they lie on."""

import numpy as np
import pytest
import torch

from models.network_spec import NetworkOptions
from models.networks import build
from models.networks.steps import STEPS_A_UNIT, GaugeSteps
from models.networks.steps_rule import StepsRule
from models.scales import to_self_scale
from models.spec import TrainSpec
from schemas.coils import Float32Array
from schemas.layout import MATRIX_COLUMNS, MATRIX_ROWS

STEPS_SPEC = {
    "name": "a",
    "kind": "rule-in-steps",
    "scale": "self",
    "data": {"simulate": {"coils": 100, "seed": 1}},
}


def coil_of_whole_numbers(*, deepest: int, highest: int, excess_counts: float = 1.0, step: float = 1.0) -> Float32Array:
    """g/m² beside the band, whole, in plateaus of six rows over a third of the coil; the rest is in band."""
    rng = np.random.default_rng(deepest)
    readings = np.zeros((MATRIX_ROWS // 6, MATRIX_COLUMNS))
    readings[5:20] = rng.integers(-deepest, 1, size=(15, MATRIX_COLUMNS))
    readings[25:30] = rng.integers(0, highest + 1, size=(5, MATRIX_COLUMNS))
    readings[10, 3], readings[26, 7] = -deepest, highest
    readings = np.where(readings > 0, readings * excess_counts, readings) * step
    coil = np.repeat(readings, 6, axis=0)
    return to_self_scale(coil[None].astype(np.float32))


@pytest.mark.parametrize(("deepest", "highest"), [(5, 6), (12, 3), (30, 20), (60, 10)])
def test_the_range_of_a_coil_is_found_in_its_grey_levels(deepest: int, highest: int) -> None:
    spacing, coherence = GaugeSteps().grid(torch.from_numpy(coil_of_whole_numbers(deepest=deepest, highest=highest)))
    assert 255 / float(spacing) == pytest.approx(deepest + highest, rel=0.05)
    assert float(coherence) > 0.5


def test_a_deficit_in_steps_is_what_the_gauge_read_however_far_the_excess_stretched_the_coil() -> None:
    seen = [
        GaugeSteps().eval()(torch.from_numpy(coil_of_whole_numbers(deepest=20, highest=highest))[:, None])
        for highest in (5, 25)
    ]
    for coil in seen:
        assert float(coil[0].min()) == pytest.approx(-20 / STEPS_A_UNIT, rel=0.05)


def test_a_plant_that_divides_excess_by_another_number_has_the_same_deficits() -> None:
    coil = coil_of_whole_numbers(deepest=20, highest=20, excess_counts=0.507)
    found = GaugeSteps().eval()(torch.from_numpy(coil)[:, None])
    assert float(found[0].min()) == pytest.approx(-20 / STEPS_A_UNIT, rel=0.05)


def test_a_coil_without_a_grid_is_taken_to_have_a_range_of_fifty_steps() -> None:
    smooth = np.linspace(-1, 1, MATRIX_ROWS)[:, None] * np.linspace(0.7, 1, MATRIX_COLUMNS)
    coil = torch.from_numpy(to_self_scale(smooth[None].astype(np.float32)))[:, None]
    torch.testing.assert_close(GaugeSteps()(coil), coil)


def test_a_constant_coil_stays_zero() -> None:
    assert not GaugeSteps().eval()(torch.zeros(2, 1, MATRIX_ROWS, MATRIX_COLUMNS)).any()


def test_the_grid_is_no_weight_that_a_bundle_would_carry() -> None:
    network = build("rule-in-steps", NetworkOptions())
    assert set(network.state_dict()) == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scale": "limits"}, "set scale: self"),
        ({"kind": "rule"}, "kind: rule-in-steps"),
        ({"network": {"input": "square"}}, "network.input means nothing to rule-in-steps"),
    ],
)
def test_steps_are_refused_where_they_mean_nothing(change: dict[str, object], said: str) -> None:
    TrainSpec.model_validate(STEPS_SPEC)
    with pytest.raises(ValueError, match=said):
        TrainSpec.model_validate({**STEPS_SPEC, **change})


@pytest.mark.parametrize(("sensors", "depth"), [(9, 12), (7, 12), (2, 0)])
def test_a_rule_in_steps_reads_how_deep_the_worst_long_section_is_of_most_sensors(sensors: int, depth: int) -> None:
    readings = np.zeros((1, MATRIX_ROWS, MATRIX_COLUMNS), dtype=np.float32)
    readings[:, 30:230, 9 : 9 + sensors] = -12
    readings[:, 30:54, 0] = -np.repeat(np.arange(1, 7, dtype=np.float32), 4)  # a grid of single steps
    network = build("rule-in-steps", NetworkOptions()).eval()
    found = float(network.features(torch.from_numpy(to_self_scale(readings))[:, None]).detach())
    assert found == pytest.approx(np.log1p(depth), abs=0.05)


def test_a_rule_in_steps_learns_where_the_experts_draw_the_line() -> None:
    depths = np.repeat([2, 4, 8, 20, 30, 40], 5)
    coils = np.concatenate([_face_below(int(depth), highest=6 + place) for place, depth in enumerate(depths)])
    network = build("rule-in-steps", NetworkOptions())
    assert isinstance(network, StepsRule)
    network.learn(coils[:, None], depths >= 15)
    with torch.inference_mode():
        called = (network.eval()(torch.from_numpy(coils[:, None])) > 0).numpy()
    np.testing.assert_array_equal(called, depths >= 15)


def test_a_rule_in_steps_without_nok_coils_keeps_its_border_by_hand() -> None:
    network = build("rule-in-steps", NetworkOptions())
    assert isinstance(network, StepsRule)
    before = network.head.weight.clone(), network.head.bias.clone()
    network.learn(_face_below(20, highest=5)[:, None], np.array([False]))
    assert torch.equal(network.head.weight, before[0])
    assert torch.equal(network.head.bias, before[1])


def _face_below(depth: int, *, highest: int) -> Float32Array:
    readings = np.zeros((1, MATRIX_ROWS, MATRIX_COLUMNS), dtype=np.float32)
    readings[:, 40:200, :9] = -np.repeat(np.linspace(1, depth, 20).round(), 8)[:, None]
    readings[:, 220:240, 9:] = highest
    return to_self_scale(readings)
