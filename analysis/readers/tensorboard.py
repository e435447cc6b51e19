"""Read TensorBoard's event files, by TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.readers.logged import LoggedRun, Rows, existing, table_of

HYPERPARAMETERS = "_hparams_/session_start_info"


def read_tensorboard(folder: str | Path, *, rows: Rows = "runs") -> pd.DataFrame:
    """A table of the scalars in TensorBoard's event files, with the hyperparameters where
    `add_hparams` wrote them.

    Args:
        folder: the log folder: every folder in it with event files is a run.
        rows: 'runs' for one row a run with its last values, 'evaluations' for one row a step.

    Needs the package tensorboard (the extra `tensorboard`). Raises AnalysisError where it is
    missing or there are no scalars.
    """
    place = existing(folder, "the log folder of TensorBoard")
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        raise AnalysisError("read_tensorboard needs the package tensorboard: pip install tensorboard.") from None
    files = [place] if place.is_file() else sorted(place.rglob("*tfevents*"))
    folders = [place] if place.is_file() else sorted({file.parent for file in files})
    runs = []
    for of_run in folders:
        events = EventAccumulator(str(of_run), size_guidance={"scalars": 0, "tensors": 0}).Reload()
        by_step: dict[int, dict[str, Any]] = {}
        for tag in events.Tags()["scalars"]:
            for event in events.Scalars(tag):
                by_step.setdefault(int(event.step), {"step": int(event.step)})[tag] = float(event.value)
        for tag in events.Tags()["tensors"]:
            for event in events.Tensors(tag):
                if event.tensor_proto.tensor_shape.dim or not event.tensor_proto.float_val:
                    continue
                by_step.setdefault(int(event.step), {"step": int(event.step)})[tag] = float(event.tensor_proto.float_val[0])
        name = of_run.relative_to(place).as_posix() if of_run != place else place.name
        runs.append(LoggedRun(name=name, settings=_hyperparameters(events), evaluations=[by_step[step] for step in sorted(by_step)]))
    if not runs:
        raise AnalysisError(f"{place} holds no event file of TensorBoard: give its log folder.")
    return table_of(runs, rows, where=str(place))


def _hyperparameters(events: Any) -> dict[str, Any]:
    """What `add_hparams` wrote, or {}."""
    try:
        content = events.SummaryMetadata(HYPERPARAMETERS).plugin_data.content
    except KeyError:
        return {}
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    found = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in found.items()}
