from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.gauge import GaugeFault
from plant.line import SimulatedBlock, simulate
from plant.settings import BANDS_G_M2, PRODUCTION, TRAINING, ExpertSettings, GaugeSettings, LineSettings
from schemas.coils import CoilHeader
from schemas.layout import GAUGE

QUIET = LineSettings(
    defect_share=0.0,
    restlessness=0.0,
    gauge=GaugeSettings(
        noise_share=0.0,
        calibrations_per_face=0.0,
        stuck_share=0.0,
        offset_share=0.0,
        missing_share=0.0,
        repeated_share=0.0,
    ),
    expert=ExpertSettings(lapse_share=0.0),
)


@pytest.fixture(scope="module")
def production() -> list[SimulatedBlock]:
    return list(simulate(1500, seed=2))


@pytest.fixture(scope="module")
def training() -> list[SimulatedBlock]:
    return list(simulate(1000, seed=3, line=TRAINING))


def headers(blocks: Sequence[SimulatedBlock]) -> list[CoilHeader]:
    return [header for block in blocks for header in block.headers]


def nok_share(blocks: Sequence[SimulatedBlock]) -> float:
    return float(np.mean([header.label == "NOK" for header in headers(blocks)]))


def faults(blocks: Sequence[SimulatedBlock], kind: str) -> Iterator[tuple[SimulatedBlock, int, GaugeFault]]:
    for block in blocks:
        for index, truth in enumerate(block.truth):
            yield from ((block, index, fault) for fault in truth.faults if fault.kind == kind)


