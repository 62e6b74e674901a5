"""Reports that an auditor files: of a coil or a model, in Markdown that reads well and JSON that can be checked."""

import hashlib
import re
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from console.markdown import said
from flows.audit import coil_report, model_report
from flows.score_models import score_models
from schemas.audit import CoilReport
from schemas.audit_model import ModelReport
from store.connection import Connection
from store.registry import shadow
from tests.audit.given import EVIL, PROMOTION, TOPIC, Line, bad, candidate, drifted, later, refuse, say, succeed
from tests.console.conftest import Coilflow
from tests.flows.given import coil
from tests.store.given import key_of

COIL_HEADINGS = [
    "Audit of coil 3, plant linz",
    "The coil and its order",
    "What holds now",
    "Picture of both faces",
    "Verdict 1: NOK",
    "Readings",
    "Votes",
    "Where the ensemble comes from",
    "Announcements",
    "What people said",
    "What that changed",
    "Dead letters",
]
MODEL_HEADINGS = [
    "Audit of ensemble v2",
    "The ensemble and its parents",
    "Member mean-v2 1",
    "What it is",
    "Training data",
    "Settings and environment",
    "Metrics on its holdout",
    "Files",
    "Its files and canaries, when this report was made",
    "Who or what changed it, and why",
    "Decisions on it",
    "Retrainings",
    "Where it ran, and when",
    "Answers of the workers",
    "Scores over its life",
    "Drift checks",
]


def tokens(markdown: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(markdown)


def headings(markdown: str) -> list[str]:
    found = tokens(markdown)
    return [after.content for one, after in pairwise(found) if one.type == "heading_open"]


def shape(markdown: str) -> list[str]:
    """What a reader's program makes of it, whatever the words are."""
    return [inner.type for one in tokens(markdown) for inner in (one, *(one.children or ())) if inner.type != "text"]


def story(connection: Connection, line: Line) -> None:
    note = "behind the weld"
    line.assess(*(bad(str(n)) if n % 2 else coil(str(n)) for n in range(1, 9)))
    for n in range(1, 9):
        say(connection, str(n), "NOK" if n % 2 else "OK", by="mia", hours=1, note=note, event_id=f"w{n}")
    say(connection, "3", "OK", by="mia", hours=1.5, corrects="w3", event_id="w9", note=note)
    score_models(connection, line.settings, later(2))
    succeed(connection, line, hours=3)
    say(connection, "3", "NOK", by="ben", hours=3.5, note=note, face="top", from_m=210, to_m=268)


def written(folder: Path, ending: str) -> Path:
    [found] = folder.glob(f"*.{ending}")
    return found


def test_a_coils_report_is_filed_as_markdown_json_and_picture(
    coilflow: Coilflow, connection: Connection, line: Line, tmp_path: Path
) -> None:
    story(connection, line)
    ran = coilflow("audit", "coil", "3", "--out", "filed")
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.out.splitlines()) == 4
    folder = tmp_path / "filed"
    content = written(folder, "json").read_bytes()
    report = CoilReport.model_validate_json(content)
    markdown = written(folder, "md").read_text(encoding="utf-8")

    assert headings(markdown) == [name.replace(".", r"\.") for name in COIL_HEADINGS]
    sha256 = hashlib.sha256(content).hexdigest()
    assert f"SHA-256 of the JSON ({written(folder, 'json').name}): {sha256}" in markdown
    picture = written(folder, "png")
    assert report.picture_sha256 == hashlib.sha256(picture.read_bytes()).hexdigest()
    checked = f"{sha256}  {written(folder, 'json').name}\n{report.picture_sha256}  {picture.name}\n"
    assert written(folder, "sha256").read_text() == checked
    assert written(folder, "png").read_bytes().startswith(b"\x89PNG")
    assert report.picture == written(folder, "png").name
    for figure in (
        "- ordered coating a face, g/m²: 100 to 120",
        "People differ: 2 voices.",
        "- the stored bytes still are that revision: yes: the stored readings hash to the revision",
        "| top | 12 |",
        "behind the weld | no | no: corrected or orphaned | w3 |",
        "| NOK |  | top from 210 m to 268 m | behind the weld |",
        f"| coil.verdict | {report.verdicts[0].revision} | NOK | {TOPIC} |",
        "| v1 | champion | OK | 1 |",
        "| retrain | every plant: ensemble v1 | yes | OK | recall: low |",
        "| promoted | no worse in shadow |",
        "| promotion | better in shadow |",
        "*From coilflow.verdicts, coilflow.coil\\_labels.*",
    ):
        assert figure in markdown, figure
    assert "postgres" in report.origin.database
    assert report.sources["verdicts.readings"] == ("coilflow.readings",)
    assert report.sources["verdicts.scores"] == ("coilflow.model_scores", "coilflow.label_as_of")


