"""Fills a tracker from a study folder, after a launch that did not track or whose tracker was down.

    python -m scaling.tracking runs/quickstart --to tensorboard

It adds only what is missing, so it may be run any number of times.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.progress import track

from scaling.plan.plan import Plan, Stage
from scaling.study.folder import Study
from scaling.study.stage_state import no_plan
from scaling.tracking.live import follow
from scaling.tracking.names import TRACKERS
from scaling.tracking.open import open_tracker
from scaling.tracking.tracker import refusal, tracked
from trials.errors import InputError
from trials.received_files import check_stage_ids, file_inside
from trials.spec import StageSpec


def read_plan(folder: Path) -> Plan:
    """The plan that a launch wrote. Raises InputError."""
    try:
        values = json.loads(file_inside(folder, "plan.json").read_text())
        check_stage_ids(values)
        if (folder / "stages").is_symlink():
            raise ValueError("its stages/ is a link, which may lead out of the study, so it is not read")
        stages = {}
        for stage in values["stages"]:
            spec = StageSpec.from_dict(stage["spec"])
            before = spec.image_passes - stage["image_passes"]
            stages[stage["id"]] = Stage(id=stage["id"], spec=spec, runs=stage["runs"], trunk_image_passes=before)
        return Plan(study=values["study"], stages=stages, runs=values["runs"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(no_plan(str(folder), str(error)[:200])) from None


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status: 0 logged, 1 the tracker failed, 2 a mistake."""
    parser = argparse.ArgumentParser(prog="python -m scaling.tracking", description="Fill a tracker from a study folder.")
    parser.add_argument("folder", type=Path, help="the study folder, such as runs/quickstart")
    parser.add_argument("--to", required=True, choices=TRACKERS, help="the tracker")
    options = parser.parse_args(arguments)
    try:
        plan, study = read_plan(options.folder), Study(options.folder)
        tracker = open_tracker(options.to, plan.study, study.folder)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    stages = [stage for stage in tracked(plan, study).values() if (stage.folder / "metrics.jsonl").exists()]
    try:
        for stage in track(stages, description=f"logging {len(stages):,} stages", disable=not sys.stderr.isatty()):
            outcome = "done" if study.is_done(stage.id) else "cut off" if study.error(stage.id) is None else "failed"
            follow(stage, tracker.open(stage), outcome)
        tracker.close()
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        print(f"{refusal(options.to, error)}: repair it and run this again.", file=sys.stderr)
        return 1
    print(f"{options.to}: {len(stages):,} of {len(plan.stages):,} stages logged")
    return 0


if __name__ == "__main__":
    sys.exit(main())
