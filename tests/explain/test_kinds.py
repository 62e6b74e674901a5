"""What a place looks like: told whatever the scale, side and depth, by a small model that is made again alike."""

from dataclasses import replace

import numpy as np
import pytest

from flows.kind_bundle import Part, build_kinds
from flows.known_kinds import KnownPlace, compared_coils, known_places, marked_place, shown_kind
from models.bundle import MODEL, read_file, sha256
from models.ensemble import ENSEMBLE, SHIPPED, parse_ensemble
from models.kind_fit import fit_kinds
from models.kind_places import places_bytes, read_places
from models.kind_scores import kind_scores, macro_difference
from models.kinds import KNOWN_PLACES, SHIPPED_KINDS, kind_model, shipped_kinds, shipped_places
from models.place_features import WIDTH, Place, place_features, struck_sensors
from plant.defects import KINDS
from plant.settings import LineSettings
from schemas.coils import Float32Array
from schemas.errors import BundleError
from schemas.kinds import NO_KIND
from schemas.matrices import Scale

LIMITS = parse_ensemble(read_file(SHIPPED / ENSEMBLE), SHIPPED).limits
PLACE = Place(face="bottom", first_row=40, last_row=90, first_sensor=1, last_sensor=3)
MOST_MB = 1.0


def uneven(seed: int = 0) -> Float32Array:
    coil = np.random.default_rng(seed).normal(0, 1, (264, 18)).astype(np.float32)
    coil[40:90, 10:13] -= 12
    return coil


def mirrored(coil: Float32Array) -> Float32Array:
    return np.concatenate([coil[:, 8::-1], coil[:, :8:-1]], axis=1)


def numbers(coil: Float32Array, place: Place = PLACE, length_m: float | None = 500.0) -> Float32Array:
    found: Float32Array = place_features(coil, length_m, [place])[0]
    return found


def test_neither_a_factor_nor_the_mirror_across_the_strip_nor_a_turn_of_the_faces_changes_the_numbers() -> None:
    coil = uneven()
    expected = numbers(coil)
    assert expected.shape == (WIDTH,)
    np.testing.assert_allclose(numbers(coil * 0.01), expected, atol=1e-4)
    beyond = replace(PLACE, first_sensor=5, last_sensor=7)
    np.testing.assert_allclose(numbers(mirrored(coil), beyond), expected, atol=1e-5)
    turned = np.concatenate([coil[:, 9:], coil[:, :9]], axis=1)
    np.testing.assert_allclose(numbers(turned, replace(PLACE, face="top")), expected, atol=1e-5)


def test_too_thin_and_too_thick_are_not_alike() -> None:
    assert np.abs(numbers(uneven()) - numbers(-uneven())).max() > 0.5


@pytest.mark.parametrize(
    "place",
    [
        Place(face="top", first_row=0, last_row=264),
        Place(face="top", first_row=263, last_row=264, first_sensor=8, last_sensor=8),
        Place(face="bottom", first_row=0, last_row=1, first_sensor=0, last_sensor=0),
    ],
)
def test_every_place_of_every_coil_has_numbers(place: Place) -> None:
    for coil in (uneven(), np.zeros((264, 18), dtype=np.float32), np.full((264, 18), -1, dtype=np.float32)):
        assert np.isfinite(numbers(coil, place, None)).all()


def test_the_sensors_of_a_marked_stretch_are_those_that_deviate() -> None:
    assert struck_sensors(uneven(), Place(face="bottom", first_row=40, last_row=90)) == (1, 3)


def places(scale: Scale) -> list[tuple[Float32Array, float | None, KnownPlace]]:
    """Places of coils that nobody learnt from."""
    line = LineSettings(defect_share=0.9)
    coils = compared_coils(line, LIMITS, coils=250, seed=31, scales=[scale])
    return [(coil.distance, coil.length_m, known) for coil in coils for known in known_places(coil)]


@pytest.mark.parametrize("scale", ["limits", "self"])
def test_the_shipped_model_tells_kinds_of_coils_that_it_never_saw(scale: Scale) -> None:
    kinds, known = shipped_kinds(), places(scale)
    said = np.array([kinds.say(distance, length_m, [one.place])[0][0].kind for distance, length_m, one in known])
    scores = kind_scores(np.array([one.kind for _, _, one in known]), said)
    assert scores.macro_f1 > 0.6, scores
    marked = np.array([one.marked for _, _, one in known])
    assert (said == np.array([one.kind for _, _, one in known]))[marked].mean() > 0.75


