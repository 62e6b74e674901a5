"""Pictures of coils: both faces as heat maps over metres and sensors."""

from pathlib import Path
from textwrap import shorten

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from flows.assess import JudgedCoil
from schemas.coils import Limits
from schemas.layout import FACES, SENSORS_PER_FACE

_DPI = 130
_COLOURED = 0.98  # of the cells lie within the colours: a short head does not wash the body out
_QUIET_G_M2 = 5.0  # the colours reach at least so far, so that noise does not look like a defect


def draw_coil(coil: JudgedCoil, file: Path, limits: Limits) -> None:
    """Draw one judged coil as PNG.

    Colour is the distance from the ordered band in g/m², white where the coating is in the band; each face has the
    metres along the strip on one axis and the sensors across it on the other. Where the length is not known the axis
    counts the 264 chunks.

    Args:
        coil: judged on scale `limits`.
        file: the PNG to write.
        limits: what the coil was normalised with; clipped cells show the limit.
    """
    verdict = coil.verdict
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    axes = figure.subplots(len(FACES), 1, sharex=True, sharey=True)
    end = coil.length_m or float(len(coil.matrix))
    distance_g_m2 = coil.matrix * np.where(coil.matrix < 0, -limits.low, limits.high)
    reach = max(float(np.quantile(np.abs(distance_g_m2), _COLOURED)), _QUIET_G_M2)
    for index, (axis, face) in enumerate(zip(axes, FACES, strict=True)):
        columns = distance_g_m2[:, index * SENSORS_PER_FACE : (index + 1) * SENSORS_PER_FACE]
        image = axis.imshow(
            columns.T,
            aspect="auto",
            origin="lower",
            extent=(0, end, 0.5, SENSORS_PER_FACE + 0.5),
            cmap="RdBu_r",
            norm=TwoSlopeNorm(0, -reach, reach),
            interpolation="nearest",
        )
        axis.set_ylabel(f"{face} face\nsensor")
        axis.set_yticks(range(1, SENSORS_PER_FACE + 1, 2))
    axes[-1].set_xlabel("position along the strip, m" if coil.length_m else "chunk of 264 along the strip")
    bar = figure.colorbar(image, ax=axes, pad=0.01, extend="both")
    bar.set_label("distance from the band, g/m²\n(blue: too thin, red: too thick)")
    expert = f", expert: {coil.truth}" if coil.truth else ""
    figure.suptitle(
        f"coil {verdict.key.coil_id}: {verdict.label.value}, p(NOK) {verdict.p_nok:.3f} "
        f"(threshold {verdict.threshold:.3f}){expert}",
        x=0.01,
        ha="left",
        fontweight="bold",
        parse_math=False,
    )
    votes = ", ".join(f"{member.model} {member.p_nok:.2f}" for member in verdict.members)
    axes[0].set_title(
        shorten("  ".join([f"votes: {votes}", *verdict.reasons]), 170, placeholder=" …"),
        loc="left",
        fontsize=8,
        parse_math=False,
    )
    figure.savefig(file, dpi=_DPI)
