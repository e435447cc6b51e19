"""Makes the Grafana dashboard of a study; docs/watching.md says how to connect it.

    python -m scaling.dashboards          print it, for Grafana (Dashboards, New, Import)

scaling/grafana/scaling-law-laboratory.json holds what it prints, for use without Python.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

FILE = "scaling-law-laboratory.json"
RAY_METRICS = frozenset(
    {
        "ray_node_cpu_utilization",
        "ray_node_gpus_utilization",
        "ray_node_gram_used",
        "ray_node_gram_available",
        "ray_node_mem_used",
        "ray_node_mem_total",
        "ray_resources",
    }
)
"""Ray's own metrics that the dashboard shows; the others are those of `scaling.monitoring.gauges`."""

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_OURS = '{study=~"$study"}'
_STATE_COLOURS = {"done": "green", "running": "blue", "waiting": "text", "retrying": "yellow", "failed": "red", "blocked": "dark-red"}


def _panel(kind: str, title: str, text: str, queries: dict[str, str], *, unit: str = "short", stat: bool = False, **more: Any) -> dict[str, Any]:
    """A panel; `queries` are PromQL by legend."""
    targets: list[dict[str, Any]] = [
        {"refId": chr(ord("A") + n), "datasource": _SOURCE, "expr": query, "legendFormat": legend, "range": not stat, "instant": stat}
        for n, (legend, query) in enumerate(queries.items())
    ]
    defaults: dict[str, Any] = {key: value for key, value in ({"unit": unit, "min": 0} | more.pop("defaults", {})).items() if value is not None}
    return {
        "type": kind,
        "title": title,
        "description": text,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
        "options": more.pop("options", {}),
        **more,
    }


