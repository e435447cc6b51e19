"""A Ray cluster: joining it, what its machines offer, and whether each of them can run what the
launch is about to start.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from scaling.cluster.machine import Machine, Node
from scaling.cluster.node_checks import PACKAGES, Expected, answer_path, expected_here, faults, package_folder, put_token
from trials.errors import InputError

CHECK_S = 180.0  # in which every node must have answered: a first import of torch from a cold network file system takes a minute
SEEN_S = 20.0  # in which what a node wrote must be seen here


@dataclass(frozen=True, kw_only=True)
class Member:
    """One machine of a cluster."""

    id: str
    """Ray's id."""
    name: str
    """For messages: its host name and address."""
    cpus: int
    gpus: float


@contextlib.contextmanager
def joined(address: str) -> Iterator[Machine]:
    """Connected to the cluster at that address; yields what it offers. Raises InputError: there is
    none, or it cannot be used from here.
    """
    try:
        join(address)
        yield cluster_machine(members())
    finally:
        ray.shutdown()


ANSWER_S = 10.0


def join(address: str) -> Any:
    """Connect to the Ray at that address, unless that is done; returns Ray's context. The packages'
    code goes with the launch to every node.

    Raises:
        InputError: there is none, or it cannot be used from here.
    """
    code = {"py_modules": [str(package_folder(name)) for name in PACKAGES], "excludes": ["**/__pycache__/**"]}
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()  # Ray would ask for minutes
        return ray.init(
            address=address, runtime_env=code, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True, ignore_reinit_error=True
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InputError(
            f"No Ray can be joined at {address} ({(lines or [type(error).__name__])[0].removesuffix('.')}): start it on this machine with "
            "`ray start --head`, or with `ray start --address=HOST:PORT` to join the others; if it wants a token, set RAY_AUTH_MODE=token here too."
        ) from None


def members() -> list[Member]:
    """The machines of the cluster that are alive."""
    found: list[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]
    return [
        Member(
            id=node["NodeID"],
            name=f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}:{node['NodeManagerPort']})",
            cpus=int(node["Resources"].get("CPU", 0)),
            gpus=node["Resources"].get("GPU", 0.0),
        )
        for node in found
    ]


def cluster_machine(found: Iterable[Member]) -> Machine:
    """What the machines of a cluster offer together; a process of a stage must fit into one of
    them.
    """
    nodes = tuple(Node(cpus=member.cpus, gpus=member.gpus) for member in found)
    return Machine(cpus=sum(node.cpus for node in nodes), gpus=int(sum(node.gpus for node in nodes)), name="the cluster", nodes=nodes)


def preflight(
    folder: Path | None, *, remote: str = "", free_bytes: int = 0, stores: Iterable[Path] = (), gpus: bool = False, limit_s: float = CHECK_S
) -> Expected:
    """Let every node look whether it has what the stages need; returns what to ask of nodes that
    join later.

    Every node must pass: Ray may place a stage on any of them.

    Args:
        folder: the study folder, which must be shared; None where `remote` is the store that stages
            are kept in.
        free_bytes: room that the study still takes. stores: the image stores that the plan reads.
            gpus: whether a stage asks for one.

    Raises:
        InputError: a line for each fault of each node.
    """
    token = "" if folder is None else put_token(folder)
    expected = expected_here(folder, remote=remote, token=token, free_bytes=free_bytes, stores=stores, gpus=gpus)
    found = _ask(members(), expected, folder, limit_s)
    if found:
        raise InputError("\n".join(found))
    return expected.lasting


def _ask(nodes: list[Member], expected: Expected, folder: Path | None, limit_s: float) -> list[str]:
    task: Any = ray.remote(num_cpus=0, max_retries=0)(faults)
    asked: dict[Any, Member] = {}
    for node in nodes:
        pinned = task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False))
        asked[pinned.remote(expected, node=node.id, node_gpus=node.gpus)] = node
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=limit_s)
    found: list[str] = []
    for reference, node in asked.items():
        if reference not in answered:
            found.append(f"{node.name}: no answer within {limit_s:.0f} s: look at its raylet, or take the node out of the cluster with `ray stop`.")
            ray.cancel(reference, force=True)
            continue
        try:
            said: list[str] = ray.get(reference)
        except Exception as error:  # whatever keeps a task from running there
            said = [] if _is_gone(node, error) else [_why_not(error)]
            if not said:
                continue
        if not said and folder is not None and not _seen(answer_path(folder, expected.token, node.id)):
            said = [f"what it writes into the study folder {folder} is not seen here: give --out a folder that all nodes share."]
        found += [f"{node.name}: {sentence}" for sentence in said]
    return found


def _is_gone(node: Member, error: Exception) -> bool:
    """Whether the machine itself was lost meanwhile, which takes Ray a while to notice: nothing is
    going to be placed there.
    """
    deadline = time.monotonic() + (0.0 if isinstance(error, RayTaskError) else SEEN_S)
    while node.id in {member.id for member in members()}:
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
    return f"nothing can be run there ({(lines or [type(error).__name__])[-1][:300].removesuffix('.')}): look at its raylet's log, or take it out."
