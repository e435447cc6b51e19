"""The training loop of one attempt at one stage."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from trials.cost.costs import stage_cost
from trials.data.pictures import open_pictures
from trials.errors import StageError
from trials.objectives.objective import OBJECTIVES, Objective, Setting
from trials.provenance import describe_software, now
from trials.recipes.schedules import learning_rate, tail_start
from trials.spec import StageSpec
from trials.stage_files import DeferredSync, MetricsFile, load_parent_weights, read_json, save_weights, sweep, write_json
from trials.training.averaging import AveragedWeights
from trials.training.captured import choose_capture
from trials.training.checkpoints import TrainingState, drop_checkpoints, list_checkpoints, load_checkpoint, save_checkpoint, save_trunk_state
from trials.training.compiling import Compiled, choose_mode
from trials.training.execution import Execution, Progress
from trials.training.interrupts import Interrupted
from trials.training.loss_history import LossHistory
from trials.training.optimiser import build_optimiser
from trials.training.parallel import Group
from trials.training.precision import Compute, choose_compute
from trials.training.recording import free_memory
from trials.training.step_clock import StepClock
from trials.training.step_queue import StepQueue
from trials.training.trunks import check_trunk_schedule, state_to_begin_with
from trials.training.updates import Updates, has_short_batches

LOG_POINTS = 50  # lines of metrics.jsonl a stage, about
REPORT_S = 1.0
# In a group the wish to stop is itself a message; on GPUs, where reading it waits for them, it is
# sent every so many steps.
STOP_STEPS = {"cpu": 1, "cuda": 16}


class Run:
    """One attempt at one stage, in one process of its group."""

    def __init__(self, spec: StageSpec, folder: Path, store: Path, *, execution: Execution, group: Group, log: Callable[[str], None]) -> None:
        self.spec, self.folder, self.execution, self.group, self.log = spec, folder, execution, group, log
        check_trunk_schedule(spec)
        torch.set_num_threads(max(1, execution.cpus))
        self.compute: Compute = choose_compute(spec.recipe.precision, gpus=execution.gpus)
        self.compute.choose_float32_products()
        parent = None if spec.parent is None else load_parent_weights(folder.parent / spec.parent)
        train, heldout = open_pictures(spec.data, store, seed=spec.seed, compute=self.compute, recipe=spec.recipe)
        setting = Setting(spec=spec, compute=self.compute, train=train, heldout=heldout, parent_weights=parent)
        self.objective: Objective = OBJECTIVES.find(spec.objective)(setting)
        self.optimiser = build_optimiser(self.objective.model, spec.recipe)
        self.average = AveragedWeights(self.objective.model, spec.recipe.average) if spec.recipe.average > 0 else None
        self.steps = spec.steps
        self.log_every = math.ceil(self.steps / LOG_POINTS)
        points = max(1, spec.eval_points)
        self.eval_steps = {round(k * self.steps / points) for k in range(points + 1)} | {self.steps}
        self.losses = LossHistory(self.steps, self.compute.device)
        self.start_step = self.line_step = self.checked = 0
        self.earlier_s = 0.0
        self.newest: dict[str, float] = {}
        self.clock = StepClock()
        self.trunk: Path | None = None
        self._begin()
        matters = execution.compile == "auto" and self.compute.device.type == "cuda"
        flops = spec.image_passes * stage_cost(spec).train_flops_per_image if matters else 0.0
        mode, reason = choose_mode(execution.compile, device=self.compute.device, flops=flops)
        self.compiled = Compiled(self.objective.model, mode, reason)
        against = "torch.compile captures graphs of its own" if mode == "reduce-overhead" else self.objective.reason_not_captured(spec.recipe)
        if not against and has_short_batches(spec.recipe):
            against = "the last batch of each pass is shorter"
        not_captured = choose_capture(
            execution.capture,
            device=self.compute.device,
            processes=group.size,
            micro_batches=execution.micro_batches,
            resident=train.resident,
            reason_against=against,
        )
        self.repeated, self.inputs = setting.repeated, setting.inputs
        if not not_captured:
            self.repeated.allow()
        self.update = Updates(
            self.objective,
            self.optimiser,
            spec.recipe,
            compute=self.compute,
            group=group,
            micro_batches=execution.micro_batches,
            compiled=self.compiled,
            log=log,
            inputs=setting.inputs,
            reason_not_captured=not_captured,
            average=self.average,
        )
        log(
            f"stage {folder.name}: {self.steps} steps of {spec.recipe.batch_images} images from step {self.start_step}"
            f"{f' of {self.trunk.name}' if self.trunk else ''}, on {self.compute.device_name} in {self.compute.precision} "
            f"({self.compute.reason}), {group.size} processes of {execution.cpus} threads, {execution.micro_batches} micro-batches, "
            f"torch.compile {mode} ({reason}), steps {f'not captured ({not_captured})' if not_captured else 'captured'}, images {train.where}"
        )

    def _begin(self) -> None:
        """Start from the stage's own checkpoint or from its trunk, whichever is further. All
        processes start at the same step.
        """
        if self.group.leads:
            sweep(self.folder)
        own = load_checkpoint(self.folder, self.log, steps=self.steps) if self.group.leads else None
        agreed = self.group.share(None if own is None else own.step)
        if agreed is not None and not self.group.leads:
            own = load_checkpoint(self.folder, self.log, steps=self.steps)
            if own is None or own.step != agreed:
                raise StageError(f"The checkpoints in {self.folder} are not the same in all processes: they must see one file system.")
        state, self.trunk = state_to_begin_with(self.spec, self.folder, own)
        if state is None:
            return
        try:
            state.restore(self.objective.model, self.optimiser)
            if self.average is not None:
                self.average.restore(state.average)
            self.losses.restore(state.losses)
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
            where = self.trunk or self.folder / "checkpoint"
            raise StageError(f"The training state in {where} does not fit this stage ({error}): delete it and launch again.") from error
        self.start_step = self.checked = state.step
        self.line_step = state.line_step
        self.earlier_s = 0.0 if self.trunk else state.train_s

    def go(self) -> dict[str, Any]:
        """Train to the end and write the result, which every process of the group returns."""
        if not self.group.leads:
            self._train(None, time.monotonic())
            return self.group.share({})
        started, files = time.monotonic(), DeferredSync()
        provenance = self._provenance()
        with files.collecting():
            write_json(self.folder / "spec.json", self.spec.to_dict())
            write_json(self.folder / "provenance.json", provenance)
            begin_with = None if self.trunk is None else self.trunk / "metrics.jsonl"
            metrics = MetricsFile(self.folder / "metrics.jsonl", resume_step=self.start_step, begin_with=begin_with)
        try:
            results: dict[str, float | int] = dict(self._train(metrics, started))
        finally:
            metrics.close()
        with files.collecting():
            result = self._finish(results, provenance, started)
        files.sync()
        write_json(self.folder / "result.json", result)  # last: from here on the stage is done
        drop_checkpoints(self.folder)
        self.log(f"done in {time.monotonic() - started:.1f} s: " + ", ".join(f"{k} {v:.4f}" for k, v in result["metrics"].items()))
        return self.group.share(result)

    def _finish(self, results: dict[str, float | int], provenance: dict[str, Any], started: float) -> dict[str, Any]:
        """Score what was trained and write all files but the last, result.json, which is returned."""
        spec = self.spec
        if spec.kind != "trunk":
            with self._measured_weights():
                results |= self.objective.finish(self.folder)
        results[self.objective.loss_name] = self.losses.mean(tail_start(self.steps), self.steps)
        # a class that neither truth nor prediction holds has no IoU; the table then has an empty
        # cell
        results = {name: value for name, value in results.items() if not (name.startswith("iou_") and math.isnan(value))}
        for name, value in results.items():
            if not math.isfinite(value):
                raise StageError(f"{name} of {self.folder.name} is {value}: see its metrics.jsonl; a lower learning_rate is the usual cure.")
        if spec.kind == "trunk":
            digests = {"state_sha256": save_trunk_state(self.folder, self._state(self.steps, train_s=0.0))}
        else:
            with self._measured_weights():
                digests = {"weights_sha256": save_weights(self.folder, self.objective.model.state_dict())}
        for name, reason in self.repeated.failed.items():
            self.log(f"the evaluation of {name} images was not captured: {reason}")
        self.compute.synchronise()
        elapsed = time.monotonic() - started
        passes = (self.steps - self.start_step) * spec.recipe.batch_images
        provenance |= {"finished": now(), "train_s": round(self.earlier_s + elapsed, 3), "images_per_s": round(passes / elapsed, 1)}
        provenance |= self._chosen() | {"step_ms": self.clock.step_ms}
        write_json(self.folder / "provenance.json", provenance)
        return {"id": self.folder.name, "kind": spec.kind, "steps": self.steps, "image_passes": spec.image_passes, **digests, "metrics": results}

    def release(self) -> None:
        """Let go of the captured step and what it holds, so that the next stage of this process finds
        the device's memory free at once, and not when Python next looks for cycles.
        """
        self.update.release()
        self.repeated.release()
        free_memory(self.compute.device)  # that of captured steps is in no other use, and would stay taken

    def _provenance(self) -> dict[str, Any]:
        earlier = read_json(self.folder / "provenance.json") or {}
        first_step = earlier.get("first_step", 0) if self.trunk is None else self.start_step
        return {
            "started": now(),
            "finished": None,
            "attempts": earlier.get("attempts", 0) + 1,
            "cpus": self.execution.cpus * self.group.size,
            "gpus": self.execution.gpus * self.group.size,
            "processes": self.group.size,
            "device": self.compute.device_name,
            "precision": self.compute.precision,
            "precision_reason": self.compute.reason,
            "first_step": first_step,
            **self._chosen(),
        } | describe_software()

    def _chosen(self) -> dict[str, Any]:
        """The choices that can change while the stage runs."""
        return {
            "micro_batches": self.update.micro_batches,
            "compile": self.compiled.mode,
            "compile_reason": self.compiled.reason,
            "captured": not self.update.reason_not_captured,
            "reason_not_captured": self.update.reason_not_captured,
        }

    def _train(self, metrics: MetricsFile | None, started: float) -> dict[str, float]:
        """Train from the first step to the last; only the first process of a group has the metrics,
        and so writes and evaluates.
        """
        scores: dict[str, float] = {}
        if metrics and self.start_step == 0:
            scores = self._line(metrics, 0, started)
        checkpointed = reported = time.monotonic()
        queue = StepQueue(self.compute.device)
        self.clock.start(self.start_step)
        for step in range(self.start_step, self.steps):
            if self._asked_to_stop(step):
                if metrics and step > self.start_step:
                    self._checkpoint(metrics, step, started)
                raise Interrupted(f"{self.folder.name} was asked to stop after step {step} of {self.steps}: run again, it goes on from there.")
            self.losses.record(step, self.update(step, learning_rate(self.spec, step)))
            queue()
            done = step + 1
            if done % self.log_every == 0 or done in self.eval_steps:
                self._check(done)
                self.clock.stop(done)
                if metrics:
                    scores = self._line(metrics, done, started) or scores
                self.clock.start(done)
            moment = time.monotonic()
            if metrics and (moment - reported >= REPORT_S or done == self.steps):
                reported = moment
                self.execution.on_progress(self._progress(done, moment - started) | self.newest | scores)
            if metrics and moment - checkpointed >= self.execution.checkpoint_s and done < self.steps:
                self._checkpoint(metrics, done, started)
                checkpointed = time.monotonic()
                self.clock.start(done)
        if metrics is None:
            return {}
        return scores or self._evaluate()  # a stage cut off after its last checkpoint at the very end

    def _measured_weights(self) -> AbstractContextManager[None]:
        """A context in which the model has the weights that are measured and handed on."""
        return contextlib.nullcontext() if self.average is None else self.average.in_place()

    def _evaluate(self) -> dict[str, float]:
        if self.update.reason_not_captured:  # what cannot be captured here may not be tried again
            self.repeated.release()
        with self._measured_weights():
            return self.objective.evaluate()

    def _asked_to_stop(self, step: int) -> bool:
        if self.group.size == 1:
            return self.execution.stop()
        return step % STOP_STEPS[self.compute.device.type] == 0 and self.group.any(self.execution.stop(), self.compute.device)

    def _check(self, done: int) -> None:
        """Raise StageError if a loss since the last check is not finite."""
        bad = self.losses.first_not_finite(self.checked, done)
        self.checked = done
        if bad is not None:
            rate = learning_rate(self.spec, bad)
            raise StageError(f"The loss of {self.folder.name} is not a finite number at step {bad + 1} of {self.steps}, {self._remedy(rate)}")

    def _remedy(self, rate: float) -> str:
        last = next(iter(list_checkpoints(self.folder)), None)
        good = "it has no checkpoint yet" if last is None else f"its last good checkpoint is {last.name}"
        return f"trained at a rate of {rate:.3g}: lower its learning_rate or set clip_norm in the grid, then launch again; {good}."

    def _line(self, metrics: MetricsFile, done: int, started: float) -> dict[str, float]:
        values: dict[str, Any] = {"step": done, "image_passes": done * self.spec.recipe.batch_images}
        if done > self.line_step:
            values["learning_rate"] = learning_rate(self.spec, done - 1)
            values[self.objective.loss_name] = self.losses.mean(self.line_step, done)
            values["images_per_s"] = self._progress(done, time.monotonic() - started)["images_per_s"]
            self.newest = {self.objective.loss_name: values[self.objective.loss_name]}
        scores = self._evaluate() if done in self.eval_steps else {}
        for name, score in scores.items():
            if not math.isfinite(score):
                rate = learning_rate(self.spec, max(0, done - 1))
                raise StageError(f"{name} of {self.folder.name} is not a finite number at step {done} of {self.steps}, {self._remedy(rate)}")
        metrics.write(values | scores)
        self.line_step = done
        return scores

    def _progress(self, done: int, elapsed_s: float) -> Progress:
        passes = (done - self.start_step) * self.spec.recipe.batch_images
        return {"step": done, "steps": self.steps, "images_per_s": round(passes / max(elapsed_s, 1e-9), 1)}

    def _checkpoint(self, metrics: MetricsFile, done: int, started: float) -> None:
        self._check(done)
        metrics.sync()
        save_checkpoint(self.folder, self._state(done, train_s=self.earlier_s + time.monotonic() - started))

    def _state(self, done: int, *, train_s: float) -> TrainingState:
        return TrainingState(
            step=done,
            model=self.objective.model.state_dict(),
            optimiser=self.optimiser.state_dict()["state"],
            losses=self.losses.first(done),
            line_step=self.line_step,
            train_s=train_s,
            average={} if self.average is None else self.average.state(),
        )
