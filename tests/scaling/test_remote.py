"""A study in a remote store: files are complete or absent, requests are retried, a killed stage
resumes, and one launch at a time holds the study.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow import fs as arrow

from scaling.cluster.address import is_remote, without_secrets
from scaling.study.remote import ATTEMPTS, Remote
from scaling.study.remote_stage import RemoteStage
from scaling.study.remote_study import LEASE, Mirror, check_writable, leased, mirrored
from tests.scaling.conftest import GRID
from tests.trials.conftest import MakeSpec, leaves_store, make_spec
from trials.errors import InputError
from trials.spec import stage_id
from trials.stage import run_stage
from trials.stage_files import read_result
from trials.training.checkpoints import list_checkpoints

__all__ = ["leaves_store", "make_spec"]
ROOT = Path(__file__).resolve().parents[2]


class Flaky:
    """A local file system that fails at the calls where the iterator says so."""

    type_name = "flaky"

    def __init__(self, fails: Iterator[bool]) -> None:
        self._base, self._fails = arrow.LocalFileSystem(), fails

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            if next(self._fails):
                raise OSError("AWS Error SLOW_DOWN during PutObject operation: please reduce your request rate (503)")
            return getattr(self._base, name)(*args, **more)

        return call


def flaky(folder: Path, fails: Iterator[bool], waits: list[float]) -> Remote:
    return Remote(f"flaky://{folder}", filesystem=Flaky(fails), sleep=waits.append)


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(f"file://{tmp_path}/store/runs/study")


def test_an_address_is_distinguished_from_a_folder() -> None:
    assert all(map(is_remote, ("s3://bucket/runs", "gs://bucket/runs", "memory://runs", "file:///runs")))
    assert not any(map(is_remote, ("runs/study", "/runs/study", "C:/runs", "runs/a:b")))
    with pytest.raises(InputError, match=r"^nosuch://x cannot be opened \(pyarrow: .*; fsspec: .*\): use s3://, gs:// or abfs://"):
        Remote("nosuch://x")


def test_no_message_holds_the_key_or_the_secret_of_an_address() -> None:
    assert without_secrets("s3://key:secret@bucket/runs?endpoint_override=host") == "s3://bucket/runs"
    assert without_secrets("file:///runs/one") == "file:///runs/one"
    with pytest.raises(InputError) as caught:
        Remote("nosuch://key:secret@bucket/runs?token=secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["file://{}/store", "memory://{}"])
def test_what_is_written_is_read_listed_and_deleted(tmp_path: Path, uri: str) -> None:
    remote = Remote(uri.format(tmp_path))
    assert remote.read("a/b.txt") is None
    assert remote.list() == []
    remote.write("a/b.txt", b"one")
    remote.write("a/b.txt", b"three")
    assert remote.read("a/b.txt") == b"three"
    assert [(entry.path, entry.size) for entry in remote.list("a")] == [("a/b.txt", 5)]
    remote.delete("a/b.txt")
    remote.delete("a/b.txt")
    assert remote.list() == []
    check_writable(remote, "node")


def test_a_store_that_stumbles_is_asked_again_with_longer_and_longer_waits(tmp_path: Path) -> None:
    waits: list[float] = []
    remote = flaky(tmp_path, iter([True, True, True] + [False] * 99), waits)
    remote.write("a.txt", b"one")
    assert len(waits) == 3
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1.0 <= waits[2] <= 2.0
    assert (tmp_path / "a.txt").read_bytes() == b"one"


def test_a_store_that_stays_away_is_an_error_that_may_pass_and_says_so(tmp_path: Path) -> None:
    from scaling.execution.attempts import failure

    remote = flaky(tmp_path, iter([True] * 99), [])
    with pytest.raises(OSError, match=f"the store does not answer after {ATTEMPTS} attempts .AWS Error SLOW_DOWN") as caught:
        remote.write("a.txt", b"one")
    assert failure(caught.value).may_pass
    assert list(tmp_path.iterdir()) == []


def test_a_kill_in_the_middle_of_a_push_leaves_no_half(tmp_path: Path) -> None:
    store = tmp_path / "store"
    code = (
        "import sys; from scaling.study.remote import Remote; remote = Remote(sys.argv[1]); n = 0\n"
        "while True: n += 1; remote.write('big.bin', bytes([n % 256]) * 30_000_000)"
    )
    for moment in (0.05, 0.11, 0.17):
        with subprocess.Popen([sys.executable, "-c", code, f"file://{store}"], cwd=ROOT) as process:
            deadline = time.monotonic() + 60
            while not (store / "big.bin").exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(moment)
            os.kill(process.pid, signal.SIGKILL)
        data = Remote(f"file://{store}").read("big.bin")
        assert data is not None
        assert len(data) == 30_000_000
        assert len(set(data[::1_000_000])) == 1  # all of one write
        assert [entry.path for entry in Remote(f"file://{store}").list()] == ["big.bin"]


def test_a_stage_goes_on_on_another_node_from_what_was_pushed_and_its_child_starts_there(
    remote: Remote, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path
) -> None:
    spec = make_spec("pretrain", steps=12)
    name = stage_id(spec)
    whole = run_stage(spec, tmp_path / "whole" / name, leaves_store)

    first = RemoteStage(remote, tmp_path / "node-1", name)
    first.fetch()
    asked = iter([False] * 6 + [True] * 99)
    with pytest.raises(Exception, match="was asked to stop after step 6"), first.pushing():
        run_stage(spec, first.folder, leaves_store, stop=lambda: next(asked))
    assert remote.read(f"stages/{name}/result.json") is None

    second = RemoteStage(remote, tmp_path / "node-2", name)
    second.fetch()
    assert [path.name.split("-")[1] for path in list_checkpoints(second.folder)] == ["6"]
    with second.pushing():
        result = run_stage(spec, second.folder, leaves_store)
    assert result == whole
    assert (second.folder / "metrics.jsonl").read_text().count("\n") == (tmp_path / "whole" / name / "metrics.jsonl").read_text().count("\n")
    assert not [entry for entry in remote.list() if "/state-" in entry.path]

    child = make_spec("finetune", parent=name)
    RemoteStage(remote, tmp_path / "node-1", name).fetch_to_start_from()
    assert run_stage(child, tmp_path / "node-1" / "stages" / stage_id(child), leaves_store)["kind"] == "finetune"


def test_result_json_is_pushed_last(tmp_path: Path) -> None:
    written: list[str] = []

    class Noting(Remote):
        def write(self, path: str, data: bytes) -> None:
            written.append(path.rpartition("/")[2])
            super().write(path, data)

    stage = RemoteStage(Noting(f"file://{tmp_path}/store"), tmp_path / "scratch", "pretrain-1")
    (stage.folder / "checkpoint").mkdir(parents=True)
    for name in ("result.json", "metrics.jsonl", "checkpoint/weights.safetensors"):
        (stage.folder / name).write_text('{"id": "pretrain-1"}')
    stage.push()
    assert written == ["metrics.jsonl", "weights.safetensors", "result.json"]
    stage.push()
    assert len(written) == 3  # nothing is new


def test_a_mirror_holds_the_small_files_and_believes_the_store(remote: Remote, tmp_path: Path) -> None:
    remote.write("stages/a/result.json", json.dumps({"id": "a"}).encode())
    remote.write("stages/a/checkpoint/weights.safetensors", b"large")
    folder = tmp_path / "mirror"
    (folder / "stages/b").mkdir(parents=True)
    (folder / "stages/b/result.json").write_text(json.dumps({"id": "b"}))
    Mirror(remote, folder).pull()
    assert read_result(folder / "stages/a") == {"id": "a"}
    assert read_result(folder / "stages/b") is None
    assert not (folder / "stages/a/checkpoint").exists()


def test_a_renewed_lease_keeps_other_launches_out_and_an_expired_one_does_not(remote: Remote) -> None:
    with (
        leased(remote, heartbeat_s=0.05, settle_s=0.0),
        pytest.raises(InputError, match=r"^Another launch is working on file://.*: wait for it, or stop it first\.$"),
        leased(remote, heartbeat_s=0.3, settle_s=0.0),
    ):
        raise AssertionError
    assert remote.read(LEASE) is None
    elsewhere = {"host": "another", "boot": "x y", "pid": 1, "began": "1", "since": "then", "token": "t", "heartbeat": 3}
    remote.write(LEASE, json.dumps(elsewhere).encode())
    waits: list[float] = []
    with leased(remote, settle_s=0.0, sleep=waits.append):
        assert json.loads(remote.read(LEASE) or b"")["token"] != "t"
    assert sum(waits) >= 60


def test_a_launch_whose_lease_was_taken_is_notified(remote: Remote) -> None:
    lost: list[bool] = []
    with leased(remote, heartbeat_s=0.05, settle_s=0.0, lost=lambda: lost.append(True)):
        remote.write(LEASE, json.dumps({"token": "another"}).encode())
        deadline = time.monotonic() + 30
        while not lost and time.monotonic() < deadline:
            time.sleep(0.02)
    assert lost
    assert remote.read(LEASE) is not None  # another's is left alone


def test_a_study_in_a_store_is_looked_at_from_anywhere(remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from types import SimpleNamespace

    from scaling import status
    from scaling.monitoring.running_now import RunningNow

    stages = [{"id": f"pretrain-{name * 12}", "kind": "pretrain", "parent": None, "image_passes": 1000} for name in "abc"]
    remote.write("plan.json", json.dumps({"study": "study", "stages": stages}).encode())
    remote.write("stages/pretrain-aaaaaaaaaaaa/result.json", b'{"id": "pretrain-aaaaaaaaaaaa"}')
    remote.write("stages/pretrain-aaaaaaaaaaaa/provenance.json", b'{"images_per_s": 40.0}')
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "scratch"))
    mirror = Mirror(remote, tmp_path / "runs" / "study")
    mirror.pull()
    monkeypatch.setenv("COLUMNS", "160")
    address = f"file://{tmp_path}/store/runs/study"
    plan: Any = SimpleNamespace(stages={"pretrain-bbbbbbbbbbbb": SimpleNamespace(spec=SimpleNamespace(recipe=SimpleNamespace(batch_images=10)))})
    with RunningNow(plan, mirror) as running:
        running.stage_progressed("pretrain-bbbbbbbbbbbb", {"step": 25, "steps": 100, "images_per_s": 50.0})
        running.stage_progressed("pretrain-bbbbbbbbbbbb", {"step": 50, "steps": 100, "train_mim_loss": 0.5})
        running.write()
        for place in (address, str(mirror.folder)):  # from another machine, and from another shell
            assert status.main([place]) == 1
            output = capsys.readouterr().out
            assert output.startswith("study: 3 stages: 1 done, 1 running, 1 waiting; about 30 s left")
            assert "pretrain-bbbbbbbbbbbb 500 of 1k 50" in " ".join(output.split())
            assert "train_mim_loss 0.5000" in output
        os.utime(tmp_path / "store/runs/study/running.json", (1, 1))  # the launch was killed long ago
        status.main([address])
        assert "1 done, 2 waiting" in capsys.readouterr().out
        running.stage_retried("pretrain-bbbbbbbbbbbb", "a hiccup", 1.0)
        running.stage_progressed("pretrain-bbbbbbbbbbbb", {"step": 1, "steps": 100})
        running.write()
        status.main([address, "--json"])
        assert [one["attempts"] for one in json.loads(capsys.readouterr().out)["stages"]] == [0, 2, 0]
    assert remote.read("running.json") is None
    status.main([str(mirror.folder)])
    assert "nothing is running" in capsys.readouterr().out


def test_a_store_that_cannot_be_looked_at_gets_a_sentence(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from scaling import status

    assert status.main(["nosuch://bucket/runs/study"]) == 2
    assert capsys.readouterr().err.startswith("nosuch://bucket/runs/study cannot be opened")
    assert status.main([f"file://{tmp_path}/nothing"]) == 2
    assert capsys.readouterr().err.startswith(f"file://{tmp_path}/nothing holds no plan.json that can be read")

    def away(self: Remote, path: str = "") -> Any:
        raise OSError("the store does not answer after 6 attempts")

    monkeypatch.setattr(Remote, "list", away)
    assert status.main([f"file://{tmp_path}/nothing"]) == 2
    assert capsys.readouterr().err.startswith(f"The store file://{tmp_path}/nothing cannot be used from here (the store does not answer")


@pytest.fixture
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server on this machine that speaks S3's protocol; yields the options that an address needs
    to reach it.
    """
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = f"scheme=http&region=us-east-1&endpoint_override={host}%3A{port}"
    root, _ = arrow.FileSystem.from_uri(f"s3://bucket?{options}&allow_bucket_creation=true")
    root.create_dir("bucket")
    yield options
    server.stop()


