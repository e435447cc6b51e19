"""Checks that run on a machine of a cluster: whether it has all that stages need."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib import metadata, util
from pathlib import Path

from scaling.cluster.address import without_secrets
from scaling.formatting import size
from trials.errors import InputError
from trials.stage_files import atomic

PACKAGES = ("scaling", "trials")  # their code runs on the nodes; a launch sends its own copy
DECISIVE = ("torch", "torchvision")  # their versions can change numbers; builds for CPU and for CUDA may be mixed
GPU_S = 120.0  # importing torch from a cold network file system is slow
_TOKENS = ".preflight"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the launching machine has and every other machine must have."""

    code: str
    """Digest of the source files of both packages."""
    python: str
    """As in '3.11'."""
    versions: dict[str, str]
    folder: str
    """The study folder; empty where stages are kept in a remote store."""
    remote: str = ""
    """Address of the remote store, if the study is in one."""
    token: str = ""
    """What the launching machine wrote into the study folder."""
    free_bytes: int = 0
    """Free space that the disk of the study folder must have."""
    stores: dict[str, str] = field(default_factory=dict)
    """Folder of each image store that the plan reads: digest of its manifest."""
    gpus: bool = False
    """Whether any stage asks for a GPU."""

    @property
    def lasting(self) -> Expected:
        """What a machine that joins later must have: by then part of the study has been written."""
        return replace(self, free_bytes=0)


def expected_here(
    folder: Path | None, *, remote: str = "", token: str = "", free_bytes: int = 0, stores: Iterable[Path] = (), gpus: bool = False
) -> Expected:
    """What this machine has."""
    return Expected(
        code=code_digest(),
        python=_python(),
        versions={name: version for name in DECISIVE if (version := _version(name))},
        folder=str(folder or ""),
        remote=remote,
        token=token,
        free_bytes=free_bytes,
        stores={str(store): manifest_digest(store) for store in stores},
        gpus=gpus,
    )


def code_digest() -> str:
    """SHA-256 of all source files of the packages that run on the nodes, names and contents."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        root = package_folder(package)
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{package}/{path.relative_to(root).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def package_folder(name: str) -> Path:
    """The folder of a package."""
    spec = util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def manifest_digest(store: Path) -> str:
    """SHA-256 of a store's manifest, which holds the checksum of its pixels; empty if it has none."""
    try:
        return hashlib.sha256((store / "manifest.json").read_bytes()).hexdigest()
    except OSError:
        return ""


def put_token(folder: Path) -> str:
    """Write a new token, by which nodes recognise the study folder, into it, and return the token."""
    token = os.urandom(8).hex()
    shutil.rmtree(folder / _TOKENS, ignore_errors=True)
    with atomic(folder / _TOKENS / token) as handle:
        handle.write(token.encode())
    return token


def answer_path(folder: Path, token: str, node: str) -> Path:
    """The file that a node writes to show that it can write into the study folder."""
    return folder / _TOKENS / f"{token}-{node}"


def faults(expected: Expected, *, node: str = "", node_gpus: float = 0.0) -> list[str]:
    """What is wrong with this machine, a sentence each; empty if stages can run here.

    Args:
        node: Ray's id of this machine, for its answer; empty: it writes no answer.
        node_gpus: GPUs that Ray counts here.
    """
    found = list(_software(expected))
    if expected.folder:
        found += _folder(expected, node)
    if expected.remote and node:
        found += _remote(expected.remote, node)
    for store, digest in expected.stores.items():
        held = manifest_digest(Path(store))
        if held != digest:
            what = "differs from the launching machine's" if held else "is missing"
            found.append(
                f"the image store {store} {what}: put the folder of --data on a path that all nodes share, or copy that store to the same path there."
            )
    if expected.gpus and node_gpus > 0:
        found += _gpus(node_gpus)
    return found


def _software(expected: Expected) -> Iterator[str]:
    if _python() != expected.python:
        yield f"Python is {_python()} and the launching machine's {expected.python}: install the same minor version on every node."
    for name, version in expected.versions.items():
        there = _version(name)
        if there != version:
            yield f"{name} is {there or 'missing'} and the launching machine's {version}: install the same environment on every node."
    if code_digest() != expected.code:
        yield (
            f"the code of {' and '.join(PACKAGES)} in {package_folder('scaling').parent} differs from the launching machine's: "
            "remove that installation, or install the same commit."
        )


def _folder(expected: Expected, node: str) -> Iterator[str]:
    folder = Path(expected.folder)
    remedy = "give --out a folder on a file system that all nodes mount at the same path"
    if not folder.is_dir():
        yield f"the study folder {folder} is not there: {remedy}."
        return
    if expected.token:
        try:
            found = (folder / _TOKENS / expected.token).read_text()
        except OSError:
            found = ""
        if found != expected.token:
            yield f"the study folder {folder} is not the same folder as on the launching machine: {remedy}."
            return
    if node:
        try:
            with atomic(answer_path(folder, expected.token, node)) as handle:
                handle.write(node.encode())
        except OSError as error:
            yield f"the study folder {folder} cannot be written ({error.strerror}): allow the user of Ray's processes to write there, or {remedy}."
            return
    free = shutil.disk_usage(folder).free
    if free < expected.free_bytes:
        yield f"the disk of the study folder {folder} has {size(free)} free and {size(expected.free_bytes)} are needed: make room, or {remedy}."


def _remote(uri: str, node: str) -> Iterator[str]:
    from scaling.study.remote import Remote
    from scaling.study.remote_study import check_writable

    try:
        check_writable(Remote(uri), node)
    except (InputError, OSError) as error:
        reason = str(error).removesuffix(".")
        yield f"the store {without_secrets(uri)} cannot be used from there ({reason}): give that node the credentials and packages for it."


def _gpus(node_gpus: float) -> Iterator[str]:
    """Counts GPUs in another process, since Ray hides them from a task that asks for none."""
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    code = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"
    try:
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=GPU_S)
        seen = int(done.stdout.split()[-1]) if done.returncode == 0 and done.stdout.split() else 0
    except (OSError, ValueError, subprocess.TimeoutExpired):
        seen = 0
    if seen < node_gpus:
        yield (
            f"Ray counts {node_gpus:g} GPU there and torch sees {seen}: check the driver with nvidia-smi, install torch built for CUDA, "
            "or start that node with the right --num-gpus."
        )


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _version(name: str) -> str:
    """The version without the suffix of the build, such as +cpu."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return ""
