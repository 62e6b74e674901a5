"""Promises of chunk events as a source."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.flows.given import Cells, coil, events_of, lines_of, three, write_events, write_tables
from tests.flows.judging import Outcome, judge


@pytest.fixture
def assess_events(tmp_path: Path) -> Callable[[list[Cells]], Outcome]:
    def assess(events: list[Cells]) -> Outcome:
        file = tmp_path / "line.jsonl"
        file.write_bytes(lines_of(events))
        return judge(str(file))

    return assess


Assess = Callable[[list[Cells]], Outcome]


def all_events() -> list[Cells]:
    return [event for given in three() for event in events_of(given)]


def chunk_of(events: list[Cells], coil_id: str, nth: int = 0) -> Cells:
    """Data of the coil's nth chunk, to be changed."""
    found: list[Cells] = [e["data"] for e in events if e["type"] == "coil.chunk" and e["data"]["coil_id"] == coil_id]
    return found[nth]


def event_of(events: list[Cells], coil_id: str, kind: str) -> Cells:
    (found,) = [e for e in events if e["type"] == kind and e["data"]["coil_id"] == coil_id]
    return found


def test_events_and_tables_give_equal_bytes(tmp_path: Path) -> None:
    events = judge(str(write_events(three(), tmp_path / "line.jsonl"))).digest()
    assert events == judge(str(write_tables(three(), tmp_path / "line"))).digest()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_disorder_repeats_and_the_mix_of_coils_change_nothing(assess_events: Assess, seed: int) -> None:
    want = assess_events(all_events()).digest()
    rng = np.random.default_rng(seed)
    events = all_events()
    events += [events[i] for i in rng.integers(len(events), size=50)]
    assert assess_events([events[i] for i in rng.permutation(len(events))]).digest() == want


def test_a_coil_without_its_start_is_a_reject_that_says_so(assess_events: Assess) -> None:
    events = all_events()
    events.remove(event_of(events, "2", "coil.started"))
    outcome = assess_events(events)
    assert outcome.judged == ["1", "3"]
    assert "there is no coil.started event, so no band" in outcome.rejected["2"].error


def test_a_coil_without_its_end_is_judged_and_says_so(assess_events: Assess) -> None:
    events = all_events()
    events.remove(event_of(events, "2", "coil.ended"))
    outcome = assess_events(events)
    assert outcome.judged == ["1", "2", "3"]
    assert outcome.coils[1].verdict.reasons == ("not_ended: no coil.ended event came",)


def test_starts_that_disagree_are_a_reject(assess_events: Assess) -> None:
    events = all_events()
    other = json.loads(json.dumps(event_of(events, "2", "coil.started")))
    other["data"]["zn_max_g_m2"] = 130.0
    outcome = assess_events([*events, other])
    assert "two coil.started events disagree" in outcome.rejected["2"].error


def test_rows_that_the_end_promises_and_that_never_came_are_said(assess_events: Assess) -> None:
    events = all_events()
    event_of(events, "2", "coil.ended")["data"]["rows_per_face"] = "15"  # a number as text is a number
    (_, judged, _) = assess_events(events).coils
    assert judged.verdict.reasons == ("missing_rows: 3 of 15 top, 3 of 15 bottom",)
    assert judged.verdict.observed == pytest.approx(12 / 15)


def test_rows_beyond_those_that_the_end_promises_are_said(assess_events: Assess) -> None:
    events = all_events()
    event_of(events, "2", "coil.ended")["data"]["rows_per_face"] = 11
    (_, judged, _) = assess_events(events).coils
    assert judged.verdict.reasons == ("extra_rows: coil.ended promised 11 a face, 12 top, 12 bottom came",)


def test_a_message_of_a_type_that_we_do_not_know_is_set_aside_and_its_coil_is_judged(assess_events: Assess) -> None:
    events = all_events()
    events.insert(40, {**event_of(events, "2", "coil.ended"), "type": "coil.weighed"})
    outcome = assess_events(events)
    assert outcome.judged == ["1", "2", "3"]
    assert outcome.rejected["2"].error == "type 'coil.weighed' is none of coil.started, coil.chunk, coil.ended"
    assert b"coil.weighed" in outcome.rejected["2"].original


def test_a_message_of_a_newer_standard_rejects_its_coil(assess_events: Assess) -> None:
    events = all_events()
    next(e for e in events if e["type"] == "coil.chunk" and e["data"]["coil_id"] == "2")["specversion"] = "2.0"
    assert assess_events(events).rejected["2"].error == "specversion is '2.0', expected '1.0'"


