"""A folder of the user's own may be called `analysis`, as many are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def with_own_analysis(tmp_path: Path) -> Path:
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "__init__.py").write_text("mine = True\n")
    return tmp_path


def run(arguments: list[str], where: Path) -> subprocess.CompletedProcess[str]:
    """In a process whose search path has the project last, as an installed package is found."""
    start = "import runpy, sys; sys.path.append({root!r}); sys.argv = {arguments!r}; runpy.run_module({module!r}, run_name='__main__')"
    code = start.format(root=str(ROOT), arguments=arguments, module=arguments[0])
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([sys.executable, "-S", "-c", f"import site; site.main(); {code}"], cwd=where, capture_output=True, text=True, env=outside)


@pytest.mark.parametrize("module", ["reports.build", "scaling.launch"])
def test_what_hides_a_package_is_named(module: str, with_own_analysis: Path) -> None:
    done = run([module, "--help"], with_own_analysis)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode != 0
    assert f"{with_own_analysis / 'analysis'} hides the package 'analysis' of this project" in last
    assert "use the command scaling-laws" in last


def test_the_command_works_beside_a_folder_called_analysis(with_own_analysis: Path) -> None:
    command = Path(sys.executable).with_name("scaling-laws")
    if not command.exists():
        pytest.skip("the project is not installed in this environment, so there is no command scaling-laws")
    done = subprocess.run([str(command), "findings", "published:diminishing-returns"], cwd=with_own_analysis, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "supported" in done.stdout
