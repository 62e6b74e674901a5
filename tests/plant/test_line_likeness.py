import numpy as np
import pytest

from bench.line_coils import as_published, simulated_coils
from bench.line_likeness import compared, halves, mean_of
from bench.line_statistics import complaints, statistics
from models.scales import to_self_scale
from plant.settings import TRAINING
from schemas.coils import Float32Array


def coil(top: float, bottom: float, *, rows: slice) -> Float32Array:
    """A coil of scale `limits` that is in its band but for some rows of its faces."""
    matrix = np.zeros((1, 264, 18), dtype=np.float32)
    matrix[0, rows, :9], matrix[0, rows, 9:] = top, bottom
    return matrix


def test_a_published_coil_is_whole_grey_levels_over_its_own_range() -> None:
    [grey] = as_published(coil(-0.3, 0.1, rows=slice(50, 150)))
    assert (grey == np.rint(grey)).all()
    assert (grey.min(), grey.max()) == (0, 255)


def test_the_comb_of_grey_levels_behind_the_stretch_is_found() -> None:
    matrix = np.linspace(-0.2, 0.1, 264, dtype=np.float32)[None, :, None].repeat(18, axis=2)
    shown = to_self_scale(as_published(matrix))
    teeth = np.ptp(np.floor((matrix + 1) / 2 * 255))
    assert statistics(shown)["grey levels behind the stretch"][0] == pytest.approx(teeth, abs=1)


def test_statistics_say_which_face_and_how_long() -> None:
    apart, both = (statistics(to_self_scale(coil(-0.4, bottom, rows=slice(100, 166)))) for bottom in (0.4, -0.4))
    assert apart["correlation of the faces' rows"][0] == pytest.approx(-1.0)
    assert both["correlation of the faces' rows"][0] == pytest.approx(1.0)
    assert apart["rows with the faces apart"][0] == both["rows with both faces below"][0] == pytest.approx(66 / 264)
    assert apart["longest stretch of a face below"][0] == 66


def test_a_constant_coil_has_statistics() -> None:
    assert all(np.isfinite(values).all() for values in statistics(np.zeros((2, 264, 18), dtype=np.float32)).values())


def test_a_long_thin_face_is_worse_than_a_short_one() -> None:
    long, short = (complaints(to_self_scale(coil(-0.4, 0.1, rows=rows))) for rows in (slice(50, 200), slice(50, 70)))
    assert all(long[name][0] >= short[name][0] for name in long)


def test_a_line_is_no_distance_from_itself_and_half_of_its_coils_are_nok() -> None:
    line = simulated_coils(TRAINING, coils=64, seed=3)
    assert line.published.is_nok.mean() == 0.5
    assert mean_of(compared(line.published, line.published), "all") == 0.0


def test_halves_share_both_labels() -> None:
    is_nok = np.array([True, True, False, False, True, True, False, False])
    assert halves(is_nok).sum() == 4
    assert is_nok[halves(is_nok)].sum() == 2
