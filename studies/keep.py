"""Keep a finished study: its tables, losses, machines, findings and report, without its weights.

    python -m studies.keep runs/NAME studies/NAME

A kept study holds `grid.yaml`, `runs.csv`, `stages.csv`, `columns.json`, `losses.csv` (the course of
its pre-trainings and intermediate stages, thinned), `machines.json` (the provenance of its stages),
`diagnostics.json` where they were measured, `missing.json` where runs did not finish, `findings.json`
and `report.html`. `studies.rebuild` makes a study folder of them again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from analysis import findings, load_runs
from analysis.errors import AnalysisError
from reports.errors import ReportError
from reports.report import build_report
from reports.report_data import ReportData, read_json, read_metrics, read_study
from studies.rebuild import study_folder

LOSSES = ("train_mim_loss", "val_mim_loss", "train_loss", "val_accuracy")
HELDOUT = {"val_mim_loss", "val_accuracy"}
TRAIN_LINES = 12
"""Training losses kept of a stage, beside every measurement on held-out images."""
MACHINE = ("device", "precision", "precision_reason", "versions", "git_commit", "platform", "compile", "capture", "cpus", "processes")
MOST_REPORT_BYTES = 1_500_000


def keep(folder: Path, into: Path) -> Path:
    """Write what is kept of a study folder into another folder, and return where its report is.

    Raises:
        ReportError: the folder is no study, has no finished run, or its report is larger than 1.5 MB.
        AnalysisError: one of its tables cannot be read.
    """
    study = read_study(folder)
    if study.runs.empty:
        raise ReportError(f"{folder} has no finished run, so there is nothing to keep.")
    into.mkdir(parents=True, exist_ok=True)
    for name in ("grid.yaml", "runs.csv", "stages.csv", "columns.json"):
        if (folder / name).is_file() and not (name == "grid.yaml" and (into / name).is_file()):  # one with comments stays
            shutil.copyfile(folder / name, into / name)
    pd.DataFrame(_losses(study), columns=["stage_id", "step", "image_passes", *LOSSES]).to_csv(into / "losses.csv", index=False)
    _write_json(into / "machines.json", _machines(study))
    _write_json(into / "diagnostics.json", _of_stages(study, "diagnostics.json"))
    _write_json(into / "missing.json", _missing(study))
    return renew(into)


def renew(kept: Path) -> Path:
    """Write findings.json and report.html of a kept study anew from its tables; returns the report."""
    with TemporaryDirectory() as place:
        folder = study_folder(kept, Path(place))
        report = build_report(folder, kept / "report.html")
        found = findings(load_runs(folder))
    if (size := report.stat().st_size) > MOST_REPORT_BYTES:
        raise ReportError(f"{report} has {size:,} bytes, and a kept report may have {MOST_REPORT_BYTES:,}.")
    _write_json(kept / "findings.json", [one.to_dict() for one in found.statements])
    return report


def _losses(study: ReportData) -> Iterator[dict[str, Any]]:
    """The measured lines of every stage but fine-tunings, and some of the others."""
    done = study.stages.loc[(study.stages["state"] == "done") & (study.stages["kind"] != "finetune"), "stage_id"]
    for identity in sorted(str(one) for one in done):
        lines = list(read_metrics(study.folder, identity))
        measured = [line for line in lines if line.keys() & HELDOUT]
        trained = [line for line in lines if not line.keys() & HELDOUT]
        every = max(1, len(trained) // TRAIN_LINES)
        for line in sorted([*measured, *trained[every - 1 :: every]], key=lambda one: one["step"]):
            yield {"stage_id": identity} | {name: line.get(name) for name in ("step", "image_passes", *LOSSES)}


def _machines(study: ReportData) -> list[dict[str, Any]]:
    """Each kind of provenance with the stages that have it, the most frequent first."""
    kinds: dict[str, dict[str, Any]] = {}
    for identity, found in _of_stages(study, "provenance.json").items():
        own = {name: found[name] for name in MACHINE if name in found}
        kind = kinds.setdefault(json.dumps(own, sort_keys=True), own | {"started": "", "finished": "", "stages": []})
        times = [(str(found.get("started") or ""), str(found.get("finished") or "")), (kind["started"], kind["finished"])]
        kind["started"] = min((start for start, _ in times if start), default="")
        kind["finished"] = max(end for _, end in times)
        kind["stages"].append(identity)
    return sorted(kinds.values(), key=lambda kind: -len(kind["stages"]))


def _of_stages(study: ReportData, name: str) -> dict[str, Any]:
    """What a file of each finished stage holds, by the stage's id."""
    done = sorted(str(one) for one in study.stages.loc[study.stages["state"] == "done", "stage_id"])
    found = {identity: read_json(study.folder, "stages", identity, name) for identity in done}
    return {identity: values for identity, values in found.items() if values is not None}


def _missing(study: ReportData) -> list[dict[str, Any]]:
    """The settings of the runs that were planned and did not finish."""
    plan = read_json(study.folder, "plan.json") or {}
    finished = set(study.runs["run_id"])
    return [run for run in plan.get("runs") or [] if run["run_id"] not in finished]


def _write_json(path: Path, values: Any) -> None:
    """Write values that are not empty; a file of before goes."""
    if values:
        path.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    else:
        path.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m studies.keep", description="Keep a finished study without its weights.")
    parser.add_argument("folder", type=Path, help="the study folder, such as runs/NAME; or a kept study, whose findings and report are written anew")
    parser.add_argument("into", type=Path, nargs="?", help="where to keep it, such as studies/NAME")
    options = parser.parse_args(arguments)
    try:
        print(keep(options.folder, options.into) if options.into else renew(options.folder))
    except (ReportError, AnalysisError) as error:
        print(f"studies: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
