"""The state of every stage of a study, and of its launch, read from files; needs no Ray or torch.

Listing a stage's folder is mostly enough: no file of a waiting stage is opened.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.study.lock import read_owner
from trials.received_files import MOST_BYTES, PlanError, RefusedFileError, check_stage_ids, file_inside

STATES = ("done", "running", "retrying", "cut off", "waiting", "failed", "blocked")
RECENT = 40  # finished stages of a kind from which its speed is estimated
FRESH_S = 60.0  # without file locks: a stage runs if its metrics are at most this old
_TAIL_BYTES = 8192
_MOST_LOG_BYTES = 1 << 40  # only the end is read
_RETRYING = "; the next is in "  # in the last line of log.txt while a stage waits for its next attempt

_COUNTERS = frozenset({"step", "steps", "image_passes", "learning_rate", "images_per_s"})
"""What a line of metrics.jsonl holds besides losses and scores."""


@dataclass(frozen=True, kw_only=True)
class StageState:
    """The state of one stage."""

    stage_id: str
    kind: str
    image_passes: int
    """Image passes of the stage itself, without those of its trunk."""
    state: str
    """One of `STATES`. A trunk that nothing needs any more counts as done."""
    detail: str = ""
    """`failed` and `retrying`: the error. `blocked`: the stage that failed. `running`: why it is not
    certain that it runs, if it is not.
    """
    latest: dict[str, Any] = field(default_factory=dict)
    """`running`: the newest of each value in its metrics: step, images_per_s, losses; else empty."""
    shown: int = 0
    """`running`: the image passes done so far by the stage itself, from its metrics."""
    attempts: int = 0
    """`running`, `retrying` and `failed`: how many times it was started; 0 if unknown."""


def no_plan(place: str, why: str = "") -> str:
    """The message about a folder without a plan."""
    return f"{place} holds no plan.json that can be read{f' ({why})' if why else ''}: name a folder that a launch wrote, such as runs/quickstart."


def refusal_of(error: Exception) -> str:
    """Why a plan is refused though it is there and is JSON; '' for any other error."""
    return str(error) if isinstance(error, (RefusedFileError, PlanError)) else ""


def stage_states(folder: Path) -> list[StageState]:
    """The state of every stage of the plan; what a stage needs comes before it.

    Raises:
        FileNotFoundError, ValueError, KeyError, TypeError: there is no plan that can be read.
    """
    plan = json.loads(file_inside(folder, "plan.json").read_text(encoding="utf-8"))
    check_stage_ids(plan)
    if (folder / "stages").is_symlink():
        raise RefusedFileError("its stages/ is a link, which may lead out of the study, so it is not read")
    stages = {stage["id"]: stage for stage in plan["stages"]}
    place = f"{folder}/stages"  # no Path for each of ten thousand
    files = {name: _files(f"{place}/{name}") for name in stages}
    done = {name for name in stages if "result.json" in files[name] and _json(f"{place}/{name}/result.json").get("id") == name}
    wanted = _wanted(stages, done)
    remote = _json(folder / "running.json") if _age_s(folder / "running.json") < FRESH_S else {}
    elsewhere = _json(folder / ".lock").get("host", platform.node()) != platform.node()
    found: dict[str, StageState] = {}
    for name, stage in stages.items():
        kept: dict[str, Any] = {"stage_id": name, "kind": stage["kind"], "image_passes": int(stage["image_passes"])}
        if name not in wanted:
            found[name] = StageState(state="done", **kept)
        elif name in remote:  # a launch trains it in a remote store
            latest = remote[name].get("latest", {})
            found[name] = StageState(state="running", latest=latest, shown=_shown(stage, latest), attempts=remote[name].get("attempts", 0), **kept)
        else:
            needs = [found[need] for need in (stage["parent"], stage.get("trunk")) if need in found]
            found[name] = _look(folder / "stages" / name, files[name], needs, stage, kept, elsewhere)
    return list(found.values())


@dataclass(frozen=True, kw_only=True)
class LaunchState:
    """The launch that works on a study."""

    host: str
    pid: int
    since: str
    """When it started, in UTC, ISO 8601."""
    certain: bool
    """Whether its lock is held, as seen from this machine; else it may have been killed."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def launch_state(folder: Path) -> LaunchState | None:
    """The launch that works on the study, from its preparation to its end; None if there is none.

    A launch locks the study folder and writes into the lock file who it is. If this machine cannot
    see the lock, what is written there counts, and in the copy of a remote study the launch's lease.
    """
    held = is_locked(folder / ".lock")
    owner = read_owner(folder / ".lock")
    if owner is not None and not held and owner.is_alive() is False:
        owner = None  # a launch of this machine that was killed
    if owner is None and _age_s(folder / "lease.json") < FRESH_S:
        owner = read_owner(folder / "lease.json")
    if owner is None:
        return None
    return LaunchState(host=owner.host, pid=owner.pid, since=owner.since, certain=bool(held))


def _wanted(stages: dict[str, dict[str, Any]], done: set[str]) -> set[str]:
    """Stages still to be run: a trunk only if a stage that continues it is.

    As `scaling.plan.plan.Plan.wanted`, which needs torch.
    """
    wanted: set[str] = set()
    awaited: set[str] = set()
    for name in reversed(stages):
        stage = stages[name]
        if name not in done and (stage["kind"] != "trunk" or name in awaited):
            wanted.add(name)
            awaited |= {stage["parent"], stage.get("trunk")} - {None}
    return wanted


