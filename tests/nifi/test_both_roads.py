"""The same coils through NiFi's steps and through coilflow's own hosts: one matrix, one verdict, one refusal."""

import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

from flows.assemble_due import DueCoil, assemble_due
from flows.assess import assess
from flows.judge import judge
from flows.nifi.coils import Carried, coil_rows
from flows.nifi.normalize_coil import NormalizeCoil
from flows.nifi.score_coil import ScoreCoil
from flows.nifi.step import SUCCESS
from flows.nifi.verdicts import decided_from_rows
from flows.served import always, only
from flows.serving import serving_ensemble
from flows.sources.open import open_source
from plant.events import event_lines
from plant.line import simulate
from plant.settings import GaugeSettings, LineSettings
from processors.decode import EventFault, decode_message
from processors.open_coils import OpenCoil
from processors.score import Scorer
from schemas.coils import CoilKey
from schemas.loop_settings import ReviewSettings
from schemas.mapping import OUR_NAMES
from schemas.matrices import tensor_values
from schemas.nifi_batches import NifiBatch, read_batch, write_batch
from schemas.rejects import Reject
from schemas.settings import Settings
from schemas.verdicts import Label, Scores, Verdict
from store.verdicts import Decided
from tests.flows.given import Given, coil_cells, csv_bytes, three, tile_cells, write_events
from tests.flows.given import write_tables as write_given
from tests.flows.judging import MeanScorer
from tests.hosts.scenarios import NOT_ENDED, SCENARIOS

SETTINGS = Settings(threads=1, review=ReviewSettings(share=0.5))
Said = tuple[Verdict, bytes]
Form = Callable[[], bytes]
Refusal = tuple[CoilKey | None, str, str, str]


class Road:
    """What came out of NiFi's two steps."""

    def __init__(self, content: bytes, scorer: Scorer, shadow: Scorer | None = None) -> None:
        normalize = NormalizeCoil(limits=scorer.limits, form=None, mapping=OUR_NAMES, plant="default")
        normalized = normalize.run(content, {})
        assert normalized.relationship == SUCCESS
        assert normalized.contents is not None
        self.matrices = read_batch("matrices", normalized.contents).rows
        scored = ScoreCoil(current=always(scorer, shadow), settings=SETTINGS).run(normalized.contents, {})
        assert scored.relationship == SUCCESS
        assert scored.contents is not None
        self.attributes = {**normalized.attributes, **scored.attributes}
        self.batch = read_batch("verdicts", scored.contents)
        rows = decided_from_rows(self.batch.rows)
        self.decided = {one.verdict.key: one for one, _ in rows if one.role == "champion"}
        self.shadows = {one.verdict.key: one for one, _ in rows if one.role == "shadow"}
        self.inbox_ids = {one.verdict.key: inbox_id for one, inbox_id in rows}

    @property
    def matrix(self) -> Mapping[tuple[str, str], bytes]:
        """Each coil's matrix, bit by bit."""
        values = tensor_values(self.matrices)
        keys = zip(*(self.matrices.column(n).to_pylist() for n in ("plant", "coil_id")), strict=True)
        return {key: values[i].tobytes() for i, key in enumerate(keys)}


def refusals(rejects: Iterable[Reject]) -> set[Refusal]:
    return {(one.key, one.step, one.error, one.remedy) for one in rejects}


def same(one: Verdict, other: Verdict) -> bool:
    """To the last bit, where a fragment's probability is NaN."""
    return repr(one) == repr(other)


def mixed(coils: Sequence[Sequence[bytes]]) -> bytes:
    """Events of coils in turn, as several lines send them."""
    longest = max(map(len, coils))
    return b"".join(lines[i] + b"\n" for i in range(longest) for lines in coils if i < len(lines))


def local(source: str, scorer: Scorer) -> tuple[dict[CoilKey, Said], set[Refusal]]:
    """`coilflow assess SOURCE`."""
    said: dict[CoilKey, Said] = {}
    rejects: list[Reject] = []
    for batch in assess(open_source(source, plant="default"), only(scorer), SETTINGS, records=True):
        said |= {coil.verdict.key: (coil.verdict, coil.matrix.tobytes()) for coil in batch.coils}
        rejects += batch.rejects
    return said, refusals(rejects)


