"""docs/metrics.md tells of every metric, and no service lacks one that it is said to have."""

from collections.abc import Mapping

import pytest

from docs.metric_table import ALL, GROUPS, PAGE, page, rows
from tests.observe.conftest import Promtool

# OpenTelemetry's names, as its conventions for messaging have them: no unit in a counter's name.
_NOT_OURS = ("messaging_client_operation_duration_seconds",)


def test_the_pages_tables_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run `python -m docs.metric_table`"


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_each_service_exports_what_the_page_says(exported: Mapping[str, frozenset[str]], name: str) -> None:
    group = GROUPS[name]
    for service in group.services:
        assert {row.name for row in rows(group)} <= exported[service], service


def test_no_service_exports_a_metric_of_ours_that_the_page_has_not(exported: Mapping[str, frozenset[str]]) -> None:
    told = {row.name for group in GROUPS.values() for row in rows(group)}
    told |= {f"{name}{end}" for name in told for end in ("_bucket", "_sum", "_count")}
    ours = {name for names in exported.values() for name in names if name.startswith(("coilflow_", "messaging_"))}
    assert ours <= told


def test_each_service_says_which_it_is(pages: Mapping[str, str]) -> None:
    for service in ALL:
        [line] = [line for line in pages[service].splitlines() if line.startswith("coilflow_build_info{")]
        assert f'service="{service}"' in line


def test_metrics_follow_prometheus_conventions(pages: Mapping[str, str], promtool: Promtool) -> None:
    for text in pages.values():
        promtool("check", "metrics", given=text)


def test_no_label_takes_a_name_that_prometheus_gives(exported: Mapping[str, frozenset[str]]) -> None:
    assert exported
    assert not {
        (row.name, label) for group in GROUPS.values() for row in rows(group) for label in row.labels
        if label in ("job", "instance", "le", "quantile")
    }  # fmt: skip
