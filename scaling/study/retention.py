"""Which checkpoints may go once what needs them is done, and which must be made anew because a grid
has grown.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable
from typing import Any, Protocol

from scaling.plan.plan import Plan
from scaling.study.folder import Study
from trials.stage_files import STATE, WEIGHTS

SET_ASIDE = "result.before.json"  # of a stage that is trained again for its weights; its numbers stay in the tables meanwhile


KINDS_LET_GO: dict[str, tuple[str, ...]] = {
    "everything": (),
    "weights": ("trunk",),
    "results": ("trunk", "pretrain", "intermediate", "finetune"),
}
"""By a grid's `keep`, the kinds of stage whose checkpoints go once nothing needs them."""


def may_go(plan: Plan, done: Collection[str], keep: str) -> list[str]:
    """Finished stages whose checkpoint nothing in the plan needs any more, by the grid's `keep`."""
    kinds, finished = KINDS_LET_GO[keep], set(done)
    return [name for name, stage in plan.stages.items() if stage.spec.kind in kinds and name in finished and finished.issuperset(plan.children[name])]


class Shelf(Protocol):
    """Where the checkpoints of a study's stages lie."""

    def has_weights(self, name: str) -> bool:
        """Whether a finished stage's weights are there. Raises OSError."""

    def drop(self, name: str, *, with_result: bool) -> None:
        """Delete the checkpoint; and before it the result, so that a result without what it
        promises is never seen. Raises OSError.
        """

    def set_aside(self, name: str) -> None:
        """Let a stage count as not done; what it measured stays readable until it is done again.
        Raises OSError.
        """


class FolderShelf:
    """Checkpoints in the study folder."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def has_weights(self, name: str) -> bool:
        """As `Shelf` says."""
        return (self._study.stage_folder(name) / WEIGHTS).exists()

    def drop(self, name: str, *, with_result: bool) -> None:
        """As `Shelf` says."""
        folder = self._study.stage_folder(name)
        for part in ("result.json", WEIGHTS, STATE) if with_result else (WEIGHTS, STATE):
            (folder / part).unlink(missing_ok=True)

    def set_aside(self, name: str) -> None:
        """As `Shelf` says."""
        folder = self._study.stage_folder(name)
        (folder / "result.json").replace(folder / SET_ASIDE)


def let_go(shelf: Shelf, plan: Plan, names: Iterable[str]) -> None:
    """Delete the checkpoints of these stages.

    A trunk without its state is no longer done: it is trained again if a longer pre-training asks
    for it.
    """
    for name in names:
        shelf.drop(name, with_result=plan.stages[name].spec.kind == "trunk")


def to_be_made_anew(shelf: Shelf, plan: Plan, done: Collection[str]) -> list[str]:
    """Finished stages whose weights were let go, though a stage that is still wanted starts from
    them; parents first.
    """
    missing = []
    wanted = set(plan.wanted(done))
    for name in reversed(plan.stages):
        needed = any(child in wanted and plan.stages[child].spec.parent == name for child in plan.children[name])
        if name in done and needed and not shelf.has_weights(name):
            missing.append(name)
            wanted.add(name)  # and its own parent's weights, in turn
    return missing[::-1]


class LetGo:
    """Told by the scheduler of every stage that ended: lets the checkpoints go that nothing needs
    any more.
    """

    def __init__(self, plan: Plan, study: Study, keep: str, shelf: Shelf | None = None) -> None:
        self._plan, self._keep, self._shelf = plan, keep, shelf or FolderShelf(study)
        self._done = {name for name in plan.stages if study.is_done(name)}
        # what was done before this launch, by an earlier grid that kept more or needed it still
        self._let_go(may_go(plan, self._done, keep))

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None:
        """Nothing."""

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None:
        """Nothing."""

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        """A stage ended: it and what it needed may be able to go."""
        if reason is None:
            self._done.add(name)
            kinds = KINDS_LET_GO[self._keep]
            near = [one for one in (name, *self._plan.stages[name].spec.needs) if self._plan.stages[one].spec.kind in kinds]
            self._let_go([one for one in near if one in self._done and self._done.issuperset(self._plan.children[one])])

    def _let_go(self, names: list[str]) -> None:
        with contextlib.suppress(OSError):  # what cannot be deleted now is deleted by the next launch
            let_go(self._shelf, self._plan, names)
