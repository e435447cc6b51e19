"""Run one stage: train, measure, checkpoint, finish; or go on from where an earlier attempt was cut off.

python -m trials.stage runs/NAME/stages/ID --store data/store
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trials.errors import InputError, StageError
from trials.ledger import read_result, stage_lock, write_json
from trials.provenance import now
from trials.spec import StageSpec, stage_id
from trials.training import Progress, Run

CHECKPOINT_S = 20.0  # seconds of work that a kill can cost


def run_stage(
    spec: StageSpec,
    folder: Path,
    store: Path,
    *,
    cpus: int = 1,
    gpus: float = 0.0,
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint_s: float = CHECKPOINT_S,
) -> dict[str, Any]:
    """Train the stage in `folder`, whose name is its id, and return its result; a finished stage is not trained again.

    Args:
        spec: what to train. store: root of the image stores.
        cpus: threads to compute with. gpus: above 0 to compute on the GPU that is visible.
        on_progress: called about once a second with step, steps, images_per_s and the newest losses.
        checkpoint_s: seconds between checkpoints.

    Raises:
        InputError, StageError: a sentence that says what went wrong; it is in error.json too, the traceback in log.txt.
    """
    assert folder.name == stage_id(spec), f"folder {folder.name} is not that of stage {stage_id(spec)}"
    with stage_lock(folder):
        result = read_result(folder)
        if result is not None:
            return result
        (folder / "error.json").unlink(missing_ok=True)
        log = Log(folder / "log.txt")
        try:
            return Run(spec, folder, store, cpus=cpus, gpus=gpus, on_progress=on_progress, checkpoint_s=checkpoint_s, log=log).go()
        except Exception as error:
            log(traceback.format_exc())
            sentence = _sentence(error)
            with contextlib.suppress(OSError):  # on a full disk even this cannot be written, and the sentence still goes up
                write_json(folder / "error.json", {"error": sentence, "type": type(error).__name__, "time": now()})
            if isinstance(error, InputError | StageError):
                raise
            raise StageError(sentence) from error


def _sentence(error: Exception) -> str:
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "The GPU ran out of memory: lower batch_images, or give each stage a larger share of a GPU under resources."
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror} ({error.filename or 'while writing'}): mend that and launch again."
    text = str(error).strip().splitlines()
    return text[0] if isinstance(error, InputError | StageError) and text else f"{type(error).__name__}: {text[0] if text else 'no message'}"


class Log:
    """log.txt of a stage: lines with their time, appended by each attempt."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, text: str) -> None:
        with contextlib.suppress(OSError), open(self._path, "a") as handle:  # a log that cannot be written stops nothing
            handle.write(f"{now()} {text.rstrip()}\n")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m trials.stage", description="Run one stage with no cluster, from its spec.json.")
    parser.add_argument("folder", type=Path, help="the stage's folder, with spec.json in it")
    parser.add_argument("--store", type=Path, required=True, help="root of the image stores")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--gpus", type=float, default=0.0)
    options = parser.parse_args(arguments)
    try:
        folder = options.folder.resolve()
        try:
            spec = StageSpec.from_dict(json.loads((folder / "spec.json").read_text()))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder / 'spec.json'} is not a stage's spec ({error}): launch its grid again to write it anew.") from error
        if stage_id(spec) != folder.name:
            raise InputError(f"{folder} is not the folder of its spec.json, whose stage is {stage_id(spec)}: launch its grid again.")
        result = run_stage(
            spec,
            folder,
            options.store,
            cpus=options.cpus,
            gpus=options.gpus,
            on_progress=lambda p: print(p, flush=True),
        )
    except (InputError, StageError, OSError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, InputError | OSError) else 1
    print(json.dumps(result["metrics"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
