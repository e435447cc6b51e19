"""A launch as metrics: Ray exports each of them to Prometheus as `ray_<name>`.

Ray 2.60 drops a gauge that was not set within two of its report intervals (10 s each), so a thread
sets all of them every few seconds. For the same reason the series of a stage that has ended vanish:
there are a few series per kind of stage and per running stage, however large the plan is.
"""

from __future__ import annotations

import statistics
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from ray.util.metrics import Gauge

from scaling.cluster.machine import Granted
from scaling.monitoring.progress_counts import STATES, Progress, ProgressCounts, RunningStage
from scaling.monitoring.watcher import NotPickled
from scaling.plan.forecast import Forecast
from scaling.plan.plan import Plan
from scaling.plan.stage_names import titles
from scaling.study.folder import Study
from trials.objectives.objective import live_scores, loss_names
from trials.stage_files import read_json, read_result

EVERY_S = 5.0

METRICS = {
    "scaling_study_stages": (f"stages of the plan, by state: {', '.join(STATES)}", ("study", "kind", "state")),
    "scaling_study_retries": ("attempts of this launch that failed and were followed by another", ("study", "kind")),
    "scaling_study_progress": ("share of this launch's work that is done, 0 to 1", ("study",)),
    "scaling_study_seconds_left": ("forecast of the seconds until the last stage is done; bound is low, middle or high", ("study", "bound")),
    "scaling_study_images_per_s": ("images per second of all running stages together", ("study", "kind")),
    "scaling_study_gpu_hours": ("GPU-hours that the study has used so far", ("study", "kind")),
    "scaling_study_cpu_hours": ("CPU-core-hours that the study has used so far", ("study", "kind")),
    "scaling_study_result": ("a measure of the finished stages; of is best, median or latest", ("study", "kind", "measure", "of")),
    "scaling_stage_progress": ("share of a running stage's optimiser steps that are done, 0 to 1", ("study", "kind", "stage", "title")),
    "scaling_stage_images_per_s": ("images per second of a running stage", ("study", "kind", "stage", "title")),
    "scaling_stage_seconds_left": ("seconds until a running stage is done, at its current speed", ("study", "kind", "stage", "title")),
    "scaling_stage_loss": ("newest loss of a running stage, on held-out or training images", ("study", "kind", "stage", "title", "measure")),
    "scaling_stage_score": ("newest score of a running stage on held-out images, 0 to 1", ("study", "kind", "stage", "title", "measure")),
}
"""The description and the tags of each metric."""

Set = Callable[[float, dict[str, str]], None]


def ray_gauge(name: str) -> Set:
    """A function that sets one of `METRICS` on the running Ray."""
    text, tags = METRICS[name]
    gauge = Gauge(name, description=text, tag_keys=tags)

    def to(value: float, tags: dict[str, str]) -> None:
        gauge.set(value, tags={key: each.encode("ascii", "replace").decode() for key, each in tags.items()})  # Ray accepts nothing else

    return to


def _best(measure: str, values: list[float]) -> float:
    """The best of the results of one kind of stage."""
    return min(values) if live_scores()[measure].better == "lower" else max(values)


