"""The study folder: which stages are done, which failed, and which wait for others."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scaling.grid.settings import Grid
from scaling.plan.plan import Plan, Stage
from scaling.study.lock import Owner, locked
from trials.errors import InputError
from trials.received_files import file_inside
from trials.stage_files import atomic, read_json, read_result, sweep, write_json
from trials.training.checkpoints import list_checkpoints

EARLIER_GRIDS = "earlier_grids"
"""Where grids are kept whose finished runs are not all in the present one."""
_OWN_FILE = re.compile(
    r"grid\.yaml|earlier_grids|plan\.json|stages|columns\.json|(runs|stages)\.(csv|parquet)|running\.json|lease\.json|report(-[\w-]+)?\.html"
)
"""What a launch and the report leave in a study folder."""


@dataclass(frozen=True, kw_only=True)
class PlanState:
    """What a launch would do with a stage, and why."""

    state: str
    """'done', 'failed', 'blocked' or 'missing'."""
    reason: str
    """missing: why it is to run. failed: the error. blocked: the stage that it waits for."""


def resolved(folder: Path, remedy: str) -> Path:
    """The absolute path of a folder that a user named, which need not exist.

    Raises:
        InputError: there can be no folder of that name.
    """
    try:
        found = folder.resolve()
        with contextlib.suppress(FileNotFoundError):
            found.lstat()
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, a link that leads to itself, a NUL
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it leads to itself or is no path"
        raise InputError(f"{str(folder)[:200]} can be no folder ({reason}): {remedy}.") from None
    return found


class Study:
    """One study folder. Its files are the only record of what is done."""

    def __init__(self, folder: Path) -> None:
        self.folder = resolved(folder, "choose another with --out")

    def stage_folder(self, stage_id: str) -> Path:
        """The folder of one stage."""
        return self.folder / "stages" / stage_id

    def is_done(self, stage_id: str) -> bool:
        """Whether the stage has a result."""
        return read_result(self.stage_folder(stage_id)) is not None

    def error(self, stage_id: str) -> str | None:
        """The error of the last attempt; None if it did not fail."""
        values = read_json(self.stage_folder(stage_id) / "error.json")
        return str(values["error"]) if isinstance(values, dict) and "error" in values else None

    def states(self, plan: Plan, failed: Mapping[str, str] | None = None) -> dict[str, PlanState]:
        """The state of every stage of a plan, parents first.

        Args:
            failed: why stages failed in this launch, since a full disk cannot hold their errors.
        """
        done = {name for name in plan.stages if self.is_done(name)}
        wanted = set(plan.wanted(done))
        states: dict[str, PlanState] = {}
        for name, stage in plan.stages.items():
            if name in done:
                states[name] = PlanState(state="done", reason="its result is there")
            elif name not in wanted:
                states[name] = PlanState(state="done", reason="all stages that continue it are done")
            else:
                states[name] = self._state(stage, states, (failed or {}).get(name))
        return states

    def _state(self, stage: Stage, earlier: dict[str, PlanState], failure: str | None) -> PlanState:
        error = failure or self.error(stage.id)
        if error is not None:
            return PlanState(state="failed", reason=error)
        for need in stage.spec.needs:
            if earlier[need].state in ("failed", "blocked"):
                culprit = need if earlier[need].state == "failed" else earlier[need].reason.split()[-1]
                return PlanState(state="blocked", reason=f"waits for {culprit}")
        if list_checkpoints(self.stage_folder(stage.id)):
            return PlanState(state="missing", reason="was cut off; resumes from its checkpoint")
        return PlanState(state="missing", reason="new")

    def check_is_for(self, grid: Grid) -> None:
        """Raise InputError if the folder holds another study, or something else than a study."""
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is a file: choose another folder with --out.")
        if (self.folder / "stages").is_symlink():
            raise InputError(f"{self.folder / 'stages'} is a link, which may lead out of the study: put the folder itself there.")
        plan = read_json(self.folder / "plan.json")
        if not isinstance(plan, dict):
            self._check_is_without_plan(grid)
        elif plan.get("study") != grid.study:
            raise InputError(
                f"{self.folder} holds the study {str(plan.get('study'))[:100]!r}, but the grid is {grid.study!r}: choose another folder with --out, "
                "or give the grid that study's name to extend it."
            )

    def _check_is_without_plan(self, grid: Grid) -> None:
        """A study whose plan was lost has only files that a launch writes, and this grid's name."""
        others = [p.name for p in self.folder.iterdir() if not p.name.startswith(".") and not _OWN_FILE.fullmatch(p.name)]
        if others:
            raise InputError(f"{self.folder} is not empty and holds no study ({others[0][:60]} is there): choose another folder with --out.")
        try:
            text = file_inside(self.folder, "grid.yaml").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        named = re.search(r"^study:[ \t]*['\"]?([^'\"\s#]+)", text, re.MULTILINE)
        if named and named[1] != grid.study:
            raise InputError(f"{self.folder} holds the study {named[1][:100]!r}, but the grid is {grid.study!r}: choose another folder with --out.")

    def write_plan(self, grid: Grid, plan: Plan) -> None:
        """Write grid.yaml, plan.json and the spec of every stage."""
        with atomic(self.folder / "grid.yaml") as handle:
            handle.write(grid.text.encode())
        write_json(self.folder / "plan.json", plan.to_dict())
        for stage in plan.stages.values():
            folder = self.stage_folder(stage.id)
            if folder.is_symlink():
                raise InputError(f"{folder} is a link, which may lead out of the study: put the folder itself there, or delete the link.")
            if self.is_done(stage.id):
                continue
            text = json.dumps(stage.spec.to_dict(), indent=1, allow_nan=False) + "\n"
            if folder.exists():
                sweep(folder)
                with contextlib.suppress(OSError, ValueError):
                    if file_inside(folder, "spec.json").read_text() == text:
                        continue
                (folder / "spec.json").unlink(missing_ok=True)  # it may be a link, which must not be written through
            # not synced to disk, which takes a minute for ten thousand files; the stage writes it
            # again when it starts
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "spec.json").write_text(text)

    @contextlib.contextmanager
    def locked(self) -> Iterator[Owner]:
        """Hold the lock that lets only one launch work on the study; yields its owner.

        Raises:
            InputError: another launch holds it, or the folder cannot be written.
        """
        with locked(self.folder) as owner:
            yield owner
