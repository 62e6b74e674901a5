"""Pictures of coils: both faces as heat maps over metres and sensors."""

from pathlib import Path

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from flows.assess import JudgedCoil
from schemas.layout import FACES, SENSORS_PER_FACE

_DPI = 130


def draw_coil(coil: JudgedCoil, file: Path) -> None:
    """Draw one judged coil as PNG.

    Colour is the deviation from the ordered band in shares of the global limits, white where the coating is in the
    band; each face has the metres along the strip on one axis and the sensors across it on the other. Where the length
    is not known the axis counts the 264 chunks.
    """
    verdict = coil.verdict
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    axes = figure.subplots(len(FACES), 1, sharex=True, sharey=True)
    end = coil.length_m or float(len(coil.matrix))
    reach = max(float(np.abs(coil.matrix).max()), 0.05)
    for index, (axis, face) in enumerate(zip(axes, FACES, strict=True)):
        columns = coil.matrix[:, index * SENSORS_PER_FACE : (index + 1) * SENSORS_PER_FACE]
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
    bar = figure.colorbar(image, ax=axes, pad=0.01)
    bar.set_label("deviation from the band\n(share of the limits; blue: too thin)")
    expert = f", expert: {coil.truth}" if coil.truth else ""
    figure.suptitle(
        f"coil {verdict.key.coil_id}: {verdict.label.value}, p(NOK) {verdict.p_nok:.2f} "
        f"(threshold {verdict.threshold:.2f}){expert}",
        x=0.01,
        ha="left",
        fontweight="bold",
    )
    votes = ", ".join(f"{member.model} {member.p_nok:.2f}" for member in verdict.members)
    axes[0].set_title("  ".join([f"votes: {votes}", *verdict.reasons])[:160], loc="left", fontsize=8)
    figure.savefig(file, dpi=_DPI)
