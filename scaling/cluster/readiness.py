"""What a study asks of every node of a cluster, looked at before it starts."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from scaling.cluster.join import preflight
from scaling.cluster.machine import Granted
from scaling.cluster.node_checks import Expected
from scaling.plan.budget import budget
from scaling.plan.plan import Plan
from scaling.study.folder import Study
from trials.data.store import store_folder


def look_at_nodes(plan: Plan, study: Study, granted: dict[str, Granted], keep: str, store: Path | None, remote: str, console: Console) -> Expected:
    """Let every node look whether it has what the plan needs; returns what nodes that join later
    must have.

    Args:
        store: root of the image stores; None while they are still to be made. remote: address of
            the store that the study lies in; else ''.

    Raises:
        InputError: a line for each fault of each node.
    """
    held = sum(path.stat().st_size for path in study.folder.glob("stages/*/checkpoint/*") if path.is_file())
    stores: set[Path] = set()
    if store is not None:
        for stage in plan.stages.values():
            data = stage.spec.data
            stores |= {store_folder(store, data.source, split, data.image_px) for split in (data.train_split, data.heldout_split)}
    with console.status("looking at every node"):
        return preflight(
            None if remote else study.folder,
            remote=remote,
            free_bytes=max(0, budget(plan, study.folder, granted, keep).kept_bytes - held),
            stores=sorted(stores),
            gpus=any(one.gpus > 0 for one in granted.values()),
        )
