"""Joins a Ray cluster, and checks that each of its machines can run the stages of a launch."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from scaling.cluster.machine import Machine, Node
from scaling.cluster.node_checks import PACKAGES, Expected, answer_path, expected_here, faults, package_folder, put_token
from scaling.cluster.ray_token import protect_token
from scaling.plan.budget import budget
from trials.data.store import store_folder
from trials.errors import InputError

if TYPE_CHECKING:
    from scaling.launch_context import LaunchContext

ANSWER_S = 10.0  # for an address to accept a connection
CHECK_S = 180.0  # for every node to answer: importing torch from a cold network file system takes a minute
SEEN_S = 20.0  # for a file that a node wrote to become visible here


@dataclass(frozen=True, kw_only=True)
class ClusterNode:
    """One machine of a cluster."""

    id: str
    """Ray's id."""
    name: str
    """Its host name and address, for messages."""
    cpus: int
    gpus: float


@contextlib.contextmanager
def joined(address: str) -> Iterator[Machine]:
    """Connect to the cluster at an address; yields what it offers.

    Raises:
        InputError: there is none, or it cannot be used from here.
    """
    try:
        join(address)
        yield cluster_machine(cluster_nodes())
    finally:
        ray.shutdown()


def join(address: str) -> Any:
    """Connect to the Ray at an address and send it the packages' code; returns Ray's context.

    Does nothing where Ray is connected already.

    Raises:
        InputError: there is none, or it cannot be used from here.
    """
    protect_token(create=False)
    code = {"py_modules": [str(package_folder(name)) for name in PACKAGES], "excludes": ["**/__pycache__/**"]}
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()  # Ray would retry for minutes
        return ray.init(
            address=address, runtime_env=code, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True, ignore_reinit_error=True
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InputError(
            f"No Ray can be joined at {address} ({(lines or [type(error).__name__])[0].removesuffix('.')}): start it on this machine with "
            "`ray start --head`, or with `ray start --address=HOST:PORT` to join the others; if it wants a token, set RAY_AUTH_MODE=token here too."
        ) from None


def cluster_nodes() -> list[ClusterNode]:
    """The machines of the cluster that are alive."""
    found: list[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]
    return [
        ClusterNode(
            id=node["NodeID"],
            name=f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}:{node['NodeManagerPort']})",
            cpus=int(node["Resources"].get("CPU", 0)),
            gpus=node["Resources"].get("GPU", 0.0),
        )
        for node in found
    ]


def cluster_machine(found: Iterable[ClusterNode]) -> Machine:
    """The machines of a cluster as one; each process of a stage must fit on one of them."""
    nodes = tuple(Node(cpus=member.cpus, gpus=member.gpus) for member in found)
    return Machine(cpus=sum(node.cpus for node in nodes), gpus=int(sum(node.gpus for node in nodes)), name="the cluster", nodes=nodes)


def check_nodes(context: LaunchContext, *, stores_exist: bool) -> Expected:
    """Let every node check that it has what the plan needs; returns what later nodes must have.

    Args:
        stores_exist: whether the image stores have been made, so that nodes can check them too.

    Raises:
        InputError: a line for each fault of each node.
    """
    stores: set[Path] = set()
    if stores_exist:
        for stage in context.plan.stages.values():
            data = stage.spec.data
            stores |= {
                store_folder(context.store, data.source, split, data.stored_px, data.storage) for split in (data.train_split, data.heldout_split)
            }
    written = sum(path.stat().st_size for path in context.study.folder.glob("stages/*/checkpoint/*") if path.is_file())
    needed = budget(context.plan, context.study.folder, context.granted, context.grid.execution.keep).kept_bytes
    with context.console.status("checking every node"):
        return preflight(
            None if context.remote else context.study.folder,
            remote=context.remote,
            free_bytes=max(0, needed - written),
            stores=sorted(stores),
            gpus=any(one.gpus > 0 for one in context.granted.values()),
        )


def preflight(
    folder: Path | None, *, remote: str = "", free_bytes: int = 0, stores: Iterable[Path] = (), gpus: bool = False, limit_s: float = CHECK_S
) -> Expected:
    """Let every node check that it has what the stages need; returns what later nodes must have.

    Every node must pass, since Ray may place a stage on any of them.

    Args:
        folder: the study folder, which must be shared; None if the study is in a remote store.
        remote: address of that store.
        free_bytes: disk space that the study still needs.
        stores: the image stores that the plan reads.
        gpus: whether a stage asks for a GPU.
        limit_s: seconds in which every node must answer.

    Raises:
        InputError: a line for each fault of each node.
    """
    token = "" if folder is None else put_token(folder)
    expected = expected_here(folder, remote=remote, token=token, free_bytes=free_bytes, stores=stores, gpus=gpus)
    found = _ask(cluster_nodes(), expected, folder, limit_s)
    if found:
        raise InputError("\n".join(found))
    return expected.lasting


def _ask(nodes: list[ClusterNode], expected: Expected, folder: Path | None, limit_s: float) -> list[str]:
    task: Any = ray.remote(num_cpus=0, max_retries=0)(faults)
    asked: dict[Any, ClusterNode] = {}
    for node in nodes:
        pinned = task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False))
        asked[pinned.remote(expected, node=node.id, node_gpus=node.gpus)] = node
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=limit_s)
    found: list[str] = []
    for reference, node in asked.items():
        if reference not in answered:
            found.append(f"{node.name}: no answer within {limit_s:.0f} s: check its raylet, or take the node out of the cluster with `ray stop`.")
            ray.cancel(reference, force=True)
            continue
        try:
            faults_there: list[str] = ray.get(reference)
        except Exception as error:  # anything that keeps a task from running there
            faults_there = [] if _is_gone(node, error) else [_why_not(error)]
            if not faults_there:
                continue
        if not faults_there and folder is not None and not _seen(answer_path(folder, expected.token, node.id)):
            faults_there = [f"what it writes into the study folder {folder} is not visible here: give --out a folder that all nodes share."]
        found += [f"{node.name}: {sentence}" for sentence in faults_there]
    return found


def _is_gone(node: ClusterNode, error: Exception) -> bool:
    """Whether the machine itself was lost meanwhile, which Ray notices after a while.

    Ray places nothing on a lost machine, so its answer is not needed.
    """
    deadline = time.monotonic() + (0.0 if isinstance(error, RayTaskError) else SEEN_S)
    while node.id in {member.id for member in cluster_nodes()}:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.5)
    return True


def _seen(path: Path) -> bool:
    deadline = time.monotonic() + SEEN_S
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        os.listdir(path.parent)  # makes a network file system look again
        time.sleep(0.2)
    return True


def _why_not(error: Exception) -> str:
    text = str(error)
    missing = text.rpartition("No module named ")[2].split()[0] if "No module named " in text else ""
    if missing:
        return f"{missing} is not installed: install the same environment on every node."
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"nothing can be run there ({(lines or [type(error).__name__])[-1][:300].removesuffix('.')}): check its raylet's log, or take it out."
