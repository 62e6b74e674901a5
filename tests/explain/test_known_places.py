"""Explanations point at defects whose place the simulated line knows."""

import numpy as np
import pytest

from bench.known_places import KnownCoil, chance, hits, known_coils
from models.ensemble import Ensemble, load_ensemble
from models.explain import explain
from plant.line import simulate
from plant.settings import LineSettings
from processors.assemble import assemble
from processors.normalize import normalize
from schemas.matrices import Scale, keys_of

LEAST = 0.8  # of coils
COILS = 300  # of which about an eighth are NOK for expert and ensemble


@pytest.fixture(scope="module")
def shipped() -> Ensemble:
    return load_ensemble(None, threads=1)


def pointed_at(ensemble: Ensemble, scale: Scale) -> list[KnownCoil]:
    line = LineSettings(defect_share=0.9, restlessness=0.5)
    return list(known_coils(ensemble, line, coils=COILS, seed=31, scale=scale))


@pytest.mark.parametrize("scale", ["limits", "self"])
def test_the_largest_contribution_lies_on_the_defect(shipped: Ensemble, scale: Scale) -> None:
    coils = pointed_at(shipped, scale)
    assert len(coils) >= 25
    hit = np.mean([hits(coil, explain(coil.batch, shipped).p_nok) for coil in coils])
    assert hit > LEAST
    assert hit > np.mean([chance(coil) for coil in coils]) + 0.3, "by far more than by chance"


def test_the_largest_region_of_the_only_defect_overlaps_it(shipped: Ensemble) -> None:
    coils = [coil for coil in pointed_at(shipped, "limits") if len(coil.defects) == 1 and coil.by_defect]
    overlapping = 0
    for coil in coils:
        region = explain(coil.batch, shipped).regions[0]
        windows = slice(region.first_row // 11, region.last_row // 11)
        groups = slice(region.first_sensor // 3, region.last_sensor // 3 + 1)
        overlapping += bool(coil.pointed[["top", "bottom"].index(region.face), windows, groups].any())
    assert overlapping > LEAST * len(coils)


def test_a_defect_decides_alone_where_expert_and_ensemble_call_the_coil_ok_without_it(shipped: Ensemble) -> None:
    coils = pointed_at(shipped, "limits")
    alone = {keys_of(coil.batch)[0] for coil in coils if coil.by_defect_alone}
    not_alone = {keys_of(coil.batch)[0] for coil in coils if coil.by_defect and not coil.by_defect_alone}
    assert alone
    called_ok = set()
    for block in simulate(COILS, seed=31, line=LineSettings(defect_share=0.0, restlessness=0.5)):
        plain = normalize(assemble(block.rows, block.headers).coils, shipped.limits).batch
        scores = shipped.score(plain)
        called_ok |= {key for key, p in zip(keys_of(plain), scores.p_nok, strict=True) if p < scores.threshold}
    assert alone <= called_ok
    assert not not_alone & called_ok
    assert all(coil.by_defect for coil in coils if coil.by_defect_alone)


def test_a_hit_is_on_the_face_the_metres_and_the_sensors_of_a_defect(shipped: Ensemble) -> None:
    """The judge of the two above: turned over or moved away, what was a hit is one no more."""
    coil = min(pointed_at(shipped, "limits"), key=chance)
    assert chance(coil) < 0.2
    there = np.where(coil.pointed, 1.0, 0.0)
    assert hits(coil, there)
    assert not hits(coil, 1.0 - there)
