"""What a launch shows while it runs: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Any

from ray.tune import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scaling.forecast import Forecast
from scaling.plan import Plan
from scaling.study import Study
from scaling.words import duration

_SCORES = ("val_mim_loss", "val_accuracy", "miou")


class Display(Callback):
    """Stages done, those running with their speed and score, and the time that is left."""

    def __init__(self, plan: Plan, study: Study, forecast: Forecast, console: Console) -> None:
        self._plan, self._study, self._forecast, self._console = plan, study, forecast, console
        self._total = len(forecast.stage_s)
        self._ended: set[str] = set()
        self._started_s = time.monotonic()
        self._live = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._all = self._live.add_task("stages", total=self._total, note="")
        self._tasks: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore that is never made, and a terminal cannot be pickled."""
        return {}

    def __enter__(self) -> Display:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        """A stage reported: show its step, speed and score."""
        name = trial.config["stage"]
        if result.get("failed") or name in self._ended:
            return
        if name not in self._tasks:
            self._tasks[name] = self._live.add_task(self._title(name), total=result["steps"], note="")
        parts = [f"{result['images_per_s']:.0f} images/s"] if "images_per_s" in result else []
        parts += [f"{score} {result[score]:.4f}" for score in _SCORES if score in result]
        self._live.update(self._tasks[name], completed=result["step"], note=", ".join(parts))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A stage ended, well or not: its folder says which."""
        self._end(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The process of a stage died."""
        self._end(trial)

    def _end(self, trial: Any) -> None:
        name = trial.config["stage"]
        if name in self._ended:
            return
        self._ended.add(name)
        if name in self._tasks:
            self._live.remove_task(self._tasks.pop(name))
        self._live.update(self._all, completed=len(self._ended), note=f"about {duration(self._left_s())} left")
        if self._study.is_done(name):
            result = trial.last_result or {}
            scores = ", ".join(f"{score} {result[score]:.4f}" for score in _SCORES if score in result)
            outcome = f"done   {scores}"
        else:
            outcome = f"FAILED {self._study.error(name) or 'its process died'}"
        number = f"{len(self._ended):>{len(str(self._total))}}/{self._total}"
        self._console.print(f"[{number}] {self._title(name)}  {outcome}", markup=False, highlight=False, soft_wrap=True)

    def _left_s(self) -> float:
        """Forecast time of what is left, scaled by how this launch has kept to the forecast so far."""
        forecast = self._forecast.stage_s
        total, ended = sum(forecast.values()), sum(forecast[name] for name in self._ended if name in forecast)
        if ended == 0:
            return self._forecast.wall_s
        return (time.monotonic() - self._started_s) * (total - ended) / ended

    def _title(self, name: str) -> str:
        spec = self._plan.stages[name].spec
        return f"{spec.kind:<12} {spec.data.train_images:>7,} images  seed {spec.seed}  {name.rpartition('-')[2]}"