class Gauges(NotPickled):
    """A watcher that sets the metrics, from `with` to its end; it needs a running Ray.

    Args:
        forecast: of the stages that this launch is to run.
        granted: what a stage of each kind holds; a trunk holds what a pre-training does.
        gauge: returns the function that sets a metric.
    """

    def __init__(
        self, plan: Plan, study: Study, forecast: Forecast, granted: Mapping[str, Granted], *, gauge: Callable[[str], Set] = ray_gauge
    ) -> None:
        self._plan, self._study, self._forecast, self._granted = plan, study, forecast, granted
        self._counts = ProgressCounts(plan, forecast)
        self._titles = titles(plan)
        self._set = {name: gauge(name) for name in METRICS}
        self._lock = threading.Lock()
        self._results: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._gpu_s: dict[str, float] = defaultdict(float)
        self._cpu_s: dict[str, float] = defaultdict(float)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="gauges", daemon=True)

    def __enter__(self) -> Gauges:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(EVERY_S)

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None:
        """A stage runs."""
        self._counts.progressed(name, values)

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        """A stage is done or finally failed."""
        self._spent(name, self._counts.ended(name, reason is not None) or 0.0)
        if reason is None:
            self._result(name, values)

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None:
        """An attempt failed; its cost is counted too."""
        running = next((one for one in self._counts.snapshot().running if one.name == name), None)
        self._spent(name, 0.0 if running is None else self._counts.clock() - running.since_s)
        self._counts.retried(name)

    def read_finished(self) -> None:
        """Count the results and the cost of stages that earlier launches finished.

        These are thousands of files, so they are read once stages are running.
        """
        for name in self._plan.stages:
            if name in self._forecast.stage_s or self._over.is_set():
                continue
            folder = self._study.stage_folder(name)
            self._result(name, (read_result(folder) or {}).get("metrics", {}))
            record = read_json(folder / "provenance.json") or {}
            with self._lock:
                kind, train_s = self._plan.stages[name].spec.kind, record.get("train_s") or 0.0
                self._gpu_s[kind] += train_s * record.get("gpus", 0.0)
                self._cpu_s[kind] += train_s * record.get("cpus", 0.0)

    def refresh(self) -> None:
        """Set every metric to its present value."""
        now, study = self._counts.snapshot(), {"study": self._plan.study}
        for kind in sorted({kind for kind, _ in now.counts}):
            for state in STATES:  # also 0, since Ray would keep showing an earlier number
                self._set["scaling_study_stages"](now.counts.get((kind, state), 0), study | {"kind": kind, "state": state})
            self._refresh_kind(kind, now, study | {"kind": kind})
        self._set["scaling_study_progress"](now.share, study)
        for bound in ("low", "middle", "high"):
            self._set["scaling_study_seconds_left"](getattr(now.left_s, bound), study | {"bound": bound})
        for one in now.running:
            self._refresh_stage(one, study)

    def _refresh_kind(self, kind: str, now: Progress, tags: dict[str, str]) -> None:
        running = [one for one in now.running if one.kind == kind]
        self._set["scaling_study_retries"](now.retries.get(kind, 0), tags)
        self._set["scaling_study_images_per_s"](sum(float(one.values.get("images_per_s", 0.0)) for one in running), tags)
        held_s, grant = sum(self._counts.clock() - one.since_s for one in running), self._grant(kind)
        with self._lock:
            self._set["scaling_study_gpu_hours"]((self._gpu_s[kind] + held_s * grant.gpus) / 3600, tags)
            self._set["scaling_study_cpu_hours"]((self._cpu_s[kind] + held_s * grant.cpus) / 3600, tags)
            results = {measure: list(values) for (each, measure), values in self._results.items() if each == kind}
        for measure, values in results.items():
            summary = {"best": _best(measure, values), "median": statistics.median(values), "latest": values[-1]}
            for of, value in summary.items():
                self._set["scaling_study_result"](value, tags | {"measure": measure, "of": of})

    def _refresh_stage(self, one: RunningStage, study: dict[str, str]) -> None:
        tags = study | {"kind": one.kind, "stage": one.name, "title": self._titles[one.name]}
        self._set["scaling_stage_progress"](one.share, tags)
        self._set["scaling_stage_seconds_left"](self._counts.left_s(one), tags)
        if "images_per_s" in one.values:
            self._set["scaling_stage_images_per_s"](float(one.values["images_per_s"]), tags)
        live = live_scores()
        losses = [*(name for name, score in live.items() if score.role == "loss"), *loss_names()]
        for metric, measures in (("scaling_stage_loss", losses), ("scaling_stage_score", [name for name in live if name not in losses])):
            for measure in measures:
                if measure in one.values:
                    self._set[metric](float(one.values[measure]), tags | {"measure": measure})

    def _result(self, name: str, values: dict[str, Any]) -> None:
        with self._lock:
            for measure in live_scores():
                if measure in values:
                    self._results[self._plan.stages[name].spec.kind, measure].append(float(values[measure]))

    def _spent(self, name: str, seconds: float) -> None:
        kind = self._plan.stages[name].spec.kind
        with self._lock:
            self._gpu_s[kind] += seconds * self._grant(kind).gpus
            self._cpu_s[kind] += seconds * self._grant(kind).cpus

    def _grant(self, kind: str) -> Granted:
        return self._granted[kind] if kind in self._granted else self._granted["pretrain"]

    def _keep(self) -> None:
        self.refresh()
        self.read_finished()
        while not self._over.wait(EVERY_S):
            self.refresh()
