"""A launch keeps its exit status where Ray's threads crash the interpreter as it ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

CRASHES_AT_EXIT = "import atexit, os; atexit.register(os.abort); import scaling.leaving as leaving; "


@pytest.mark.parametrize(("before", "status"), [("", -6), ("leaving.ray_was_restarted(); ", 3)])
def test_a_process_that_started_ray_twice_ends_with_its_status_and_all_it_printed(before: str, status: int) -> None:
    code = f"{CRASHES_AT_EXIT}{before}print('done'); leaving.leave(3)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == status
    if before:
        assert done.stdout == "done\n"


def test_it_ends_as_any_process_where_ray_was_never_restarted() -> None:
    done = subprocess.run([sys.executable, "-c", "import scaling.leaving as leaving; leaving.leave(2)"], timeout=120)
    assert done.returncode == 2
