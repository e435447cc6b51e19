"""One update of a stage's weights: the batch, in parts over processes and micro-batches, then
clipping and AdamW.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from trials.errors import InputError, StageError, error_summary, first_cause
from trials.objectives.objective import Objective
from trials.recipes.fields import Recipe, SupervisedRecipe
from trials.training.averaging import AveragedWeights
from trials.training.captured import CapturedStep
from trials.training.compiling import Compiled
from trials.training.parallel import Group
from trials.training.precision import Compute
from trials.training.rates import Rates
from trials.training.recording import free_memory
from trials.training.step_inputs import StepInputs
from trials.training.weight_copies import WeightCopies


class Updates:
    """Makes the update of any step without waiting for the device."""

    def __init__(
        self,
        objective: Objective,
        optimiser: torch.optim.Optimizer,
        recipe: Recipe,
        *,
        compute: Compute,
        group: Group,
        micro_batches: int,
        compiled: Compiled,
        log: Callable[[str], None],
        inputs: StepInputs | None = None,
        reason_not_captured: str = "it was not asked for",
        average: AveragedWeights | None = None,
    ) -> None:
        """
        Args:
            inputs: of the objective; needed where steps are captured.
            reason_not_captured: empty to capture the step.
            average: what follows the weights after each update, if anything does.
        """
        self._objective, self._optimiser, self._recipe = objective, optimiser, recipe
        self._compute, self._group, self._compiled, self._log = compute, group, compiled, log
        self._parameters = list(objective.model.parameters())
        self._average = average
        self._proven = False  # whether what is compiled, and copies of weights, have run once
        copies = WeightCopies(objective.model) if compute.precision == "bf16" else None
        self._copies = copies if copies and len(copies) else None
        self._rates = Rates(optimiser)
        self._captured: CapturedStep | None = None
        self.reason_not_captured = reason_not_captured
        self.micro_batches = micro_batches
        if group.size * micro_batches > 1 and has_short_batches(recipe):
            raise InputError("A recipe with short_last_batch takes batches whole: use one process and one micro-batch, or set it to false.")
        if group.size * micro_batches > recipe.batch_images:
            raise InputError(
                f"A batch of {recipe.batch_images} images cannot be shared by {group.size} processes in {micro_batches} micro-batches each: "
                "use fewer of them, or raise batch_images in the grid."
            )
        if not reason_not_captured:
            assert inputs is not None
            self._captured = CapturedStep(self._eager, self._body, inputs, device=compute.device)
            self._rates.hold(compute.device)

    def __call__(self, step: int, rate: float) -> Tensor:
        """Train on the batch of `step` (0-based) at that rate; the batch's mean loss, on the
        device.
        """
        self._rates.set(rate)
        if self._captured is not None:
            try:
                loss = self._captured(step)
                if self.micro_batches == 1:
                    return loss
                self._give_up_capture("batches are taken in parts", rate)
                return loss
            except (InputError, StageError):
                raise
            except Exception as error:
                if not self._captured.recording:
                    raise
                self._give_up_capture(f"capturing failed: {first_cause(error)}", rate)
        return self._eager(step)

    def _give_up_capture(self, reason: str, rate: float) -> None:
        """Take all further steps eagerly, for this reason, beginning at that rate."""
        assert self._captured is not None
        self._captured.abandon()
        self._captured, self.reason_not_captured = None, reason
        self._log(f"the stage goes on without a captured step: {reason}")
        self._optimiser.zero_grad(set_to_none=True)
        self._rates.release()
        self._rates.set(rate)

    def release(self) -> None:
        """Drop the captured step, to end the reference cycle of its graph and this object."""
        if self._captured is not None:
            self._captured.abandon()
            self._captured = None

    def _body(self, step: int) -> Tensor:
        """The update of a whole batch in one process, without a choice in between."""
        self._optimiser.zero_grad(set_to_none=True)
        loss = self._share(step)
        self._step()
        return loss

    def _step(self) -> None:
        self._clip()
        self._optimiser.step()
        if self._average is not None:
            self._average.update()

    def _clip(self) -> None:
        if self._recipe.clip_norm > 0:
            nn.utils.clip_grad_norm_(self._parameters, self._recipe.clip_norm)

    def _eager(self, step: int) -> Tensor:
        loss = self._backward(step)
        while loss is None:
            loss = self._backward(step)
        loss = self._group.add_up(self._parameters, loss)
        self._step()
        self._optimiser.zero_grad(set_to_none=True)
        return loss

    def _backward(self, step: int) -> Tensor | None:
        """Compute the gradients of this process's share. None means: compute them again, in another
        way.
        """
        try:
            loss = self._share(step)
            self._proven = True
            return loss
        except torch.cuda.OutOfMemoryError:
            parts = 2 * self.micro_batches
            # processes must agree on the parts, and one that runs out of memory cannot ask the
            # others
            if (
                self._group.size > 1
                or parts > self._recipe.batch_images
                or has_short_batches(self._recipe)
                or self._compiled.mode == "reduce-overhead"
            ):
                raise
            self._log(f"step {step}: the GPU ran out of memory, so batches are taken in {parts} parts from here on")
            self.micro_batches = parts
        except (InputError, StageError):
            raise
        except Exception as error:
            if self._proven or not (self._compiled.on or self._copies):
                raise
            if self._compiled.on:  # the likelier cause; where it was not, the copies go next
                self._compiled.give_up(error)
                self._log(f"the stage goes on without torch.compile: {self._compiled.reason}")
            else:
                self._copies = None
                self._log(f"the stage goes on without bf16 copies of its weights: {error_summary(error)}")
        self._optimiser.zero_grad(set_to_none=True)
        free_memory(self._compute.device)
        return None

    def _copied_weights(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext() if self._copies is None else self._copies.in_place()

    def _share(self, step: int) -> Tensor:
        count = self._group.size * self.micro_batches
        if count == 1:
            with self._copied_weights(), self._compiled.training(), self._compute.autocast():
                loss = self._objective.loss(step)
            loss.backward()
            if self._copies is not None:
                self._copies.hand_gradients()
            return loss.detach()
        total = torch.zeros((), device=self._compute.device)
        first = self._group.rank * self.micro_batches
        for index in range(first, first + self.micro_batches):
            with self._compiled.training(), self._compute.autocast():
                mean = self._objective.loss(step, part=(index, count))
            loss = mean * (part_images(self._recipe.batch_images, index, count) / self._recipe.batch_images)
            loss.backward()
            total += loss.detach()
        return total


def has_short_batches(recipe: Recipe) -> bool:
    """Whether batches of a recipe differ in their number of images."""
    return isinstance(recipe, SupervisedRecipe) and recipe.short_last_batch


def part_images(images: int, index: int, count: int) -> int:
    """Images in part `index` of `count` of a batch: as even as can be, the first parts larger by
    one, as `torch.tensor_split` does.
    """
    return images // count + (index < images % count)
