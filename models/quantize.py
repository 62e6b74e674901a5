"""Int8 forms of bundles and of an ensemble, for the edge: by ONNX Runtime's static quantisation."""

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pyarrow as pa
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from models.bundle import (
    GOLDEN,
    INPUT,
    MODEL,
    OUTPUT,
    SPREAD,
    VERSION_DIGITS,
    Bundle,
    load_bundle,
    open_session,
    read_file,
    sha256,
    write_bundle,
)
from models.combine import Rule
from models.ensemble import COILS_AT_ONCE, Ensemble, load_ensemble, without_weights, write_ensemble
from models.evaluation import evaluate
from models.golden import golden_again
from models.int8_graph import Correction, corrected, float_nodes, pools_as_convolutions
from models.scales import to_self_scale, to_self_spread
from schemas.bundles import EnsembleManifest
from schemas.coils import BoolArray, Float32Array, FloatArray
from schemas.errors import SourceError
from schemas.matrices import tensor_values

_SUFFIX = "-int8"
_PERCENTILE = 99.999  # of the activations that a layer's 256 levels span; the rest, rare peaks, are clipped
MOST_CALIBRATED = 256  # coils: every activation of each is held in memory at once
_LEAST_ODDS = 1e-6  # p_nok is held so far from 0 and 1 where log-odds are wanted
_LIBRARIES = ("numpy", "onnx", "onnxruntime")

Coils = tuple[Float32Array, Float32Array]
"""Matrices and spreads, float32 [N, 264, 18] each, on a member's scale."""


def quantize_ensemble(
    source: Path | None,
    out: Path,
    *,
    calibration: pa.RecordBatch,
    judged: pa.RecordBatch,
    on_member: Callable[[str], None] = lambda _: None,
) -> EnsembleManifest:
    """Write the int8 form of an ensemble; thresholds, limits and the way to combine are kept.

    Convolutions and what lies between them are computed in 8 bits; the first convolution, everything behind the last
    one, the guard and a member with fewer than two convolutions stay as they are (models.int8_graph says why). What
    training alone needs is left out.

    Args:
        source: folder of the ensemble; None for the shipped one.
        out: the new ensemble's folder, which must not exist.
        calibration: MATRIX_BATCH of typical coils, labels not needed; the first 256 are taken.
        judged: MATRIX_BATCH of other coils, all labelled, both labels, for the metrics of the manifests.
        on_member: called with the name of each member that is done.

    Raises:
        BundleError: the ensemble cannot be read, or `out` exists or cannot be written.
        SourceError: the coils are on another scale than a member, or `judged` has coils without a label.
    """
    ensemble = load_ensemble(source, threads=1)
    is_nok = _labels(judged)
    with tempfile.TemporaryDirectory(prefix="coilflow-int8-") as folder:
        members = []
        for member in ensemble.members:
            seen, labelled = (_coils(member, batch) for batch in (calibration.slice(0, MOST_CALIBRATED), judged))
            made = Path(folder) / member.folder.name
            if not _quantize(member, made, seen, labelled, is_nok):
                without_weights(member, made)
            members.append(made)
            on_member(member.manifest.name)
        guard = ensemble.guard
        kept_guard = None if guard is None else without_weights(guard, Path(folder) / guard.folder.name)
        return write_ensemble(
            out,
            name=f"{ensemble.manifest.name}{_SUFFIX}",
            version=_version_of(members),
            members=members,
            thresholds=ensemble.manifest.thresholds,
            limits=ensemble.limits,
            how=_rule(ensemble.manifest),
            guard=kept_guard,
        )


def label_agreement(one: Ensemble, other: Ensemble, batch: pa.RecordBatch) -> float:
    """Share of the coils of MATRIX_BATCH that two ensembles give the same label."""
    scores = [ensemble.score(batch) for ensemble in (one, other)]
    first, second = (score.p_nok >= score.threshold for score in scores)
    return float(np.mean(first == second))


def _quantize(member: Bundle, out: Path, seen: Coils, labelled: Coils, is_nok: BoolArray) -> bool:
    """Write the int8 form of a member; False where it has nothing to quantise."""
    before = member.manifest
    model = _int8(read_file(member.folder / MODEL), member, seen)
    if model is None:
        return False
    place = out / MODEL
    correction = _correction(member, open_session(model, place=place, threads=1), seen)
    model = corrected(model, correction)
    session = open_session(model, place=place, threads=1)
    p_nok = _p_nok(session, labelled)
    metrics = evaluate(p_nok=p_nok, is_nok=is_nok, predicted_nok=p_nok >= before.threshold)
    changes = {
        "name": f"{before.name}{_SUFFIX}",
        "version": sha256(model)[:VERSION_DIGITS],
        "metrics": metrics.as_json(),
        "parent": f"{before.name}@{before.version}",
        "code_version": version("coilflow"),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }
    golden = golden_again(member.golden, session)
    write_bundle(out, manifest=before.model_copy(update=changes), files={MODEL: model, GOLDEN: golden})
    load_bundle(out, threads=1).verify()
    return True


