"""Read what Hugging Face's Trainer wrote: `trainer_state.json`."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from analysis.errors import AnalysisError
from analysis.readers.logged import LoggedRun, Rows, existing, json_of, steps_merged, table_of

SETTINGS = ("max_steps", "num_train_epochs", "train_batch_size")


def read_hf_trainer(folder: str | Path, *, rows: Rows = "runs") -> pd.DataFrame:
    """A table of runs of transformers' Trainer.

    Args:
        folder: one `trainer_state.json`, or a folder that is searched for them. Of the checkpoints
            of one run the newest is read, which holds the whole history.
        rows: 'runs' for one row a run with its last values, 'evaluations' for one row a step at
            which anything was logged.

    The column `run` is the folder of the run. Raises AnalysisError where there is no such file, or
    it has no `log_history`.
    """
    place = existing(folder, "a trainer_state.json, or a folder with the outputs of Trainer")
    files = [place] if place.is_file() else sorted(place.rglob("trainer_state.json"))
    newest: dict[Path, tuple[int, LoggedRun]] = {}
    for file in files:
        state = json_of(file)
        if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
            raise AnalysisError(f"{file} has no log_history: it is not what Trainer writes.")
        of_run = file.parent.parent if re.fullmatch(r"checkpoint-\d+", file.parent.name) else file.parent
        name = of_run.name if place.is_file() or of_run == place or not of_run.is_relative_to(place) else of_run.relative_to(place).as_posix()
        entries = steps_merged(entry for entry in state["log_history"] if isinstance(entry, dict))
        run = LoggedRun(name=name, settings={key: state[key] for key in SETTINGS if key in state}, evaluations=entries)
        step = int(state.get("global_step", 0))
        if of_run not in newest or step >= newest[of_run][0]:
            newest[of_run] = (step, run)
    if not newest:
        raise AnalysisError(f"{place} holds no trainer_state.json: give the output_dir of Trainer, or a folder of several.")
    return table_of([run for _, run in newest.values()], rows, where=str(place))
