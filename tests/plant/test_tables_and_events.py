from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest
from pyarrow import csv

from plant.events import write_events
from plant.line import simulate
from plant.settings import PRODUCTION, GaugeSettings, LineSettings
from plant.tables import write_tables
from schemas.events import EVENT
from schemas.layout import SENSORS_PER_FACE

COILS = 90  # more than one block
TEXT = {name: pa.string() for name in ("SID", "COILID", "MID")}
BUSY = replace(
    PRODUCTION,
    defect_share=0.5,
    gauge=GaugeSettings(missing_share=0.3, repeated_share=0.3, stuck_share=0.1, offset_share=0.1),
)


def read(file: Path) -> pa.Table:
    return csv.read_csv(file, convert_options=csv.ConvertOptions(column_types=TEXT))


def write(folder: Path, line: LineSettings = BUSY) -> tuple[pa.Table, pa.Table, pa.Table, list[dict[str, object]]]:
    assert write_tables(simulate(COILS, seed=13, line=line), folder) == COILS
    assert write_events(simulate(COILS, seed=13, line=line), folder / "events.jsonl") == COILS
    events = [orjson.loads(text) for text in (folder / "events.jsonl").read_bytes().splitlines()]
    return read(folder / "coils.csv"), read(folder / "tiles.csv"), read(folder / "truth.csv"), events


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, pa.Table, pa.Table, list[dict[str, object]]]:
    return write(tmp_path_factory.mktemp("plant") / "out")


def test_tables_have_the_plants_columns(written: tuple[pa.Table, ...]) -> None:
    coils, tiles, truth, _ = written
    assert coils.column_names == [
        "id", "SID", "PLANT", "NAME", "STARTTIME", "MATERIAL", "LENGTH", "WIDTH", "THICK", "WEIGHT", "BASEPID",
        "CLASSLABEL", "Label", "ZnMin", "ZnMax", "tstamp", "CUSTOMER",
    ]  # fmt: skip
    assert tiles.column_names == [
        "COILID", "TILEID", "MID", "PLANT", "SIDE", "MEAN", "MAX", "MIN", "COUNT", "tstamp",
    ]  # fmt: skip
    assert truth.num_rows > COILS // 2
    assert coils.num_rows == COILS
    assert set(zip(coils["CLASSLABEL"].to_pylist(), coils["Label"].to_pylist(), strict=True)) == {("OK", 1), ("NOK", 2)}


def test_every_row_is_nine_tiles_28_or_29_apart(written: tuple[pa.Table, ...]) -> None:
    tile_id = written[1]["TILEID"].to_numpy().reshape(-1, SENSORS_PER_FACE)
    steps = np.diff(tile_id, axis=1)
    assert set(np.unique(steps)) == {28, 29}
    for name in ("COILID", "MID", "tstamp"):
        row = np.array(written[1][name].to_pylist()).reshape(-1, SENSORS_PER_FACE)
        assert np.all(row == row[:, :1])


def test_means_lie_between_their_extremes(written: tuple[pa.Table, ...]) -> None:
    low, mean, high = (written[1][name].to_numpy() for name in ("MIN", "MEAN", "MAX"))
    assert np.all((low >= 0) & (low <= mean + 1e-9) & (mean <= high + 1e-9))


def test_tables_and_events_carry_the_same_readings_at_the_same_positions(
    written: tuple[pa.Table, pa.Table, pa.Table, list[dict[str, object]]],
) -> None:
    _, tiles, _, events = written
    from_tables = list(
        zip(
            tiles["COILID"].to_pylist()[::SENSORS_PER_FACE],
            [{"1234": "top", "1243": "bottom"}[mid] for mid in tiles["MID"].to_pylist()[::SENSORS_PER_FACE]],
            tiles["TILEID"].to_pylist()[::SENSORS_PER_FACE],
            *(tiles[name].to_numpy().reshape(-1, SENSORS_PER_FACE).tolist() for name in ("MEAN", "MIN", "MAX")),
            tiles["COUNT"].to_pylist()[::SENSORS_PER_FACE],
            strict=True,
        )
    )
    names = ("coil_id", "face", "position", "mean_g_m2", "min_g_m2", "max_g_m2", "count")
    chunks = [event["data"] for event in events if event["type"] == "coil.chunk"]
    assert [tuple(chunk[name] for name in names) for chunk in chunks if isinstance(chunk, dict)] == from_tables


def test_tables_and_events_carry_the_same_orders(
    written: tuple[pa.Table, pa.Table, pa.Table, list[dict[str, object]]],
) -> None:
    coils, _, _, events = written
    started = [event["data"] for event in events if event["type"] == "coil.started"]
    pairs = {
        "coil_id": "SID",
        "plant": "PLANT",
        "customer": "CUSTOMER",
        "zn_min_g_m2": "ZnMin",
        "zn_max_g_m2": "ZnMax",
        "length_m": "LENGTH",
        "weight_t": "WEIGHT",
    }
    for name, column in pairs.items():
        assert [data[name] for data in started if isinstance(data, dict)] == coils[column].to_pylist()


def test_events_are_what_the_contract_says_and_come_in_order(tmp_path: Path) -> None:
    write_events(simulate(8, seed=1), tmp_path / "events.jsonl")
    events = [EVENT.validate_json(line) for line in (tmp_path / "events.jsonl").read_bytes().splitlines()]
    assert Counter(event.type for event in events)["coil.started"] == 8
    assert len({(event.source, event.id) for event in events}) == len(events)
    times = [event.time for event in events if event.time and event.type != "coil.chunk"]
    assert times == sorted(times)
    kinds = [event.type for event in events]
    assert kinds[0] == "coil.started"
    assert kinds[-1] == "coil.ended"


def test_truth_names_defects_and_gauge_faults_with_their_places(written: tuple[pa.Table, ...]) -> None:
    coils, _, truth, _ = written
    assert set(truth["ORIGIN"].to_pylist()) == {"line", "gauge"}
    assert set(truth["COILID"].cast(pa.string()).to_pylist()) <= set(coils["SID"].to_pylist())
    assert np.all(truth["START_M"].to_numpy() <= truth["END_M"].to_numpy())
    assert {"calibration", "rows_missing", "rows_repeated", "gauge_stuck"} <= set(truth["KIND"].to_pylist())


def test_a_reading_never_written_has_no_tile_and_is_null_in_its_event(tmp_path: Path) -> None:
    _, tiles, truth, events = write(tmp_path, replace(PRODUCTION, gauge=GaugeSettings(damaged_share=1.0)))
    lost = sum(event["data"]["mean_g_m2"].count(None) for event in events if event["type"] == "coil.chunk")  # type: ignore[index]
    chunks = sum(event["type"] == "coil.chunk" for event in events)
    assert lost > 0
    assert tiles.num_rows == SENSORS_PER_FACE * chunks - lost
    assert truth["KIND"].to_pylist().count("row_partial") > 10
    assert tiles["MEAN"].null_count == 0


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_tables(simulate(10, seed=4), tmp_path / name)
        write_events(simulate(10, seed=4), tmp_path / name / "events.jsonl")
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
