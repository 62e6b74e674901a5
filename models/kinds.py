"""What kind of defect a place looks like: a small model beside the ensemble, asked where a verdict is explained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from pydantic import ValidationError

from models.bundle import MANIFEST, MODEL, read_file, sha256
from models.kind_places import KnownPlaces, read_places
from models.place_features import MADE_BY, WIDTH, Place, place_features
from schemas.coils import Float32Array, FloatArray
from schemas.errors import BundleError
from schemas.faults import first_fault
from schemas.kinds import KindManifest, SaidKind

SHIPPED_KINDS = Path(__file__).parent / "kind_bundle"
KNOWN_PLACES = "places.arrow"
PLACES, OUTPUT = "places", "p"
_SAID_FROM = 0.05  # a kind less likely than that is not said
_DIGITS = 4
_REMEDY = "reinstall coilflow"


@dataclass(frozen=True, kw_only=True, slots=True)
class KindModel:
    """A loaded kind model."""

    manifest: KindManifest
    session: ort.InferenceSession

    def probabilities(self, features: Float32Array) -> FloatArray:
        """How likely places are of each kind, float64 [N, K], of features [N, D]."""
        if not len(features):
            return np.zeros((0, len(self.manifest.kinds)))
        (found,) = self.session.run([OUTPUT], {PLACES: features})
        return np.asarray(found, dtype=np.float64)

    def say(
        self, distance: Float32Array, length_m: float | None, places: Sequence[Place]
    ) -> tuple[tuple[SaidKind, ...], ...]:
        """What places of one coil look like, the likeliest kind first; one less likely than 5% is left out.

        Args:
            distance: float32 [264, 18] from the band, or on scale `self` from the coil's commonest level; any unit.
            length_m: of the strip; None where it is not known.
            places: of this coil.
        """
        found = self.probabilities(place_features(distance, length_m, places))
        return tuple(self._said(row) for row in found)

    def _said(self, p: FloatArray) -> tuple[SaidKind, ...]:
        order = np.argsort(-p, kind="stable")
        return tuple(
            SaidKind(kind=self.manifest.kinds[at], p=round(float(p[at]), _DIGITS))
            for nth, at in enumerate(order)
            if nth == 0 or p[at] >= _SAID_FROM
        )


def shipped_kinds() -> KindModel:
    """The kind model that coilflow comes with.

    Raises:
        BundleError: a file is missing or altered.
    """
    folder = SHIPPED_KINDS
    manifest = _manifest(read_file(folder / MANIFEST), str(folder / MANIFEST))
    return kind_model(manifest, _checked(folder, manifest, MODEL), place=str(folder / MODEL))


def shipped_places() -> tuple[KindManifest, KnownPlaces]:
    """Its manifest, and the places that it learnt from and was judged on; raises BundleError as `shipped_kinds`."""
    folder = SHIPPED_KINDS
    manifest = _manifest(read_file(folder / MANIFEST), str(folder / MANIFEST))
    return manifest, read_places(_checked(folder, manifest, KNOWN_PLACES), place=str(folder / KNOWN_PLACES))


def kind_model(manifest: KindManifest, model: bytes, *, place: str) -> KindModel:
    """Open a graph; `place` is for errors.

    Raises:
        BundleError: it is not the graph of the manifest, or takes places described in another way than this version's.
    """
    if manifest.features != MADE_BY:
        raise BundleError(
            f"{place}: places are described as {manifest.features}, this version does it as {MADE_BY}", remedy=_REMEDY
        )
    if sha256(model) != manifest.files.get(MODEL):
        raise BundleError(f"{place}: its SHA-256 is not what its manifest says; it was altered", remedy=_REMEDY)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes share no base but Exception
        raise BundleError(f"{place}: ONNX Runtime cannot load it ({error})", remedy=_REMEDY) from error
    taken, given = session.get_inputs()[0].shape, session.get_outputs()[0].shape
    if taken[1:] != [WIDTH] or given[1:] != [len(manifest.kinds)]:
        raise BundleError(
            f"{place}: the graph maps {taken} to {given}, expected {WIDTH} numbers and {len(manifest.kinds)} kinds",
            remedy=_REMEDY,
        )
    return KindModel(manifest=manifest, session=session)


def _manifest(text: bytes, place: str) -> KindManifest:
    try:
        return KindManifest.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{place}: {first_fault(error).sentence()}", remedy=_REMEDY) from error


def _checked(folder: Path, manifest: KindManifest, name: str) -> bytes:
    content = read_file(folder / name)
    if sha256(content) != manifest.files.get(name):
        raise BundleError(f"{folder / name}: its SHA-256 is not what its manifest says; it was altered", remedy=_REMEDY)
    return content
