"""Finds finished runs of a study that its grid no longer contains, and keeps the earlier grids."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from scaling.grid.settings import Grid
from scaling.plan.plan import Plan
from scaling.study.folder import EARLIER_GRIDS, Study
from trials.errors import InputError
from trials.received_files import file_inside
from trials.stage_files import atomic

KIND: Final = "finetune-"
"""A run is a finished stage whose id begins with this."""


def runs_outside(study: Study, plan: Plan) -> list[str]:
    """The finished runs in the study's folder that a plan has not, by id."""
    try:
        there = sorted(path.name for path in (study.folder / "stages").iterdir() if path.name.startswith(KIND) and path.name not in plan.stages)
    except OSError:
        return []  # nothing was launched yet
    return [name for name in there if study.is_done(name)]


def left_out_sentence(outside: list[str], *, planned: bool = False) -> str:
    """One line that says how many finished runs the tables leave out, for a launch or a plan."""
    one = len(outside) == 1
    text = (
        f"{len(outside):,} finished {'run' if one else 'runs'} of earlier launches {'is' if one else 'are'} not part of this grid: "
        f"{'it stays' if one else 'they stay'} on disk, and tables and report leave {'it' if one else 'them'} out. To have {'it' if one else 'them'} "
        f"there too add {'its' if one else 'their'} values to the grid; to keep both apart give this grid another name as `study`"
    )
    return text + ("." if planned else f"; to see the earlier table again launch its grid, which is in {EARLIER_GRIDS}/.")


def keep_earlier_grid(study: Study, grid: Grid) -> Path | None:
    """Copy the grid that was launched last to where earlier ones are kept, and return where; None if
    it is this one, or there is none.
    """
    try:
        before = file_inside(study.folder, "grid.yaml").read_bytes()
    except OSError:
        return None
    if before == grid.text.encode():
        return None
    folder = study.folder / EARLIER_GRIDS
    if folder.is_symlink():
        raise InputError(f"{folder} is a link, which may lead out of the study: put the folder itself there, or delete the link.")
    folder.mkdir(exist_ok=True)
    kept = folder / f"{hashlib.sha256(before).hexdigest()[:12]}.yaml"
    if not kept.exists():
        with atomic(kept) as handle:
            handle.write(before)
    return kept