def agree(nifi: Road, source: str, scorer: Scorer) -> None:
    said, refused = local(source, scorer)
    assert nifi.decided.keys() == said.keys()
    assert {CoilKey(*key): matrix for key, matrix in nifi.matrix.items()} == {
        key: matrix for key, (_, matrix) in said.items()
    }
    for key, (verdict, _) in said.items():
        assert abs(nifi.decided[key].verdict.p_nok - verdict.p_nok) <= 1e-4
        assert nifi.decided[key].verdict.label is verdict.label
        assert nifi.decided[key].verdict.revision == verdict.revision
        assert nifi.decided[key].verdict.reasons == verdict.reasons
    assert refusals(nifi.batch.rejects) == refused


def test_events_of_every_kind_of_coil_are_judged_as_the_local_host_judges_them(tmp_path: Path) -> None:
    content = mixed([*SCENARIOS.values(), NOT_ENDED])
    file = tmp_path / "events.jsonl"
    file.write_bytes(content)
    nifi = Road(content, MeanScorer())
    agree(nifi, str(file), MeanScorer())
    assert len(nifi.decided) >= 10
    assert len(nifi.batch.rejects) >= 10
    assert int(nifi.attributes["coilflow.coils"]) == len(nifi.decided)


class Loud(MeanScorer):
    """Says NOK where any cell is far from its band."""

    def score(self, batch: pa.RecordBatch) -> Scores:
        """`p_nok` is one and a half times the largest distance from the band."""
        furthest = np.abs(tensor_values(batch).astype(np.float64)).max(axis=(1, 2), initial=0.0)
        p_nok = np.minimum(1.5 * furthest, 1.0)
        return replace(super().score(batch), threshold=0.1, member_p_nok=p_nok[:, None], p_nok=p_nok)


def test_a_nok_that_a_faulty_sensor_alone_makes_is_undecided_on_either_road(tmp_path: Path) -> None:
    gauge = GaugeSettings(offset_share=1.0, calibrations_per_face=0.0, missing_share=0.0, repeated_share=0.0)
    line = LineSettings(defect_share=0.0, restlessness=0.5, gauge=gauge)
    content = b"".join(text for block in simulate(30, seed=4, line=line) for _, text in event_lines(block))
    file = tmp_path / "events.jsonl"
    file.write_bytes(content)
    nifi = Road(content, Loud(), Loud())
    agree(nifi, str(file), Loud())
    for judged in (nifi.decided, nifi.shadows):
        spared = [
            one.verdict
            for one in judged.values()
            if any("; without faulty sensors p_nok " in reason for reason in one.verdict.reasons)
            and one.verdict.label is Label.UNDECIDED
        ]
        assert spared
        assert all(verdict.p_nok > verdict.threshold for verdict in spared)


def test_a_json_array_of_the_events_makes_the_same_batch(tmp_path: Path) -> None:
    lines = mixed([SCENARIOS["good"], SCENARIOS["disorder"], SCENARIOS["conflict"]])
    array = b"[" + b",\n".join(lines.splitlines()) + b"]"
    assert Road(array, MeanScorer()).matrix == Road(lines, MeanScorer()).matrix


def test_a_simulated_line_gets_the_verdicts_of_the_shipped_ensemble(tmp_path: Path) -> None:
    ensemble = serving_ensemble(SETTINGS)
    coils: dict[str, list[bytes]] = {}
    for block in simulate(12, seed=3):
        for coil_id, line in event_lines(block):
            coils.setdefault(coil_id, []).append(line)
    kept = list(coils.values())
    kept[1] = kept[1][:20] + kept[1][25:]  # missing rows
    kept[2] = [kept[2][i] for i in np.random.default_rng(1).permutation(len(kept[2]))]  # disorder
    kept[3] = [line for line in kept[3] for _ in range(2)]  # repeats
    kept[4] = [line.replace(b'"position":', b'"position":"x', 1) for line in kept[4]]  # damaged
    kept[5] = kept[5][1:]  # without its start
    content = mixed(kept)
    file = tmp_path / "events.jsonl"
    file.write_bytes(content)
    nifi = Road(content, ensemble)
    agree(nifi, str(file), ensemble)
    assert len(nifi.decided) == 10
    assert nifi.attributes["coilflow.ensemble"] == ensemble.version


