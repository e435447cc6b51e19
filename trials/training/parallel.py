"""One stage over several processes: the same numbers as one process, to rounding.

Every process draws the whole batch from the seeded generators and trains on its part of it;
gradients are added up in one all-reduce of one flat tensor after the backward pass.
DistributedDataParallel would overlap that with the backward pass, but it wraps the model's forward,
which the objectives call in several ways, needs to know the parameters that a loss does not reach
(SimMIM feeds no CLS token), and counts all processes alike, which is wrong for parts of unequal
size. What the overlap could save: the gradients of the 87M parameters of SwinV2-B are 0.35 GB, 1 to
2 ms between GPUs of one machine, where a step at batch 2048 takes most of a second.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from trials.errors import InputError, StageError, error_summary

TIMEOUT = datetime.timedelta(minutes=30)  # the others wait as long for the first process, which evaluates and writes alone

Value = TypeVar("Value")


class ProcessLost(StageError):
    """Another process of the group has died. Its own error, if it wrote one, says why."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """The processes that train one stage together. By default this one alone."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes, evaluates and reports."""
        return self.rank == 0

    def add_up(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Add up the gradients, and the loss, which is returned, over all processes."""
        if self.size == 1:
            return loss
        reached = [parameter for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([*(p.grad.reshape(-1) for p in reached if p.grad is not None), loss.reshape(1)])
        with _telling_who_is_lost():
            distributed.all_reduce(flat)
        for parameter, gradient in zip(reached, flat[:-1].split([p.numel() for p in reached]), strict=True):
            parameter.grad = gradient.view_as(parameter)
        return flat[-1]

    def any(self, value: bool, device: torch.device) -> bool:
        """Whether the value is true in any process."""
        if self.size == 1:
            return value
        with _telling_who_is_lost():
            flag = torch.tensor(float(value), device=device)
            distributed.all_reduce(flag)
            return bool(flag > 0)

    def share(self, value: Value) -> Value:
        """Return the first process's value in all processes. Waits for all."""
        if self.size == 1:
            return value
        values = [value]
        with _telling_who_is_lost():
            distributed.broadcast_object_list(values, src=0)
        return values[0]


@contextlib.contextmanager
def _telling_who_is_lost() -> Iterator[None]:
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:  # gloo's and nccl's errors
        reason = error_summary(error)[:200]
        raise ProcessLost(
            f"Another process of this stage is gone ({reason}): run the stage again, with any number of processes; it goes on from its checkpoint."
        ) from error


@contextlib.contextmanager
def joined(*, gpus: float) -> Iterator[Group]:
    """The group that RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT describe, as torchrun and Ray
    Train set them.

    A group that is set up already, as in a Ray Train worker, is used as it is and left standing. On
    GPUs each process takes the one of its LOCAL_RANK, unless its device was chosen before.

    Raises:
        InputError: the environment describes no group.
    """
    if distributed.is_initialized():
        yield Group(rank=distributed.get_rank(), size=distributed.get_world_size())
        return
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise InputError(f"Data parallel needs {', '.join(missing)} in the environment: start the stage with torchrun.")
    if gpus > 0 and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    with _telling_who_is_lost():
        distributed.init_process_group("nccl" if gpus > 0 else "gloo", timeout=TIMEOUT)
    try:
        yield Group(rank=distributed.get_rank(), size=distributed.get_world_size())
    except BaseException:
        if gpus == 0:  # nccl may wait here for a process that is gone; this process ends in any case
            distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()


def launched_in_parallel() -> bool:
    """Whether torchrun, or what sets the same environment, started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1