def readings(
    block: SimulatedBlock, index: int, face: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    """Grid rows and readings of one face of one coil, in the order of recording."""
    mine = (block.rows.coil == index) & (block.rows.face == face)
    row = (block.rows.position[mine] - block.truth[index].first_tile) / block.truth[index].pitch_tiles
    return row.astype(np.int64), block.rows.mean_g_m2[mine]


def assert_same(one: SimulatedBlock, other: SimulatedBlock, coils: int) -> None:
    mine, theirs = one.rows.coil < coils, other.rows.coil < coils
    assert one.headers[:coils] == other.headers[:coils]
    assert one.truth[:coils] == other.truth[:coils]
    assert one.ended_at[:coils] == other.ended_at[:coils]
    for name in ("coil", "face", "position", "mean_g_m2", "std_g_m2"):
        assert np.array_equal(getattr(one.rows, name)[mine], getattr(other.rows, name)[theirs])
    for name in ("low_g_m2", "high_g_m2", "count", "measured_s"):
        assert np.array_equal(getattr(one, name)[mine], getattr(other, name)[theirs])


@given(seed=st.integers(0, 2**32), coils=st.integers(1, 6), more=st.integers(0, 6))
@settings(max_examples=15)
def test_a_longer_run_begins_with_a_shorter_one(seed: int, coils: int, more: int) -> None:
    (short,), (long,) = simulate(coils, seed=seed), simulate(coils + more, seed=seed)
    assert len(short) == coils
    assert_same(short, long, coils)


def test_a_run_of_many_blocks_begins_with_a_shorter_one() -> None:
    short, long = list(simulate(70, seed=1)), list(simulate(130, seed=1))
    assert [len(block) for block in short] == [64, 6]
    assert [len(block) for block in long] == [64, 64, 2]
    for one, other in zip(short, long, strict=False):
        assert_same(one, other, len(one))


def test_another_seed_runs_another_line() -> None:
    (one,), (other,) = simulate(5, seed=1), simulate(5, seed=2)
    assert not {h.key for h in one.headers} & {h.key for h in other.headers}
    assert [h.order for h in one.headers] != [h.order for h in other.headers]


def test_a_run_of_no_coils_is_empty() -> None:
    assert list(simulate(0, seed=1)) == []


@pytest.mark.parametrize(("coils", "seed"), [(-1, 0), (1, -1), (1_000_001, 0)])
def test_impossible_runs_are_refused_with_what_was_expected(coils: int, seed: int) -> None:
    with pytest.raises(ValueError, match=r"expected 0..1000000 coils and a seed from 0"):
        next(simulate(coils, seed=seed))


def test_orders_stay_within_what_the_field_shows(production: list[SimulatedBlock]) -> None:
    orders = [header.order for header in headers(production)]
    assert {(order.zn_min_g_m2, order.zn_max_g_m2) for order in orders} == set(BANDS_G_M2)
    assert all(250 <= order.length_m <= 1500 for order in orders if order.length_m)
    assert all(900 <= order.width_mm <= 1600 for order in orders if order.width_mm)
    assert all(2 <= order.thickness_mm <= 5 for order in orders if order.thickness_mm)
    assert all(9.5 <= order.weight_t <= 22.5 for order in orders if order.weight_t)
    rows = np.array([header.rows_per_face for header in headers(production)])
    assert 20 <= rows.min() <= rows.max() <= 264
    assert 50 <= rows.mean() <= 70


def test_rows_lie_on_a_regular_grid_wider_than_a_row_of_tiles(production: list[SimulatedBlock]) -> None:
    for block in production[:4]:
        for index, (truth, header) in enumerate(zip(block.truth, block.headers, strict=True)):
            position = block.rows.position[block.rows.coil == index]
            assert np.all((position - truth.first_tile) % truth.pitch_tiles == 0)
            assert truth.pitch_tiles - 228 > GAUGE.tile_step_max
            assert position.max() <= 100 * (header.order.length_m or 0)


def test_one_coil_runs_after_the_other(production: list[SimulatedBlock]) -> None:
    times = [(h.started_at, end) for b in production for h, end in zip(b.headers, b.ended_at, strict=True)]
    assert all(start is not None and start < end for start, end in times)
    assert all(end < following for (_, end), (following, _) in pairwise(times) if following)
    assert all(np.all(np.diff(b.measured_s[b.rows.coil == 0]) >= 0) for b in production[:1] if not b.truth[0].faults)


def test_coil_ids_are_unique(production: list[SimulatedBlock]) -> None:
    assert Counter(header.key for header in headers(production)).most_common(1)[0][1] == 1


def test_a_quiet_coil_is_in_its_band_and_ok() -> None:
    for block in simulate(60, seed=4, line=QUIET):
        low = np.array([h.order.zn_min_g_m2 for h in block.headers])[block.rows.coil]
        high = np.array([h.order.zn_max_g_m2 for h in block.headers])[block.rows.coil]
        same_order = np.array(
            [True, *(a.order.zn_min_g_m2 == b.order.zn_min_g_m2 for a, b in pairwise(block.headers))]
        )[block.rows.coil]
        inside = (block.rows.mean_g_m2 >= low[:, None]) & (block.rows.mean_g_m2 <= high[:, None])
        assert inside[same_order].all()
        assert {header.label for header in block.headers} == {"OK"}


def test_faces_move_against_each_other_more_often_than_together() -> None:
    line = replace(PRODUCTION, restlessness=3.0, defect_share=0.0, gauge=QUIET.gauge)
    against = [
        np.corrcoef(*(readings(block, index, face)[1].mean(axis=1) for face in (0, 1)))[0, 1] < 0
        for block in simulate(200, seed=6, line=line)
        for index in range(len(block))
    ]
    assert np.mean(against) > 0.5


def test_about_three_in_a_hundred_coils_are_not_ok_in_production(production: list[SimulatedBlock]) -> None:
    assert 0.015 <= nok_share(production) <= 0.05


def test_about_three_in_ten_coils_are_not_ok_in_training(training: list[SimulatedBlock]) -> None:
    assert 0.25 <= nok_share(training) <= 0.40


def test_labels_are_a_judgement_and_not_the_injected_flag(training: list[SimulatedBlock]) -> None:
    flags = Counter(
        (bool(truth.defects), header.label)
        for block in training
        for truth, header in zip(block.truth, block.headers, strict=True)
    )
    assert min(flags[True, "OK"], flags[True, "NOK"], flags[False, "OK"], flags[False, "NOK"]) >= 50
    assert flags[True, "NOK"] / (flags[True, "OK"] + flags[True, "NOK"]) > 2 * flags[False, "NOK"] / (
        flags[False, "OK"] + flags[False, "NOK"]
    )


def test_experts_lapse_in_a_few_labels_only(training: list[SimulatedBlock]) -> None:
    judgements = [truth.judgement for truth in chain.from_iterable(block.truth for block in training)]
    wrong = np.mean([(each.badness >= each.threshold) != (each.label == "NOK") for each in judgements])
    assert 0 < wrong < 0.03


def test_calibrations_touch_as_many_sensor_tracks_as_in_the_plant(production: list[SimulatedBlock]) -> None:
    tracks = sum(fault.last_sensor - fault.first_sensor + 1 for _, _, fault in faults(production, "calibration"))
    assert tracks / (18 * len(headers(production))) == pytest.approx(305 / 4640, rel=0.25)


def test_a_calibration_is_a_run_below_band_with_a_reading_near_zero(production: list[SimulatedBlock]) -> None:
    for block, index, fault in faults(production[:6], "calibration"):
        row, mean = readings(block, index, fault.face)
        run = mean[(row >= fault.first_row) & (row <= fault.last_row), fault.first_sensor : fault.last_sensor + 1]
        if block.truth[index].faults[0] != fault or len(run) <= fault.last_row - fault.first_row:
            continue  # some of its rows are missing
        assert np.all(run < block.headers[index].order.zn_min_g_m2)
        assert np.all(run.min(axis=0) < 5.0)


def test_stuck_and_offset_gauges_are_where_the_truth_says() -> None:
    line = replace(QUIET, restlessness=1.0, gauge=replace(QUIET.gauge, noise_share=0.006, stuck_share=1.0))
    for block in simulate(20, seed=8, line=line):
        for index, truth in enumerate(block.truth):
            (fault,) = truth.faults
            _, mean = readings(block, index, fault.face)
            assert np.ptp(mean[fault.first_row :, fault.first_sensor]) == 0
    (good,) = simulate(20, seed=8, line=QUIET)
    (off,) = simulate(20, seed=8, line=replace(QUIET, gauge=replace(QUIET.gauge, offset_share=1.0)))
    for index, truth in enumerate(off.truth):
        (fault,) = truth.faults
        change = readings(off, index, fault.face)[1] - readings(good, index, fault.face)[1]
        assert np.all(change[:, fault.first_sensor] * fault.amount > 0)
        assert not np.delete(change, fault.first_sensor, axis=1).any()


def test_dead_and_noisy_sensors_are_where_the_truth_says() -> None:
    (good,) = simulate(20, seed=8, line=QUIET)
    gauge = replace(QUIET.gauge, noise_share=0.0025)
    for kind in ("gauge_dead", "gauge_noisy"):
        shares = {"dead_share": float(kind == "gauge_dead"), "noisy_share": float(kind == "gauge_noisy")}
        (plain,) = simulate(20, seed=8, line=replace(QUIET, gauge=gauge))
        (bad,) = simulate(20, seed=8, line=replace(QUIET, gauge=replace(gauge, **shares)))
        for index, truth in enumerate(bad.truth):
            (fault,) = truth.faults
            assert fault.kind == kind
            mean, before = (readings(block, index, fault.face)[1] for block in (bad, plain))
            own, healthy = mean[fault.first_row :, fault.first_sensor], np.delete(mean, fault.first_sensor, axis=1)
            np.testing.assert_array_equal(healthy, np.delete(before, fault.first_sensor, axis=1))
            np.testing.assert_array_equal(mean[: fault.first_row], before[: fault.first_row])
            if kind == "gauge_dead":
                assert own.max() <= 3.0
                assert len(own) >= mean.shape[0] // 2
            else:
                truly = readings(good, index, fault.face)[1][fault.first_row :, fault.first_sensor]
                assert np.std(own / truly - 1) > 2.5 * gauge.noise_share


def test_sensors_that_die_or_grow_noisy_leave_other_coils_as_they_are() -> None:
    gauge = replace(TRAINING.gauge, dead_share=0.2, noisy_share=0.2)
    (plain,), (bad,) = (simulate(40, seed=6, line=replace(TRAINING, gauge=g)) for g in (TRAINING.gauge, gauge))
    spared = [index for index, truth in enumerate(bad.truth) if truth == plain.truth[index]]
    assert 10 < len(spared) < 40
    which = np.isin(plain.rows.coil, spared)
    for name in ("mean_g_m2", "position"):
        np.testing.assert_array_equal(getattr(bad.rows, name)[which], getattr(plain.rows, name)[which])
    assert [header.label for header in bad.headers] == [header.label for header in plain.headers]


def test_missing_rows_are_missing_within_the_coil_and_only_those() -> None:
    line = replace(PRODUCTION, gauge=replace(QUIET.gauge, missing_share=1.0))
    for block in simulate(40, seed=9, line=line):
        for index, (truth, header) in enumerate(zip(block.truth, block.headers, strict=True)):
            assert truth.faults
            for face in (0, 1):
                lost = {row for f in truth.faults if f.face == face for row in range(f.first_row, f.last_row + 1)}
                row, _ = readings(block, index, face)
                rows = header.rows_per_face or 0
                assert set(row) == set(range(rows)) - lost
                assert not lost & {0, rows - 1}


def test_repeated_rows_are_repeated_alike() -> None:
    line = replace(PRODUCTION, gauge=replace(QUIET.gauge, repeated_share=1.0))
    for block in simulate(40, seed=10, line=line):
        for index, truth in enumerate(block.truth):
            (fault,) = truth.faults
            row, mean = readings(block, index, fault.face)
            twice = [number for number, times in Counter(row.tolist()).items() if times > 1]
            assert twice == list(range(fault.first_row, fault.last_row + 1))
            assert all(np.ptp(mean[row == number], axis=0).max() == 0 for number in twice)


def test_production_never_damages_a_coil_unless_told(production: list[SimulatedBlock]) -> None:
    assert all(np.isfinite(block.rows.mean_g_m2).all() for block in production)
    assert not [*faults(production, "row_partial"), *faults(production, "conflict")]


def test_damaged_coils_have_a_partial_row_or_a_repeat_that_disagrees() -> None:
    line = replace(PRODUCTION, gauge=replace(QUIET.gauge, damaged_share=1.0))
    blocks = list(simulate(60, seed=11, line=line))
    for block, index, fault in faults(blocks, "row_partial"):
        row, mean = readings(block, index, fault.face)
        assert np.isnan(mean[row == fault.first_row]).any()
        assert not np.isnan(mean[row != fault.first_row]).any()
    for block, index, fault in faults(blocks, "conflict"):
        row, mean = readings(block, index, fault.face)
        assert np.ptp(mean[row == fault.first_row], axis=0).min() > 0
    assert len([*faults(blocks, "row_partial")]) + len([*faults(blocks, "conflict")]) == 60


def test_an_ageing_line_drifts() -> None:
    (new,) = simulate(40, seed=12, line=QUIET)
    (old,) = simulate(40, seed=12, line=replace(QUIET, drift_per_1000_coils=1.0))
    change = old.rows.mean_g_m2 / new.rows.mean_g_m2 - 1.0
    assert np.abs(change - new.rows.coil[:, None] / 1000.0).max() < 0.02
