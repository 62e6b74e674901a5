"""What runs leave behind: one folder a run, named by its id, there wholly or not at all."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flows.experiment.plan import Run
from models.bundle import write_folder
from schemas.coils import BoolArray, FloatArray
from schemas.errors import SourceError

RESULT, PREDICTIONS = "result.json", "predictions.arrow"
_KEYS = frozenset(  # of a result, that a report cannot do without
    {"id", "made_of", "threshold", "epochs", "training_seconds", "inference_ms_a_coil", "model_mb"}
    | {"machine", "device", "libraries"}
)
VALIDATION = "validation"
SCHEMA = pa.schema(
    [
        pa.field("plant", pa.string(), nullable=False),
        pa.field("coil_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # validation, folds, or the name of a gold set
        pa.field("label", pa.string(), nullable=False),
        pa.field("p_nok", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """What one model says of the coils of one split, in the order of the population."""

    coils: tuple[str, ...]  # plant and coil id
    is_nok: BoolArray
    p_nok: FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """What one run, or an ensemble of runs, says of each split, and from where it calls a coil NOK."""

    splits: Mapping[str, Split]
    threshold: float
    members: tuple[int, ...] = ()  # of an ensemble: places of those that it took


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """A finished run."""

    run: Run
    result: Mapping[str, Any]  # result.json
    scores: Scores


def write_run(folder: Path, run: Run, files: Mapping[str, bytes]) -> None:
    """Put the files of a run in their place."""
    write_folder(folder / run.id, files)


def is_done(folder: Path, run: Run) -> bool:
    """Whether a run of this id has a result."""
    return (folder / run.id / RESULT).is_file()


def finished(folder: Path, runs: Sequence[Run], *, by_any_code: bool) -> list[Done]:
    """The results there are of the given runs.

    Args:
        folder: of the runs.
        runs: the plan.
        by_any_code: take a result of the same coils and settings that other code of ours made, where there is none
            by the code as it stands; the latest, if there are several.

    Raises:
        SourceError: a result cannot be read, or is none of an experiment's.
    """
    older: dict[str, Path] = {}
    if by_any_code and folder.is_dir():
        kept = [path for path in folder.glob(f"*/{RESULT}") if not path.parent.name.startswith(".")]  # no torn ones
        older = {_json(path)["made_of"]: path.parent for path in sorted(kept, key=lambda path: path.stat().st_mtime)}
    found = []
    for run in runs:
        place = folder / run.id if is_done(folder, run) else older.get(run.made_of)
        if place is not None:
            result = _json(place / RESULT)
            scores = Scores(splits=_splits(place / PREDICTIONS), threshold=result["threshold"])
            found.append(Done(run=run, result=result, scores=scores))
    return found


def predictions_file(judged: Sequence[tuple[str, pa.RecordBatch]], p_nok: Sequence[FloatArray]) -> bytes:
    """The Arrow file of `SCHEMA` of one run: coils of MATRIX_BATCH by split, and what the model says of each."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for (name, batch), p in zip(judged, p_nok, strict=True):
            split = pa.array([name] * batch.num_rows, type=pa.string())
            columns = [batch.column("plant"), batch.column("coil_id"), split, batch.column("label"), pa.array(p)]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _splits(path: Path) -> dict[str, Split]:
    try:
        with pa.ipc.open_file(pa.py_buffer(path.read_bytes())) as reader:
            table = reader.read_all()
        columns = {name: table.column(name).to_pylist() for name in SCHEMA.names}
    except (OSError, pa.ArrowException, KeyError) as error:
        raise SourceError(f"{path} cannot be read ({error})", remedy="remove its folder and run again") from error
    names = np.array(columns["split"])
    coils = np.array([f"{p}/{c}" for p, c in zip(columns["plant"], columns["coil_id"], strict=True)])
    is_nok, p_nok = np.array(columns["label"]) == "NOK", np.array(columns["p_nok"])
    return {
        str(name): Split(coils=tuple(coils[names == name]), is_nok=is_nok[names == name], p_nok=p_nok[names == name])
        for name in dict.fromkeys(columns["split"])
    }


def _json(path: Path) -> dict[str, Any]:
    remedy = "remove its folder and run again"
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read ({error})", remedy=remedy) from error
    absent = sorted(_KEYS - content.keys()) if isinstance(content, dict) else sorted(_KEYS)
    if absent:
        raise SourceError(f"{path} is no result of a run: it does not say {', '.join(absent)}", remedy=remedy)
    return content
