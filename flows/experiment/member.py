"""One run: a model is trained on its coils, exported, and says what it thinks of all coils that judge it."""

import json
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pyarrow as pa
import torch

from flows.background import network_coils
from flows.experiment.coils import Material, data_key
from flows.experiment.plan import Run
from flows.experiment.results import PREDICTIONS, RESULT, VALIDATION, predictions_file
from flows.experiment.spec import FOLDS
from models.bundle import INPUT, OUTPUT, SPREAD, open_session
from models.data_spec import DataSpec
from models.evaluation import evaluate
from models.export import to_onnx
from models.spec import TrainSpec
from models.thresholds import chosen_threshold
from models.training import Background, Epoch, LabelledCoils, fit
from schemas.coils import Float32Array, FloatArray

_COILS_AT_ONCE = 256
_TIMED_COILS, _TIMED_ROUNDS = 16, 20
_LIBRARIES = ("numpy", "onnxruntime", "scikit-learn", "torch")


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A trained model as it would serve."""

    graph: bytes  # ONNX
    epochs: tuple[Epoch, ...]
    seconds: float  # of training, without export


def train_member(spec: TrainSpec, training: LabelledCoils, validation: LabelledCoils, background: Background) -> Member:
    """Train one model and export it; the one place where an experiment meets the training code."""
    started = time.perf_counter()
    trained = fit(spec, training, validation, on_epoch=lambda _: None, background=background)
    seconds = time.perf_counter() - started
    graph = to_onnx(trained.network, temperature=trained.temperature)
    return Member(graph=graph, epochs=trained.epochs, seconds=seconds)


def train_run(run: Run, material: Material, *, threads: int, beside: int) -> Mapping[str, bytes]:
    """Train and judge one run; returns its files by name.

    Args:
        run: what to train, on which coils of the population.
        material: the coils of the experiment.
        threads: of torch and of ONNX Runtime.
        beside: how many runs went on at once, which the times depend on.
    """
    population, gold = material.population, material.gold
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        coils = LabelledCoils(coils=network_coils(population.batch, run.spec), is_nok=population.is_nok)
        background = _background(run.spec, material)
        member = train_member(run.spec, coils.take(run.training), coils.take(run.validation), background)
    finally:
        torch.set_num_threads(torch_threads)
    session = open_session(member.graph, place=Path(run.title), threads=threads)
    judged = [
        (VALIDATION, population.batch.take(pa.array(run.validation))),
        (FOLDS, population.batch.take(pa.array(run.judged))),
        *((name, one.batch) for name, one in gold),
    ]
    p_nok = [(name, _p_nok(session, network_coils(batch, run.spec))) for name, batch in judged]
    labels = {name: np.asarray(batch.column("label").to_pylist()) == "NOK" for name, batch in judged}
    threshold = chosen_threshold(run.spec.threshold, p_nok[0][1], labels[VALIDATION], profiles={})
    metrics = {
        name: evaluate(p_nok=p, is_nok=labels[name], predicted_nok=p >= threshold).as_json() for name, p in p_nok
    }
    result = {
        "id": run.id,
        "made_of": run.made_of,
        "model": run.model,
        "repeat": run.repeat,
        "fold": run.fold,
        "amount": run.amount.model_dump(),
        "settings": run.spec.model_dump(mode="json", exclude={"name", "data", "out", "holdout_share"}),
        "digests": {"data": population.digest(), **{name: one.digest() for name, one in gold}},
        "coils": {
            "training": len(run.training),
            "training_nok": int(coils.is_nok[run.training].sum()),
            "validation": len(run.validation),
            "validation_nok": int(coils.is_nok[run.validation].sum()),
        },
        "epochs": [asdict(epoch) for epoch in member.epochs],
        "training_seconds": round(member.seconds, 3),
        "inference_ms_a_coil": round(_inference_ms(session, coils.coils), 4),
        "model_mb": round(len(member.graph) / 1e6, 3),
        "threads": threads,
        "beside": beside,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "threshold": threshold,
        "metrics": metrics,
        "libraries": {name: version(name) for name in _LIBRARIES},
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    content = (json.dumps(result, indent=1) + "\n").encode()
    return {RESULT: content, PREDICTIONS: predictions_file(judged, [p for _, p in p_nok])}


def _background(spec: TrainSpec, material: Material) -> Background:
    """Coils without a label that the specification names; no parent, since a plan has none."""

    def coils(data: DataSpec | None) -> Float32Array | None:
        return network_coils(material.unlabelled[data_key(data)].batch, spec) if data is not None else None

    return Background(
        unlabelled=coils(spec.pretrain.unlabelled if spec.pretrain else None),
        recent=coils(spec.adapt.unlabelled if spec.adapt else None),
    )


def _p_nok(session: ort.InferenceSession, coils: Float32Array) -> FloatArray:
    """What serving would say: float64 [N] of coils float32 [N, C, 264, 18]."""
    parts = [
        session.run([OUTPUT], _inputs(session, coils[start : start + _COILS_AT_ONCE]))[0]
        for start in range(0, len(coils), _COILS_AT_ONCE)
    ]
    return np.concatenate(parts).astype(np.float64)


def _inference_ms(session: ort.InferenceSession, coils: Float32Array) -> float:
    """Median milliseconds a coil in batches of 16, after one round to warm up."""
    inputs = _inputs(session, np.resize(coils[:_TIMED_COILS], (_TIMED_COILS, *coils.shape[1:])))
    times = []
    for _ in range(_TIMED_ROUNDS + 1):
        started = time.perf_counter()
        session.run([OUTPUT], inputs)
        times.append(time.perf_counter() - started)
    return float(np.median(times[1:])) * 1000 / _TIMED_COILS


def _inputs(session: ort.InferenceSession, coils: Float32Array) -> dict[str, Float32Array]:
    channels = {INPUT: 0, SPREAD: 1}
    return {one.name: np.ascontiguousarray(coils[:, channels[one.name]]) for one in session.get_inputs()}
