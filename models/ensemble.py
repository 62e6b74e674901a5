"""Several members asked as one: what `score` calls and what a hot swap replaces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from models.bundle import MANIFEST, SPREAD, Bundle, load_bundle, read_file, sha256, write_folder
from models.scales import to_self_scale, to_self_spread
from schemas.bundles import Combine, EnsembleManifest
from schemas.coils import Float32Array, FloatArray, Limits
from schemas.errors import BundleError
from schemas.faults import first_fault
from schemas.matrices import Scale, tensor_values
from schemas.verdicts import MemberId, Scores

ENSEMBLE = "ensemble.json"
SHIPPED = Path(__file__).parent / "bundles"
COILS_AT_ONCE = 16  # per run of a member: larger batches leave the cache

_REMEDY = "reinstall coilflow, or point COILFLOW_ENSEMBLE to a folder with a whole ensemble.json, see `coilflow doctor`"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ensemble:
    """Loaded members and how they are combined; immutable, so that a swap is one reference."""

    manifest: EnsembleManifest
    version: str
    members: tuple[Bundle, ...]

    @property
    def limits(self) -> Limits:
        """Global limits of the saliency that the members were trained on."""
        return self.manifest.limits

    def threshold(self, scale: Scale) -> float:
        """NOK at or above this `p_nok`; raises BundleError where the ensemble does not take the scale."""
        if scale not in self.manifest.thresholds:
            raise BundleError(
                f"ensemble {self.version} has no threshold for scale {scale}, only for "
                f"{', '.join(sorted(self.manifest.thresholds))}",
                remedy="take an ensemble with a member for that scale",
            )
        return self.manifest.thresholds[scale]

    def score(self, batch: pa.RecordBatch) -> Scores:
        """Score a batch of MATRIX_BATCH whose coils share one scale.

        A `self` member rescales a `limits` batch; a `limits` member is skipped on a `self` batch. A coil's
        score does not depend on the coils beside it (beyond 1e-6).

        Raises:
            BundleError: no member takes the batch's scale.
            ValueError: the batch mixes scales.
        """
        scale = self._scale_of(batch)
        threshold = self.threshold(scale)
        takers = [m for m in self.members if scale == "limits" or m.manifest.scale == "self"]
        if not takers:
            raise BundleError(
                f"no member of ensemble {self.version} takes scale {scale}",
                remedy="take an ensemble with a member for that scale",
            )
        p_nok = _member_scores(takers, batch)
        return Scores(
            ensemble_version=self.version,
            threshold=threshold,
            members=tuple(MemberId(model=m.manifest.name, version=m.manifest.version) for m in takers),
            skipped=tuple(m.manifest.name for m in self.members if m not in takers),
            member_p_nok=p_nok,
            p_nok=combine(p_nok, self.manifest.combine),
        )

    def verify(self) -> Mapping[str, float]:
        """Score every member's canary coils: name -> largest |Δp|; raises BundleError where one is off."""
        return {member.manifest.name: member.verify() for member in self.members}

    def _scale_of(self, batch: pa.RecordBatch) -> Scale:
        scales = batch.column("scale").unique().to_pylist()
        if len(scales) > 1:
            raise ValueError(
                f"a batch mixes the scales {', '.join(map(str, scales))}: score each in a batch of its own"
            )
        known = [s for s in ("limits", "self") if s in self.manifest.thresholds]
        scale: Scale = scales[0] if scales else known[0]
        return scale


def _member_scores(members: Sequence[Bundle], batch: pa.RecordBatch) -> FloatArray:
    """Scores float64 [B, M] of a batch, a cacheful at a time."""
    scores = np.empty((batch.num_rows, len(members)))
    if not batch.num_rows:
        return scores
    matrix, spread = tensor_values(batch), tensor_values(batch, SPREAD)
    for start in range(0, len(matrix), COILS_AT_ONCE):
        part = slice(start, start + COILS_AT_ONCE)
        forms: dict[Scale, tuple[Float32Array, Float32Array]] = {"limits": (matrix[part], spread[part])}
        if any(member.manifest.scale == "self" for member in members):
            forms["self"] = to_self_scale(matrix[part]), to_self_spread(spread[part], matrix[part])
        for column, member in enumerate(members):
            scores[part, column] = member.p_nok(*forms[member.manifest.scale])
    return scores


