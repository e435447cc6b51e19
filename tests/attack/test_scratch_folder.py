"""The folder in /tmp where a node keeps copies of a remote study: its name can be foreseen."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from scaling.study.remote_stage import scratch_folder
from trials.errors import InputError


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_made_for_its_owner_alone(temporary: Path) -> None:
    own = scratch_folder("s3://bucket/study").parent
    assert own.parent == temporary
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert scratch_folder("s3://bucket/study") != scratch_folder("s3://bucket/other")


@pytest.mark.parametrize("how", ["link", "file", "writable", "of another user"])
def test_one_that_others_can_write_is_refused(temporary: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = scratch_folder("s3://bucket/study").parent
    own.rmdir()
    if how == "link":
        (temporary / "elsewhere").mkdir(mode=0o700)
        own.symlink_to(temporary / "elsewhere")
    elif how == "file":
        own.touch()
    else:
        own.mkdir()
        own.chmod(0o777 if how == "writable" else 0o700)
    if how == "of another user":
        monkeypatch.setattr(os, "geteuid", lambda: own.stat().st_uid + 1)
    with pytest.raises(InputError, match="is not a folder that only you can write"):
        scratch_folder("s3://bucket/study")
