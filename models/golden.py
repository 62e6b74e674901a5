"""The canary coils of a bundle, asked again of another graph."""

import numpy as np
import onnxruntime as ort
import pyarrow as pa

from models.bundle import INPUT, OUTPUT, SPREAD
from schemas.matrices import tensor_values


def golden_again(golden: bytes, session: ort.InferenceSession) -> bytes:
    """The same canary coils, with what another graph of the same inputs says of them, as `golden.arrow` holds them.

    Args:
        golden: of a bundle that was verified.
        session: of the new graph.
    """
    with pa.ipc.open_file(golden) as reader:
        batch = reader.read_all().combine_chunks().to_batches()[0]
    given = {INPUT: tensor_values(batch), SPREAD: tensor_values(batch, SPREAD)}
    asked = [one.name for one in session.get_inputs()]
    (p_nok,) = session.run([OUTPUT], {name: np.ascontiguousarray(given[name]) for name in asked})
    place = batch.schema.get_field_index(OUTPUT)
    batch = batch.set_column(place, batch.schema.field(place), pa.array(p_nok.astype(np.float64)))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content