def combine(member_p_nok: FloatArray, how: Combine) -> FloatArray:
    """Combine members' probabilities [B, M] into one [B].

    `mean` is the study's ensemble. `confidence_sum` is the pilot's code (FACTS section 4): every member has
    a label and a confidence `|p_ok - p_nok|`, per label the confidences are summed, NOK where its sum is
    larger. It is returned as NOK's share of both sums, a tie just under 0.5, so that 0.5 is the pilot's
    decision. (As `p_ok = 1 - p_nok`, NOK's sum is larger exactly where the mean is over 0.5.)

    Example:
        >>> combine(np.array([[0.9, 0.4]]), "confidence_sum").round(3).tolist()
        [0.8]
    """
    if how == "mean":
        mean: FloatArray = member_p_nok.mean(axis=1)
        return mean
    signed = 2 * member_p_nok - 1
    nok = np.where(signed > 0, signed, 0).sum(axis=1)
    ok = np.where(signed < 0, -signed, 0).sum(axis=1)
    undecided = np.full(len(signed), np.nextafter(0.5, 0))
    share: FloatArray = np.divide(nok, nok + ok, out=undecided, where=nok != ok)
    return share


def load_ensemble(folder: Path | None, *, threads: int, how: Combine | None = None) -> Ensemble:
    """Load an ensemble after checking the digests of its members; canaries are run by `verify`.

    Args:
        folder: holds `ensemble.json` and the members' folders; None for the ensemble that came with coilflow.
        threads: ONNX Runtime threads of each member; members run one after another.
        how: combine the members otherwise than the ensemble says; the threshold is then 0.5.

    Raises:
        BundleError: the ensemble or a member is missing, altered or not what its manifest says.
    """
    root = SHIPPED if folder is None else folder
    text = read_file(root / ENSEMBLE)
    try:
        manifest = EnsembleManifest.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{root / ENSEMBLE}: {first_fault(error).sentence()}", remedy=_REMEDY) from error
    if manifest.digest != manifest.own_digest():
        raise BundleError(f"{root / ENSEMBLE}: its digest does not fit it; the file was altered", remedy=_REMEDY)
    members = tuple(_member(root, name, manifest, threads) for name in manifest.members)
    if how is None or how == manifest.combine:
        return Ensemble(manifest=manifest, version=manifest.version, members=members)
    thresholds = dict.fromkeys(manifest.thresholds, 0.5)
    changed = manifest.model_copy(update={"combine": how, "thresholds": thresholds})
    return Ensemble(manifest=changed, version=f"{manifest.version}+{how}", members=members)


def _member(root: Path, name: PurePosixPath, manifest: EnsembleManifest, threads: int) -> Bundle:
    if name.is_absolute() or ".." in name.parts:
        raise BundleError(f"{root / ENSEMBLE}: member {name} lies outside the ensemble's folder", remedy=_REMEDY)
    bundle = load_bundle(root / name, threads=threads)
    if bundle.digest != manifest.manifests.get(str(name)):
        raise BundleError(f"{root / name / MANIFEST}: its SHA-256 is not the one in {ENSEMBLE}", remedy=_REMEDY)
    if bundle.manifest.scale == "limits" and bundle.manifest.limits_version != manifest.limits.version:
        raise BundleError(
            f"{root / name}: trained on limits {bundle.manifest.limits_version}, "
            f"the ensemble has {manifest.limits.version}",
            remedy="train the member with the ensemble's limits",
        )
    return bundle


def write_ensemble(
    folder: Path,
    *,
    name: str,
    version: str,
    members: Sequence[Path],
    thresholds: Mapping[Scale, float],
    limits: Limits,
    how: Combine = "mean",
) -> EnsembleManifest:
    """Put bundles, e.g. of `coilflow train`, together in one folder, wholly or not at all.

    Args:
        folder: must not exist.
        name: of the ensemble.
        version: of the ensemble, as verdicts name it.
        members: folders of bundles, copied under their own names.
        thresholds: by scale, in [0, 1].
        limits: which every member on scale `limits` was trained with.
        how: members are combined.
    """
    manifest = EnsembleManifest(
        name=name,
        version=version,
        members=tuple(PurePosixPath(m.name) for m in members),
        combine=how,
        thresholds=dict(thresholds),
        limits=limits,
        manifests={m.name: sha256(read_file(m / MANIFEST)) for m in members},
    )
    manifest = manifest.model_copy(update={"digest": manifest.own_digest()})
    files = {f"{m.name}/{file.name}": file.read_bytes() for m in members for file in sorted(m.iterdir())}
    write_folder(folder, {**files, ENSEMBLE: (manifest.model_dump_json(indent=2) + "\n").encode()})
    return manifest
