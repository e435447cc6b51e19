"""Which checkpoints are deleted once nothing needs them, and which stages must be trained again
because a grown grid needs their weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable
from typing import Any, Protocol

from scaling.plan.plan import Plan
from scaling.study.folder import Study
from trials.stage_files import STATE, WEIGHTS

SET_ASIDE = "result.before.json"  # the result of a stage that is trained again for its weights; the tables use it meanwhile


KINDS_DELETED: dict[str, tuple[str, ...]] = {
    "everything": (),
    "weights": ("trunk",),
    "results": ("trunk", "pretrain", "intermediate", "finetune"),
}
"""By a grid's `keep`: the kinds of stage whose checkpoints are deleted once nothing needs them."""


def deletable(plan: Plan, done: Collection[str], keep: str) -> list[str]:
    """Finished stages whose checkpoints may be deleted: nothing in the plan needs them any more."""
    kinds, finished = KINDS_DELETED[keep], set(done)
    return [name for name, stage in plan.stages.items() if stage.spec.kind in kinds and name in finished and finished.issuperset(plan.children[name])]


class CheckpointStorage(Protocol):
    """Where the checkpoints of a study's stages are stored."""

    def has_weights(self, name: str) -> bool:
        """Whether a finished stage's weights exist. Raises OSError."""

    def drop(self, name: str, *, with_result: bool) -> None:
        """Delete the checkpoint. Raises OSError.

        With `with_result` the result is deleted first, so that no result lacks its checkpoint.
        """

    def set_aside(self, name: str) -> None:
        """Make a stage count as not done; its metrics stay readable. Raises OSError."""


class FolderStorage:
    """Checkpoints in the study folder."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def has_weights(self, name: str) -> bool:
        """See `CheckpointStorage`."""
        return (self._study.stage_folder(name) / WEIGHTS).exists()

    def drop(self, name: str, *, with_result: bool) -> None:
        """See `CheckpointStorage`."""
        folder = self._study.stage_folder(name)
        for part in ("result.json", WEIGHTS, STATE) if with_result else (WEIGHTS, STATE):
            (folder / part).unlink(missing_ok=True)

    def set_aside(self, name: str) -> None:
        """See `CheckpointStorage`."""
        folder = self._study.stage_folder(name)
        (folder / "result.json").replace(folder / SET_ASIDE)


def delete_checkpoints(storage: CheckpointStorage, plan: Plan, names: Iterable[str]) -> None:
    """Delete the checkpoints of these stages.

    A trunk without its state is no longer done: it is trained again if a longer pre-training needs
    it.
    """
    for name in names:
        storage.drop(name, with_result=plan.stages[name].spec.kind == "trunk")


def missing_weights(storage: CheckpointStorage, plan: Plan, done: Collection[str]) -> list[str]:
    """Finished stages whose weights were deleted, but which an unfinished stage starts from.

    Parents come first.
    """
    missing = []
    wanted = set(plan.wanted(done))
    for name in reversed(plan.stages):
        needed = any(child in wanted and plan.stages[child].spec.parent == name for child in plan.children[name])
        if name in done and needed and not storage.has_weights(name):
            missing.append(name)
            wanted.add(name)  # and its own parent's weights, in turn
    return missing[::-1]


class CheckpointCleanup:
    """A watcher that deletes checkpoints as soon as nothing needs them any more."""

    def __init__(self, plan: Plan, study: Study, keep: str, storage: CheckpointStorage | None = None) -> None:
        self._plan, self._keep, self._storage = plan, keep, storage or FolderStorage(study)
        self._done = {name for name in plan.stages if study.is_done(name)}
        # stages of earlier launches, whose grid kept more or still needed them
        self._delete(deletable(plan, self._done, keep))

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None:
        """Does nothing: only ended stages matter here."""

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None:
        """Does nothing: only ended stages matter here."""

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        """A stage ended: delete its checkpoint and those that it needed, where possible."""
        if reason is None:
            self._done.add(name)
            kinds = KINDS_DELETED[self._keep]
            near = [one for one in (name, *self._plan.stages[name].spec.needs) if self._plan.stages[one].spec.kind in kinds]
            self._delete([one for one in near if one in self._done and self._done.issuperset(self._plan.children[one])])

    def _delete(self, names: list[str]) -> None:
        with contextlib.suppress(OSError):  # the next launch tries again
            delete_checkpoints(self._storage, self._plan, names)