def test_every_part_of_a_report_names_its_tables(connection: Connection, line: Line) -> None:
    line.assess(coil("1"))
    filed = (
        coil_report(connection, key_of("1"), now=later(1)),
        model_report(connection, "v1", line.settings, now=later(1)),
    )
    for report in filed:
        parts = {name for name, field in type(report).model_fields.items() if "schemas.audit" in str(field.annotation)}
        assert parts - report.sources.keys() == {"origin"}


def test_json_on_standard_output_is_the_same_report(coilflow: Coilflow, connection: Connection, line: Line) -> None:
    line.assess(coil("1"))
    ran = coilflow("audit", "coil", "1", "--plant", "linz", "--json")
    report = CoilReport.model_validate_json(ran.out)
    assert (len(ran.out.splitlines()), report.picture) == (1, None)
    assert [one.label for one in report.verdicts] == ["OK"]
    printed = coilflow("audit", "coil", "1").out
    assert "There is none: it is drawn beside a report that is written with --out." in printed


def test_words_of_people_cannot_break_a_report(coilflow: Coilflow, connection: Connection, line: Line) -> None:
    ran = {}
    line.assess(bad("1"), bad("2"))
    for coil_id, note, by in (("1", "plain", "mia"), ("2", EVIL, "m|i`a\n# x")):
        say(connection, coil_id, "NOK", by=by, note=note, defect_kind=note)
        refuse(connection, coil_id, note)
        ran[coil_id] = coilflow("audit", "coil", coil_id).out
    assert shape(ran["1"]) == shape(ran["2"])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", ran["2"])
    assert "html_inline" not in shape(ran["2"])
    assert r"thin \| edge\\n\# Heading" in ran["2"]


def test_a_coil_of_five_revisions_shows_each_and_which_one_stands(
    coilflow: Coilflow, connection: Connection, line: Line
) -> None:
    for level in (110.0, 111.0, 60.0, 112.0, 113.0):
        line.assess(coil("1", level=level))
    report = CoilReport.model_validate_json(coilflow("audit", "coil", "1", "--json").out)
    assert [one.label for one in report.verdicts] == ["OK", "OK", "NOK", "OK", "OK"]
    assert [one.stands for one in report.verdicts] == [False] * 4 + [True]
    assert [one.readings.digest for one in report.verdicts] == ["fits"] * 5
    revisions = [one.revision for one in report.verdicts]
    assert [one.supersedes for one in report.verdicts] == [None, *revisions[:-1]]
    assert [one.superseded_by for one in report.verdicts] == [*revisions[1:], None]
    assert [one.revision for one in report.announcements] == revisions
    markdown = coilflow("audit", "coil", "1").out
    assert [name for name in headings(markdown) if name.startswith("Verdict")][2] == "Verdict 3: NOK"


def test_a_shadows_verdict_is_told_as_what_counts_for_nothing(
    coilflow: Coilflow, connection: Connection, line: Line
) -> None:
    candidate(connection, line, "v2", parent="v1")
    shadow(connection, "v2", PROMOTION)
    line.assess(bad("1"), shadow="v2")
    markdown = coilflow("audit", "coil", "1").out
    assert "Verdict 2 of a shadow, which counts for nothing: NOK" in headings(markdown)
    assert markdown.count("by ensemble v1 at") == 1
    assert "by ensemble v2 at" not in markdown


def test_a_coil_without_a_verdict_has_a_report_too(
    coilflow: Coilflow, connection: Connection, line: Line, tmp_path: Path
) -> None:
    refuse(connection, "9", "why not")
    say(connection, "8", "OK", by="mia", hours=0)
    ran = coilflow("audit", "coil", "9", "--out", "filed")
    assert ran.code == 0
    markdown = written(tmp_path / "filed", "md").read_text(encoding="utf-8")
    assert "- state: dead lettered" in markdown
    assert "There is none: no verdict stands." in markdown
    assert "| assemble | the bottom face is missing: why not | send the readings of both faces |" in markdown
    waiting = coilflow("audit", "coil", "8")
    assert (waiting.code, "No coil of this key ever came" in waiting.out) == (0, True)
    assert "People say OK (1 voice)" in waiting.out


def test_an_unknown_coil_or_one_of_two_plants_is_an_error_with_a_remedy(
    coilflow: Coilflow, connection: Connection, line: Line
) -> None:
    other = coil("1")
    other.plant = "graz"
    line.assess(coil("1"))
    line.assess(other)
    for arguments, sentence in {
        ("coil", "nobody"): "error: nothing is known of coil 'nobody'; check its id",
        ("coil", "1"): "error: coil '1' is one of the plants graz, linz; say which one with --plant",
        ("coil", "1", "--plant", "wels"): "error: nothing is known of coil '1' of plant wels; check its id",
        ("model", "v9"): "error: there is no ensemble and no model of version 'v9' in the registry; see",
    }.items():
        ran = coilflow("audit", *arguments)
        assert (ran.code, ran.out) == (1, "")
        assert ran.sentence().startswith(sentence)
    assert coilflow("audit", "coil", "1", "--plant", "graz").code == 0