def _look(folder: Path, files: set[str], needs: Iterable[StageState], stage: dict[str, Any], kept: dict[str, Any], elsewhere: bool) -> StageState:
    if ".lock" in files:
        held = is_locked(folder / ".lock")
        age_s = _age_s(folder / "metrics.jsonl") if held is None or (elsewhere and not held) else float("inf")
        if held or (age_s < FRESH_S and "error.json" not in files):
            doubt = "" if held else f"its lock is not visible from here; its metrics are {max(0.0, age_s):.0f} s old"
            latest = last_values(folder / "metrics.jsonl")
            return StageState(state="running", detail=doubt, latest=latest, shown=_shown(stage, latest), attempts=_attempts(folder), **kept)
        last = _last_line(folder / "log.txt") if "log.txt" in files else ""
        if _RETRYING in last:
            return StageState(state="retrying", detail=last.partition("(")[2].rpartition(")")[0], attempts=_attempts(folder), **kept)
    if "error.json" in files and (error := _json(folder / "error.json").get("error")) is not None:
        return StageState(state="failed", detail=str(error), attempts=_attempts(folder), **kept)
    for need in needs:
        if need.state in ("failed", "blocked"):
            return StageState(state="blocked", detail=need.stage_id if need.state == "failed" else need.detail, **kept)
    if "checkpoint" in files and any(name.startswith("state") for name in _files(folder / "checkpoint")):
        return StageState(state="cut off", **kept)
    return StageState(state="waiting", **kept)


def _files(folder: Path | str) -> set[str]:
    try:
        return set() if os.path.islink(folder) else set(os.listdir(folder))  # a link may lead out of the study
    except OSError:
        return set()  # not started


def _json(path: Path | str) -> dict[str, Any]:
    """What a file holds; nothing where it is a link, no regular file or too large."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # quicker than `file_inside`: there may be ten thousand
        with open(opened, "rb", buffering=0) as handle:
            status = os.fstat(opened)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
                return {}
            value = json.loads(handle.read())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def is_locked(path: Path) -> bool | None:
    """Whether a process holds this lock, as it does for as long as it works; None where the file
    system has no locks.

    The test takes a shared lock for a moment, which disturbs nobody.
    """
    try:
        with open(file_inside(path.parent, path.name), "rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, RefusedFileError):
        return False
    except OSError:
        return None
    return False


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")


def _attempts(folder: Path) -> int:
    return int(_json(folder / "provenance.json").get("attempts", 0))


def _shown(stage: dict[str, Any], latest: dict[str, Any]) -> int:
    """Image passes done by the stage itself; those in its metrics include its trunk's."""
    spec = stage.get("spec", {})
    whole = spec["steps"] * spec["recipe"]["batch_images"] if "steps" in spec and "recipe" in spec else stage["image_passes"]
    return max(0, int(latest.get("image_passes", 0)) - (whole - int(stage["image_passes"])))


def _tail(path: Path) -> list[str]:
    try:
        with open(file_inside(path.parent, path.name, most_bytes=_MOST_LOG_BYTES), "rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - _TAIL_BYTES))
            return handle.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _last_line(path: Path) -> str:
    lines = _tail(path)
    return lines[-1] if lines else ""


def last_values(path: Path) -> dict[str, Any]:
    """The newest of each value near the end of a JSON-lines file."""
    joined: dict[str, Any] = {}
    for line in _tail(path):  # the first may be incomplete because of the seek, the last because it is being written
        try:
            joined |= json.loads(line)
        except (ValueError, TypeError):
            continue
    return joined


def seconds_left(folder: Path, stages: list[StageState]) -> float | None:
    """Seconds until the last stage is done, at the speed of finished stages of the same kind and with
    as many stages at once as now; None if unknown.
    """
    found = left_range_s(folder, stages)
    return None if found is None else found[1]


def left_range_s(folder: Path, stages: list[StageState]) -> tuple[float, float, float] | None:
    """The same as least, middle and most seconds: at the fastest tenth of the speeds, the median and
    the slowest tenth, wider with few stages; None if unknown.
    """
    left_s = [0.0, 0.0, 0.0]
    rates: dict[str, tuple[float, float, float] | None] = {}
    for stage in stages:
        if stage.state in ("done", "failed", "blocked"):
            continue
        if stage.kind not in rates:
            rates[stage.kind] = _rates(folder, [one for one in stages if one.kind == stage.kind])
        known = rates[stage.kind]
        if known is None:  # then the stage itself has reported no speed either
            return None
        fastest, middle, slowest = known
        own = float(stage.latest.get("images_per_s") or 0.0)
        each = (max(fastest, own), own, min(slowest, own)) if own else (fastest, middle, slowest)
        left_s = [left + (stage.image_passes - stage.shown) / rate for left, rate in zip(left_s, each, strict=True)]
    at_once = max(1, sum(stage.state == "running" for stage in stages))
    return left_s[0] / at_once, left_s[1] / at_once, left_s[2] / at_once


def _rates(folder: Path, stages: list[StageState]) -> tuple[float, float, float] | None:
    """Images per second of recently finished and of running stages: the fastest tenth, the median and
    the slowest tenth; None without any.
    """
    done = [stage for stage in stages if stage.state == "done"][-RECENT:]
    rates = [_json(folder / "stages" / stage.stage_id / "provenance.json").get("images_per_s") for stage in done]
    rates += [stage.latest.get("images_per_s") for stage in stages if stage.state == "running"]
    known = sorted(rate for rate in rates if rate)
    if not known:
        return None
    widen = 1 + 1 / (2 * len(known))
    return known[-1 - len(known) // 10] * widen, known[len(known) // 2], known[len(known) // 10] / widen


def newest_measures(line: Mapping[str, Any]) -> dict[str, float]:
    """The losses and scores in a line of metrics.jsonl, held-out ones before those of training."""
    values = {name: value for name, value in line.items() if name not in _COUNTERS and isinstance(value, int | float)}
    return dict(sorted(values.items(), key=lambda item: item[0].startswith("train_")))
