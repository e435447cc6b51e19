"""Make a study folder of a kept study, from its tables alone, and build its report.

python -m studies.rebuild studies/NAME --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.runs.columns import OCCASIONAL_COLUMNS, RUN_COLUMNS
from analysis.runs.table import load_runs
from reports.errors import ReportError
from reports.report import build_report
from trials.received_files import is_plain_name

MEASURED = ("loss", "score", "measure")


def study_folder(kept: Path, folder: Path) -> Path:
    """Write the study folder of a kept study: its tables as Parquet, its plan, and of each stage what
    a report reads.

    Raises:
        ReportError: a file of the kept study is not there or cannot be read.
        AnalysisError: its runs cannot be read as a table.
    """
    runs = load_runs(kept / "runs.csv")
    try:
        stages = pd.read_csv(kept / "stages.csv")
        losses = pd.read_csv(kept / "losses.csv")
        machines, missing, diagnostics = (_json(kept / name) for name in ("machines.json", "missing.json", "diagnostics.json"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{kept} is no kept study: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    runs.to_parquet(folder / "runs.parquet", index=False)
    stages.to_parquet(folder / "stages.parquet", index=False)
    for name in ("grid.yaml", "runs.csv", "stages.csv", "columns.json"):
        if (kept / name).is_file():
            (folder / name).write_bytes((kept / name).read_bytes())
    known = RUN_COLUMNS | OCCASIONAL_COLUMNS
    settings = [name for name in runs.columns if name in known and known[name].role not in MEASURED]
    planned = [{name: value for name, value in row.items() if not pd.isna(value)} for row in runs[settings].to_dict("records")]
    nodes = stages[["stage_id", "kind", "parent_id"]].rename(columns={"stage_id": "id", "parent_id": "parent"})
    plan = {
        "format": 1,
        "study": str(runs["study"].iloc[0]),
        "stages": [{name: None if pd.isna(value) else value for name, value in row.items()} for row in nodes.to_dict("records")],
        "runs": [dict.fromkeys(settings) | run for run in planned] + missing,
    }
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    for identity, lines in losses.groupby("stage_id"):
        rows = lines.drop(columns="stage_id").to_dict("records")
        text = "".join(json.dumps({name: value for name, value in row.items() if not pd.isna(value)}) + "\n" for row in rows)
        _write(folder, str(identity), "metrics.jsonl", text)
    for machine in machines:
        own = {name: value for name, value in machine.items() if name != "stages"}
        for identity in machine["stages"]:
            _write(folder, identity, "provenance.json", json.dumps(own))
    for identity, values in dict(diagnostics).items():
        _write(folder, identity, "diagnostics.json", json.dumps(values))
    return folder


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def _write(folder: Path, stage: str, name: str, text: str) -> None:
    if not is_plain_name(stage):  # a received study might name a folder elsewhere
        raise ReportError(f"the kept study names the stage {stage[:60]!r}, which is no plain name: ask whoever kept it for its tables.")
    place = folder / "stages" / stage
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m studies.rebuild", description="Make a study folder of a kept study, and build its report.")
    parser.add_argument("kept", type=Path, help="the kept study, such as studies/NAME")
    parser.add_argument("--out", type=Path, required=True, help="the study folder to write")
    options = parser.parse_args(arguments)
    try:
        print(build_report(study_folder(options.kept, options.out)))
    except (ReportError, AnalysisError, OSError) as error:
        print(f"studies: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
