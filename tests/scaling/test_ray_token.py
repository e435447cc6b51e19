"""Ray's token is readable by its owner alone, or no Ray starts: whoever has it runs code as the
user who launched.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scaling import launch, run_study
from scaling.cluster import join
from scaling.cluster.ray_token import protect_token
from scaling.execution import tuner
from scaling.exit_status import WRONG
from trials.errors import InputError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture(params=[0o022, 0o000, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def as_ray_writes_it(home: Path) -> Path:
    token = home / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("secret")
    token.parent.chmod(0o755)
    token.chmod(0o644)
    return token


def modes(home: Path) -> dict[str, int]:
    """Mode of everything in ~/.ray, and its own."""
    folder = home / ".ray"
    return {path.relative_to(home).as_posix(): stat.S_IMODE(path.lstat().st_mode) for path in [folder, *folder.rglob("*")]}


PRIVATE = {".ray": 0o700, ".ray/auth_token": 0o600}


def test_a_new_token_is_private_whatever_the_umask(home: Path, umask: None) -> None:
    assert protect_token(create=True) == ""
    assert modes(home) == PRIVATE
    token = (home / ".ray" / "auth_token").read_text()
    assert len(token) == 64
    assert protect_token(create=True) == ""
    assert (home / ".ray" / "auth_token").read_text() == token


def test_launches_that_start_together_share_one_token(home: Path) -> None:
    threads = [threading.Thread(target=protect_token, kwargs={"create": True}) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert modes(home) == PRIVATE


def test_a_token_that_others_could_read_is_mended_and_said(home: Path) -> None:
    token = as_ray_writes_it(home)
    assert protect_token(create=True).startswith(f"other users could read {token}, the token of Ray, until now")
    assert modes(home) == PRIVATE
    assert token.read_text() == "secret"
    assert protect_token(create=True) == ""


def test_a_private_folder_has_kept_the_token_from_others(home: Path) -> None:
    as_ray_writes_it(home).parent.chmod(0o700)
    assert protect_token(create=True) == ""
    assert modes(home) == PRIVATE


def test_a_cluster_s_token_is_mended_and_none_is_made(home: Path) -> None:
    assert protect_token(create=False) == ""
    assert not (home / ".ray").exists()
    as_ray_writes_it(home)
    assert protect_token(create=False)
    assert modes(home) == PRIVATE


def refused() -> str:
    with pytest.raises(InputError) as caught:
        protect_token(create=True)
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize("name", [".ray", ".ray/auth_token"])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_is_refused(home: Path, tmp_path: Path, name: str, dangling: bool) -> None:
    elsewhere = as_ray_writes_it(tmp_path)
    if name == ".ray":
        (home / name).symlink_to(tmp_path / "none" if dangling else elsewhere.parent)
    else:
        (home / ".ray").mkdir()
        (home / name).symlink_to(tmp_path / "none" if dangling else elsewhere)
    assert refused().startswith(f"{home / name} is a symbolic link")
    assert not (tmp_path / "none").exists()
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o644


def test_a_home_that_is_a_link_is_fine(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(home)
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    protect_token(create=True)
    assert modes(home) == PRIVATE


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused(home: Path, make: Any) -> None:
    (home / ".ray").mkdir()
    make(home / ".ray" / "auth_token")
    assert "is no regular file" in refused()


@pytest.mark.parametrize("owned", [".ray", ".ray/auth_token"])
def test_what_belongs_to_another_user_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch, owned: str) -> None:
    as_ray_writes_it(home)
    inode, real = (home / owned).stat().st_ino, os.fstat

    def fstat(descriptor: int) -> Any:
        status = real(descriptor)
        if status.st_ino != inode:
            return status
        return os.stat_result([*status[:4], os.geteuid() + 1, *status[5:10]])

    monkeypatch.setattr(os, "fstat", fstat)
    assert refused().startswith(f"{home / owned} holds Ray's token and belongs to another user")


def test_a_home_that_cannot_be_written_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("HOME", str(home / "file"))  # no folder can be made in it, not even by root
    assert refused().startswith("Ray's token ~/.ray/auth_token cannot be kept private (Not a directory)")


def test_a_named_file_is_mended_also_through_a_link(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = as_ray_writes_it(tmp_path)
    (tmp_path / "link").symlink_to(token)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "link"))
    assert "other users could read" in protect_token(create=True)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert not (home / ".ray").exists()
    token.unlink()
    assert f"Ray's token {tmp_path / 'link'} cannot be kept private (No such file or directory)" in refused()


@pytest.mark.parametrize(("name", "value"), [("RAY_AUTH_TOKEN", "abc"), ("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_MODE", "k8s")])
def test_a_token_in_no_file_needs_none(home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert protect_token(create=True) == ""
    assert not (home / ".ray").exists()


def test_without_home_ray_is_told_where_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(Path, "home", lambda: home)
    protect_token(create=True)
    assert os.environ["HOME"] == str(home)
    assert modes(home) == PRIVATE


def test_every_start_of_ray_and_every_join_comes_after(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reached(Exception):
        """Ray would start now."""

    def ray_starts(*arguments: Any, **options: Any) -> Any:
        assert modes(home) == PRIVATE
        raise Reached

    monkeypatch.setattr(tuner, "_own_ray", ray_starts)
    monkeypatch.setattr(tuner, "RESTART_S", 0.0)
    monkeypatch.setattr(join.ray, "init", ray_starts)
    as_ray_writes_it(home)
    for start in (tuner.start_ray, lambda: tuner.start_ray("auto"), lambda: tuner._restart(None), lambda: join.join("auto")):
        (home / ".ray" / "auth_token").chmod(0o644)
        with pytest.raises(Reached):
            start()


def test_a_launch_that_cannot_protect_it_starts_nothing(
    home: Path, tmp_path: Path, grid_file: Path, small_data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".ray").symlink_to(tmp_path)
    monkeypatch.setattr(run_study, "_train", lambda *arguments, **named: pytest.fail("training began"))
    assert launch.main([str(grid_file), "--out", str(tmp_path / "study"), "--data", str(small_data)]) == WRONG
    assert capsys.readouterr().err.startswith(f"{home / '.ray'} is a symbolic link")


@pytest.mark.slow
def test_a_real_launch_leaves_nothing_readable_in_the_ray_folder(home: Path, tmp_path: Path, grid_file: Path, small_data: Path) -> None:
    settings = ["--set", "seeds=1", "--set", "pretrain.images=0", "--set", "intermediate.objective=none", "--set", "finetune.images=8"]
    command = [sys.executable, "-m", "scaling.launch", str(grid_file), "--out", str(tmp_path / "study"), "--data", str(small_data), "--no-report"]
    done = subprocess.run([*command, *settings], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert modes(home) == PRIVATE
    secret = (home / ".ray" / "auth_token").read_bytes()
    assert not [path for path in (tmp_path / "study").rglob("*") if path.is_file() and secret in path.read_bytes()]
