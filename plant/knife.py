"""Gas knives: coating mass of one face as the jet leaves it.

First-order law of jet stripping (Thornton & Graff 1976; Ellen & Tu 1984; Elsaadawy et al. 2007):
`W = k · D · sqrt(V / P)`, linear in the distance D while D is over about seven nozzle openings.
"""

from typing import overload

import numpy as np

from schemas.coils import FloatArray

# g/m² per mm of distance at 1 m/s and 1 kPa: 100 g/m² at 11 mm, 2 m/s and 25 kPa.
WIPING_CONSTANT = 32.0
BATH_C = 460.0
_THINNER_PER_C = -0.004  # a hotter bath is less viscous and drags less zinc


def wiping_constant(bath_c: FloatArray) -> FloatArray:
    """`k` of the law at a bath temperature in °C, same shape."""
    return WIPING_CONSTANT * (1.0 + _THINNER_PER_C * (bath_c - BATH_C))


def coating_mass_g_m2(
    constant: FloatArray, distance_mm: FloatArray, speed_m_s: FloatArray, pressure_kpa: FloatArray
) -> FloatArray:
    """Coating mass of a face in g/m²; the arguments broadcast, all positive."""
    return constant * distance_mm * np.sqrt(speed_m_s / pressure_kpa)


@overload
def pressure_for_kpa(target_g_m2: float, distance_mm: float, speed_m_s: float) -> float: ...
@overload
def pressure_for_kpa(target_g_m2: FloatArray, distance_mm: float, speed_m_s: float) -> FloatArray: ...
def pressure_for_kpa(target_g_m2: float | FloatArray, distance_mm: float, speed_m_s: float) -> float | FloatArray:
    """Knife pressure in kPa that leaves the target at the nominal bath temperature: the law solved for P."""
    return speed_m_s * (WIPING_CONSTANT * distance_mm / target_g_m2) ** 2