def _int8(model: bytes, member: Bundle, seen: Coils) -> bytes | None:
    with tempfile.TemporaryDirectory(prefix="coilflow-int8-") as folder:
        plain, prepared, made = (Path(folder) / name for name in ("plain.onnx", "prepared.onnx", "int8.onnx"))
        plain.write_bytes(model)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        graph = pools_as_convolutions(onnx.load(prepared))
        kept = float_nodes(graph)
        if kept is None:
            return None
        onnx.save(graph, prepared)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            quantize_static(
                prepared,
                made,
                _Calibration(seen, [one.name for one in member.session.get_inputs()]),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                reduce_range=True,  # 7 bits a weight: 8 overflow where a processor has AVX2 without VNNI
                nodes_to_exclude=kept,
                calibrate_method=CalibrationMethod.Percentile,
                extra_options={"CalibPercentile": _PERCENTILE},
            )
        return made.read_bytes()


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Hands coils to ONNX Runtime's calibration one by one."""

    def __init__(self, coils: Coils, names: list[str]) -> None:
        self._coils = _batches(coils, names, at_once=1)  # activations of all of them must have one shape

    def get_next(self) -> dict[str, Float32Array] | None:
        return next(self._coils, None)


def _correction(member: Bundle, session: ort.InferenceSession, seen: Coils) -> Correction:
    """The line from int8 log-odds to float ones of least squared difference in probability, to first order."""
    wanted, got = _log_odds(_p_nok(member.session, seen)), _log_odds(_p_nok(session, seen))
    p_nok = 1 / (1 + np.exp(-wanted))
    weight = (p_nok * (1 - p_nok)) ** 2  # of the squared residual: dp = p (1 - p) d(log-odds)
    middle, target = np.average(got, weights=weight), np.average(wanted, weights=weight)
    variance = np.average((got - middle) ** 2, weights=weight)
    slope = np.average((got - middle) * (wanted - target), weights=weight) / variance if variance > 0 else 1.0
    return Correction(slope=float(slope), shift=float(target - slope * middle))


def _log_odds(p_nok: FloatArray) -> FloatArray:
    held = np.clip(p_nok, _LEAST_ODDS, 1 - _LEAST_ODDS)
    odds: FloatArray = np.log(held / (1 - held))
    return odds


def _p_nok(session: ort.InferenceSession, coils: Coils) -> FloatArray:
    names = [one.name for one in session.get_inputs()]
    return np.concatenate([session.run([OUTPUT], given)[0] for given in _batches(coils, names)]).astype(np.float64)


def _batches(coils: Coils, names: list[str], *, at_once: int = COILS_AT_ONCE) -> Iterator[dict[str, Float32Array]]:
    given = dict(zip((INPUT, SPREAD), coils, strict=True))
    for start in range(0, len(coils[0]), at_once):
        yield {name: np.ascontiguousarray(given[name][start : start + at_once]) for name in names}


def _coils(member: Bundle, batch: pa.RecordBatch) -> Coils:
    scales = set(batch.column("scale").to_pylist())
    matrix, spread = tensor_values(batch), tensor_values(batch, SPREAD)
    if member.manifest.scale == "self":
        return to_self_scale(matrix), to_self_spread(spread, matrix)
    if scales != {"limits"}:
        raise SourceError(
            f"{member.manifest.name} takes scale limits, the coils are on scale {', '.join(sorted(scales)) or 'none'}",
            remedy="give coils that `coilflow normalize` wrote with the ensemble's limits",
        )
    return matrix, spread


def _rule(manifest: EnsembleManifest) -> Rule:
    return Rule(
        how=manifest.combine,
        weights=manifest.weights or (),
        intercept=manifest.intercept or 0.0,
        thresholds=manifest.member_thresholds or (),
    )


def _labels(batch: pa.RecordBatch) -> BoolArray:
    labels = np.asarray(batch.column("label").to_pylist(), dtype=object)
    if set(labels) != {"OK", "NOK"}:
        raise SourceError(
            "the coils that judge the int8 form need a label each, and both labels",
            remedy="give labelled coils, OK and NOK",
        )
    is_nok: BoolArray = labels == "NOK"
    return is_nok


def _version_of(members: list[Path]) -> str:
    return sha256(b"".join(read_file(member / "manifest.json") for member in members))[:VERSION_DIGITS]