def _lines(
    title: str, text: str, queries: dict[str, str], *, unit: str = "short", stacked: bool = False, wordy: bool = False, **defaults: Any
) -> dict[str, Any]:
    custom: dict[str, Any] = {"lineWidth": 1, "fillOpacity": 30 if stacked else 5, "showPoints": "auto", "spanNulls": 60_000}
    if stacked:
        custom |= {"stacking": {"mode": "normal", "group": "A"}, "drawStyle": "line"}
    options = {
        "legend": {
            "displayMode": "list" if wordy else "table",
            "placement": "bottom" if wordy else "right",
            "showLegend": True,
            "calcs": ["lastNotNull"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    overrides = [
        {"matcher": {"id": "byName", "options": state}, "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}]}
        for state, colour in (_STATE_COLOURS.items() if stacked else ())
    ]
    return _panel("timeseries", title, text, queries, unit=unit, defaults={"custom": custom} | defaults, options=options, overrides=overrides)


def _number(title: str, text: str, query: str, *, unit: str = "short", colour: str = "text", **defaults: Any) -> dict[str, Any]:
    options = {
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
    }
    thresholds = {"mode": "absolute", "steps": [{"color": "text", "value": None}, {"color": colour, "value": 1}]}
    return _panel("stat", title, text, {title: query}, unit=unit, stat=True, defaults={"thresholds": thresholds} | defaults, options=options)


def _running() -> dict[str, Any]:
    """A table of running stages, one per row."""
    held_out = '{study=~"$study", measure!="train_mim_loss"}'  # of the two losses of a pre-training
    columns = {"progress": "percentunit", "images_per_s": "short", "seconds_left": "s", "loss": "short", "score": "percentunit"}
    panel = _panel(
        "table",
        "Running stages",
        "One row per running stage; a stage that has ended disappears within half a minute.",
        {name: f"max by (title, stage) (ray_scaling_stage_{name}{held_out if name == 'loss' else _OURS})" for name in columns},
        stat=True,
        options={"showHeader": True, "cellHeight": "sm"},
        overrides=[
            {
                "matcher": {"id": "byName", "options": name.replace("_", " ")},
                "properties": [{"id": "unit", "value": unit}, {"id": "decimals", "value": 4 if name in ("loss", "score") else 0}],
            }
            for name, unit in columns.items()
        ],
    )
    for target in panel["targets"]:
        target["format"] = "table"
    hidden = {"Time": True} | {f"Time {n}": True for n in range(1, 6)}
    names = {f"Value #{chr(ord('A') + n)}": name.replace("_", " ") for n, name in enumerate(columns)}
    panel["transformations"] = [
        {"id": "joinByField", "options": {"byField": "stage", "mode": "outer"}},
        {
            "id": "organize",
            "options": {
                "excludeByName": hidden | {"stage": True} | {f"title {n}": True for n in range(2, 6)},
                "renameByName": {"title 1": "title"} | names,
            },
        },
    ]
    return panel


def panels() -> list[tuple[int, int, dict[str, Any]]]:
    """Every panel with its width (of 24) and height."""
    left, per_kind = "ray_scaling_study_seconds_left", "{{kind}}"
    state = 'sum by (state) (ray_scaling_study_stages{study=~"$study"})'

    def stages(name: str) -> str:
        return f'sum(ray_scaling_study_stages{{study=~"$study", state="{name}"}}) or vector(0)'

    return [
        (
            4,
            4,
            _number("Progress", "Share of this launch's work that is done.", f"ray_scaling_study_progress{_OURS}", unit="percentunit", max=1),
        ),
        (4, 4, _number("Time left", "Forecast, from the speed so far.", f'{left}{{study=~"$study", bound="middle"}}', unit="s")),
        (4, 4, _number("Running", "Stages that are running.", stages("running"), colour="blue")),
        (4, 4, _number("Failed", "Stages that failed finally.", stages("failed"), colour="red")),
        (4, 4, _number("Blocked", "Stages that need one that failed.", stages("blocked"), colour="red")),
        (
            4,
            4,
            _number("Retries", "Attempts that failed and were followed by another.", f"sum(ray_scaling_study_retries{_OURS})", colour="yellow"),
        ),
        (12, 8, _lines("Stages by state", "All stages of the plan.", {"{{state}}": state}, stacked=True)),
        (12, 8, _lines("Time left", "Forecast with its range.", {"{{bound}}": f"{left}{_OURS}"}, unit="s")),
        (24, 8, _running()),
        (
            12,
            8,
            _lines(
                "Loss of running stages",
                "On held-out or training images.",
                {"{{title}} {{measure}}": f"ray_scaling_stage_loss{_OURS}"},
                wordy=True,
                min=None,
            ),
        ),
        (
            12,
            8,
            _lines(
                "Score of running stages", "On held-out images.", {"{{title}} {{measure}}": f"ray_scaling_stage_score{_OURS}"}, wordy=True, min=None
            ),
        ),
        (
            12,
            8,
            _lines(
                "Validation loss of finished pre-trainings",
                "Masked-image-modelling loss on the fixed held-out images.",
                {"{{kind}} {{of}}": 'ray_scaling_study_result{study=~"$study", measure="val_mim_loss"}'},
                min=None,
            ),
        ),
        (
            12,
            8,
            _lines(
                "Score of finished stages",
                "On the test or held-out images.",
                {"{{kind}} {{measure}} {{of}}": 'ray_scaling_study_result{study=~"$study", measure!="val_mim_loss"}'},
                min=None,
            ),
        ),
        (12, 8, _lines("Images per second", "All running stages together.", {per_kind: f"ray_scaling_study_images_per_s{_OURS}"}, stacked=True)),
        (
            12,
            8,
            _lines(
                "Cost so far",
                "GPU-hours and CPU-core-hours that stages have used.",
                {"GPU-hours": f"sum(ray_scaling_study_gpu_hours{_OURS})", "CPU-core-hours": f"sum(ray_scaling_study_cpu_hours{_OURS})"},
            ),
        ),
        (
            12,
            8,
            _lines("CPU use", "Per machine, from Ray.", {"{{instance}}": "max by (instance) (ray_node_cpu_utilization)"}, unit="percent", max=100),
        ),
        (
            12,
            8,
            _lines(
                "GPU use",
                "Per GPU, from Ray; empty without GPUs.",
                {"{{instance}} GPU {{GpuIndex}}": "max by (instance, GpuIndex) (ray_node_gpus_utilization)"},
                unit="percent",
                max=100,
            ),
        ),
        (
            12,
            8,
            _lines(
                "Memory",
                "Per machine, and of its GPUs.",
                {
                    "{{instance}}": "max by (instance) (ray_node_mem_used / ray_node_mem_total)",
                    "{{instance}} GPUs": "sum by (instance) (ray_node_gram_used) / "
                    "(sum by (instance) (ray_node_gram_used) + sum by (instance) (ray_node_gram_available))",
                },
                unit="percentunit",
                max=1,
            ),
        ),
        (
            12,
            8,
            _lines(
                "Resources in use",
                "CPU cores and GPUs held by stages, and available ones.",
                {"{{Name}} {{State}}": 'sum by (Name, State) (ray_resources{Name=~"CPU|GPU"})'},
                stacked=False,
            ),
        ),
    ]


def dashboard() -> dict[str, Any]:
    """The dashboard, as Grafana's JSON model (schema version 39: Grafana 10.4 and later)."""
    placed, x, y, row = [], 0, 0, 0
    for number, (width, height, panel) in enumerate(panels(), 1):
        if x + width > 24:
            x, y, row = 0, y + row, 0
        placed.append({"id": number, "gridPos": {"x": x, "y": y, "w": width, "h": height}} | panel)
        x, row = x + width, max(row, height)
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1, "hide": 0}
    study = {
        "name": "study",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(ray_scaling_study_progress, study)", "refId": "study"},
        "refresh": 2,
        "multi": False,
        "includeAll": True,
        "allValue": ".*",
        "sort": 1,
        "hide": 0,
        "current": {"text": "All", "value": "$__all"},
    }
    return {
        "title": "Scaling-law laboratory",
        "uid": "scaling-law-laboratory",
        "tags": ["ray", "scaling"],
        "description": "A study as it runs: python -m scaling.launch",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [source, study]},
        "annotations": {"list": []},
        "panels": placed,
    }


def as_json() -> str:
    """The dashboard as a file."""
    return json.dumps(dashboard(), indent=1) + "\n"


def queries(model: dict[str, Any]) -> list[tuple[str, str]]:
    """(panel, PromQL) of every query of a dashboard."""
    return [(panel["title"], target["expr"]) for panel in model["panels"] for target in panel["targets"]]


def metrics(model: dict[str, Any]) -> set[str]:
    """Every metric that a dashboard names."""
    text = " ".join([query for _, query in queries(model)] + [str(one["query"]) for one in model["templating"]["list"]])
    return set(re.findall(r"\bray_\w+", text))


if __name__ == "__main__":
    sys.stdout.write(as_json())
