"""Alerts and the dashboard: promtool takes them, they fire when they should, and they name metrics that there are."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from deploy.grafana.dashboard import FILE, dashboard
from tests.observe.conftest import Promtool

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
ASKED_FOR = (
    "lag", "conservation", "score", "drift", "dead_letters", "missed_fires", "no_leader", "swap_refused", "feedback",
    "outbox", "service_down",
)  # fmt: skip
_NAME = re.compile(r"\b(?:coilflow|messaging)_[a-z0-9_]+\b(?!\")")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Of every panel, with Grafana's variables as it would fill them in."""
    for panel in panels():
        for target in panel["targets"]:
            filled = target["expr"].replace("$__rate_interval", "5m").replace("$plant", "(ghent|linz)")
            yield f"{panel['title']} {target['refId']}", filled


def metrics_of(expression: str) -> set[str]:
    """Metrics that an expression names; what stands in quotes, such as a label's value, is none."""
    return (
        set(_NAME.findall(re.sub(r'"[^"]*"', '""', expression)))
        - {label for part in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for label in part.split(", ")}
        - set(re.findall(r"[{,] ?(messaging_\w+)!?=", expression))
    )


def test_promtool_takes_the_rules(promtool: Promtool) -> None:
    promtool("check", "rules", str(PROMETHEUS / "alerts.yml"))


def test_promtool_takes_the_configuration_to_begin_with(promtool: Promtool) -> None:
    assert "SUCCESS" in promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))


def test_alerts_fire_when_they_should_and_only_then(promtool: Promtool) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(PROMETHEUS / "alerts_test.yml"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_that_never_fires_is_found_out(rule: dict[str, Any], promtool: Promtool, tmp_path: Path) -> None:
    text = (PROMETHEUS / "alerts.yml").read_text(encoding="utf-8")
    silenced = yaml.safe_load(text)
    for group in silenced["groups"]:
        for one in group["rules"]:
            if one["alert"] == rule["alert"]:
                one["expr"] = "vector(0) > 1"
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(silenced), encoding="utf-8")
    (tmp_path / "alerts_test.yml").write_text((PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8"))
    with pytest.raises(AssertionError, match=rule["alert"]):
        promtool("test", "rules", str(tmp_path / "alerts_test.yml"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert re.fullmatch(r"\d+m", rule["for"])
    said = rule["annotations"]
    assert said["summary"]
    assert said["description"].endswith((".", "}"))
    assert (ROOT / said["runbook_url"]).is_file()


def test_there_is_an_alert_for_everything_that_was_asked_for() -> None:
    pages = {Path(rule["annotations"]["runbook_url"]).stem for rule in RULES}
    assert pages.issuperset(ASKED_FOR)
    assert len(pages) == len(RULES), "one page an alert"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_metric_of_an_alert_is_exported_by_a_running_service(
    rule: dict[str, Any], exported: Mapping[str, frozenset[str]]
) -> None:
    named = metrics_of(rule["expr"])
    assert named or "up{" in rule["expr"]
    assert named <= set().union(*exported.values())


def test_every_metric_of_the_dashboard_is_exported_by_a_running_service(
    exported: Mapping[str, frozenset[str]],
) -> None:
    named = {name for _, expression in expressions() for name in metrics_of(expression)}
    assert named <= set().union(*exported.values())


def test_a_metric_that_nobody_exports_would_be_found(exported: Mapping[str, frozenset[str]]) -> None:
    assert metrics_of('max by (coilflow_label) (coilflow_no_such{plant="coilflow_text"}) > 0') == {"coilflow_no_such"}
    assert "coilflow_no_such" not in set().union(*exported.values())


def test_the_dashboards_file_is_what_its_description_writes() -> None:
    assert orjson.loads(FILE.read_bytes()) == dashboard(), "run `python -m deploy.grafana.dashboard`"


def test_prometheus_reads_every_expression_of_the_dashboard(promtool: Promtool, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{i}", "expr": expression} for i, (_, expression) in enumerate(expressions())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))


def test_the_dashboard_names_no_data_source_of_its_own_and_has_its_rows() -> None:
    made = dashboard()
    assert made["schemaVersion"] >= 39
    assert [panel["title"] for panel in made["panels"] if panel["type"] == "row"] == [
        "Line", "Streams", "Models", "Schedule", "Data",
    ]  # fmt: skip
    assert {variable["name"] for variable in made["templating"]["list"]} == {"datasource", "plant"}
    sources = re.findall(rb'"uid": "([^"]*)"', orjson.dumps(made, option=orjson.OPT_INDENT_2))
    assert set(sources) == {b"${datasource}", b"coilflow"}


def test_panels_have_units_numbers_of_their_own_and_places_that_do_not_overlap() -> None:
    every = dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels())
    taken = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in every
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


def test_panels_that_name_a_runbook_name_one_that_there_is() -> None:
    named = [name for panel in panels() for name in re.findall(r"docs/\S+\.md", panel["description"])]
    assert named
    assert all((ROOT / name).is_file() for name in named)
