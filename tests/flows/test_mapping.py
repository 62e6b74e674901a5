"""A plant with names of its own gives the same coils, and a mapping that cannot be is refused with the reason."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from console.cli import run
from flows.mapping import decoder_of, field_names, load_mapping, mapping_of
from flows.sources.open import open_source
from flows.sources.source import ReadingsSource
from processors.decode import EventFault, decode_message
from schemas.errors import UsageError
from schemas.mapping import PlantMapping
from schemas.settings import Settings
from tests.flows.given import events_of, fill_plant_database, lines_of, three, write_events, write_tables

DOCS = Path(__file__).parents[2] / "docs" / "mapping.md"
EXAMPLE = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[0]


@pytest.fixture
def example(tmp_path: Path) -> PlantMapping:
    """The mapping file of docs/mapping.md."""
    file = tmp_path / "mapping.toml"
    file.write_text(EXAMPLE, encoding="utf-8")
    return load_mapping(file)


def coils_of(source: Path | str, mapping: PlantMapping | None = None) -> list[Any]:
    """What was read: keys, bands, and the bytes of every position and reading."""
    opened = open_source(str(source), plant="linz", **({"mapping": mapping} if mapping else {}))
    found: list[Any] = []
    assert isinstance(opened, ReadingsSource)
    for assembled in opened.read():
        assert not assembled.rejects, assembled.rejects
        coils = assembled.coils
        for header, revision in zip(coils.headers, coils.revisions, strict=True):
            found.append((header.key, header.order, header.label, revision))
        found.append((coils.position.tobytes(), coils.mean_g_m2.tobytes(), coils.expected_rows.tobytes()))
    return found


def rename_tables(folder: Path, mapping: PlantMapping) -> Path:
    """The same export with the plant's own columns and MIDs."""
    mids = {"1234": mapping.gauge.top_mid, "1243": mapping.gauge.bottom_mid}
    for name, theirs in (("coils.csv", mapping.columns.coils), ("tiles.csv", mapping.columns.tiles)):
        with (folder / name).open(newline="") as handle:
            header, *rows = csv.reader(handle)
        if "MID" in header:
            at = header.index("MID")
            rows = [[*row[:at], mids[row[at]], *row[at + 1 :]] for row in rows]
        with (folder / name).open("w", newline="") as handle:
            csv.writer(handle, lineterminator="\n").writerows([[theirs.get(c, c) for c in header], *rows])
    return folder


def test_renamed_tables_give_equal_bytes(tmp_path: Path, example: PlantMapping) -> None:
    want = coils_of(write_tables(three(), tmp_path / "ours"))
    theirs = rename_tables(write_tables(three(), tmp_path / "theirs"), example)
    assert (theirs / "coils.csv").read_text().startswith("COIL_NO,MILL,")
    assert coils_of(theirs, example) == want


def test_a_renamed_database_gives_equal_bytes(empty_database: str, tmp_path: Path, example: PlantMapping) -> None:
    source = fill_plant_database(three(), empty_database)
    want = coils_of(source)
    tables = (
        ("V_Coils", example.tables.coils, example.columns.coils),
        ("GR_QPValues", example.tables.tiles, example.columns.tiles),
    )
    with psycopg.connect(source) as connection:
        mids = (int(example.gauge.top_mid), int(example.gauge.bottom_mid))
        connection.execute('update "GR_QPValues" set "MID" = case "MID" when 1234 then %s else %s end', mids)
        for old, new, columns in tables:
            for ours, theirs in columns.items():
                names = {"table": sql.Identifier(old), "ours": sql.Identifier(ours), "theirs": sql.Identifier(theirs)}
                there = connection.execute(
                    "select 1 from information_schema.columns where table_name = %s and column_name = %s", [old, ours]
                ).fetchone()
                if there:
                    connection.execute(sql.SQL("alter table {table} rename column {ours} to {theirs}").format(**names))
            rename = sql.SQL("alter table {old} rename to {new}")
            connection.execute(rename.format(old=sql.Identifier(old), new=sql.Identifier(new)))
    assert coils_of(source, example) == want


