"""Running a plan with Ray Tune."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune

from scaling.machine import Granted, Machine
from scaling.plan import Plan
from scaling.searcher import ReadyStages
from scaling.study import Study
from scaling.trainable import train_stage


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where a running Ray can be watched; None where it offers nothing."""

    dashboard: str | None
    metrics: str | None
    """Custom metrics in Prometheus' text format."""


@contextlib.contextmanager
def ray_running() -> Iterator[Addresses]:
    """Ray on this machine, or the cluster that RAY_ADDRESS names; yields where it can be watched."""
    machine = Machine.here()
    # on a Ray of our own, say what was checked, or a stage could wait for ever for cores that only one of us counts
    own: dict[str, Any] = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": machine.cpus, "num_gpus": machine.gpus}
    context = ray.init(
        **own,
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=True,
        ignore_reinit_error=True,
    )
    try:
        node: dict[str, Any] = next((node for node in ray.nodes() if node["Alive"]), {})
        port = node.get("MetricsExportPort")
        yield Addresses(
            dashboard=f"http://{context.dashboard_url}" if context.dashboard_url else None,
            metrics=f"http://{node['NodeManagerAddress']}:{port}/metrics" if port else None,
        )
    finally:
        ray.shutdown()


def run_plan(plan: Plan, study: Study, store: Path, granted: dict[str, Granted], callbacks: list[Any]) -> ReadyStages:
    """Run every stage of the plan that is not done and can be; returns the searcher, which knows what failed."""

    def config(name: str) -> dict[str, Any]:
        kind = plan.stages[name].spec.kind
        grant = granted[kind]
        places = {"stage": name, "folder": str(study.folder), "store": str(store), "study": plan.study}
        return places | {"cpus": grant.cpus, "gpus": grant.gpus}

    def resources(trial: dict[str, Any]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": trial["cpus"], "GPU": trial["gpus"]}])

    searcher = ReadyStages(plan, study, config)
    scratch = study.folder / ".tune"  # Tune wants a place for state that nobody reads
    shutil.rmtree(scratch, ignore_errors=True)
    tuner = tune.Tuner(
        tune.with_resources(train_stage, resources),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            max_concurrent_trials=sum(grant.side_by_side for grant in granted.values()),
            reuse_actors=True,  # a fresh process would spend seconds importing torch for every stage
        ),
        run_config=tune.RunConfig(
            name="tune", storage_path=str(scratch), callbacks=callbacks, verbose=0, failure_config=tune.FailureConfig(fail_fast=False)
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return searcher