def due(coils: Mapping[str, Sequence[bytes]], *, silent: Sequence[str] = ()) -> list[DueCoil]:
    """Coils as a host holds them when they are due."""
    found = []
    for name, lines in coils.items():
        key = CoilKey(plant="linz", coil_id=name)
        one = OpenCoil(key=key)
        for number, line in enumerate(lines):
            events = decode_message(line)
            if isinstance(events, EventFault):
                one.fail((events.error, events.remedy), (line, ()), offset=number, now_ms=number)
            else:
                one.apply(events, (line, ()), offset=number, now_ms=number)
        found.append(DueCoil(coil=one, place="the inbox", silent=name in silent, log=None))
    return found


def assembled(coils: Sequence[DueCoil]) -> tuple[bytes, tuple[Reject, ...]]:
    """What AssembleCoil gives of them, and what it refuses."""
    built = assemble_due(coils, SETTINGS)
    promised = {one.coil.key: one.coil.rows_per_face for one in coils}
    whole = coil_rows(
        built.whole.coils,
        [
            Carried(order=h.order, rows_per_face=promised[h.key], inbox_id=i)
            for i, h in enumerate(built.whole.coils.headers)
        ],
    )
    pieces = [
        coil_rows(
            one.coils,
            [Carried(order=one.order, fragment=True, rows_per_face=one.due.coil.rows_per_face, inbox_id=1000)],
        )
        for one in built.fragments
    ]
    return write_batch("coils", NifiBatch(rows=pa.concat_batches([whole, *pieces]))), built.whole.rejects


def test_coils_of_the_inbox_are_judged_as_the_kafka_worker_judges_them() -> None:
    silent = ["no start", "one face", "one row", "nothing", "not ended"]
    given = {**SCENARIOS, "not ended": NOT_ENDED}
    content, refused = assembled(due(given, silent=silent))
    shadow = MeanScorer()
    nifi = Road(content, MeanScorer(), shadow)
    kafka = judge(due(given, silent=silent), only(MeanScorer(), shadow), SETTINGS)
    by_key = {one.verdict.key: one for one in kafka.decided}
    assert nifi.decided.keys() == by_key.keys()
    for key, one in by_key.items():
        assert same(nifi.decided[key].verdict, one.verdict)
        assert kept(nifi.decided[key]) == kept(one)
    assert {one.verdict.key.coil_id for one in kafka.decided if math.isnan(one.verdict.p_nok)} >= {"no start"}
    assert {repr(one.verdict) for one in nifi.shadows.values()} == {repr(one.verdict) for one in kafka.shadows}
    assert refusals([*refused, *nifi.batch.rejects]) == refusals(kafka.rejects)
    whole = {one.key for one in nifi.batch.rejects}
    assert whole
    assert nifi.batch.refused.keys() == whole  # their events leave the inbox too
    assert all(inbox_id is not None for inbox_id in nifi.inbox_ids.values())


def kept(one: Decided) -> tuple[object, ...]:
    """What the database keeps beside the verdict."""
    return one.readings, one.order, one.started_at, one.truth, one.rows_per_face


def test_what_nifi_keeps_of_a_coil_that_it_refused_can_be_replayed() -> None:
    content, _ = assembled(due({name: SCENARIOS[name] for name in ("negative", "NaN", "good")}))
    nifi = Road(content, MeanScorer())
    assert len(nifi.batch.rejects) == 2
    for reject in nifi.batch.rejects:
        assert reject.key is not None
        again = judge(due({reject.key.coil_id: reject.original.splitlines()}), only(MeanScorer()), SETTINGS)
        assert refusals(again.rejects) == refusals([reject])


def wide(coils: Sequence[Given]) -> list[dict[str, object]]:
    """A record a tile, with its coil's columns beside it."""
    return [{**coil_cells(given), **tile} for given in coils for tile in tile_cells(given)]


COLUMNS = ("COILID", "TILEID", "MID", "PLANT", "MEAN", "ZnMin", "ZnMax", "LENGTH", "CLASSLABEL")


