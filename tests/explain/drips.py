"""Coils with a kind of defect that the simulated line does not know: drips of zinc, short and thick at one sensor."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from flows.sources.source import ReadingsSource
from plant.line import simulate
from plant.settings import LineSettings
from processors.assemble import Assembled, assemble
from schemas.coils import ChunkRows, CoilKey
from schemas.layout import FACES, SENSORS_PER_FACE, Face
from store.feedback import Feedback
from tests.scheduler.given import NOON

PLANT = "linz"
_TILES_PER_M = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Drip:
    """Where one is."""

    key: CoilKey
    face: Face
    sensor: int
    from_m: float
    to_m: float

    def word(self, kind: str, *, operator: str = "anna") -> Feedback:
        """What an operator says who sees it; sensors cannot be marked."""
        return Feedback(
            key=self.key,
            source="/test",
            event_id=f"{self.key.coil_id}-{operator}-{kind}",
            label="NOK",
            given_at=NOON,
            defect_kind=kind,
            face=self.face,
            from_m=self.from_m,
            to_m=self.to_m,
            operator=operator,
        )


def drips(coils: int, *, seed: int) -> tuple[ReadingsSource, list[Drip]]:
    """Coils of a line at rest, each with one drip, and where those are."""
    blocks = list(simulate(coils, seed=seed, line=LineSettings(plant=PLANT, defect_share=0.0, restlessness=0.3)))
    rng = np.random.default_rng(seed)
    found: list[Drip] = []
    assembled: list[Assembled] = []
    for block in blocks:
        mean = block.rows.mean_g_m2.copy()
        for place, header in enumerate(block.headers):
            length_m = header.order.length_m or 0.0
            start_m = float(rng.uniform(0.2, 0.7) * length_m)
            drip = Drip(
                key=header.key,
                face=FACES[int(rng.integers(2))],
                sensor=int(rng.integers(1, SENSORS_PER_FACE - 1)),
                from_m=round(start_m, 1),
                to_m=round(start_m + 0.08 * length_m, 1),
            )
            _pour(block.rows, mean, place, drip, thicker_g_m2=1.6 * header.order.zn_max_g_m2)
            found.append(drip)
        assembled.append(assemble(replace(block.rows, mean_g_m2=mean), block.headers))

    def read() -> Iterator[Assembled]:
        yield from assembled

    return ReadingsSource(name="drips", read=read), found


def _pour(rows: ChunkRows, mean: np.ndarray, coil: int, drip: Drip, *, thicker_g_m2: float) -> None:
    own = (rows.coil == coil) & (rows.face == FACES.index(drip.face))
    metres = rows.position / _TILES_PER_M
    mean[own & (metres >= drip.from_m) & (metres < drip.to_m), drip.sensor] = round(thicker_g_m2)
