"""Measure how fast this machine trains a kind of stage, on random pixels."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from trials.data.augmentation import draw_crops, normalise
from trials.data.packed import Packed
from trials.data.pictures import Pictures
from trials.data.store import FILE_SHORT_PX, ImageStore
from trials.objectives.objective import build_fresh, example_loss
from trials.spec import StageSpec
from trials.training.optimiser import build_optimiser
from trials.training.precision import Compute, choose_compute
from trials.training.seeding import generator

RANDOM_IMAGES = 64


def measure_images_per_s(spec: StageSpec, *, cpus: int, gpus: float, seconds: float = 1.0, on_warm: Callable[[], None] | None = None) -> float:
    """Images per second of one such stage alone on the machine, after one step to warm up.

    The batch is the recipe's, or the largest half, quarter, ... that a GPU has memory for, or what
    a CPU would get through in about `seconds`. With `on_warm`, which is called after the first step
    and may wait for other processes, it is the recipe's, and a GPU too small for it raises
    torch.OutOfMemoryError.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(cpus)
    try:
        compute = choose_compute(spec.recipe.precision, gpus=gpus)
        step = _stepper(spec, compute)
        batch = spec.recipe.batch_images
        if on_warm is not None:
            step(batch, 0)
            on_warm()
        elif compute.device.type == "cpu":
            few = min(batch, 2)
            step(few, 0)
            batch = max(few, min(batch, int(few * seconds / _elapsed(step, few, 1))))
        else:
            batch = _largest(step, batch)
        steps, started = 0, 0.0
        while steps < 2 or time.monotonic() - started < seconds:
            step(batch, steps)
            if steps == 0:
                started = time.monotonic()
            steps += 1
        return (steps - 1) * batch / (time.monotonic() - started)
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def busy_cores(threads: int) -> Iterator[None]:
    """Keep that many cores busy with matrix products meanwhile.

    Cores that share caches, memory and arithmetic units slow one another down, so a stage that is
    to train beside others is measured beside work.
    """
    over = threading.Event()

    def work() -> None:
        torch.set_num_threads(1)  # of this thread: else its products take every core
        factor = torch.rand(256, 256)
        while not over.is_set():
            torch.mm(factor, factor)  # lets go of the interpreter

    busy = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for one in busy:
        one.start()
    try:
        yield
    finally:
        over.set()
        for one in busy:
            one.join()


def _elapsed(step: Callable[[int, int], None], batch: int, number: int) -> float:
    started = time.monotonic()
    step(batch, number)
    return time.monotonic() - started


def _largest(step: Callable[[int, int], None], batch: int) -> int:
    """The batch, or the largest half, quarter, ... of it that fits the GPU's memory. Trains on it
    once.
    """
    while True:
        try:
            step(batch, 0)
            return batch
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        torch.cuda.empty_cache()
        batch //= 2


def _stepper(spec: StageSpec, compute: Compute) -> Callable[[int, int], None]:
    """Return a function that makes one update on a batch of that many images and waits for it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_fresh(spec).to(compute.device)
    optimiser = build_optimiser(model, spec.recipe)
    pictures = random_pictures(spec, compute)

    def step(batch: int, number: int) -> None:
        draws = generator(0, "throughput", number)
        positions = torch.randint(len(pictures), (batch,), generator=draws)
        images = normalise(pictures.images(positions, draw_crops(pictures.sizes[positions], spec.recipe, draws)))
        with compute.autocast():
            loss = example_loss(model, spec, images)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        compute.synchronise()

    return step


def random_pictures(spec: StageSpec, compute: Compute) -> Pictures:
    """Images of random pixels with sides of 4 to 3, as a store of that stage holds them; no larger
    than files usually are.
    """
    short = min(spec.data.stored_px, max(FILE_SHORT_PX, spec.data.image_px))
    sizes = np.array([(short, round(short * 4 / 3)), (round(short * 4 / 3), short)] * (RANDOM_IMAGES // 2))
    pixels = np.random.default_rng(0).integers(0, 256, 3 * int(sizes.prod(axis=1).sum()), dtype=np.uint8)
    store = ImageStore(
        images=Packed(pixels, sizes), labels=np.zeros(len(sizes), dtype=np.int64), masks=None, classes=("random",), fingerprint="random"
    )
    return Pictures(store, np.arange(len(sizes)), compute, spec.data.image_px)
