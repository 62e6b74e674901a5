"""The bundle of a trained network: its graph, its weights, its canaries, and what it is and how good."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from scipy.special import expit

from flows.background import Fetched
from flows.population import Population
from models.bundle import GOLDEN, MODEL, OUTPUT, VERSION_DIGITS, WEIGHTS, load_bundle, sha256, write_bundle
from models.evaluation import evaluate
from models.export import to_onnx
from models.installed import installed_version
from models.network_spec import OPTIONS, family_of
from models.networks import Network
from models.networks.weights import state_bytes
from models.objectives_spec import Threshold
from models.spec import TrainSpec
from models.thresholds import chosen_threshold
from models.training import LabelledCoils, Trained, log_odds
from schemas.bundles import BundleManifest, TrainingRecord
from schemas.coils import BoolArray, IntArray
from schemas.matrices import MATRIX_BATCH, tensor_column
from schemas.settings import ToleranceProfile

_CANARIES_PER_LABEL = 4
_REFUSED_BY_SOME = ("loss", "pairs")  # parts that a specification always has, and that some kinds know nothing of
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "scikit-learn", "torch", "ultralytics")


def write_trained(
    spec: TrainSpec,
    population: Population,
    coils: LabelledCoils,
    trained: Trained,
    out: Path,
    *,
    validation: IntArray,
    holdout: IntArray,
    fetched: Fetched,
    profiles: Mapping[str, ToleranceProfile],
) -> Path:
    """Write the bundle of a trained network and check it; returns its folder.

    Args:
        spec: it was trained by.
        population: it was trained on.
        coils: the population's, as the network takes them.
        trained: the network.
        out: folder of the bundle, which must not exist.
        validation: places of the coils that the threshold is chosen on.
        holdout: places of the coils that judge it.
        fetched: what training leant on beside the labelled coils.
        profiles: tolerance profiles of the settings, by name.

    Raises:
        SpecError: the threshold's profile is not in the settings.
        SourceError: the validation coils cannot give the threshold that the specification asks for.
        BundleError: `out` exists, or the graph does not say what the network does.
    """
    parent = None if fetched.parent is None else f"{fetched.parent.name}@{fetched.parent.version}"
    model = to_onnx(trained.network, temperature=trained.temperature)
    probability = expit(log_odds(trained.network, coils.coils) / trained.temperature)
    rule = _rule(spec.threshold, coils.is_nok[validation], profiles)
    threshold = chosen_threshold(rule, probability[validation], coils.is_nok[validation], profiles=profiles)
    p_nok, is_nok = probability[holdout], coils.is_nok[holdout]
    metrics = evaluate(p_nok=p_nok, is_nok=is_nok, predicted_nok=p_nok >= threshold)
    manifest = BundleManifest(
        name=spec.name,
        version=sha256(model)[:VERSION_DIGITS],
        kind=spec.kind,
        scale=spec.scale,
        input_form=trained.network.input_form,
        limits_version=population.limits.version if spec.scale == "limits" and population.limits else None,
        threshold=threshold,
        threshold_rule=rule.rule,
        metrics=metrics.as_json(),
        training=TrainingRecord(
            source=population.source,
            coils=len(coils),
            nok=int(coils.is_nok.sum()),
            data_digest=population.digest(),
            spec=_recorded(spec, population),
            seed=spec.seed,
            weights=f"parent {parent}" if parent else trained.network.initial_weights,
            unlabelled=fetched.digests(),
            device="cuda" if torch.cuda.is_available() else "cpu",  # as training chooses it
        ),
        parent=parent,
        code_version=installed_version("coilflow"),
        libraries={name: installed_version(name) for name in _LIBRARIES},
        files={},
    )
    golden = _golden(spec, population, coils, holdout, trained.network, trained.temperature)
    files = {MODEL: model, GOLDEN: golden, WEIGHTS: state_bytes(trained.network)}
    write_bundle(out, manifest=manifest, files=files)
    load_bundle(out, threads=1).verify()
    return out


def _rule(asked: Threshold, is_nok: BoolArray, profiles: Mapping[str, ToleranceProfile]) -> Threshold:
    """The specification's; where no validation coil is NOK, only false alarms or a profile's own number are left."""
    if is_nok.any():
        return asked
    profile = profiles.get(asked.profile or "default")
    if asked.rule == "profile" and (profile is None or profile.threshold is not None):
        return asked  # one that is not known is refused where the threshold is chosen
    return asked.model_copy(update={"rule": "false_alarms"})


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
    expected = expit(log_odds(network, taken) / temperature)
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


def _recorded(spec: TrainSpec, population: Population) -> dict[str, Any]:
    """A specification as a manifest tells it: all that was in force, so that it can be read back and run again.

    What its kind knows nothing of is left out, for a specification that names it is refused; so are the folder that it
    wrote to, and passwords.
    """
    family = family_of(spec.kind)
    unsaid = {part for part in _REFUSED_BY_SOME if part not in spec.model_fields_set}
    told = spec.model_dump(mode="json", exclude={"out", "data", "network", *unsaid})
    network = spec.network.model_dump(mode="json", include=set(OPTIONS[family]))
    simulate = spec.data.simulate
    data = {"source": population.source} if simulate is None else {"simulate": simulate.model_dump(mode="json")}
    return {**_without_dsn(told), "network": network, "data": data}


def _without_dsn(told: dict[str, Any]) -> dict[str, Any]:
    """A specification as a manifest may tell it: a DSN can hold a password."""
    return {
        key: _without_dsn(value)
        if isinstance(value, dict)
        else "the plant's database"
        if isinstance(value, str) and value.startswith(("postgresql://", "postgres://"))
        else value
        for key, value in told.items()
    }
