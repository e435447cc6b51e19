"""A fake GPU: what would run on it has the right device, shape and number format, and no values.

Tensors on it are torch's fake tensors; tensors on the CPU are real. So code for a GPU runs on any
machine, and what a GPU would refuse is refused: a product of tensors on two devices, and, while a
step is captured, whatever makes the host wait for the device or leaves the device. The backward
pass of torch needs a driver, so gradients are empty tensors of the right shape and format.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

from trials.training import recording
from trials.training.precision import Compute, choose_compute

GPU = torch.device("cuda:0")
READS = {"_local_scalar_dense", "is_nonzero", "equal"}
"""Operations whose result is a number in Python: the host waits for the device."""
SIZED_BY_VALUES = {"nonzero", "masked_select", "unique_consecutive", "_unique2", "unique_dim", "bincount", "repeat_interleave"}
"""Operations whose shape depends on values: the host waits for it."""
DRAWS = {"rand", "randn", "randint", "randperm", "bernoulli", "bernoulli_", "uniform_", "normal_", "random_", "multinomial", "native_dropout"}
USERS = ("trials.training.run", "trials.cost.stage_probe", "trials.cost.throughput")
"""Where a device is chosen."""
MEMORY_BYTES = 80 * 2**30


class RefusedInCaptureError(RuntimeError):
    """A CUDA graph cannot record this."""


class FakeGpu(TorchDispatchMode):
    """Within this mode `cuda:0` can be computed on."""

    def __init__(self) -> None:
        super().__init__()
        torch._C._ensureCUDADeviceGuardSet()
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.capturing = False
        self.captured: list[list[str]] = []
        """The operations of each capture, in order."""
        self.stream = _Stream()
        """The current one."""
        self.events: list[str] = []
        """What happened, in order: 'record', 'wait', 'empty cache', 'reset peak', 'pin'."""
        self._made: list[StorageWeakRef] = []
        self._read: list[StorageWeakRef] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
        name = func._schema.name.rpartition("::")[2]
        there = any(isinstance(one, FakeTensor) for one in given)
        to = kwargs.get("device")
        if not there and (to is None or torch.device(to).type != "cuda"):
            result = func(*args, **kwargs)
            if self.capturing:
                self._check_host_work(name, result)
            return result
        if self.capturing:
            self._check(name, args, given, to)
            if name in DRAWS and kwargs.get("generator") is None:
                raise RefusedInCaptureError(f"{name} draws from torch's own generator, which no step sets")
        if name in READS:
            return _as_number(given[0])
        if name == "_fused_adamw_":  # torch knows no form of it without values
            assert all(one.device == GPU for one in given), "AdamW in one kernel takes tensors on the GPU alone"
            return None
        if name in SIZED_BY_VALUES or _by_a_mask(name, args):
            return self._of_ones(func, args, kwargs)
        with self._fake:
            result = func(*args, **kwargs | ({"generator": None} if "generator" in kwargs else {}))
        if not self.capturing:
            return tree_map(_on_its_device, result)
        self._made += [_memory(one) for one in tree_flatten(result)[0] if isinstance(one, Tensor)]
        return result

    def _of_ones(self, func: Any, args: Any, kwargs: Any) -> Any:
        """What the operation gives where all its inputs are one, on the GPU."""
        with _disable_current_modes():
            real = func(*tree_map(_ones, args), **tree_map(_ones, kwargs))
        with self._fake:
            return tree_map(lambda one: self._fake.from_tensor(one).to(GPU) if isinstance(one, Tensor) else one, real)

    def begin_capture(self) -> None:
        """From now on operations are recorded and none may wait for the device."""
        self.capturing = True
        self.captured.append([])
        self._made.clear()

    def end_capture(self) -> None:
        """Operations are computed again."""
        self.capturing = False

    def freed(self) -> int:
        """Pieces of memory that captured operations read, made before the capture, and that are free
        now: a replay would read whatever lies there.
        """
        gc.collect()
        return sum(one.expired() for one in self._read)

    def _check(self, name: str, args: Any, given: list[Tensor], to: Any) -> None:
        self.captured[-1].append(name)
        known = {one.cdata for one in self._made} | {one.cdata for one in self._read}
        self._read += [memory for one in given if isinstance(one, FakeTensor) and (memory := _memory(one)).cdata not in known]
        if name in READS | SIZED_BY_VALUES:
            raise RefusedInCaptureError(f"{name} makes the host wait for the device")
        if _by_a_mask(name, args):
            raise RefusedInCaptureError(f"{name} by a mask has a shape that depends on values")
        devices = {one.device.type for one in given if one.ndim > 0}
        devices |= {torch.device(to).type} if to is not None else set()
        if len(devices) > 1:
            raise RefusedInCaptureError(f"{name} goes from one device to another")

    def _check_host_work(self, name: str, result: Any) -> None:
        """A tensor made on the CPU is the same at each replay, so none may be made."""
        if isinstance(result, Tensor) and result.ndim > 0:
            raise RefusedInCaptureError(f"{name} makes a tensor on the CPU, which no replay changes")


class FakeGenerator(torch.Generator):
    """In the place of `torch.Generator(device='cuda')`."""

    device = GPU


def _by_a_mask(name: str, args: Any) -> bool:
    return name in ("index", "index_put", "index_put_") and any(one is not None and one.dtype == torch.bool for one in args[1])


def _ones(value: Any) -> Any:
    return torch.ones(value.shape, dtype=value.dtype) if isinstance(value, FakeTensor) else value


def _memory(values: Tensor) -> StorageWeakRef:
    return StorageWeakRef(values.untyped_storage())


def _as_number(values: Tensor) -> bool | int | float:
    if values.dtype == torch.bool:
        return True
    return 0.5 if values.dtype.is_floating_point else 1


def _on_its_device(result: Any) -> Any:
    """A fake tensor that was copied to the CPU becomes a real one, of ones."""
    if isinstance(result, FakeTensor) and result.device.type == "cpu":
        with _disable_current_modes():
            return _ones(result)
    return result


def _leaves(root: Any) -> Iterator[Tensor]:
    """The leaves that a gradient of this node reaches, each once."""
    seen, open_nodes = set(), [root]
    while open_nodes:
        node = open_nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        open_nodes += [following for following, _ in node.next_functions]


_backward_on_cpu = Tensor.backward


def _backward(loss: Tensor) -> None:
    if not isinstance(loss, FakeTensor):
        _backward_on_cpu(loss)
        return
    assert (loss.ndim, loss.dtype) == (0, torch.float32), "a training loss is one float32 number"
    for leaf in _leaves(loss.grad_fn):
        leaf.grad = torch.empty_like(leaf) if leaf.grad is None else leaf.grad + torch.empty_like(leaf)


class _Stream:
    def wait_stream(self, other: _Stream) -> None:
        pass


class _Event:
    def __init__(self, log: list[str]) -> None:
        self._log = log

    def record(self) -> None:
        self.at = time.perf_counter()
        self._log.append("record")

    def synchronize(self) -> None:
        self._log.append("wait")

    def elapsed_time(self, other: _Event) -> float:
        return 1e3 * (other.at - self.at)


class _Graph:
    def __init__(self) -> None:
        self.replays = 0

    def register_generator_state(self, generator: FakeGenerator) -> None:
        assert isinstance(generator, FakeGenerator)

    def replay(self) -> None:
        self.replays += 1


@contextlib.contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """A context in which this process has a GPU."""
    mode = FakeGpu()
    made = torch.Generator

    def make_generator(device: Any = "cpu") -> Any:
        return made() if torch.device(device).type == "cpu" else FakeGenerator()

    @contextlib.contextmanager
    def on(stream: _Stream) -> Iterator[None]:
        before, mode.stream = mode.stream, stream
        try:
            yield
        finally:
            mode.stream = before

    @contextlib.contextmanager
    def capture(graph: _Graph, stream: _Stream) -> Iterator[None]:
        """A capture that fails ends as torch's does: with an error that says no more than that, on the
        stream of the capture.
        """
        before, mode.stream = mode.stream, stream
        mode.begin_capture()
        try:
            yield
        except Exception:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")  # noqa: B904
        finally:
            mode.end_capture()
        mode.stream = before

    def pinned(values: Tensor) -> Tensor:
        assert values.device.type == "cpu"
        return values

    def choose(precision: str, *, gpus: float) -> Compute:
        if gpus == 0:
            return choose_compute(precision, gpus=0)
        return Compute(device=GPU, precision="bf16" if precision == "auto" else precision, reason="it is a fake")

    places: dict[str, Callable[..., Any]] = {
        "_lazy_init": lambda: None,
        "Stream": lambda device=None: _Stream(),
        "current_stream": lambda device=None: mode.stream,
        "set_stream": lambda stream: setattr(mode, "stream", stream),
        "stream": on,
        "CUDAGraph": _Graph,
        "graph": capture,
        "mem_get_info": lambda device=None: (MEMORY_BYTES, MEMORY_BYTES),
        "get_device_name": lambda device=None: "a fake GPU",
        "is_bf16_supported": lambda **kwargs: True,
        "synchronize": lambda device=None: None,
        "empty_cache": lambda: mode.events.append("empty cache"),
        "reset_peak_memory_stats": lambda: mode.events.append("reset peak"),
        "max_memory_reserved": lambda: 2**20,
        "Event": lambda enable_timing=False, blocking=False: _Event(mode.events),
        "_sleep": lambda cycles: None,
    }
    made_empty, made_tensor = torch.empty, torch.tensor

    def make_empty(*shape: Any, pin_memory: bool = False, **rest: Any) -> Tensor:
        if pin_memory:
            mode.events.append("pin")
        return made_empty(*shape, **rest)

    def make_tensor(values: Any, *, device: Any = None, **rest: Any) -> Tensor:
        made = made_tensor(values, **rest)
        return made if device is None else made.to(device)

    _device_constructors()  # kept by torch, and must not be of what stands in here
    with contextlib.ExitStack() as stack:
        for name, stand_in in places.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, stand_in))
        stack.enter_context(mock.patch.object(torch.cuda.amp.common, "amp_definitely_not_available", return_value=False))
        stack.enter_context(mock.patch.object(torch, "Generator", make_generator))
        stack.enter_context(mock.patch.object(torch, "empty", make_empty))
        stack.enter_context(mock.patch.object(torch, "tensor", make_tensor))
        stack.enter_context(mock.patch.object(Tensor, "pin_memory", pinned))
        stack.enter_context(mock.patch.object(Tensor, "backward", _backward))
        stack.enter_context(mock.patch.object(fake_tensor, "init_gpu_context"))
        for module in USERS:
            stack.enter_context(mock.patch(f"{module}.choose_compute", choose))
        stack.enter_context(mock.patch.dict(recording._streams, clear=True))
        stack.enter_context(mode)
        yield mode
