"""Several members asked as one: what `score` calls and what a hot swap replaces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from models.bundle import (
    MANIFEST,
    SPREAD,
    WEIGHTS,
    Bundle,
    load_bundle,
    read_file,
    sha256,
    write_bundle,
    write_folder,
)
from models.combine import MEAN, Rule, among, combine
from models.scales import to_self_scale, to_self_spread
from schemas.bundles import EnsembleManifest
from schemas.coils import Float32Array, FloatArray, Limits
from schemas.combine import PlainCombine
from schemas.errors import BundleError
from schemas.faults import first_fault
from schemas.matrices import Scale, tensor_values
from schemas.verdicts import GuardScores, MemberId, Scores

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
    guard: Bundle | None = None

    @property
    def rule(self) -> Rule:
        """How all its members are combined."""
        own = tuple(member.manifest.threshold for member in self.members)
        return Rule(
            how=self.manifest.combine,
            weights=self.manifest.weights or (),
            intercept=self.manifest.intercept or 0.0,
            thresholds=(self.manifest.member_thresholds or own) if self.manifest.combine == "union" else (),
        )

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

        A `self` member rescales a `limits` batch; a `limits` member is skipped on a `self` batch, and so is a guard
        of that scale. The others are combined as `models.combine.among` says; where that is another way than the
        ensemble's own, such as the mean in place of stacking, the version says so: `VERSION+mean`. A coil's score does
        not depend on the coils beside it (beyond 1e-6).

        Raises:
            BundleError: no member takes the batch's scale.
            ValueError: the batch mixes scales.
        """
        scale = self._scale_of(batch)
        threshold = self.threshold(scale)
        takers, rule = self.taking(scale)
        guards = [self.guard] if self.guard is not None and _takes(self.guard, scale) else []
        p_nok = _member_scores([*takers, *guards], batch)
        return Scores(
            ensemble_version=self.version if rule.how == self.manifest.combine else f"{self.version}+{rule.how}",
            threshold=threshold,
            members=tuple(_identity(m) for m in takers),
            skipped=tuple(m.manifest.name for m in self._models() if not _takes(m, scale)),
            member_p_nok=p_nok[:, : len(takers)],
            p_nok=combine(p_nok[:, : len(takers)], rule),
            anomaly=GuardScores(
                guard=_identity(guards[0]), threshold=guards[0].manifest.threshold, p_nok=p_nok[:, len(takers)]
            )
            if guards
            else None,
        )

    def taking(self, scale: Scale) -> tuple[tuple[Bundle, ...], Rule]:
        """The members that take a batch of a scale, and how they are combined; BundleError where there are none."""
        places = [i for i, m in enumerate(self.members) if _takes(m, scale)]
        if not places:
            raise BundleError(
                f"no member of ensemble {self.version} takes scale {scale}",
                remedy="take an ensemble with a member for that scale",
            )
        return tuple(self.members[i] for i in places), among(self.rule, places)

    def verify(self) -> Mapping[str, float]:
        """Score the canary coils of members and guard: name -> largest |Δp|; raises BundleError where one is off."""
        return {model.manifest.name: model.verify() for model in self._models()}

    def _models(self) -> tuple[Bundle, ...]:
        return self.members if self.guard is None else (*self.members, self.guard)

    def _scale_of(self, batch: pa.RecordBatch) -> Scale:
        scales = batch.column("scale").unique().to_pylist()
        if len(scales) > 1:
            raise ValueError(
                f"a batch mixes the scales {', '.join(map(str, scales))}: score each in a batch of its own"
            )
        known = [s for s in ("limits", "self") if s in self.manifest.thresholds]
        scale: Scale = scales[0] if scales else known[0]
        return scale


def _takes(model: Bundle, scale: Scale) -> bool:
    return scale == "limits" or model.manifest.scale == "self"


def _identity(model: Bundle) -> MemberId:
    return MemberId(model=model.manifest.name, version=model.manifest.version)


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


