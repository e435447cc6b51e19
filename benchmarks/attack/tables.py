"""Hostile tables into every public function of `analysis`, and as files into its commands."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import analysis
from analysis.__main__ import main as fit_command
from analysis.claims.__main__ import main as claims_command
from benchmarks.attack.case import Attack, call
from benchmarks.attack.folders import whole_study
from benchmarks.attack.mutation import ODD, changed_bytes, changed_value

Function = Callable[[pd.DataFrame, random.Random], Any]
SIZE = "finetune_images"


def _number(rng: random.Random) -> float:
    return rng.choice([0.0, 0.5, 1.0, -1.0, 3.0, 1e-300, 1e300, float("nan"), float("inf")])


def _values(table: pd.DataFrame, rng: random.Random) -> Any:
    return table[rng.choice(list(table.columns))] if len(table.columns) else []


def _effects(table: pd.DataFrame) -> Any:
    return analysis.intermediate_effects(table)


def _fit(table: pd.DataFrame) -> Any:
    return analysis.fit(table, x=SIZE, y="miou")


FUNCTIONS: dict[str, Function] = {
    "adjust": lambda table, rng: analysis.adjust(_values(table, rng)),
    "best_split": lambda table, rng: analysis.best_split(
        analysis.fit_surface(table, x=["pretrain_images", SIZE], y="miou"), _number(rng), {"N": 1.0, "D": _number(rng)}
    ),
    "change_point": lambda table, rng: analysis.change_point(_values(table, rng), _values(table, rng)),
    "checks": lambda table, rng: analysis.checks(_effects(table), 0),
    "choose_law": lambda table, rng: analysis.choose_law(table, x=SIZE, y="miou"),
    "choose_surface": lambda table, rng: analysis.choose_surface(table, x=["pretrain_images", SIZE], y="miou"),
    "combine_additive": lambda table, rng: analysis.combine_additive({SIZE: _fit(table)}, {SIZE: _number(rng)}),
    "compare_correlations": lambda table, rng: analysis.compare_correlations(table),
    "compute_optimal_exponent": lambda table, rng: analysis.compute_optimal_exponent(
        analysis.fit_surface(table, x=["pretrain_images", SIZE], y="miou", law="chinchilla")
    ),
    "correlate": lambda table, rng: analysis.correlate(table),
    "data_interaction": lambda table, rng: analysis.data_interaction(table),
    "diminishing_returns": lambda table, rng: analysis.diminishing_returns(_fit(table), noise_sd=_number(rng)),
    "effect_growth": lambda table, rng: analysis.effect_growth(table),
    "effect_sizes": lambda table, rng: analysis.effect_sizes(_effects(table)),
    "equivalence": lambda table, rng: analysis.equivalence(_effects(table), margin=_number(rng)),
    "exchange_rate": lambda table, rng: analysis.exchange_rate(_fit(table), _fit(table), _number(rng)),
    "findings": lambda table, rng: analysis.findings(table),
    "fit": lambda table, rng: analysis.fit(_values(table, rng), _values(table, rng)),
    "fit_surface": lambda table, rng: analysis.fit_surface(table, x=["pretrain_images", SIZE], y="miou"),
    "independent_groups": lambda table, rng: analysis.independent_groups(table),
    "intermediate_effects": lambda table, rng: _effects(table),
    "main_effects": lambda table, rng: analysis.main_effects(table),
    "mixed_effect": lambda table, rng: analysis.mixed_effect(_effects(table)),
    "more_data_effects": lambda table, rng: analysis.more_data_effects(table),
    "paired_effects": lambda table, rng: analysis.paired_effects(table, factor="pretrain_images", baseline=0, treatment=1000),
    "permutation_test": lambda table, rng: analysis.permutation_test(_effects(table), resamples=99),
    "phase_relations": lambda table, rng: analysis.phase_relations(table, analysis.split_by_overfitting(table)),
    "plan_seeds": lambda table, rng: analysis.plan_seeds(_effects(table), _number(rng)),
    "power_of": lambda table, rng: analysis.power_of(_number(rng), sd=_number(rng), seeds=_number(rng)),
    "pretraining_effects": lambda table, rng: analysis.pretraining_effects(table),
    "proxy_quality": lambda table, rng: analysis.proxy_quality(table),
    "saturation": lambda table, rng: analysis.saturation(table, margin=_number(rng)),
    "seeds_needed": lambda table, rng: analysis.seeds_needed(_number(rng), sd=_number(rng)),
    "smallest_effect": lambda table, rng: analysis.smallest_effect(_number(rng), sd=_number(rng)),
    "speed_up": lambda table, rng: analysis.speed_up(_fit(table), _fit(table), at_y=_number(rng)),
    "split_by_overfitting": lambda table, rng: analysis.split_by_overfitting(table),
    "suggest_runs": lambda table, rng: analysis.suggest_runs(_fit(table), [_number(rng), 10.0], ("predict", _number(rng)), _number(rng)),
    "summarise_cells": lambda table, rng: analysis.summarise_cells(table, by=["encoder", SIZE]),
    "summary_effects": lambda table, rng: analysis.summary_effects(table, factor="pretrain_images", baseline=0, treatment=1000),
    "summary_intermediate_effects": lambda table, rng: analysis.summary_intermediate_effects(table),
    "summary_pretraining_effects": lambda table, rng: analysis.summary_pretraining_effects(table),
}
"""Every public function that takes a table or numbers, by name."""
READERS = ("read_hf_trainer", "read_json_lines", "read_mlflow", "read_ray_tune", "read_tensorboard", "read_wandb")
"""Those that read files of other programs; `load_runs` and `load_stages` are reached by the commands
and the report, and `load_published` reads what is shipped.
"""


@lru_cache(maxsize=1)
def whole_table() -> pd.DataFrame:
    """The runs of a small finished study."""
    return analysis.load_runs(whole_study())


def hostile_table(rng: random.Random) -> pd.DataFrame:
    """The table with one to three columns changed, dropped, doubled or filled with odd values."""
    table = whole_table().copy()
    table = table.iloc[: rng.choice([0, 1, 2, 5, len(table), len(table)])].reset_index(drop=True)
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(len(table.columns))
        name = rng.choice([*("miou", SIZE, "seed", "pretrain_images", "val_mim_loss", "intermediate"), table.columns[place]])
        action = rng.choice(["odd", "odd", "one", "drop", "twin", "constant", "lists", "text", "rename", "index"])
        if action == "twin":
            table = pd.concat([table, table.iloc[:, [place]]], axis=1)
        elif action == "drop":
            table = table.drop(columns=name, errors="ignore")
        elif action == "rename":
            table = table.rename(columns={name: rng.choice(["", 3, None, "x" * 100_000])})
        elif action == "index":
            table.index = pd.Index([0] * len(table))
        else:
            values = {"constant": [rng.choice(ODD[:9])], "lists": [[1, 2], [], None], "text": ["a", "", None, "10" + "0" * 400]}.get(
                action, list(ODD)
            )
            if rng.random() < 0.6:  # what passes the first check, and reaches the sums
                values = [_as_float(value) if isinstance(value, int | float) else math.nan for value in values]
            filled = [values[number % len(values)] for number in range(len(table))]
            if action == "one" and name in table.columns and list(table.columns).count(name) == 1:
                filled = [rng.choice(values) if number == 0 else value for number, value in enumerate(table[name])]
            table = table.assign(**{str(name): pd.Series(filled, dtype="object", index=table.index)})
            if rng.random() < 0.5:
                with np.errstate(all="ignore"):
                    table[str(name)] = pd.to_numeric(pd.Series([_as_float(value) for value in filled], index=table.index))
    return table


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _call_function(rng: random.Random, scratch: Path) -> str:
    name = rng.choice(sorted(FUNCTIONS))
    try:
        with np.errstate(all="ignore"):
            FUNCTIONS[name](hostile_table(rng), rng)
    except Exception as error:
        error.add_note(name)
        raise
    return name


def _call_command(rng: random.Random, scratch: Path) -> str:
    """A table as CSV or Parquet into `python -m analysis` and `python -m analysis.claims`."""
    table, path = hostile_table(rng), scratch / rng.choice(["runs.csv", "runs.parquet"])
    try:
        table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path, index=False)
    except Exception:  # what no file can hold
        path = scratch / "runs.csv"
        path.write_text("a,b,b\n1,[2],3\n")
    if rng.random() < 0.3:
        path.write_bytes(changed_bytes(rng, path.read_bytes()))
    if rng.random() < 0.5:
        call(fit_command, [str(path), "--x", SIZE, "--y", "miou", "--law", "power"])
    else:
        call(claims_command, [str(path)])
    return path.name


def _call_reader(rng: random.Random, scratch: Path) -> str:
    name = rng.choice(READERS)
    log = {"best_metric": 0.5, "log_history": [{"step": 1, "loss": 0.5, "epoch": 1.0}, {"eval_loss": 0.4, "step": 2}]}
    files: dict[str, bytes] = {
        "run/trainer_state.json": json.dumps(changed_value(rng, log)).encode(),
        "run/metrics.jsonl": "\n".join(json.dumps(changed_value(rng, line)) for line in log["log_history"]).encode(),  # type: ignore[attr-defined]
        "run/result.json": json.dumps(changed_value(rng, {"training_iteration": 1, "score": 0.5, "config": {"lr": 0.1}})).encode(),
        "run/params.json": json.dumps(changed_value(rng, {"lr": 0.1})).encode(),
        "run/events.out.tfevents.1": rng.randbytes(200),
        "0/abc/meta.yaml": b"run_id: abc\nrun_name: x\nstatus: 3\n",
        "0/abc/metrics/loss": b"1 0.5 1\nx y z\n",
        "run/files/wandb-summary.json": json.dumps(changed_value(rng, {"loss": 0.5, "_step": 3})).encode(),
        "run/files/config.yaml": b"lr: {value: 0.1}\n",
    }
    for place, data in files.items():
        (scratch / place).parent.mkdir(parents=True, exist_ok=True)
        (scratch / place).write_bytes(changed_bytes(rng, data) if rng.random() < 0.3 else data)
    try:
        getattr(analysis, name)(scratch)
    except Exception as error:
        error.add_note(name)
        raise
    return name


ATTACKS = (
    Attack(name="tables into functions of analysis", attempt=_call_function, limit_s=30.0),
    Attack(name="tables into commands of analysis", attempt=_call_command, limit_s=30.0),
    Attack(name="logs of other programs", attempt=_call_reader, limit_s=10.0),
)
