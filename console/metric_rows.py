"""Figures of a model's manifest with their intervals, for a report or a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricRow:
    """A figure as the manifest tells it; what is no number is told too, such as the table of confusion."""

    name: str
    value: Any
    ci95: tuple[float, float] | None


def metric_rows(metrics: Mapping[str, Any]) -> tuple[MetricRow, ...]:
    """The figures one by one, whether their intervals stand with each or all in `ci95`.

    >>> metric_rows({"f1": 0.8, "ci95": {"f1": [0.7, 0.9]}})
    (MetricRow(name='f1', value=0.8, ci95=(0.7, 0.9)),)
    """
    bounds = metrics.get("ci95")
    together = bounds if isinstance(bounds, Mapping) else {}
    rows = []
    for name, value in metrics.items():
        if name == "ci95":
            continue
        own = isinstance(value, Mapping) and "value" in value
        ends = value.get("ci95") if own else together.get(name)
        interval = (ends[0], ends[1]) if isinstance(ends, list | tuple) and len(ends) == 2 else None
        rows.append(MetricRow(name=name.replace("_", " "), value=value["value"] if own else value, ci95=interval))
    return tuple(rows)
