"""Untrained networks as bundles with features, for tests that need a graph and no skill."""

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from models.bundle import GOLDEN, MODEL, OUTPUT, write_bundle
from models.export import to_onnx
from models.network_spec import NetworkKind, NetworkOptions
from models.networks import build
from schemas.bundles import BundleManifest, TrainingRecord
from schemas.matrices import Scale
from tests.models.coils import LIMITS, batch_of, random_matrix

TEMPERATURE = 1.7


@cache
def untrained(kind: NetworkKind, options: NetworkOptions | None = None) -> bytes:
    """The graph of a network with random weights, exported with a temperature of 1.7."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(kind, options or NetworkOptions())
    return to_onnx(network, temperature=TEMPERATURE)


def write_untrained(
    folder: Path, model: bytes, *, scale: Scale = "limits", spec: dict[str, object] | None = None
) -> Path:
    """A bundle of a graph; its canaries expect nothing sensible."""
    batch = batch_of(random_matrix(4), scale).append_column(OUTPUT, pa.array(np.full(4, 0.5)))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    manifest = BundleManifest(
        name=folder.name,
        version="1",
        kind="cnn10",
        scale=scale,
        input_form="native_264x18",
        limits_version=LIMITS.version if scale == "limits" else None,
        threshold=0.5,
        metrics={},
        training=TrainingRecord(
            source="none", coils=0, nok=0, data_digest="0" * 64, spec=spec or {}, seed=0, weights="none"
        ),
        code_version="0",
        libraries={},
        files={},
    )
    write_bundle(folder, manifest=manifest, files={MODEL: model, GOLDEN: sink.getvalue().to_pybytes()})
    return folder
