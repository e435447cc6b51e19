"""How far is a study: from another shell, or from another machine that sees its folder. Reads files alone; needs neither Ray nor torch.

    python -m scaling.status runs/quickstart            once
    python -m scaling.status runs/quickstart --watch    again every few seconds, until it is complete or Ctrl-C

Exit status: 0 every stage is done, 1 some are not, 2 the folder is no study.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scaling.words import count, duration

RECENT = 40  # finished stages of a kind whose rate is looked at
EVERY_S = 5.0
_LOSSES = ("val_mim_loss", "train_mim_loss", "val_accuracy", "train_loss")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where one stage stands."""

    stage_id: str
    kind: str
    image_passes: int
    state: str
    """'done', 'running', 'cut off', 'failed', 'blocked' or 'waiting'."""
    detail: str
    """For `failed` the error's own words, for `blocked` the stage that failed."""
    latest: dict[str, Any]
    """For `running` the last line of its metrics: step, image_passes, images_per_s and losses; else empty."""


def standings(folder: Path) -> list[Standing]:
    """Where every stage of the plan stands; parents come before their children. Raises FileNotFoundError or ValueError if there is no plan."""
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    found: dict[str, Standing] = {}
    for stage in plan["stages"]:
        parent = found.get(stage["parent"])
        state, detail, latest = _look(folder / "stages" / stage["id"], parent)
        found[stage["id"]] = Standing(
            stage_id=stage["id"], kind=stage["kind"], image_passes=int(stage["image_passes"]), state=state, detail=detail, latest=latest
        )
    return list(found.values())


def _look(folder: Path, parent: Standing | None) -> tuple[str, str, dict[str, Any]]:
    if _json(folder / "result.json").get("id") == folder.name:
        return "done", "", {}
    if _is_locked(folder / ".lock"):
        return "running", "", _last_line(folder / "metrics.jsonl")
    error = _json(folder / "error.json").get("error")
    if error is not None:
        return "failed", str(error), {}
    if parent is not None and parent.state in ("failed", "blocked"):
        return "blocked", parent.stage_id if parent.state == "failed" else parent.detail, {}
    if (folder / "checkpoint" / "state.pt").exists():
        return "cut off", "", {}
    return "waiting", "", {}


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_locked(path: Path) -> bool:
    """Whether a process works on the stage: it holds this lock for as long as it lives. A shared lock asked for a moment disturbs nobody."""
    try:
        with open(path, "rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _last_line(path: Path) -> dict[str, Any]:
    """The last whole line of a JSON-lines file, joined with the newest value of each loss before it."""
    try:
        with open(path, "rb") as handle:
            handle.seek(max(0, path.stat().st_size - 8192))
            lines = handle.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return {}
    joined: dict[str, Any] = {}
    for line in lines:  # the first may be cut by the seek, the last by its writer
        try:
            joined |= json.loads(line)
        except ValueError:
            continue
    return joined


def seconds_left(folder: Path, stages: list[Standing]) -> float | None:
    """Time until the last stage is done at the rate of finished stages of the same kind, if as many run side by side as now; None if unknown."""
    left_s = 0.0
    rates: dict[str, float | None] = {}
    for stage in stages:
        if stage.state in ("done", "failed", "blocked"):
            continue
        if stage.kind not in rates:
            rates[stage.kind] = _rate(folder, [one for one in stages if one.kind == stage.kind])
        rate = stage.latest.get("images_per_s") or rates[stage.kind]
        if not rate:
            return None
        left_s += (stage.image_passes - stage.latest.get("image_passes", 0)) / rate
    return left_s / max(1, sum(stage.state == "running" for stage in stages))


def _rate(folder: Path, stages: list[Standing]) -> float | None:
    """Median images a second of the latest finished stages, or of those that run; None without any."""
    done = [stage for stage in stages if stage.state == "done"][-RECENT:]
    rates = [_json(folder / "stages" / stage.stage_id / "provenance.json").get("images_per_s") for stage in done]
    rates += [stage.latest.get("images_per_s") for stage in stages if stage.state == "running"]
    known = sorted(rate for rate in rates if rate)
    return known[len(known) // 2] if known else None


def show(folder: Path, stages: list[Standing], console: Console) -> None:
    """Print how far the study is."""
    states = Counter(stage.state for stage in stages)
    words = ", ".join(f"{number:,} {state}" for state in ("done", "running", "cut off", "waiting", "failed", "blocked") if (number := states[state]))
    left_s = seconds_left(folder, stages)
    unfinished = len(stages) - states["done"] - states["failed"] - states["blocked"]
    time_left = "" if not unfinished else "; time left not known yet" if left_s is None else f"; about {duration(left_s)} left"
    idle = "" if states["running"] or not unfinished else "; nothing is running: launch the grid again to go on"
    console.print(f"{folder.name}: {len(stages):,} stages: {words}{time_left}{idle}", markup=False, highlight=False)
    running = [stage for stage in stages if stage.state == "running"]
    if running:
        table = Table("stage", "images shown", "images/s", "loss", "left", box=None, pad_edge=False)
        for stage in running:
            shown = int(stage.latest.get("image_passes", 0))
            rate = stage.latest.get("images_per_s")
            loss = next((f"{name} {stage.latest[name]:.4f}" for name in _LOSSES if stage.latest.get(name) is not None), "–")
            left = duration((stage.image_passes - shown) / rate) if rate else "–"
            table.add_row(stage.stage_id, f"{count(shown)} of {count(stage.image_passes)}", f"{rate:,.0f}" if rate else "–", loss, left)
        console.print(table)
    for stage in stages:
        if stage.state == "failed":
            log = folder / "stages" / stage.stage_id / "log.txt"
            console.print(f"failed   {stage.stage_id}: {stage.detail} (log: {log})", markup=False, highlight=False)
    for culprit, number in Counter(stage.detail for stage in stages if stage.state == "blocked").items():
        console.print(f"blocked  {number:,} {'stage waits' if number == 1 else 'stages wait'} for {culprit}", markup=False, highlight=False)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scaling.status", description="How far is a study?")
    parser.add_argument("folder", type=Path, help="the study folder, such as runs/quickstart")
    parser.add_argument("--watch", action="store_true", help="look again every few seconds until every stage is done")
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True)
    try:
        while True:
            try:
                stages = standings(options.folder)
            except (OSError, ValueError, KeyError, TypeError):
                print(
                    f"{options.folder} holds no plan.json that can be read: name a folder that a launch wrote, such as runs/quickstart.",
                    file=sys.stderr,
                )
                return 2
            show(options.folder, stages, console)
            done = all(stage.state == "done" for stage in stages)
            if done or not options.watch:
                return 0 if done else 1
            time.sleep(EVERY_S)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