def test_a_place_shows_the_defect_that_its_deviation_is_owed_to_and_none_where_that_is_elsewhere() -> None:
    line = LineSettings(defect_share=1.0, restlessness=0.5)
    shown = 0
    for coil in compared_coils(line, LIMITS, coils=60, seed=8, scales=["limits"]):
        [defect, *others] = coil.defects
        if others or defect.kind not in ("bare_patch", "thin_stripe"):
            continue
        place = marked_place(coil, defect)
        if (kind := shown_kind(coil, place)) is not None:
            assert kind in (defect.kind, NO_KIND)
            shown += kind == defect.kind
        elsewhere = replace(place, face="top" if place.face == "bottom" else "bottom")
        assert shown_kind(coil, elsewhere) in (None, NO_KIND), "one face is struck"
    assert shown >= 3


def test_the_bundle_is_small_and_made_for_every_kind_there_is() -> None:
    manifest = shipped_kinds().manifest
    assert set(manifest.kinds) == {*KINDS, NO_KIND}
    assert manifest.base == manifest.version
    assert sum(file.stat().st_size for file in SHIPPED_KINDS.iterdir()) < MOST_MB * 1e6


def test_the_shipped_places_make_the_shipped_model_again() -> None:
    manifest, known = shipped_places()
    model = fit_kinds(known, manifest.kinds)
    fresh = manifest.model_copy(update={"files": {MODEL: sha256(model)}})
    features = known.features[:200]
    np.testing.assert_allclose(
        kind_model(fresh, model, place="again").probabilities(features),
        shipped_kinds().probabilities(features),
        atol=1e-3,
    )


def test_the_same_seeds_make_the_same_bundle() -> None:
    learnt = Part(coils=60, seed=1, of_a_kind=20, of_none=40)
    judged = Part(coils=40, seed=2, of_a_kind=20, of_none=40)
    assert build_kinds(learnt, judged, LIMITS, None) == build_kinds(learnt, judged, LIMITS, None)


def test_an_altered_model_and_places_of_another_making_are_refused() -> None:
    kinds = shipped_kinds()
    content = read_file(SHIPPED_KINDS / MODEL)
    with pytest.raises(BundleError, match="altered"):
        kind_model(kinds.manifest, content[:-1] + b"x", place="m")
    with pytest.raises(BundleError, match="described as places-0"):
        kind_model(kinds.manifest.model_copy(update={"features": "places-0"}), content, place="m")
    with pytest.raises(BundleError, match="cannot be read"):
        read_places(read_file(SHIPPED_KINDS / KNOWN_PLACES)[:1000], place="m")


def test_places_are_read_as_they_were_written() -> None:
    _, known = shipped_places()
    again = read_places(places_bytes(known), place="m")
    assert (again.coded == known.coded).all()
    assert (again.kind == known.kind).all()
    assert (again.holdout == known.holdout).all()
    np.testing.assert_array_equal(again.features, known.features)


def test_macro_f1_is_the_mean_over_kinds_however_rare() -> None:
    true = np.array(["a"] * 8 + ["b"] * 2)
    scores = kind_scores(true, np.array(["a"] * 10))
    assert scores.f1 == {"a": pytest.approx(16 / 18), "b": 0.0}
    assert scores.macro_f1 == pytest.approx(8 / 18)
    assert scores.macro_f1_ci95 == pytest.approx((8 / 18, 8 / 18)), "what is always said alike is so in every resample"
    assert scores.confusion.tolist() == [[8, 0], [2, 0]]


def test_a_worse_model_is_seen_to_be_worse_and_an_equal_one_is_not() -> None:
    rng = np.random.default_rng(0)
    true = np.array(["a", "b", "c"] * 100)
    worse = np.where(rng.random(300) < 0.3, "a", true)
    assert macro_difference(true, true, worse).high < -0.03
    same = macro_difference(true, worse, worse)
    assert (same.value, same.low, same.high) == (0, 0, 0)
