"""One model from a specification: coils, training, export, and a bundle that says how good it is."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.progress import Progress
from sklearn.model_selection import train_test_split

from flows.population import Population, from_source, simulated
from flows.sources.open import open_source
from models.bundle import GOLDEN, MODEL, OUTPUT, SPREAD, VERSION_DIGITS, load_bundle, sha256, write_bundle
from models.evaluation import evaluate
from models.export import to_onnx
from models.networks import Network
from models.scales import to_self_scale, to_self_spread
from models.spec import TrainSpec
from models.thresholds import f1_threshold
from models.training import Epoch, LabelledCoils, Trained, fit, log_odds
from schemas.bundles import BundleManifest, TrainingRecord
from schemas.coils import Float32Array, FloatArray, IntArray, Limits
from schemas.errors import SpecError
from schemas.mapping import OUR_NAMES, PlantMapping
from schemas.matrices import MATRIX_BATCH, tensor_column, tensor_values

_CANARIES_PER_LABEL = 4
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "torch", "ultralytics")


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Indices into a population: what is learnt from, what stops and calibrates, what judges."""

    training: IntArray
    validation: IntArray
    holdout: IntArray


def train(
    spec: TrainSpec,
    out: Path,
    *,
    limits: Limits,
    plant: str,
    mapping: PlantMapping = OUR_NAMES,
    progress: Progress | None = None,
) -> Path:
    """Train one model and write its bundle; returns the bundle's folder.

    Matrices are normalised with the limits of the ensemble that serves, so that the model can join it.

    Args:
        spec: what to train and on what.
        out: the bundle's folder, which must not exist.
        limits: of the ensemble that the model is to join.
        plant: of coils whose source names none.
        mapping: how the plant names what its tables and events hold.
        progress: a started progress display, or None to be silent.

    Raises:
        SpecError: the specification asks for what its data cannot give.
        SourceError: the data hold too few labelled coils.
        BundleError: `out` exists.
    """
    if out.exists():
        raise SpecError(f"key out: {out} exists already", remedy="name another folder, or remove this one first")
    return train_on(spec, population_of(spec, limits, plant=plant, mapping=mapping), out, progress)


def population_of(
    spec: TrainSpec, limits: Limits | None, *, plant: str = "default", mapping: PlantMapping = OUR_NAMES
) -> Population:
    """The labelled coils that a specification names."""
    if spec.data.simulate is not None:
        return simulated(spec.data.simulate, limits)
    if limits is None or spec.data.source is None:
        raise SpecError("key data.source: limits are measured on simulated coils only", remedy="use data.simulate")
    return from_source(open_source(spec.data.source, plant=plant, mapping=mapping), limits)


def train_on(spec: TrainSpec, population: Population, out: Path, progress: Progress | None = None) -> Path:
    """As `train`, on coils that are at hand."""
    if spec.scale == "limits" and population.limits is None:
        raise SpecError(
            f"key scale: {population.source} has no limits, so no model on scale limits can learn from it",
            remedy="set scale: self",
        )
    coils = LabelledCoils(coils=network_coils(population.batch, spec), is_nok=population.is_nok)
    split = split_of(spec, population)
    trained = fit(spec, coils.take(split.training), coils.take(split.validation), on_epoch=_reporter(spec, progress))
    return _write(spec, population, coils, split, trained, out)


def network_coils(batch: pa.RecordBatch, spec: TrainSpec) -> Float32Array:
    """Coils of MATRIX_BATCH as the network takes them: float32 [N, C, 264, 18] on the specification's scale."""
    matrix, spread = tensor_values(batch), tensor_values(batch, SPREAD)
    if spec.scale == "self":
        matrix, spread = to_self_scale(matrix), to_self_spread(spread, matrix)
    return np.stack([matrix, spread] if spec.network.channels == "matrix_and_spread" else [matrix], axis=1)


