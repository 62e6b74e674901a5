"""`coilflow normalize`: readings to matrices in Arrow."""

from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from console.options import SourceArgument
from console.output import RejectReport, out, progress
from flows.mapping import mapping_of
from flows.matrices import limits_from_file, read_blocks
from flows.serving import serving_ensemble
from flows.sources.open import open_source
from flows.sources.source import MatrixSource
from schemas.errors import UsageError
from schemas.matrices import MATRIX_BATCH
from schemas.settings import load_settings


def normalize(
    source: SourceArgument,
    *,
    out_file: Annotated[Path, typer.Option("--out", metavar="FILE.arrow", help="The Arrow IPC file to write.")],
    limits: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help='{"low": L, "high": H} in g/m²; else those of the ensemble.'),
    ] = None,
) -> int:
    """Turn every coil of SOURCE into a 264 × 18 matrix."""
    settings = load_settings()
    opened = open_source(source, plant=settings.plant, mapping=mapping_of(settings))
    if isinstance(opened, MatrixSource):
        what = "holds matrices that are normalised" if opened.normalized else "holds grey levels, whose scale is lost"
        raise UsageError(f"{source} {what}", remedy="give readings: tables, events or a DSN")
    chosen = limits_from_file(limits) if limits else serving_ensemble(settings).limits
    if not out_file.parent.is_dir():
        raise UsageError(f"folder {out_file.parent} is not there", remedy="make it, or write elsewhere")
    if out_file.is_dir():
        raise UsageError(f"{out_file} is a folder", remedy="name the file to write")
    report = RejectReport()
    count = 0
    partial = out_file.with_name(out_file.name + ".partial")
    try:
        with (
            pa.OSFile(str(partial), "wb") as sink,
            pa.ipc.new_file(sink, MATRIX_BATCH) as writer,
            progress("normalize") as step,
        ):
            for block in read_blocks(opened, chosen, coils=settings.batch_coils, records=False):
                report.add(block.rejects)
                if block.batch.num_rows:
                    writer.write_batch(block.batch)
                    count += block.batch.num_rows
                    step.advance(block.batch.num_rows)
        if count:
            partial.replace(out_file)
    finally:
        partial.unlink(missing_ok=True)
    report.close()
    if not count:
        return 1
    out.print(f"{count} coils in {out_file}, limits {chosen.low:g} and {chosen.high:g} g/m² (version {chosen.version})")
    return 0
