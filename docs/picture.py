"""Draw the README's picture: `python -m docs.picture`."""

from pathlib import Path

from console.pictures import draw_coil
from flows.assess import assess
from flows.served import only
from flows.sources.source import ReadingsSource
from models.ensemble import load_ensemble
from plant.line import simulate
from plant.settings import TRAINING
from processors.assemble import assemble
from schemas.settings import Settings
from schemas.verdicts import Label

_COILS = 64


def main() -> None:
    """Judge a block of simulated coils and draw the one that is most surely NOK."""
    source = ReadingsSource(
        name="simulated",
        read=lambda: (assemble(block.rows, block.headers) for block in simulate(_COILS, seed=5, line=TRAINING)),
    )
    ensemble = load_ensemble(None, threads=1)
    judged = assess(source, only(ensemble), Settings(), records=False)
    nok = [coil for batch in judged for coil in batch.coils if coil.verdict.label is Label.NOK and coil.truth == "NOK"]
    worst = max(nok, key=lambda coil: coil.verdict.p_nok)
    draw_coil(worst, Path(__file__).parent / "pictures" / "coil.png", ensemble.limits)


if __name__ == "__main__":
    main()
