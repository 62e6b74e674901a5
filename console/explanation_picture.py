"""An explained coil as a picture: what was measured, what that contributes, and the regions that decide, outlined."""

from io import BytesIO
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from models.scales import from_band
from schemas.coils import Float32Array, Limits
from schemas.explanations import CoilExplanation
from schemas.layout import FACES, MATRIX_ROWS, SENSORS_PER_FACE

_DPI = 130
_COLOURED = 0.98  # of the cells lie within the colours: a short head does not wash the body out
_QUIET_G_M2 = 5.0  # the colours reach at least so far, so that noise does not look like a defect
_QUIET = 0.2  # the same, of a grey coil's own range
_OWN_RANGE = "distance from the commonest level,\nshare of the coil's range"
_FAINT = 0.01  # of p_nok: the colours of contributions reach at least so far
_WIDTH = 150  # characters of a line of words
_LINE_IN = 0.19


def explanation_png(said: CoilExplanation, matrix: Float32Array, limits: Limits | None) -> bytes:
    """Draw an explained coil as PNG.

    For each face, the distance from the ordered band, or of a grey coil from its commonest level (blue thin, red
    thick), with the regions outlined and
    numbered, solid where they speak for NOK and dashed where against it; below it what each cell of the explanation
    contributes to p(NOK). The regions stand in words beneath.

    Args:
        said: of the coil.
        matrix: float32 [264, 18] that was explained.
        limits: by which it was normalised; None on scale `self`.
    """
    words = [fill(f"{i + 1}  {region.text}", _WIDTH, subsequent_indent="    ") for i, region in enumerate(said.regions)]
    lines = sum(text.count("\n") + 1 for text in words) or 1
    height_in = 5.9 + _LINE_IN * lines
    figure = Figure(figsize=(11, height_in))
    top, bottom = 1 - 0.75 / height_in, (_LINE_IN * lines + 0.65) / height_in
    grid = figure.add_gridspec(4, 1, height_ratios=(9, 3, 9, 3), left=0.075, right=0.87, top=top, bottom=bottom)
    axes = [figure.add_subplot(grid[row]) for row in range(2 * len(FACES))]
    distance, unit, reach = _distance(matrix, limits)
    end = said.length_m or float(MATRIX_ROWS)
    cells = np.array(said.cells)
    loudest = max(float(np.abs(cells).max()), _FAINT)
    for index, face in enumerate(FACES):
        above, below = axes[2 * index], axes[2 * index + 1]
        columns = distance[:, index * SENSORS_PER_FACE : (index + 1) * SENSORS_PER_FACE]
        seen = _show(above, columns.T, end, "RdBu_r", reach)
        told = _show(below, cells[index].T, end, "PuOr_r", loudest)
        above.set_ylabel(f"{face} face\nsensor")
        above.set_yticks(range(1, SENSORS_PER_FACE + 1, 2))
        below.set_yticks([2, 5, 8], ["1–3", "4–6", "7–9"])
        for axis in axes[: 2 * index + 2]:
            axis.label_outer()
        _outline(above, said, face, end)
    axes[-1].set_xlabel("position along the strip, m" if said.length_m else "row of 264 along the strip")
    for image, low, title in ((seen, 0.55, unit), (told, 0.14, "contribution to p(NOK)")):
        place = figure.add_axes((0.89, bottom + low * (top - bottom), 0.014, 0.4 * (top - bottom)))
        figure.colorbar(image, cax=place, extend="both").set_label(title, fontsize=8)
    title = f"coil {said.coil_id} of plant {said.plant}, ensemble {said.ensemble_version}"
    figure.text(0.01, 1 - 0.3 / height_in, title, fontweight="bold", fontsize=12, parse_math=False)
    figure.text(0.01, 1 - 0.55 / height_in, said.text, fontsize=9, parse_math=False)
    figure.text(
        0.01,
        0.1 / height_in,
        "\n".join(words) or "no part of the coil changes p(NOK) by 0.01",
        fontsize=8,
        va="bottom",
        linespacing=1.35,
        parse_math=False,
    )
    written = BytesIO()
    figure.savefig(written, format="png", dpi=_DPI)
    return written.getvalue()


def _distance(matrix: Float32Array, limits: Limits | None) -> tuple[Float32Array, str, float]:
    distance = from_band(matrix, limits)
    unit, quiet = (_OWN_RANGE, _QUIET) if limits is None else ("distance from the band, g/m²", _QUIET_G_M2)
    return distance, unit, max(float(np.quantile(np.abs(distance), _COLOURED)), quiet)


def _show(axis: Axes, values: np.ndarray, end: float, colours: str, reach: float) -> AxesImage:
    return axis.imshow(
        values,
        aspect="auto",
        origin="lower",
        extent=(0, end, 0.5, SENSORS_PER_FACE + 0.5),
        cmap=colours,
        norm=TwoSlopeNorm(0, -reach, reach),
        interpolation="nearest",
    )


def _outline(axis: Axes, said: CoilExplanation, face: str, end: float) -> None:
    for number, region in enumerate(said.regions, start=1):
        if region.face != face:
            continue
        left, right = (row / MATRIX_ROWS * end for row in (region.from_row, region.to_row))
        low, high = region.sensors[0] - 0.5, region.sensors[-1] + 0.5
        style = "-" if region.delta_p_nok > 0 else "--"
        box = Rectangle((left, low), right - left, high - low, fill=False, linewidth=2, linestyle=style, zorder=3)
        axis.add_patch(box)
        axis.text(
            left,
            high,
            f" {number} ({region.delta_p_nok:+.2f}) ",
            va="top",
            fontsize=8,
            color="white",
            bbox={"facecolor": "black", "pad": 1.0, "linewidth": 0},
            clip_on=True,
            zorder=4,
        )