def test_unknown_fields_are_accepted(assess_events: Assess) -> None:
    want = assess_events(all_events()).digest()
    events = [{**e, "traceparent": "00-1", "data": {**e["data"], "shift": "night"}} for e in all_events()]
    assert assess_events(events).digest() == want


def _eight(data: Cells) -> None:
    data["mean_g_m2"].pop()


def _set(field: str, value: Any) -> Callable[[Cells], None]:
    def damage(data: Cells) -> None:
        data[field] = value

    return damage


def _null(data: Cells) -> None:
    data["mean_g_m2"][3] = None


def _no_position(data: Cells) -> None:
    del data["position"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_eight, "mean_g_m2: has to have at least 9 values"),
        (_null, "top face, row 1, sensor 4: nan g/m² is not a finite number"),
        (_no_position, "position: Field required"),
        (_set("position", None), "position: Input should be a valid number"),
        (_set("position", float("inf")), "position: Input should be a finite number"),
        (_set("face", "left"), "face: Input should be 'top' or 'bottom'"),
        (_set("face", ["top"]), "face: Input should be 'top' or 'bottom'"),
        (_set("mean_g_m2", "many"), "mean_g_m2: Input should be a valid tuple"),
        (_set("mean_g_m2", None), "mean_g_m2: Input should be a valid tuple"),
        (_set("mean_g_m2", [True] * 9), "mean_g_m2.0: Input should be a valid number, got True"),
        (_set("mean_g_m2", [110.0] * 8 + [False]), "mean_g_m2.8: Input should be a valid number, got False"),
        (_set("mean_g_m2", [110.0] * 8 + ["70"]), "mean_g_m2.8: Input should be a valid number, got '70'"),
        (_set("mean_g_m2", [[110.0] * 9]), "mean_g_m2.0: Input should be a valid number, got [110.0, "),
        (_set("mean_g_m2", [float("nan")] * 8 + [10**400]), "mean_g_m2.0: Input should be a finite number, got nan"),
        (_set("position", "5"), "position: Input should be a valid number, got '5'"),
        (_set("std_g_m2", []), "std_g_m2: has to have at least 9 values"),
        (_set("std_g_m2", [1.0] * 8), "std_g_m2: has to have at least 9 values"),
        (_set("std_g_m2", [-1.0] * 9), "the standard deviation is no number from 0 up"),
    ],
)
def test_a_chunk_that_breaks_its_contract_rejects_its_coil_alone(
    assess_events: Assess, damage: Callable[[Cells], None], said: str
) -> None:
    events = all_events()
    damage(chunk_of(events, "2"))
    outcome = assess_events(events)
    assert outcome.judged == ["1", "3"]
    assert said in outcome.rejected["2"].error
    assert outcome.rejected["2"].original == lines_of(e for e in events if e["data"]["coil_id"] == "2")


@pytest.mark.parametrize("started_at", [1763640000, "2026-11-20T12:00:00.123456789Z", "1763640000"])
def test_a_start_time_in_any_form_of_the_contract_is_read(assess_events: Assess, started_at: object) -> None:
    events = all_events()
    event_of(events, "2", "coil.started")["data"]["started_at"] = started_at
    assert assess_events(events).judged == ["1", "2", "3"]


def test_a_start_without_a_time_zone_or_with_a_nul_is_a_reject(assess_events: Assess) -> None:
    events = all_events()
    event_of(events, "1", "coil.started")["data"]["started_at"] = "2026-11-20T12:00:00"
    event_of(events, "2", "coil.started")["data"]["customer"] = "a\x00b"
    outcome = assess_events(events)
    assert outcome.judged == ["3"]
    assert "started_at: Input should have timezone info" in outcome.rejected["1"].error
    assert "customer holds a NUL character" in outcome.rejected["2"].error


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"specversion": "1.0", "type": "coil.ch', "the message is no JSON"),
        (b"\xff\xfe\x00", "the message is no"),
        (b'{"plant": "\xff"}', "the message is not UTF-8"),
        (b"NaN", "no CloudEvent"),
        (b"[1, NaN", "the message is no JSON"),
        (b"[]", "no CloudEvent"),
        (b'"text"', "no CloudEvent"),
        (b"null", "no CloudEvent"),
        (b'{"specversion": "1.0", "type": [], "data": {"plant": "p", "coil_id": 5}}', "type []"),
        (b'{"specversion": "1.0", "type": "coil.chunk", "data": {"plant": "p", "coil_id": 5}}', "must be text"),
        (b'{"specversion": "1.0", "type": "coil.chunk", "data": "plant"}', "no CloudEvent"),
        (b"[" * 3000, "the message is no JSON"),
    ],
)
def test_a_line_that_is_no_event_is_a_reject_with_its_place_and_the_rest_is_judged(
    tmp_path: Path, line: bytes, said: str
) -> None:
    first, *rest = lines_of(all_events()).splitlines(keepends=True)
    file = tmp_path / "line.jsonl"
    file.write_bytes(b"".join([first, b"\n", line + b"\n", *rest]))
    outcome = judge(str(file))
    assert outcome.judged == ["1", "2", "3"]
    (reject,) = outcome.rejects
    assert reject.place == "line.jsonl, line 3"
    assert reject.original == line + b"\n"
    assert said in reject.error


