"""The real coils side by side, in steps of their gauge, from the least to the most suspect."""

from pathlib import Path

import matplotlib as mpl
import numpy as np

from bench.real_coils.coils import RealCoils
from bench.real_coils.statistics import in_steps
from models.networks.steps import STEPS_A_UNIT
from schemas.coils import FloatArray

mpl.use("Agg")
import matplotlib.pyplot as plt

_SHOWN_STEPS = 30.0


def draw(real: RealCoils, odds: FloatArray, out: Path) -> None:
    """Write a PNG: OK coils above, NOK coils below, each row by rising log-odds; blue is too little zinc."""
    steps = in_steps(real.matrix) * STEPS_A_UNIT
    rows = [np.flatnonzero(~real.is_nok), np.flatnonzero(real.is_nok)]
    figure, axes = plt.subplots(2, max(map(len, rows)), figsize=(18, 9), squeeze=False)
    for places, line, label in zip(rows, axes, ("OK", "NOK"), strict=True):
        for axis in line:
            axis.axis("off")
        for place, axis in zip(places[np.argsort(odds[places])], line, strict=False):
            axis.imshow(
                steps[place],
                aspect="auto",
                cmap="RdBu_r",
                vmin=-_SHOWN_STEPS,
                vmax=_SHOWN_STEPS,
                interpolation="nearest",
            )
            axis.axvline(8.5, color="k", lw=0.5)
            axis.set_title(f"{real.ids[place].removeprefix('real-')} {label}\n{odds[place]:+.1f}", fontsize=9)
    figure.suptitle(
        "Real coils in steps (grey levels of the study's limits) beside their band, head above, top face left: "
        "blue 30 too few, red 30 too many;\nlog-odds of NOK by the mean of all that learnt from simulated coils alone",
        fontsize=11,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    figure.savefig(out, dpi=70)
    plt.close(figure)
