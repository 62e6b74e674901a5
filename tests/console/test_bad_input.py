"""Every bad input is one clear sentence that names the coil, the place and the remedy, and the rest is judged."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.matrices import MATRIX_BATCH, tensor_column, tensor_values
from tests.console.conftest import Coilflow, Write
from tests.flows.faults import FAULTS, Fault
from tests.flows.given import Given, grey_row, three, write_events, write_grey, write_tables


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_bad_coil_is_one_sentence_and_the_others_get_a_verdict(
    coilflow: Coilflow, write: Write, fault: Fault
) -> None:
    coils = three()
    fault.damage(coils[1])
    ran = coilflow("assess", write(coils), "--json")
    assert ran.code == 0
    assert ran.labels == {"1": "OK", "3": "OK"}
    sentence, count = ran.err.splitlines()
    place, coil, rest = sentence.removeprefix("reject: ").split(": ", 2)
    assert place
    assert coil == "coil 2"
    assert fault.said in sentence
    assert "; " in rest  # the remedy
    assert count == "1 rejected"


def test_a_bad_matrix_is_one_sentence_and_the_others_get_a_verdict(coilflow: Coilflow, place: Path) -> None:
    assert coilflow("normalize", write_events(three(), place / "line.jsonl"), "--out", place / "whole.arrow").code == 0
    write_changed(place / "whole.arrow", place / "bad.arrow", "matrix", _with_nan)
    ran = coilflow("assess", place / "bad.arrow", "--json")
    assert (ran.code, ran.labels) == (0, {"1": "OK", "3": "OK"})
    assert "bad.arrow: coil 2: the matrix holds a value that is no number in [-1, 1]; normalise" in ran.err


def test_reasons_of_a_file_are_printed_as_they_are_written(coilflow: Coilflow, place: Path) -> None:
    assert coilflow("normalize", write_events(three(), place / "line.jsonl"), "--out", place / "whole.arrow").code == 0
    said = pa.array([["odd: [/red] of the gauge"]] * 3, MATRIX_BATCH.field("reasons").type)
    write_changed(place / "whole.arrow", place / "odd.arrow", "reasons", lambda _: said)
    ran = coilflow("assess", place / "odd.arrow")
    assert ran.code == 0
    assert "odd: [/red] of the gauge" in ran.out


def _with_nan(whole: pa.RecordBatch) -> pa.Array:
    values = tensor_values(whole).copy()
    values[1, 7, 7] = np.nan
    return tensor_column(values)


def write_changed(source: Path, out: Path, name: str, change: Callable[[pa.RecordBatch], pa.Array]) -> None:
    """Write what a file holds with one column changed."""
    with pa.memory_map(str(source)) as handle:
        (whole,) = pa.ipc.open_file(handle).read_all().combine_chunks().to_batches()
    at = MATRIX_BATCH.get_field_index(name)
    with pa.OSFile(str(out), "wb") as sink, pa.ipc.new_file(sink, MATRIX_BATCH) as writer:
        writer.write_batch(whole.set_column(at, MATRIX_BATCH.field(at), change(whole)))


def test_bad_grey_levels_are_one_sentence_and_the_others_get_a_verdict(coilflow: Coilflow, place: Path) -> None:
    rows = [grey_row("1"), {**grey_row("2"), "grey": [1, 2]}, grey_row("3")]
    ran = coilflow("assess", write_grey(place / "coils.parquet", rows), "--json")
    assert (ran.code, list(ran.labels)) == (0, ["1", "3"])
    assert "coils.parquet, row 2: coil 2: grey holds 2 levels, expected 264 × 18; write 4752 levels" in ran.err


def test_where_no_coil_is_left_the_exit_code_says_so(coilflow: Coilflow, write: Write) -> None:
    coils = three()
    for given in coils:
        given.zn_max = 1.0
    ran = coilflow("assess", write(coils), "--json")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == "3 rejected"


def test_a_source_without_coils_is_an_exit_code_of_1_and_a_sentence(coilflow: Coilflow, write: Write) -> None:
    ran = coilflow("assess", write([]), "--json")
    assert (ran.code, ran.out) == (1, "")
    assert "holds no coil" in ran.sentence() or "is empty" in ran.sentence()


def test_many_rejects_are_counted_and_not_all_shown(coilflow: Coilflow, place: Path) -> None:
    coils = [Given(str(100 + i)) for i in range(30)] + three()[:1]
    ran = coilflow("assess", write_tables(coils, place / "line"), "--json")
    assert ran.code == 0
    assert ran.err.count("reject: ") == 20
    assert ran.err.splitlines()[-1] == "30 rejected, the last 10 not shown"


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 8 // 10])


@pytest.mark.parametrize("kind", ["tables", "events", "arrow"])
def test_a_truncated_source_gives_what_it_still_holds(coilflow: Coilflow, place: Path, kind: str) -> None:
    files = {"tables": place / "line" / "tiles.csv", "events": place / "line.jsonl", "arrow": place / "coils.arrow"}
    source = write_tables(three(), place / "line") if kind == "tables" else write_events(three(), place / "line.jsonl")
    if kind == "arrow":
        write_one_by_one(coilflow, source, files["arrow"])
        source = files["arrow"]
    _cut(files[kind])
    ran = coilflow("assess", source, "--json")
    assert ran.code == 0
    assert list(ran.labels)[:2] == ["1", "2"]
    assert ran.err.startswith("reject: ")


def write_one_by_one(coilflow: Coilflow, source: Path, file: Path) -> None:
    """Three batches of one coil each."""
    assert coilflow("normalize", source, "--out", file).code == 0
    table = pa.ipc.open_file(file).read_all()
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


def _no_source(place: Path) -> str:
    return str(place / "absent")


def _no_tiles(place: Path) -> str:
    folder = write_tables(three(), place / "line")
    (folder / "tiles.csv").unlink()
    return str(folder)


def _other_kind(place: Path) -> str:
    (place / "coils.xlsx").write_bytes(b"PK")
    return str(place / "coils.xlsx")


def _empty(name: str) -> Callable[[Path], str]:
    def make(place: Path) -> str:
        (place / name).write_bytes(b"")
        return str(place / name)

    return make


def _cut_parquet(place: Path) -> str:
    file = write_grey(place / "coils.parquet", [grey_row("1")])
    _cut(file)
    return str(file)


def _no_grey(place: Path) -> str:
    pq.write_table(pa.table({"coil_id": ["1"], "pixels": [[1]]}), place / "coils.parquet")
    return str(place / "coils.parquet")


def _no_column(place: Path) -> str:
    folder = write_tables(three(), place / "line")
    (folder / "coils.csv").write_bytes((folder / "coils.csv").read_bytes().replace(b"ZnMax", b"Max"))
    return str(folder)


def _empty_table(place: Path) -> str:
    folder = write_tables(three(), place / "line")
    (folder / "tiles.csv").write_bytes(b"")
    return str(folder)


def _no_arrow(place: Path) -> str:
    (place / "coils.arrow").write_bytes(b"not Arrow at all")
    return str(place / "coils.arrow")


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (_no_source, 2, "absent is not there"),
        (_no_tiles, 2, "has no tiles.csv"),
        (_other_kind, 2, "is of no kind that coilflow reads"),
        (_empty("line.jsonl"), 1, "line.jsonl is empty"),
        (_empty("coils.arrow"), 1, "coils.arrow is empty"),
        (_empty("coils.parquet"), 1, "coils.parquet is empty"),
        (_empty_table, 1, "tiles.csv is empty"),
        (_no_column, 1, "coils.csv: column ZnMax is missing"),
        (_no_arrow, 1, "coils.arrow is no Arrow IPC file"),
        (_cut_parquet, 1, "coils.parquet is no whole Parquet file"),
        (_no_grey, 1, "column grey is missing, found coil_id, pixels"),
        (
            lambda _: "postgresql://nobody@127.0.0.1:1/none",
            1,
            "PostgreSQL at nobody@127.0.0.1:1/none cannot be reached",
        ),
        (lambda _: "postgresql://plant:ge%heim@host/x", 1, "the database DSN cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("command", ["assess", "evaluate"])
def test_a_source_that_cannot_be_read_is_one_sentence_with_a_remedy(
    coilflow: Coilflow, place: Path, command: str, make: Callable[[Path], str], code: int, said: str
) -> None:
    source = make(place)
    ran = coilflow(command, source)
    assert (ran.code, ran.out) == (code, "")
    assert ran.sentence().startswith("error: ")
    assert said in ran.sentence()
    assert "; " in ran.sentence()


def test_a_bundle_with_a_wrong_digest_is_one_sentence_with_a_remedy(
    coilflow: Coilflow, place: Path, ensemble: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = place / "broken"
    for file in sorted(ensemble.rglob("*")):
        if file.is_file():
            copy = broken / file.relative_to(ensemble)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes() + (b" " if file.name == "model.onnx" else b""))
    monkeypatch.setenv("COILFLOW_ENSEMBLE", str(broken))
    ran = coilflow("assess", write_tables(three(), place / "line"))
    assert (ran.code, ran.out) == (1, "")
    assert "model.onnx" in ran.sentence()
    assert "SHA-256" in ran.sentence()
    assert "; " in ran.sentence()


def test_an_ensemble_that_is_not_there_is_one_sentence(
    coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_ENSEMBLE", str(place / "none"))
    ran = coilflow("assess", write_tables(three(), place / "line"))
    assert ran.code == 1
    assert "ensemble.json" in ran.sentence()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("COILFLOW_THREADS", "many", "setting threads: "),
        ("COILFLOW_BATCH_COILS", "0", "setting batch_coils: "),
        ("COILFLOW_TOLERANCE_PROFILES__default__threshold", "2", "tolerance_profiles.default.threshold"),
        ("COILFLOW_TOLERANCE_PROFILES", "{", "tolerance_profiles"),
    ],
)
def test_a_wrong_setting_is_wrong_use_and_is_named(
    coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, said: str
) -> None:
    monkeypatch.setenv(setting, value)
    ran = coilflow("assess", write_tables(three(), place / "line"))
    assert ran.code == 2
    assert said in ran.sentence()


@pytest.mark.parametrize("text", ["threads = many", "thread = 3", "threads = 0"])
def test_a_wrong_settings_file_is_wrong_use_and_is_named(coilflow: Coilflow, place: Path, text: str) -> None:
    (place / "data").mkdir()
    (place / "data" / "coilflow.toml").write_text(text)
    ran = coilflow("assess", write_tables(three(), place / "line"))
    assert ran.code == 2
    assert "coilflow.toml" in ran.sentence()