def theirs_of(event: dict[str, Any], mapping: PlantMapping) -> dict[str, Any]:
    names = mapping.fields.get(event["type"], {})
    faces = {ours: theirs for theirs, ours in mapping.faces.items()}
    data = {
        names.get(ours, ours): faces.get(value, value) if ours == "face" else value
        for ours, value in event["data"].items()
    }
    return {**event, "data": data}


def test_renamed_events_give_equal_bytes(tmp_path: Path, example: PlantMapping) -> None:
    want = coils_of(write_events(three(), tmp_path / "ours.jsonl"))
    events = [theirs_of(event, example) for given in three() for event in events_of(given)]
    assert "COIL_NO" in json.dumps(events)
    file = tmp_path / "theirs.jsonl"
    file.write_bytes(lines_of(events))
    assert coils_of(file, example) == want


def test_without_a_mapping_events_are_read_by_the_plain_function(tmp_path: Path) -> None:
    assert decoder_of(Settings(data_dir=tmp_path)) is decode_message
    assert field_names(PlantMapping()) is None


def test_the_settings_name_the_file_and_events_are_read_by_it(tmp_path: Path) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(EXAMPLE, encoding="utf-8")
    settings = Settings(data_dir=tmp_path, mapping=file)
    [event] = [e for e in events_of(three()[0]) if e["type"] == "coil.started"]
    found = decoder_of(settings)(lines_of([theirs_of(event, mapping_of(settings))]), ())
    assert not isinstance(found, EventFault)
    assert found[0].data == event["data"]


def test_a_column_of_ours_that_means_something_else_there_steps_aside(tmp_path: Path) -> None:
    want = coils_of(write_tables(three(), tmp_path / "ours"))
    folder = write_tables(three(), tmp_path / "theirs")
    table = (folder / "coils.csv").read_text().splitlines()
    rows = [f"{line},{'COIL_NO' if i == 0 else line.split(',')[0]}" for i, line in enumerate(table)]
    (folder / "coils.csv").write_text("\n".join(re.sub(r"^\d+,", "other,", row) for row in rows) + "\n")
    assert coils_of(folder, PlantMapping.model_validate({"columns": {"coils": {"SID": "COIL_NO"}}})) == want


def test_a_column_that_is_missing_is_named_as_the_plant_does(tmp_path: Path) -> None:
    folder = write_tables(three(), tmp_path / "line")
    mapping = PlantMapping.model_validate({"columns": {"coils": {"SID": "COIL_NO"}}})
    with pytest.raises(Exception, match="column COIL_NO is missing"):
        coils_of(folder, mapping)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[gauge]\nsensors_per_face = 8", "264 × 16: the members of the shipped ensemble take 264 × 18"),
        ("[matrix]\nrows = 300", "300 × 18: the members of the shipped ensemble take 264 × 18"),
        ("[matrix]\nrows = 'many'", "matrix.rows: Input should be a valid integer"),
        ("[gauge]\ntop_mid = '1'\nbottom_mid = '1'", "top_mid and bottom_mid are both '1'"),
        ("[gauge]\ntile_step_min = 40.0", "tile_step_min 40 is above tile_step_max 30"),
        ("[columns.coils]\nColour = 'FARBE'", "columns.coils: Colour is none of our names SID, PLANT"),
        ("[columns.tiles]\nMEAN = 'X'\nMID = 'X'", "columns.tiles: X stands for two of our names"),
        ("[fields.'coil.chunk']\nthickness = 'd'", "fields: thickness is none of our names plant, coil_id, face"),
        ("[fields.'coil.weighed']\nplant = 'mill'", "fields.coil.weighed"),
        ("[faces]\nOS = 'left'", "faces.OS: Input should be 'top' or 'bottom', got 'left'"),
        ("[colours]", "colours: Extra inputs are not permitted"),
        ("[gauge", "is no TOML"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_with_the_reason(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        mapping_of(Settings(data_dir=tmp_path, mapping=file))
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_mapping_that_is_not_there_is_wrong_use_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COILFLOW_MAPPING", str(tmp_path / "nowhere.toml"))
    folder = write_tables(three(), tmp_path / "line")
    assert run(["assess", str(folder)]) == 2
    assert "nowhere.toml cannot be read" in capsys.readouterr().err
    assert run(["doctor"]) == 1
    assert "nowhere.toml" in capsys.readouterr().out