def load_ensemble(folder: Path | None, *, threads: int, how: PlainCombine | None = None) -> Ensemble:
    """Load an ensemble after checking the digests of its members and guard; canaries are run by `verify`.

    Args:
        folder: holds `ensemble.json` and the members' folders; None for the ensemble that came with coilflow.
        threads: ONNX Runtime threads of each member; members run one after another.
        how: combine the members otherwise than the ensemble says; the threshold is then 0.5.

    Raises:
        BundleError: the ensemble or a member is missing, altered or not what its manifest says.
    """
    root = SHIPPED if folder is None else folder
    manifest = parse_ensemble(read_file(root / ENSEMBLE), root)
    members = tuple(_member(root, name, manifest, threads) for name in manifest.members)
    guard = None if manifest.guard is None else _member(root, manifest.guard, manifest, threads)
    if how is None or how == manifest.combine:
        return Ensemble(manifest=manifest, version=manifest.version, members=members, guard=guard)
    fitted = dict.fromkeys(("weights", "intercept", "member_thresholds"))
    thresholds = dict.fromkeys(manifest.thresholds, 0.5)
    changed = manifest.model_copy(update={**fitted, "combine": how, "thresholds": thresholds})
    return Ensemble(manifest=changed, version=f"{manifest.version}+{how}", members=members, guard=guard)


def parse_ensemble(text: bytes, folder: Path) -> EnsembleManifest:
    """Read `ensemble.json` of a folder; raises BundleError where it is none, or was altered."""
    try:
        manifest = EnsembleManifest.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{folder / ENSEMBLE}: {first_fault(error).sentence()}", remedy=_REMEDY) from error
    if manifest.digest != manifest.own_digest():
        raise BundleError(f"{folder / ENSEMBLE}: its digest does not fit it; the file was altered", remedy=_REMEDY)
    return manifest


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
    how: Rule = MEAN,
    guard: Path | None = None,
) -> EnsembleManifest:
    """Put bundles, e.g. of `coilflow train`, together in one folder, wholly or not at all.

    Args:
        folder: must not exist.
        name: of the ensemble.
        version: of the ensemble, as verdicts name it.
        members: folders of bundles, copied under their own names.
        thresholds: by scale, in [0, 1]; 0.5 for a plain union.
        limits: which every member on scale `limits` was trained with.
        how: members are combined; a union without thresholds takes the members' own.
        guard: folder of a bundle that does not vote but can ask for a review, at or over its own threshold.

    Raises:
        BundleError: the parameters of `how` do not fit the members, two members have one name, or the folder exists.
    """
    models = [*members, *([guard] if guard else [])]
    try:
        manifest = EnsembleManifest(
            name=name,
            version=version,
            members=tuple(PurePosixPath(m.name) for m in members),
            combine=how.how,
            weights=how.weights or None,
            intercept=how.intercept if how.how == "stacking" else None,
            member_thresholds=how.thresholds or None,
            guard=PurePosixPath(guard.name) if guard else None,
            thresholds=dict(thresholds),
            limits=limits,
            manifests={m.name: sha256(read_file(m / MANIFEST)) for m in models},
        )
    except ValidationError as error:
        raise BundleError(
            f"ensemble {name}: {first_fault(error).sentence()}", remedy="give what it asks for"
        ) from error
    names = [member.name for member in members]
    for twice in sorted({one for one in names if names.count(one) > 1}):
        raise BundleError(
            f"ensemble {name}: two of its members lie in folders named {twice}, and one would replace the other",
            remedy="rename one of the folders",
        )
    manifest = manifest.model_copy(update={"digest": manifest.own_digest()})
    files = {f"{m.name}/{file.name}": file.read_bytes() for m in models for file in sorted(m.iterdir())}
    text = manifest.model_dump_json(indent=2, exclude_none=True) + "\n"
    write_folder(folder, {**files, ENSEMBLE: text.encode()})
    return manifest


def without_weights(bundle: Bundle, out: Path) -> Path:
    """Write a bundle again with what serves alone; its weights double its size, and only training begins with them.

    Raises:
        BundleError: `out` exists, or cannot be written.
    """
    files = {name: read_file(bundle.folder / name) for name in bundle.manifest.files if name != WEIGHTS}
    write_bundle(out, manifest=bundle.manifest, files=files)
    return out
