"""Writes the tables of docs/metrics.md from the code: `python -m docs.metric_table`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

import console.metrics
import flows.kafka.metrics
import flows.observe
import flows.outbox.metrics
import flows.swap_metrics
import scheduler.metrics

PAGE = Path(__file__).with_name("metrics.md")


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Metrics of one room, and the services that have them."""

    module: ModuleType
    services: tuple[str, ...]


KAFKA = ("worker assess", "worker feedback")
JUDGES = ("worker assess", "bridge mqtt", "console")
ALL = (*KAFKA, "bridge mqtt", "bridge outbox", "scheduler", "console")
GROUPS: Mapping[str, Group] = {
    "every service": Group(module=flows.observe, services=ALL),
    "streams": Group(module=flows.kafka.metrics, services=(*JUDGES, "worker feedback")),
    "models": Group(module=flows.swap_metrics, services=JUDGES),
    "outbox": Group(module=flows.outbox.metrics, services=("bridge outbox", "scheduler")),
    "console": Group(module=console.metrics, services=("console",)),
    "scheduler": Group(module=scheduler.metrics, services=("scheduler",)),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One metric, as Prometheus names it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    what: str


def rows(group: Group) -> tuple[Row, ...]:
    """The metrics of a group."""
    own = [one for one in vars(group.module).values() if isinstance(one, MetricWrapperBase)]
    found = {row.name: row for row in map(_row, own)}
    if group.module is scheduler.metrics:
        shown = scheduler.metrics.SHOWN
        found |= {one.name: Row(name=one.name, kind="figure", labels=one.labels, what=one.what) for one in shown}
    return tuple(found.values())


def _row(metric: MetricWrapperBase) -> Row:
    [family] = metric.describe()
    name = family.name + ("_total" if family.type == "counter" else "")
    return Row(name=name, kind=family.type, labels=tuple(metric._labelnames), what=family.documentation)


def table(group: Group) -> str:
    """Its table in Markdown."""
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{row.name}` | {row.kind} | {', '.join(f'`{label}`' for label in row.labels)} | {row.what} |"
        for row in rows(group)
    ]
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with its tables as the code has them; each stands after a comment that names its group."""
    for name, group in GROUPS.items():
        whole = re.compile(rf"(<!-- table: {name} -->\n)(?:\|.*\n)*")
        if not whole.search(text):
            raise ValueError(f"the page has no place for the table of {name}")
        text = whole.sub(lambda found, group=group: f"{found[1]}{table(group)}\n", text)  # type: ignore[misc]
    return text


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