def test_a_store_with_the_s3_protocol(s3_server: str) -> None:
    remote = Remote(f"s3://bucket/runs/study?{s3_server}")
    assert remote.name == "s3://bucket/runs/study"
    check_writable(remote, "node")
    assert remote.list() == []
    assert remote.modified_s("a/b.txt") is None
    for number in range(3):
        remote.write(f"a/{number}.txt", b"one")
    remote.write("a/0.txt", b"three")
    assert remote.read("a/0.txt") == b"three"
    assert sorted((entry.path, entry.size) for entry in remote.list("a"))[:2] == [("a/0.txt", 5), ("a/1.txt", 3)]
    assert len(remote.list()) == 3
    assert abs((remote.modified_s("a/0.txt") or 0) - time.time()) < 60
    remote.delete("a/0.txt")
    assert remote.read("a/0.txt") is None
    with leased(remote, settle_s=0.0):
        assert remote.read(LEASE) is not None
    with pytest.raises(
        InputError, match=r"^The store s3://nosuch/runs cannot be used from here \(.*\): check its name and your credentials for it\.$"
    ):
        mirrored(f"s3://nosuch/runs?{s3_server}", ROOT / "nowhere")


@pytest.mark.slow
def test_a_study_in_s3_goes_on_from_another_machine_after_its_launch_was_killed(tmp_path: Path, s3_server: str, request: Any) -> None:
    address, data = f"s3://bucket/runs/small?{s3_server}", tmp_path / "data"
    store = Remote(address)
    (tmp_path / "grid.yaml").write_text(GRID)
    options = ["--set", "seeds=1", "--set", "intermediate.objective=none", "--data", str(data), "--out", address]
    command = [sys.executable, "-m", "scaling.launch", str(tmp_path / "grid.yaml"), *options, "--no-report"]

    def machine(name: str) -> dict[str, Any]:
        """Another working folder, and another scratch disk."""
        (tmp_path / name).mkdir()
        scratch = tempfile.mkdtemp(prefix="n")  # sockets lie in it, and so its path must be short
        request.addfinalizer(lambda: shutil.rmtree(scratch, ignore_errors=True))
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": scratch, "OMP_NUM_THREADS": "1", "SCALING_RAY_DASHBOARD": "0"}
        return {"cwd": tmp_path / name, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}

    def stamps() -> dict[str, float | None]:
        return {entry.path: store.modified_s(entry.path) for entry in store.list("stages") if entry.path.endswith("/result.json")}

    with subprocess.Popen(command, **machine("first"), start_new_session=True) as process:
        deadline = time.monotonic() + 300
        while not stamps():  # the other four are still to be done
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    before = stamps()
    assert json.loads(store.read(LEASE) or b"")["pid"] == process.pid

    second = machine("second")
    done = subprocess.run(command, **second, timeout=400)
    assert done.returncode == 0, done.stdout
    after = stamps()
    assert len(after) == 5
    assert before.items() <= after.items(), "a finished stage was trained again"
    mirror = tmp_path / "second" / "runs" / "small"
    assert len(pd.read_parquet(mirror / "runs.parquet")) == 4
    assert not list(mirror.glob("stages/*/checkpoint/*"))
    assert len([entry for entry in store.list() if entry.path.endswith("/weights.safetensors")]) == 5
    assert store.read(LEASE) is None
    status = subprocess.run([sys.executable, "-m", "scaling.status", address], **second, timeout=100)
    assert (status.returncode, status.stdout) == (0, "small: 5 stages: 5 done\n")
