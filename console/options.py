"""Options that several commands share."""

from typing import Annotated

import typer

EMBEDDED = "embedded"

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A folder with coils.csv and tiles.csv, an events .jsonl, a normalised .arrow, a grey-level .parquet, "
        "or a postgresql:// DSN of the plant's tables.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same coils.")]
