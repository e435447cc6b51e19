"""Rebuilds a report while its study runs; the page reloads itself until the study has ended."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from analysis import AnalysisError, load_stages
from reports.choices import EVERY_S
from reports.errors import ReportError
from reports.report import build_report
from reports.report_data import own_file, states_from_files

TABLES = ("plan.json", "grid.yaml", "runs.parquet", "stages.parquet")
MARKS = ("result.json", "error.json", "metrics.jsonl")
ENDED = frozenset({"done", "failed", "blocked"})

Fingerprint = tuple[tuple[str, int, int], ...]


def watch(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    every_s: float = EVERY_S,
    template: Path | None = None,
    log: Callable[[str], None] = print,
    sleep: Callable[[float], None] = time.sleep,
) -> Path | None:
    """Build the report whenever the study has changed, until each of its stages is done, failed or
    blocked, or until Ctrl-C.

    While it goes on, the page loads itself again every `every_s` seconds; the last build does not.
    A folder that is not there yet is waited for, and what cannot be built is said in one line and
    tried again. Returns where the page is, None if none was written.

    Args:
        say: takes each line about what happens.
        sleep: waits that many seconds.
    """
    place = Path(folder)
    seen: Fingerprint | None = None
    last = ""
    written: Path | None = None
    try:
        while True:
            # Looked at before it is read: what changes meanwhile is built the next time.
            now = fingerprint(place)
            over = now != seen and has_ended(place)
            started = time.monotonic()
            if not is_study(place):
                last = _once(log, f"Waiting for a study in {place}.", last)
            elif now != seen:
                try:
                    written = build_report(place, out, template=template, reload_s=None if over else max(1, math.ceil(every_s)))
                    seen = now
                    last = _once(log, f"Wrote {written} ({_ends(place)}).", "")
                except Exception as error:  # a file read while it is written can fail in any way; the next look finds it whole
                    last = _once(log, f"Not built, will try again: {_one_line(error)}", last)
                else:
                    if over:
                        return written
            # A build that takes long must not take a core from the study that it watches.
            sleep(max(every_s, time.monotonic() - started))
    except KeyboardInterrupt:
        return _last_build(place, out, template, log) or written


def is_study(folder: Path) -> bool:
    """Whether a launch has written its plan, or a table is there."""
    return (folder / "plan.json").is_file() or (folder / "runs.parquet").is_file()


def fingerprint(folder: Path) -> Fingerprint:
    """Name, size and time of change of every file that the page shows, without reading any."""
    return tuple(_marks(folder))


def has_ended(folder: Path) -> bool:
    """Whether every stage of the plan is done, failed or blocked, and the tables say the same as
    the stages' own files.
    """
    plan = _plan(folder)
    if not plan.get("stages"):
        return False
    try:
        states = states_from_files(folder, plan)
    except (ReportError, OSError, KeyError, TypeError):
        return False
    if not states["state"].isin(ENDED).all():
        return False
    # The launch collects its tables some seconds after the last stage has ended, and the page is
    # made from them.
    try:
        collected = load_stages(folder)
    except (AnalysisError, OSError):
        return False
    return bool(collected["state"].isin(ENDED).all()) and set(states["stage_id"]) <= set(collected["stage_id"])


def _last_build(place: Path, out: str | Path | None, template: Path | None, log: Callable[[str], None]) -> Path | None:
    if not is_study(place):
        log(f"Stopped; there was no study in {place} yet.")
        return None
    try:
        written = build_report(place, out, template=template)
    except Exception as error:  # as above
        log(f"Stopped; the last build failed: {_one_line(error)}")
        return None
    log(f"Stopped; wrote {written} once more, so that it no longer reloads ({_ends(place)}).")
    return written


def _marks(folder: Path) -> Iterator[tuple[str, int, int]]:
    names = [*TABLES]
    if (folder / "stages").is_dir():
        stages = sorted(entry.name for entry in os.scandir(folder / "stages") if entry.is_dir())
        # Of a stage that is done only its result can still change.
        for stage in stages:
            done = (folder / "stages" / stage / "result.json").exists()
            names += [f"stages/{stage}/{name}" for name in (MARKS[:1] if done else MARKS)]
    for name in names:
        try:
            status = (folder / name).stat()
        except OSError:
            continue
        yield name, status.st_size, status.st_mtime_ns


def _plan(folder: Path) -> dict[str, Any]:
    try:
        path = own_file(folder, "plan.json")
        plan = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}


def _ends(folder: Path) -> str:
    """'12 of 84 stages have ended', from the stages' own files."""
    stages = [str(stage["id"]) for stage in _plan(folder).get("stages", []) if isinstance(stage, dict) and "id" in stage]
    ended = sum(any((folder / "stages" / stage / name).exists() for name in MARKS[:2]) for stage in stages)
    return f"{ended} of {len(stages)} stages have ended"


def _once(log: Callable[[str], None], line: str, last: str) -> str:
    """Logs a line unless it is the one that was logged last."""
    if line != last:
        log(line)
    return line


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no reason given"
    return text if isinstance(error, (ReportError, AnalysisError)) else f"{type(error).__name__}: {text}"
