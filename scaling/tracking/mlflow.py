"""MLflow: one experiment per study, one run per stage. MLFLOW_TRACKING_URI says where it writes."""

from __future__ import annotations

import os
import time
from typing import Any

from scaling.tracking.tracker import TrackedStage, load_extra

_STAGE = "stage_id"  # the tag by which the run of a stage is found
_STEP = "image_passes"  # is on every line, so its history shows which steps the run has
_LINES = 50  # per request; MLflow allows 1,000 values
_STATUS = {"done": "FINISHED", "failed": "FAILED", "cut off": "KILLED"}


class MLflow:
    """Logs settings as parameters and every line of metrics.jsonl as metrics."""

    name = "mlflow"

    def __init__(self, study: str) -> None:
        # by default MLflow retries for minutes; what is missing is logged later
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
        self._mlflow = load_extra("mlflow", "mlflow")
        self._study = study
        self._experiment: str | None = None

    def open(self, stage: TrackedStage) -> _MLflowRun:
        """The run whose tag names the stage, or a new one."""
        client = self._mlflow.MlflowClient()
        if self._experiment is None:
            known = client.get_experiment_by_name(self._study)
            self._experiment = client.create_experiment(self._study) if known is None else known.experiment_id
        found = client.search_runs([self._experiment], filter_string=f"tags.{_STAGE} = '{stage.id}'", max_results=1)
        if found:
            run_id = found[0].info.run_id
            client.update_run(run_id, status="RUNNING")
            steps = [metric.step for metric in client.get_metric_history(run_id, _STEP)]
            return _MLflowRun(self._mlflow.entities, client, run_id, max(steps, default=-1))
        tags = {_STAGE: stage.id, "kind": stage.kind, "folder": str(stage.folder)}
        run_id = client.create_run(self._experiment, tags=tags, run_name=stage.name).info.run_id
        params = [self._mlflow.entities.Param(name, str(value)) for name, value in stage.settings.items()]
        client.log_batch(run_id, params=params)
        return _MLflowRun(self._mlflow.entities, client, run_id, -1)

    def close(self) -> None:
        """Does nothing: no connection is held open."""


class _MLflowRun:
    def __init__(self, entities: Any, client: Any, run_id: str, last_step: int) -> None:
        self._entities, self._client, self._run_id, self.last_step = entities, client, run_id, last_step

    def log(self, lines: list[tuple[int, dict[str, float]]]) -> None:
        moment = int(time.time() * 1000)
        for start in range(0, len(lines), _LINES):
            part = lines[start : start + _LINES]
            metrics = [self._entities.Metric(name, value, moment, step) for step, values in part for name, value in values.items()]
            self._client.log_batch(self._run_id, metrics=metrics)
            self.last_step = part[-1][0]

    def end(self, outcome: str, metrics: dict[str, float], step: int) -> None:
        moment = int(time.time() * 1000)
        final = [self._entities.Metric(f"final/{name}", value, moment, step) for name, value in metrics.items()]
        if final:
            self._client.log_batch(self._run_id, metrics=final)
        self._client.set_terminated(self._run_id, status=_STATUS[outcome])
