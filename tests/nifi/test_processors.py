"""Processors as NiFi runs them, in its double: nothing is raised, nothing is lost, and a reason is always told."""

import os
from pathlib import Path

import orjson
import pytest

from flows.nifi.processor import LARGEST_CONTENT_BYTES
from schemas.errors import StoreUnavailableError
from tests.nifi.running import PROCESSORS, TRANSFORMS, Running, load

NOWHERE = "postgresql://coilflow:secret@127.0.0.1:1/coilflow?connect_timeout=1"
ERROR, STEP, REMEDY = "coilflow.error", "coilflow.step", "coilflow.remedy"
DAMAGED = [
    b"",
    b"\x00" * 100,
    b'{"half',
    b"ARROW1\x00\x00 and no more",
    b"\xff\xff\xff\xff\x10\x00\x00\x00",
    b"a,b\n1,2\n",
]


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("COILFLOW_") and "TEST" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(tmp_path / "data"))


def running(name: str, **properties: str) -> Running:
    return Running(load(PROCESSORS / f"{name}.py"), {key.replace("_", " "): text for key, text in properties.items()})


@pytest.mark.parametrize(
    ("name", "content"),
    [*(("NormalizeCoil", one) for one in DAMAGED), *(("SampleForReview", one) for one in DAMAGED if one)],
)
def test_what_never_goes_well_is_a_dead_letter_with_its_content_and_the_reason(name: str, content: bytes) -> None:
    processor = running(name)
    processor.schedule()
    done = processor.give(content, {"uuid": "1", "filename": "coils"})
    processor.stop()
    assert (done.relationship, done.content) == ("dead_letter", content)
    assert done.attributes[ERROR]
    assert done.attributes[REMEDY]
    assert done.attributes["filename"] == "coils"
    assert done.attributes[STEP] in ("normalize_coil", "sample_for_review")
    [bulletin] = processor.logger.bulletins
    assert done.attributes[ERROR] in bulletin


@pytest.mark.parametrize("name", sorted(set(TRANSFORMS) - {"NormalizeCoil", "SampleForReview"}))
def test_while_the_database_is_away_every_flowfile_goes_to_failure_and_says_so(name: str) -> None:
    processor = running(name, Database_DSN=NOWHERE)
    processor.schedule()
    done = processor.give(b"content", {"uuid": "1"})
    processor.stop()
    assert (done.relationship, done.content) == ("failure", b"content")
    assert done.attributes[ERROR]
    assert "secret" not in repr(done.attributes)
    assert "to be tried again" in processor.logger.bulletins[0]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_flowfile_that_is_too_large_is_not_read(name: str) -> None:
    processor = running(name)
    processor.process_dies()  # so that it is not scheduled, which would start a database
    processor.processor.hosted.start(StoreUnavailableError("away", remedy="wait"))
    done = processor.give(b"", size=LARGEST_CONTENT_BYTES + 1)
    assert done.relationship == "dead_letter"
    assert "64 MB" in done.attributes[ERROR]
    assert "split it" in done.attributes[REMEDY]


def test_content_that_nifi_does_not_hand_over_goes_to_failure_with_the_reason() -> None:
    processor = running("SampleForReview")
    processor.schedule()
    done = processor.give(b"", size=LARGEST_CONTENT_BYTES)
    assert done.relationship == "failure"
    assert "Java heap space" in done.attributes[ERROR]
    assert done.attributes[STEP] == "sample_for_review"


def test_a_dsn_of_nifis_environment_is_taken_by_java_and_not_for_an_attribute(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANT_DATABASE", database)
    processor = running("ScoreModels", Database_DSN="${PLANT_DATABASE}")
    processor.schedule()
    done = processor.give(b"")
    processor.stop()
    assert done.relationship in ("success", "unchanged")
    assert ERROR not in done.attributes


def test_an_expression_that_cannot_be_evaluated_is_told_and_does_not_hold_nifi() -> None:
    processor = running("ScoreModels", Database_DSN="${now():fail()}")
    processor.schedule()
    done = processor.give(b"tick")
    processor.stop()
    assert (done.relationship, done.content) == ("failure", b"tick")
    assert "cannot be evaluated" in done.attributes[ERROR]


def test_a_processor_whose_process_died_works_on_with_its_properties_though_nifi_does_not_schedule_it_again(
    database: str,
) -> None:
    processor = running("ScoreModels", Database_DSN=database)
    processor.schedule()
    before = processor.give(b"")
    processor.process_dies()
    after = processor.give(b"")
    processor.stop()
    assert (before.relationship, after.relationship) == ("unchanged", "unchanged")


@pytest.mark.parametrize(
    ("name", "property_", "text"),
    [
        ("AssembleCoil", "Batch Coils", "0"),
        ("AssembleCoil", "Batch Coils", "many"),
        ("AssembleCoil", "Lease", "-1"),
        ("AssembleCoil", "Content", "tiles"),
        ("NormalizeCoil", "Format", "xml"),
        ("NormalizeCoil", "Limits File", "/nowhere/limits.json"),
        ("RecordVerdict", "Mode", "silent"),
        ("ScoreCoil", "Database DSN", ""),
        ("ScoreCoil", "No Such Property", "1"),
    ],
)
def test_a_property_that_is_wrong_is_named_before_anything_runs(name: str, property_: str, text: str) -> None:
    [said] = Running(load(PROCESSORS / f"{name}.py"), {property_: text}).invalid()
    assert property_ in said


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_processor_can_start_as_it_is_dropped_on_the_canvas(name: str) -> None:
    assert running(name).invalid() == []


def test_verdicts_that_ask_for_a_look_go_to_review_and_others_pass_on_as_they_came() -> None:
    event = orjson.loads((PROCESSORS.parent.parent / "schemas" / "examples" / "coil.verdict.json").read_bytes())
    calm, asked = (
        orjson.dumps({**event, "data": {**event["data"], "review": review}})
        for review in ([], ["random: audit sample of 2.0%"])
    )
    processor = running("SampleForReview")
    processor.schedule()
    passed, drawn = processor.give(calm + b"\n"), processor.give(calm + b"\n" + asked + b"\n")
    processor.stop()
    assert (passed.relationship, passed.content) == ("success", calm + b"\n")
    assert drawn.relationship == "review"
    assert len(drawn.content.splitlines()) == 1