def split_of(spec: TrainSpec, population: Population) -> Split:
    """Split by label, stratified; models that name the same coils and shares share the split, whatever their seed."""
    seed = int(population.digest()[:8], 16)
    everything, is_nok = np.arange(len(population.is_nok)), population.is_nok
    rest, holdout = train_test_split(everything, test_size=spec.holdout_share, stratify=is_nok, random_state=seed)
    share = spec.validation_share / (1 - spec.holdout_share)
    training, validation = train_test_split(rest, test_size=share, stratify=is_nok[rest], random_state=seed)
    return Split(training=training, validation=validation, holdout=holdout)


def _reporter(spec: TrainSpec, progress: Progress | None) -> Callable[[Epoch], None]:
    if progress is None:
        return lambda _: None
    task = progress.add_task(spec.name, total=spec.epochs)

    def report(epoch: Epoch) -> None:
        losses = f"{spec.name}: loss {epoch.training_loss:.3f}, validation {epoch.validation_loss:.3f}"
        progress.update(task, completed=epoch.number, description=losses)

    return report


def _write(
    spec: TrainSpec, population: Population, coils: LabelledCoils, split: Split, trained: Trained, out: Path
) -> Path:
    model = to_onnx(trained.network, temperature=trained.temperature)
    probability = _sigmoid(log_odds(trained.network, coils.coils) / trained.temperature)
    threshold = f1_threshold(probability[split.validation], coils.is_nok[split.validation])
    p_nok, is_nok = probability[split.holdout], coils.is_nok[split.holdout]
    metrics = evaluate(p_nok=p_nok, is_nok=is_nok, predicted_nok=p_nok >= threshold)
    manifest = BundleManifest(
        name=spec.name,
        version=sha256(model)[:VERSION_DIGITS],
        kind=spec.kind,
        scale=spec.scale,
        input_form=trained.network.input_form,
        limits_version=population.limits.version if spec.scale == "limits" and population.limits else None,
        threshold=threshold,
        metrics=metrics.as_json(),
        training=TrainingRecord(
            source=population.source,
            coils=len(coils),
            nok=int(coils.is_nok.sum()),
            data_digest=population.digest(),
            spec={**spec.model_dump(mode="json", exclude={"out"}), "data": _data_of(spec, population)},
            seed=spec.seed,
            weights="none",
        ),
        code_version=_version("coilflow"),
        libraries={name: _version(name) for name in _LIBRARIES},
        files={},
    )
    golden = _golden(spec, population, coils, split.holdout, trained.network, trained.temperature)
    write_bundle(out, manifest=manifest, files={MODEL: model, GOLDEN: golden})
    load_bundle(out, threads=1).verify()
    return out


def _golden(
    spec: TrainSpec,
    population: Population,
    coils: LabelledCoils,
    holdout: IntArray,
    network: Network,
    temperature: float,
) -> bytes:
    """Canary coils of the holdout, on the model's own scale, with what torch itself says of them."""
    nok = coils.is_nok[holdout]
    chosen = np.concatenate([holdout[nok][:_CANARIES_PER_LABEL], holdout[~nok][:_CANARIES_PER_LABEL]])
    taken = coils.coils[chosen]
    expected = _sigmoid(log_odds(network, taken) / temperature)
    batch = population.batch.take(pa.array(chosen))
    columns = [batch.column(field.name) for field in MATRIX_BATCH]
    columns[MATRIX_BATCH.get_field_index("matrix")] = tensor_column(taken[:, 0])
    spread = taken[:, 1] if network.channels > 1 else np.zeros_like(taken[:, 0])
    columns[MATRIX_BATCH.get_field_index("spread")] = tensor_column(spread)
    columns[MATRIX_BATCH.get_field_index("scale")] = pa.array([spec.scale] * len(chosen))
    schema = MATRIX_BATCH.append(pa.field(OUTPUT, pa.float64(), nullable=False))
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink, schema, options=options) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([*columns, pa.array(expected)], schema=schema))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _data_of(spec: TrainSpec, population: Population) -> dict[str, Any]:
    """The data of a specification as a manifest may tell it: a DSN can hold a password."""
    if spec.data.simulate is None:
        return {"source": population.source}
    return {"simulate": spec.data.simulate.model_dump()}


def _sigmoid(odds: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-odds)))


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
