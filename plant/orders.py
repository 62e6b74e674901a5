"""The schedule: which order each coil belongs to and how the line intends to run it."""

from dataclasses import dataclass

from plant.settings import BANDS_G_M2, CUSTOMERS, MATERIALS
from plant.streams import Purpose, stream
from schemas.coils import Order

TILES_PER_M = 100  # TILEID counts centimetres of strip
_CAMPAIGN_COILS = 10
_STEEL_KG_M3 = 7850.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCoil:
    """An order and the line's set-points for it."""

    order: Order
    length_m: float
    thickness_mm: float
    target_g_m2: float  # per face; the mill aims low in the band, zinc is dear
    speed_m_s: float
    tension_mpa: float
    rows: int  # tile rows a face, 20..264
    pitch_tiles: int  # TILEID from one row to the next
    first_tile: int


def campaign_of(seed: int, number: int) -> int:
    """Number of the campaign that a coil runs in: about ten coils of one band."""
    block = number // _CAMPAIGN_COILS
    changeover = int(stream(seed, block, Purpose.SCHEDULE).integers(_CAMPAIGN_COILS))
    return block + (number % _CAMPAIGN_COILS >= changeover)


def band_of(seed: int, number: int) -> tuple[float, float]:
    """Band in g/m² of a coil: campaigns climb from light to heavy coatings and down again, one band at a time."""
    period = 2 * (len(BANDS_G_M2) - 1)
    step = (campaign_of(seed, number) + seed) % period
    return BANDS_G_M2[min(step, period - step)]


def plan(seed: int, number: int) -> PlannedCoil:
    """Plan coil `number`: band by campaign, strip, set-points and gauge grid by the coil's own stream."""
    rng = stream(seed, number, Purpose.ORDER)
    zn_min, zn_max = band_of(seed, number)
    width_mm = 10.0 * rng.integers(90, 161)
    thickness_mm = round(float(rng.uniform(2.0, 5.0)), 2)
    kg_per_m = width_mm * thickness_mm * 1e-6 * _STEEL_KG_M3
    # Coils weigh 10-22 t and measure 250-1500 m; thin narrow strip meets the first, thick wide strip the second.
    shortest, longest = max(250.0, 10_000 / kg_per_m), min(1500.0, 22_000 / kg_per_m)
    length_m = float(round(rng.uniform(shortest, longest)))
    pitch_m = max(3.4, length_m / 264, min(10.6 * rng.lognormal(0.0, 0.45), length_m / 20))
    pitch_tiles = int(pitch_m * TILES_PER_M) + 1
    first_tile = int(rng.integers(0, pitch_tiles // 2))
    rows = min(264, int((length_m * TILES_PER_M - first_tile - 1) // pitch_tiles) + 1)
    order = Order(
        zn_min_g_m2=zn_min,
        zn_max_g_m2=zn_max,
        length_m=length_m,
        width_mm=float(width_mm),
        thickness_mm=thickness_mm,
        weight_t=round(kg_per_m * length_m / 1000, 2),
        material=MATERIALS[rng.integers(len(MATERIALS))],
        customer=CUSTOMERS[rng.integers(len(CUSTOMERS))],
    )
    return PlannedCoil(
        order=order,
        length_m=length_m,
        thickness_mm=thickness_mm,
        target_g_m2=zn_min + (zn_max - zn_min) * float(rng.uniform(0.0, 0.5)),
        # Thick strip heats slowly, so it runs slowly; heavy coatings run slowly too, or the knives could not wipe.
        speed_m_s=float(rng.uniform(0.9, 1.1)) * 4.2 / (thickness_mm**0.6),
        tension_mpa=float(rng.uniform(15.0, 40.0)),
        rows=rows,
        pitch_tiles=pitch_tiles,
        first_tile=first_tile,
    )