def test_a_byte_order_mark_blank_lines_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    want = judge(str(write_events(three(), tmp_path / "line.jsonl"))).digest()
    lines = lines_of(all_events()).splitlines()
    (tmp_path / "other.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\r\n\r\n".join(lines))
    assert judge(str(tmp_path / "other.jsonl")).digest() == want


def test_a_file_cut_in_the_middle_of_a_line_rejects_that_line_and_judges_what_came(tmp_path: Path) -> None:
    content = lines_of(all_events())
    file = tmp_path / "line.jsonl"
    file.write_bytes(content[:-40])
    outcome = judge(str(file))
    assert outcome.judged == ["1", "2", "3"]
    assert outcome.coils[2].verdict.reasons == ("not_ended: no coil.ended event came",)
    assert outcome.rejected[None].original == content[:-40].splitlines()[-1]


def test_a_coil_with_endless_events_is_a_reject_and_does_not_fill_the_memory(tmp_path: Path) -> None:
    events = all_events()
    line = lines_of([event_of(events, "2", "coil.ended")])
    file = tmp_path / "line.jsonl"
    file.write_bytes(lines_of(e for e in events if e["data"]["coil_id"] != "3") + line * 20_000)
    outcome = judge(str(file))
    assert outcome.judged == ["1"]
    assert "more than 20000 events" in outcome.rejected["2"].error


def test_a_coil_in_two_plants_is_two_coils(assess_events: Assess) -> None:
    here, there = coil("7"), coil("7", level=90.0)
    there.plant = "graz"
    outcome = assess_events(events_of(here) + events_of(there))
    assert [(c.verdict.key.plant, c.verdict.key.coil_id) for c in outcome.coils] == [("linz", "7"), ("graz", "7")]


@pytest.mark.parametrize("name", ["\\ud800", "a\\u001fb", "a\\u0000"])
def test_a_name_that_cannot_be_stored_is_a_reject_of_its_line_alone(tmp_path: Path, name: str) -> None:
    file = write_events(three(), tmp_path / "coils.jsonl")
    bad = lines_of(events_of(coil("9"))).replace(b'"coil_id": "9"', f'"coil_id": "{name}"'.encode())
    bad = bad.replace(b'"coil_id":"9"', f'"coil_id":"{name}"'.encode())
    file.write_bytes(bad.splitlines(keepends=True)[0] + file.read_bytes())
    outcome = judge(str(file))
    assert len(outcome.rejects) == 1
    assert outcome.rejects[0].place == "coils.jsonl, line 1"


def test_more_rows_than_a_coil_can_have_reject_it_alone(tmp_path: Path) -> None:
    file = write_events(three(), tmp_path / "coils.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if b"coil.ended" in line)
    event = json.loads(lines[at])
    event["data"]["rows_per_face"] = 2**64 - 1
    lines[at] = json.dumps(event).encode() + b"\n"
    file.write_bytes(b"".join(lines))
    (reject,) = judge(str(file)).rejects
    assert "rows_per_face" in reject.error


@pytest.mark.parametrize("position", ["1e300", "-1e300"])
def test_a_place_beyond_any_strip_rejects_its_coil_alone(tmp_path: Path, position: str) -> None:
    file = write_events(three(), tmp_path / "coils.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if b"coil.chunk" in line)
    event = json.loads(lines[at])
    event["data"]["position"] = float(position)
    lines[at] = json.dumps(event).encode() + b"\n"
    file.write_bytes(b"".join(lines))
    (reject,) = judge(str(file)).rejects
    assert "position" in reject.error


def test_times_are_not_needed_for_a_verdict(assess_events: Assess) -> None:
    events = [event for given in three() for event in events_of(given)]
    for event in events:
        for name in ("started_at", "ended_at"):
            event["data"].pop(name, None)
    assert len(assess_events(events).coils) == 3
