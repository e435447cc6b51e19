"""What a replayed step costs the CPU."""

from __future__ import annotations

import time

from benchmarks.gpu.results import Results, number
from benchmarks.gpu.sizes import WAYS, Sizes
from trials import StageSpec, stage_id
from trials.training.captured import WARM_UP_STEPS
from trials.training.execution import Execution
from trials.training.parallel import Group
from trials.training.run import Run
from trials.training.seeding import BLOCK_STEPS

QUEUED_STEPS = 8


def ready_run(spec: StageSpec, name: str, sizes: Sizes, way: str) -> Run:
    """A stage before its first step, in a folder of its own."""
    folder = sizes.root / "runs" / name / stage_id(spec)
    folder.mkdir(parents=True)
    execution = Execution(cpus=1, gpus=sizes.gpus, **WAYS[way])
    return Run(spec, folder, sizes.root / "store", execution=execution, group=Group(), log=lambda text: None)


def issuing(spec: StageSpec, sizes: Sizes, results: Results) -> None:
    """What a replayed step costs the CPU: on a GPU all but waiting, on a CPU its inputs alone."""
    run = ready_run(spec, "issuing", sizes, "captured")
    for step in range(WARM_UP_STEPS + 2):
        run.update(step, 1e-4)
    spent_s = 0.0
    first = WARM_UP_STEPS + 2
    for begin in range(first, first + BLOCK_STEPS, QUEUED_STEPS):  # a block of inputs is made once among them
        run.compute.synchronise()  # a full queue would make the CPU wait
        started = time.perf_counter()
        for step in range(begin, min(begin + QUEUED_STEPS, first + BLOCK_STEPS)):
            if sizes.gpus:
                run.update(step, 1e-4)
            else:
                run.inputs.prepare(step)
        spent_s += time.perf_counter() - started
    spent = 1e3 * spent_s / BLOCK_STEPS
    run.compute.synchronise()
    run.release()
    results.keep(**{"replay_cpu_ms" if sizes.gpus else "prepare_cpu_ms": spent})
    results.say(f"a replayed step of {spec.recipe.batch_images} images takes {number(spent)} ms of the CPU{'' if sizes.gpus else ' to prepare'}")