def damaged() -> list[Given]:
    """Three coils, the second with a negative reading, the third short of a row."""
    coils = three()
    coils[1].faces["top"][2][1][4] = -1.0
    del coils[2].faces["bottom"][5]
    coils[0].label = "NOK"
    return coils


def as_csv() -> bytes:
    return csv_bytes(wide(damaged()), COLUMNS)


def as_json() -> bytes:
    return pa_json(wide(damaged()), array=True)


def as_json_lines() -> bytes:
    return pa_json(wide(damaged()), array=False)


def pa_json(rows: Sequence[Mapping[str, object]], *, array: bool) -> bytes:
    texts = [json.dumps({name: row[name] for name in COLUMNS}) for row in rows]
    return ("[" + ",".join(texts) + "]" if array else "\n".join(texts)).encode()


def as_arrow() -> bytes:
    table = pa.Table.from_pylist([{name: row[name] for name in COLUMNS} for row in wide(damaged())])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def as_arrow_file_of_numbers() -> bytes:
    read = pa_csv.read_csv(io.BytesIO(as_csv()))  # ids and MIDs become numbers
    table = read.set_column(read.schema.get_field_index("MID"), "MID", read.column("MID").cast(pa.float64()))
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("form", [as_csv, as_json, as_json_lines, as_arrow, as_arrow_file_of_numbers])
def test_tile_records_in_every_form_are_judged_as_the_plants_tables_are(form: Form, tmp_path: Path) -> None:
    source = write_given(damaged(), tmp_path / "tables")
    nifi = Road(form(), MeanScorer())
    agree(nifi, str(source), MeanScorer())
    assert {key.coil_id for key in nifi.decided} == {"1", "3"}
    assert nifi.decided[CoilKey(plant="linz", coil_id="1")].truth == "NOK"


def test_tiles_in_any_order_make_the_same_matrices() -> None:
    rows = wide(damaged())
    order = np.random.default_rng(5).permutation(len(rows))
    shuffled = csv_bytes([rows[i] for i in order], COLUMNS)
    assert Road(shuffled, MeanScorer()).matrix == Road(as_csv(), MeanScorer()).matrix


def chunk_records() -> list[dict[str, object]]:
    """A record a chunk, with its coil's order beside it."""
    rows = []
    for given in damaged():
        for face, readings in given.faces.items():
            for position, values in readings:
                beside = {"zn_min_g_m2": given.zn_min, "zn_max_g_m2": given.zn_max, "length_m": 500.5}
                own = {"coil_id": given.coil_id, "face": face, "position": position, "mean_g_m2": values}
                rows.append({"plant": given.plant, **own, **beside, "rows_per_face": 12})
    return rows


def chunks_as_json() -> bytes:
    return json.dumps(chunk_records()).encode()


def chunks_as_json_lines() -> bytes:
    return "\n".join(map(json.dumps, chunk_records())).encode()


def chunks_as_arrow() -> bytes:
    table = pa.Table.from_pylist(chunk_records())
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def chunks_as_csv() -> bytes:
    rows = []
    for record in chunk_records():
        nine = record.pop("mean_g_m2")
        assert isinstance(nine, list)
        rows.append({**record, **{f"mean_g_m2_{i}": value for i, value in enumerate(nine, start=1)}})
    return csv_bytes(rows, tuple(rows[0]), sep=";")


@pytest.mark.parametrize("form", [chunks_as_json, chunks_as_json_lines, chunks_as_arrow, chunks_as_csv])
def test_chunk_records_in_every_form_are_judged_as_the_events_are(form: Form, tmp_path: Path) -> None:
    nifi = Road(form(), MeanScorer())
    agree(nifi, str(write_events(damaged(), tmp_path / "events.jsonl")), MeanScorer())
    assert {key.coil_id for key in nifi.decided} == {"1", "3"}


def test_chunks_of_a_coil_that_disagree_on_its_order_are_refused_and_no_other_coil() -> None:
    records = chunk_records()
    records[1]["zn_max_g_m2"] = 180.0
    nifi = Road(json.dumps(records).encode(), MeanScorer())
    assert {key.coil_id for key in nifi.decided} == {"3"}
    assert {one.key.coil_id for one in nifi.batch.rejects if one.key} == {"1", "2"}