def test_a_coil_whose_id_is_any_text_is_filed(
    coilflow: Coilflow, connection: Connection, line: Line, tmp_path: Path
) -> None:
    coil_id = r"../$\frac{1}$ (x)"
    line.assess(bad(coil_id))
    assert coilflow("audit", "coil", coil_id, "--out", "filed").code == 0
    picture = written(tmp_path / "filed", "png")
    assert picture.parent == tmp_path / "filed"
    markdown = written(tmp_path / "filed", "md").read_text(encoding="utf-8")
    [image] = [inner for one in tokens(markdown) for inner in one.children or () if inner.type == "image"]
    assert str(image.attrs["src"]).replace("%25", "%") == picture.name.replace(" ", "%20")


def test_a_models_report_tells_where_it_comes_from_and_what_it_did(
    coilflow: Coilflow, connection: Connection, line: Line, tmp_path: Path
) -> None:
    story(connection, line)
    line.assess(bad("20"), coil("21"))
    drifted(connection, "v2", hours=4)
    for n in ("20", "21"):
        say(connection, n, "NOK", by="mia", hours=4)
    score_models(connection, line.settings, later(5))
    assert coilflow("audit", "model", "v2", "--out", "filed").code == 0
    report = ModelReport.model_validate_json(written(tmp_path / "filed", "json").read_bytes())
    markdown = written(tmp_path / "filed", "md").read_text(encoding="utf-8")

    assert headings(markdown) == MODEL_HEADINGS
    assert [one.version for one in report.ensembles] == ["v2", "v1"]
    snapshot = report.ensembles[0].snapshot
    assert snapshot is not None
    assert (snapshot.coils, snapshot.nok) == (8, 3)  # coil 3 was said to be OK by then
    [tried] = report.verification
    assert tried.good, tried.error
    assert tried.canaries_off_by is not None
    assert [(one.change, one.who) for one in report.changes] == [("registered", "retrain"), ("promoted", "promotion")]
    assert [one.subject for one in report.decisions] == ["every plant: successor v2"]
    [retraining] = report.retrainings
    assert (retraining.parent, retraining.candidate, retraining.state) == ("v1", "v2", "promoted")
    assert [(j.plant, j.role, j.verdicts, j.nok) for j in report.judged] == [("linz", "champion", 2, 1)]
    [whole] = [one for one in report.scores if one.slice_kind == "all"]
    assert (whole.tp, whole.fn, whole.evaluated) == (1, 1, 2)
    assert [one.drifted for one in report.drift] == [True]
    for figure in (
        f"Ensemble v2 was trained on snapshot {snapshot.digest}: 8 coils, 3 NOK",
        "| better in shadow |",
        "| linz | champion | v2 | 2 | 1 | 1 | 0 |",
        "the level of the top face has drifted",
        "Its manifest tells none.",
    ):
        assert figure in markdown, figure


def test_a_member_is_named_by_its_version_or_by_name_and_version(
    coilflow: Coilflow, connection: Connection, line: Line
) -> None:
    candidate(connection, line, "v2", parent="v1")
    line.assess(bad("1"))
    (line.settings.data_dir / "ensembles" / "v1" / "mean-v1" / "model.onnx").write_bytes(b"x")
    ran = coilflow("audit", "model", "1")
    assert (ran.code, ran.sentence()) == (
        1,
        "error: several models have the version '1'; name one of mean-v1@1, mean-v2@1",
    )
    report = ModelReport.model_validate_json(coilflow("audit", "model", "mean-v1@1", "--json").out)
    assert (report.kind, report.model, [one.version for one in report.ensembles]) == ("member", "mean-v1", ["v1"])
    assert [(j.ensemble_version, j.verdicts) for j in report.judged] == [("v1", 1)]
    [tried] = report.verification
    assert not tried.good
    assert "the file was altered" in (tried.error or "")
    assert report.members[0].ensembles[0].votes


@pytest.mark.parametrize("text", ["1. one", "- one", "+ one", "= one", "    code", "> quote", "# heading", "&lt;b&gt;"])
def test_a_sentence_stays_a_sentence(text: str) -> None:
    [opened, inline, closed] = tokens(said(text))
    assert (opened.type, closed.type) == ("paragraph_open", "paragraph_close")
    assert [child.type for child in inline.children or ()] == ["text"] * len(inline.children or ())
    assert "".join(child.content for child in inline.children or ()) == text.strip()
