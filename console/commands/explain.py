"""`coilflow explain`: which metres, face and sensors drove the verdict on a coil."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from console.options import JsonOption, SourceArgument
from console.output import out, print_json
from flows.explain import coil_of, explain_coil
from flows.mapping import mapping_of
from flows.serving import serving_ensemble
from flows.sources.open import open_source
from models.kinds import shipped_kinds
from schemas.errors import UsageError
from schemas.explanations import CoilExplanation
from schemas.matrices import tensor_values
from schemas.settings import load_settings


def explain(
    source: SourceArgument,
    *,
    coil: Annotated[str, typer.Option("--coil", metavar="ID", help="The coil of SOURCE.")],
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.png", help="Draw the coil with what decided.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Say which metres, face and sensors drove the verdict on one coil of SOURCE."""
    if out_file is not None and not out_file.parent.is_dir():
        raise UsageError(f"folder {out_file.parent} is not there", remedy="make it, or write elsewhere")
    if out_file is not None and (out_file.suffix.lower() != ".png" or out_file.is_dir()):
        raise UsageError(f"{out_file} is no .png file", remedy="name the PNG to write, such as coil.png")
    settings = load_settings()
    opened = open_source(source, plant=settings.plant, mapping=mapping_of(settings))
    ensemble = serving_ensemble(settings)
    batch = coil_of(opened, coil, ensemble, coils=settings.batch_coils)
    said = explain_coil(batch, ensemble, shipped_kinds())
    if out_file is not None:
        from console.explanation_picture import explanation_png  # noqa: PLC0415 - matplotlib takes a while to import

        limits = ensemble.limits if said.scale == "limits" else None
        out_file.write_bytes(explanation_png(said, tensor_values(batch)[0], limits))
    if as_json:
        print_json(said.model_dump(mode="json"))
        return 0
    _print(said)
    if out_file is not None:
        out.print(f"drawn in {out_file}")
    return 0


def _print(said: CoilExplanation) -> None:
    out.print(Text(f"coil {said.coil_id}: {said.text}"), soft_wrap=True)
    for number, region in enumerate(said.regions, start=1):
        out.print(Text(f"{number}  {region.delta_p_nok:+.3f}  {region.text}"), soft_wrap=True)
