"""Run one stage, or resume it from its newest checkpoint.

python -m trials.stage runs/NAME/stages/ID --store data/store
# one stage over two processes
torchrun --nproc-per-node 2 -m trials.stage runs/NAME/stages/ID --store data/store
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import torch

from trials.errors import InputError, StageError
from trials.provenance import now
from trials.registry import load_plugin
from trials.spec import StageSpec, stage_id
from trials.stage_files import read_result, stage_lock, write_json
from trials.training.captured import CaptureMode
from trials.training.compiling import CompileMode
from trials.training.execution import CHECKPOINT_S, Execution, Progress
from trials.training.interrupts import Interrupted, asked_by_signal
from trials.training.parallel import Group, ProcessLost, joined, launched_in_parallel
from trials.training.run import Run


def run_stage(
    spec: StageSpec,
    folder: Path,
    store: Path,
    *,
    cpus: int = 1,
    gpus: float = 0.0,
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint_s: float = CHECKPOINT_S,
    stop: Callable[[], bool] | None = None,
    parallel: bool = False,
    micro_batches: int = 1,
    compile: CompileMode = "auto",
    capture: CaptureMode = "auto",
    plugins: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """Train the stage in `folder`, whose name is its id, and return its result; a finished stage is
    not trained again.

    Args:
        spec: what to train. store: root of the image stores.
        cpus: threads to compute with. gpus: above 0 to compute on the GPU that is visible.
        on_progress: called about once a second with step, steps, images_per_s and the newest
            losses.
        checkpoint_s: seconds between checkpoints.
        stop: asked before every step; once it says true, a checkpoint is written and Interrupted
            raised.
        parallel: this process is one of several that train the stage together, each of which calls
            this; RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT say which, as torchrun and Ray Train
            set them. cpus and gpus are each process's own; only the first writes, evaluates and
            calls on_progress; all return the result.
        micro_batches: in how many parts each process takes its share of a batch. On a GPU it
            doubles by itself if memory runs out.
        compile: whether torch.compile is used; 'auto' does on a GPU for stages that are long
            enough.
        capture: whether the whole step is captured in a CUDA graph; 'auto' does on a GPU, where it
            can be.
        plugins: Python files to load first, which register objectives, encoders or sources.

    Raises:
        InputError, StageError: a sentence that says what went wrong; it is in error.json too, the
            traceback in log.txt.
        Interrupted: a StageError; the stage was asked to stop, and there is no error.json.
    """
    assert folder.name == stage_id(spec), f"folder {folder.name} is not that of stage {stage_id(spec)}"
    for plugin in plugins:
        load_plugin(Path(plugin))
    execution = Execution(
        cpus=cpus,
        gpus=gpus,
        checkpoint_s=checkpoint_s,
        micro_batches=micro_batches,
        compile=compile,
        capture=capture,
        on_progress=on_progress or (lambda progress: None),
        stop=stop or (lambda: False),
    )
    with contextlib.ExitStack() as held:
        group = held.enter_context(joined(gpus=gpus)) if parallel else Group()
        if group.leads:
            held.enter_context(stage_lock(folder))
        result = group.share(read_result(folder) if group.leads else None)
        return _attempt(spec, folder, store, execution, group) if result is None else result


def _attempt(spec: StageSpec, folder: Path, store: Path, execution: Execution, group: Group) -> dict[str, Any]:
    if group.leads:
        (folder / "error.json").unlink(missing_ok=True)
    log = Log(folder / "log.txt")
    try:
        run = Run(spec, folder, store, execution=execution, group=group, log=log if group.leads else lambda text: None)
        try:
            return run.go()
        finally:
            run.release()
    except Interrupted as interrupted:
        if group.leads:
            log(str(interrupted))
        raise
    except Exception as error:
        log(traceback.format_exc())
        sentence = _sentence(error)
        # what another process says of its own end is worth more than that it is gone
        if not (isinstance(error, ProcessLost) and (folder / "error.json").exists()):
            with contextlib.suppress(OSError):  # on a full disk even this cannot be written, and the sentence still goes up
                write_json(folder / "error.json", {"error": sentence, "type": type(error).__name__, "time": now()})
        if isinstance(error, InputError | StageError):
            raise
        raise StageError(sentence) from error


def _sentence(error: Exception) -> str:
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "The GPU ran out of memory: lower batch_images, or give each stage a larger share of a GPU under resources."
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "The machine ran out of memory: lower batch_images, or run fewer stages at once (raise cpus under resources)."
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror} ({error.filename or 'while writing'}): mend that and launch again."
    text = str(error).strip().splitlines()
    return text[0] if isinstance(error, InputError | StageError) and text else f"{type(error).__name__}: {text[0] if text else 'no message'}"


class Log:
    """log.txt of a stage: lines with their time, appended by each attempt."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, text: str) -> None:
        """Append one line with its time."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK  # neither through a link nor into a pipe
        with contextlib.suppress(OSError), open(os.open(self._path, flags, 0o644), "a") as handle:  # a log that cannot be written stops nothing
            handle.write(f"{now()} {text.rstrip()}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m trials.stage", description="Run one stage with no cluster, from its spec.json.")
    parser.add_argument("folder", type=Path, help="the stage's folder, with spec.json in it")
    parser.add_argument("--store", type=Path, required=True, help="root of the image stores")
    parser.add_argument("--cpus", type=int, default=1, help="threads to compute with, in each process")
    parser.add_argument("--gpus", type=float, default=0.0, help="above 0 to compute on a GPU")
    parser.add_argument("--micro-batches", type=int, default=1, help="in how many parts to take a batch, to need less memory")
    parser.add_argument("--compile", choices=get_args(CompileMode), default="auto", help="whether to use torch.compile")
    parser.add_argument("--capture", choices=get_args(CaptureMode), default="auto", help="whether to capture the whole step in a CUDA graph")
    parser.add_argument("--plugin", type=Path, action="append", default=[], metavar="FILE", help="a Python file to load first; repeatable")
    options = parser.parse_args(arguments)
    with asked_by_signal() as asked:
        try:
            result = run_stage(
                *_read_spec(options.folder.resolve()),
                options.store,
                cpus=options.cpus,
                gpus=options.gpus,
                on_progress=lambda p: print(p, flush=True),
                stop=asked,
                parallel=launched_in_parallel(),
                micro_batches=options.micro_batches,
                compile=options.compile,
                capture=options.capture,
                plugins=options.plugin,
            )
        except Interrupted as interrupted:
            print(interrupted, file=sys.stderr)
            return asked.exit_status
        except (InputError, StageError, OSError) as error:
            print(error, file=sys.stderr)
            return 2 if isinstance(error, InputError | OSError) else 1
    if int(os.environ.get("RANK", "0")) == 0:
        print(json.dumps(result["metrics"], indent=1))
    return 0


def _read_spec(folder: Path) -> tuple[StageSpec, Path]:
    try:
        spec = StageSpec.from_dict(json.loads((folder / "spec.json").read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / 'spec.json'} is not a stage's spec ({error}): launch its grid again to write it anew.") from error
    if stage_id(spec) != folder.name:
        raise InputError(f"{folder} is not the folder of its spec.json, whose stage is {stage_id(spec)}: launch its grid again.")
    return spec, folder


if __name__ == "__main__":
    sys.exit(main())
