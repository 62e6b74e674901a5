"""Tell from its name what a SOURCE is, and open it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from flows.mapping import field_names
from flows.sources.arrow import read_matrices
from flows.sources.csvs import CsvStream, open_csv
from flows.sources.events import read_events
from flows.sources.grey import read_grey
from flows.sources.plant_database import plant_database
from flows.sources.source import MatrixSource, ReadingsSource, Source
from flows.sources.tables import REQUIRED_COILS, REQUIRED_TILES, PlantTables, read_tables
from processors.assemble import Assembled
from schemas.errors import SourceError, UsageError
from schemas.mapping import OUR_NAMES, PlantMapping

_KINDS = "a folder with coils.csv and tiles.csv, an events .jsonl, an .arrow, a .parquet, or a postgresql:// DSN"


def open_source(source: str, *, plant: str, mapping: PlantMapping = OUR_NAMES) -> Source:
    """Open a SOURCE of the command line.

    Args:
        source: a folder with `coils.csv` and `tiles.csv`, an events `.jsonl`, a normalised `.arrow`, a grey-level
            `.parquet`, or a `postgresql://` DSN of the plant's tables.
        plant: plant of coils whose source names none.
        mapping: how the plant names what its tables and events hold.

    Raises:
        UsageError: there is no such file or folder, or it is of no known kind.
        SourceError: the file is empty.
    """
    if source.startswith(("postgresql://", "postgres://")):
        return ReadingsSource(name="the plant's database", read=lambda: _from_database(source, plant, mapping))
    path = Path(source)
    if not path.exists():
        raise UsageError(f"{source} is not there", remedy=f"give {_KINDS}")
    if path.is_dir():
        absent = [name for name in ("coils.csv", "tiles.csv") if not (path / name).is_file()]
        if absent:
            raise UsageError(
                f"{source} has no {' and no '.join(absent)}", remedy="export the plant's two tables into it"
            )
        return ReadingsSource(name=source, read=lambda: read_tables(_folder(path, plant, mapping)))
    if path.suffix in (".jsonl", ".arrow", ".parquet") and not path.stat().st_size:
        raise SourceError(f"{source} is empty", remedy="write it again")
    if path.suffix == ".jsonl":
        return ReadingsSource(name=source, read=lambda: read_events(path, field_names(mapping)))
    if path.suffix == ".arrow":
        return MatrixSource(name=source, read=lambda: read_matrices(path, plant=plant), normalized=True)
    if path.suffix == ".parquet":
        return MatrixSource(name=source, read=lambda: read_grey(path, plant=plant), normalized=False)
    raise UsageError(f"{source} is of no kind that coilflow reads", remedy=f"give {_KINDS}")


def _from_database(dsn: str, plant: str, mapping: PlantMapping) -> Iterator[Assembled]:
    with plant_database(dsn, default_plant=plant, mapping=mapping) as tables:
        yield from read_tables(tables)


def _folder(folder: Path, plant: str, mapping: PlantMapping) -> PlantTables:
    columns = mapping.columns

    def table(
        name: str, required: tuple[str, ...], only: tuple[str, ...] | None, theirs: Mapping[str, str]
    ) -> CsvStream:
        return open_csv((folder / name).open("rb"), name=name, required=required, only=only, theirs=theirs)

    return PlantTables(
        coils=lambda: table("coils.csv", REQUIRED_COILS, None, columns.coils),
        tiles=lambda only: table("tiles.csv", REQUIRED_TILES, only, columns.tiles),
        tiles_bytes=(folder / "tiles.csv").stat().st_size,
        sorted_by_coil=False,
        default_plant=plant,
        gauge=mapping.layout(),
    )
