"""One launch per study: a second one refuses, a dead one is ignored, and no clock decides."""

from __future__ import annotations

import errno
import fcntl
import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from scaling.study.lock import Owner, locked
from trials.errors import InputError

HOLD = """\
import sys, time
from pathlib import Path
from scaling.study.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks."""

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr("scaling.study.lock.SETTLE_S", 0.0)


def leave(folder: Path, owner: Owner) -> None:
    folder.mkdir(exist_ok=True)
    (folder / ".lock").write_text(json.dumps(asdict(owner)))


def test_the_second_launch_refuses_and_names_the_first(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        message = f"Another launch is working on .* \\(process {first.pid} on .*, since .*\\): wait for it, or stop it"
        with pytest.raises(InputError, match=message), locked(tmp_path):
            pass
        first.kill()
    with locked(tmp_path):  # the lock went with the process
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == Owner.here().pid
    assert (tmp_path / ".lock").read_text() == ""


@pytest.mark.usefixtures("no_locks")
def test_where_the_file_system_has_no_locks_a_living_owner_still_holds_it(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(InputError, match="Another launch is working on"), locked(tmp_path):
        pass


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize("change", [{"began": "1"}, {"pid": 2**22 - 1}, {"boot": "another-start pid:[1]"}])
def test_a_stale_lock_of_a_dead_process_is_passed_over(tmp_path: Path, change: dict[str, object]) -> None:
    leave(tmp_path, replace(Owner.here(), **change))  # type: ignore[arg-type]
    with locked(tmp_path):
        pass


def test_a_lock_left_on_another_machine_is_named_with_the_remedy(tmp_path: Path) -> None:
    leave(tmp_path, replace(Owner.here(), host="node-17"))
    with pytest.raises(InputError) as caught, locked(tmp_path):
        pass
    assert "was left locked (process" in str(caught.value)
    assert "on node-17" in str(caught.value)
    assert f"if it does not, delete {tmp_path / '.lock'} and launch again." in str(caught.value)


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Owner.here()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert owner.is_alive()
    assert replace(Owner.here(), since=owner.since) == owner


def test_half_an_owner_is_none(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text('{"host": "a", "pi')
    with locked(tmp_path):
        pass
