"""Describes the dashboard and writes coilflow.json: `python -m deploy.grafana.dashboard`."""

import json
from pathlib import Path
from typing import Any

from deploy.grafana.panels import ROWS, Panel

FILE = Path(__file__).with_name("coilflow.json")
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDE, _PANEL_WIDTH, _PANEL_HEIGHT = 24, 8, 7


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it, with no data source of its own."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append(_row(title, len(panels) + 1, y))
        x, y = 0, y + 1
        for panel in row:
            if x + _PANEL_WIDTH > _WIDE:
                x, y = 0, y + _PANEL_HEIGHT
            panels.append(_panel(panel, len(panels) + 1, x, y))
            x += _PANEL_WIDTH
        y += _PANEL_HEIGHT
    return {
        "title": "coilflow",
        "uid": "coilflow",
        "description": "Coils, streams, models, schedule and data of coilflow. docs/metrics.md explains each metric.",
        "tags": ["coilflow"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "templating": {"list": [_datasource(), _plant()]},
        "annotations": {"list": []},
        "links": [],
        "panels": panels,
    }


def _row(title: str, number: int, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": _WIDE, "h": 1}
    return {"type": "row", "id": number, "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    steps = [{"color": colour, "value": value} for colour, value in panel.steps]
    shown: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        line = "line" if len(panel.steps) > 1 else "off"
        shown["custom"] = {
            "lineWidth": 2,
            "fillOpacity": 5,
            "showPoints": "never",
            "thresholdsStyle": {"mode": line},
        }
        options: dict[str, Any] = {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi"},
        }
    else:
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "textMode": "value_and_name"}
    return {
        "type": panel.kind,
        "id": number,
        "title": panel.title,
        "description": panel.what,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": _PANEL_WIDTH, "h": _PANEL_HEIGHT},
        "fieldConfig": {"defaults": shown, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for i, (legend, expression) in enumerate(panel.lines.items())
        ],
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}


def _plant() -> dict[str, Any]:
    asked = "label_values(coilflow_last_hour_verdicts, plant)"
    return {
        "name": "plant",
        "label": "Plant",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": asked, "refId": "plant"},
        "definition": asked,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "current": {"text": "All", "value": "$__all"},
    }


def main() -> None:
    """Write the file."""
    FILE.write_text(json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
