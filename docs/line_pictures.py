"""Draw docs/pictures/line_real_and_simulated.png: `python -m docs.line_pictures REAL.parquet`, grey-level coils.

Prints which of the coils are real, from the left and above: the picture does not tell.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bench.line_coils import real_coils, simulated_coils
from plant.settings import TRAINING
from schemas.layout import SENSORS_PER_FACE

_SEED = 77
_EACH = 8  # of either label, real and simulated
_REACH = 0.6  # of a coil's own range: where the colours end


def main() -> None:
    """Draw real and simulated coils in one figure: OK above, NOK below, in an order drawn by lot."""
    real = real_coils(Path(sys.argv[1]))
    simulated = simulated_coils(TRAINING, coils=120, seed=_SEED).published
    rng = np.random.default_rng(_SEED)
    figure = Figure(figsize=(13, 9), layout="constrained")
    axes = figure.subplots(2, 2 * _EACH)
    for row, is_nok in enumerate((False, True)):
        drawn = [
            (coils is real, coils.matrix[index])
            for coils in (real, simulated)
            for index in rng.permutation(np.flatnonzero(coils.is_nok == is_nok))[:_EACH]
        ]
        order = rng.permutation(len(drawn))
        for number, (axis, place) in enumerate(zip(axes[row], order, strict=True), start=1):
            axis.imshow(
                drawn[place][1], aspect="auto", cmap="RdBu_r", vmin=-_REACH, vmax=_REACH, interpolation="nearest"
            )
            axis.axvline(SENSORS_PER_FACE - 0.5, color="black", linewidth=0.5)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title(str(number), fontsize=9)
        axes[row, 0].set_ylabel("expert: NOK" if is_nok else "expert: OK")
        numbers = ", ".join(str(number) for number, place in enumerate(order, start=1) if drawn[place][0])
        sys.stdout.write(f"{'NOK' if is_nok else 'OK'}: real are {numbers}\n")
    figure.suptitle("Real and simulated coils, head above, top face on the left; blue too thin, red too thick")
    figure.savefig(Path(__file__).parent / "pictures" / "line_real_and_simulated.png", dpi=90)


if __name__ == "__main__":
    main()
