"""Running on an existing cluster: its address, its resources, and faults of its nodes, which are
reported before anything starts.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scaling import Study, load_grid, make_plan
from scaling.cluster.address import check_address
from scaling.cluster.machine import Machine, Node
from scaling.cluster.node_checks import Expected, answer_path, expected_here, faults, put_token
from scaling.launch import main
from tests.scaling.conftest import GRID
from trials.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("ray://head:10001", "that of a Ray Client, which Ray Tune cannot schedule through: run the launch on a machine of the cluster"),
        ("http://head:8265", "`ray job submit --address http://head:8265 -- python -m scaling.launch GRID --address auto`"),
        ("local", "names no cluster: leave it out to start Ray on this machine"),
        ("head", "is no address: use 'auto', or HOST:PORT"),
    ],
)
def test_an_address_that_cannot_work_is_refused_before_ray_is_asked(
    grid_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str, sentence: str
) -> None:
    assert main([str(grid_file), "--out", str(tmp_path / "out"), "--address", address]) == 2
    printed = capsys.readouterr().err
    assert sentence in printed
    assert printed.startswith("--address ")
    assert not (tmp_path / "out").exists()


def test_without_an_address_ray_address_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert check_address(None) is None
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert check_address(None) == "10.0.0.1:6379"
    assert check_address("auto") == "auto"
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(InputError, match=r"^RAY_ADDRESS ray://head:10001 is that of a Ray Client"):
        check_address(None)


def cluster_of(*nodes: tuple[int, float]) -> Machine:
    found = tuple(Node(cpus=cpus, gpus=gpus) for cpus, gpus in nodes)
    return Machine(cpus=sum(n.cpus for n in found), gpus=int(sum(n.gpus for n in found)), name="the cluster", nodes=found)


def test_stages_side_by_side_are_counted_node_by_node(grid_file: Path) -> None:
    grid = load_grid(grid_file, ["resources.cpus=3"])
    assert cluster_of((4, 0), (4, 0), (2, 0)).grant(grid)["pretrain"].side_by_side == 2  # ten cores, but no node has room for two
    over_two = load_grid(grid_file, ["resources.cpus=3", "resources.workers=2"])
    assert cluster_of((4, 0), (4, 0)).grant(over_two)["pretrain"].side_by_side == 1
    with_gpu = load_grid(grid_file, ["resources.cpus=4", "resources.gpus=1"])
    assert cluster_of((16, 0), (8, 4)).grant(with_gpu)["pretrain"].side_by_side == 2  # the cores beside the GPUs decide


def test_a_process_that_fits_no_node_is_refused_since_ray_would_wait_for_ever(grid_file: Path) -> None:
    where = r"^--set resources.cpus=8: a process of pretrain asks for "
    grid = load_grid(grid_file, ["resources.cpus=8"])
    with pytest.raises(InputError, match=where + r"8 CPU cores on one node, which no node of the cluster has \(they have 4 cores\): lower"):
        cluster_of((4, 0), (4, 0)).grant(grid)
    grid = load_grid(grid_file, ["resources.cpus=8", "resources.gpus=1"])
    with pytest.raises(InputError, match=where + r"8 CPU cores and 1 GPU on one node, .* \(they have 4 cores and 1 GPU, 16 cores\)"):
        cluster_of((16, 0), (4, 1)).grant(grid)
    grid = load_grid(grid_file, ["resources.workers=2", "resources.gpus=0.5"])
    with pytest.raises(InputError, match="two that share one cannot exchange gradients over nccl: set gpus to 1"):
        cluster_of((16, 1)).grant(grid)


@pytest.fixture
def shared(tmp_path: Path) -> tuple[Path, Expected]:
    """A study folder with a token, a store, and what every node must have."""
    store = tmp_path / "data" / "leaves@16" / "train"
    store.mkdir(parents=True)
    (store / "manifest.json").write_text("{}")
    folder = tmp_path / "study"
    folder.mkdir(parents=True, exist_ok=True)
    token = put_token(folder)
    return folder, expected_here(folder, token=token, stores=[store])


def test_a_node_that_has_everything_answers_with_its_own_name(shared: tuple[Path, Expected]) -> None:
    folder, expected = shared
    assert faults(expected, node="abc") == []
    assert answer_path(folder, expected.token, "abc").read_text() == "abc"
    assert faults(expected.lasting) == []  # a node that joins later


def test_each_thing_that_a_node_lacks_is_a_sentence_with_a_remedy(shared: tuple[Path, Expected]) -> None:
    folder, expected = shared
    wrong = replace(expected, python="2.7", versions={"torch": "0.4"}, code="another", free_bytes=10**18)
    python, torch, code, disk = faults(wrong, node="abc")
    assert re.fullmatch(r"Python is 3\.\d+ and the launching machine's 2\.7: install the same minor version on every node\.", python)
    assert re.fullmatch(r"torch is \S+ and the launching machine's 0\.4: install the same environment on every node\.", torch)
    assert code.endswith("differs from the launching machine's: remove that installation, or install the same commit.")
    assert re.search(r"has .* free and 1e\+03 PB are needed: make room", disk)
    (store,) = expected.stores
    (Path(store) / "manifest.json").write_text('{"other": 1}')
    assert [fault.partition(":")[0] for fault in faults(expected)] == [f"the image store {store} differs from the launching machine's"]
    shutil.rmtree(store)
    assert "is missing: put the folder of --data on a path that all nodes share" in faults(expected)[0]
    put_token(folder)  # as if the folder of that name there were another one
    assert "is not the same folder as on the launching machine: give --out a folder" in faults(expected)[0]
    shutil.rmtree(folder)
    assert "is not there: give --out a folder on a file system that all nodes mount" in faults(expected)[0]


def test_gpus_that_ray_counts_and_torch_does_not_see_are_named(shared: tuple[Path, Expected]) -> None:
    import torch

    expected = replace(shared[1], gpus=True)
    assert faults(expected, node_gpus=0) == []  # stages that want one land elsewhere
    missing = torch.cuda.device_count() + 1
    assert faults(expected, node_gpus=missing)[0].startswith(f"Ray counts {missing} GPU there and torch sees {missing - 1}: check the driver")


def pool_over(grid_file: Path, data: Path, tmp_path: Path, cores: int) -> Any:
    from scaling.cluster.capacity import Cluster, Shape
    from scaling.execution.ready_queue import ReadyQueue
    from scaling.execution.searcher import WorkerPool
    from scaling.execution.worker import Assignment

    def assignment(name: str) -> Assignment:
        return Assignment(stage=name, spec={}, folder="", store="", study="", cpus=1, gpus=0)

    queue = ReadyQueue(make_plan(load_grid(grid_file), data), Study(tmp_path / "study"), lambda name: Shape(1, 0))
    return WorkerPool(queue, assignment, lambda: Cluster({"good": Shape(cores - 1, 0), "bad": Shape(1, 0)}), [])


def test_a_worker_on_a_node_that_lacks_something_keeps_its_place_and_stages_go_elsewhere(grid_file: Path, small_data: Path, tmp_path: Path) -> None:
    from scaling.execution.searcher import RayGone
    from scaling.execution.worker import Assignment, WorkerReport

    pool = pool_over(grid_file, small_data, tmp_path, cores=2)
    shape = pool.next_shape()
    pool.opened("first", shape)
    assert pool.reported("first", WorkerReport(stage=None, node="bad", unfit="bad: the image store is missing.")) is None
    assert pool.next_shape() == shape  # the other core's
    pool.opened("second", shape)
    assert isinstance(pool.reported("second", WorkerReport(stage=None, node="good")), Assignment)
    assert pool.next_shape() is None
    pool.closed("second", "ended without a message")
    pool.opened("third", shape)
    assert pool.reported("third", WorkerReport(stage=None, node="bad", unfit="bad: the image store is missing.")) is None
    with pytest.raises(RayGone, match=r"^no remaining machine can run stages: bad: the image store is missing\.$"):
        pool.next_shape()


CLUSTER = """\
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
print("cluster:" + cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@contextlib.contextmanager
def two_nodes() -> Iterator[str]:
    """Two raylets of one core each on this machine; yields their address."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}  # Ray's 15 starves workers on a busy machine
    with subprocess.Popen([sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield next(line for line in process.stdout if line.startswith("cluster:")).removeprefix("cluster:").strip()
        finally:
            process.communicate(timeout=60)


def launch(grid: Path, data: Path, out: Path, address: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scaling.launch", str(grid), "--data", str(data), "--out", str(out), "--address", address, "--no-report"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)


WITHOUT_FOLDER = "mount -t tmpfs -o size=1m tmpfs {folder} && exec {ray} start --address {address} --num-cpus 1 --block"


@pytest.mark.slow
def test_stages_spread_over_both_nodes_and_one_without_the_shared_folder_is_named_before_anything_starts(tmp_path: Path) -> None:
    grid, shared, data = tmp_path / "grid.yaml", tmp_path / "shared", tmp_path / "data"
    grid.write_text(GRID.replace("seeds: 2", "seeds: 1"))
    shared.mkdir()
    with two_nodes() as address:
        done = launch(grid, data, shared / "study", address)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "11 stages to run, 0 done already" in done.stdout
        assert "on the cluster" in done.stdout
        assert len(list(shared.glob("study/stages/*/result.json"))) == 11
        assert len({node for log in shared.glob("study/stages/*/log.txt") for node in re.findall(r"given to Ray's node (\w+)", log.read_text())}) == 2

        # a third raylet, which sees another file system where the shared folder should be
        ray = Path(sys.executable).with_name("ray")
        script = WITHOUT_FOLDER.format(folder=shared, ray=ray, address=address)
        with subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as third:
            assert third.stdout is not None
            lines: list[str] = []
            for line in third.stdout:
                lines.append(line)
                if "Ray runtime started" in line:
                    break
            else:
                if any("unshare" in line or "mount" in line for line in lines):
                    pytest.skip("this user may not mount a file system")
                raise AssertionError("".join(lines))
            refused = launch(grid, data, shared / "another", address)
            third.terminate()
        assert refused.returncode == 2, refused.stdout + refused.stderr
        remedy = "give --out a folder on a file system that all nodes mount at the same path"
        assert re.fullmatch(rf"\S+ \(\S+:\d+\): the study folder {shared}/another is not there: {remedy}\.\n", refused.stderr)
        assert not (shared / "another" / "stages").exists()
