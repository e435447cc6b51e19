"""What `pip install .` brings, and what it does not: analysis and reports without torch or Ray."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ANALYST_TESTS = tuple(f"test_{name}.py" for name in ("table", "import", "published", "cells", "pairs", "predictions", "checks", "outcomes"))


def pins(lines: list[str]) -> dict[str, str]:
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def test_constraints_name_versions_and_nothing_else() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line), line


def test_the_versions_of_the_tests_are_those_of_the_constraints() -> None:
    listed, of_uv = pins((ROOT / "constraints.txt").read_text().splitlines()), pins(PROJECT["tool"]["uv"]["constraint-dependencies"])
    extras = {"mlflow-skinny", "tensorboard", "timm", "wandb"}
    assert {name: version for name, version in of_uv.items() if name not in extras} == {name: listed[name] for name in set(of_uv) - extras}


def test_every_requirement_is_constrained() -> None:
    needed = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["train"]]
    names = {re.match(r"[A-Za-z0-9-]+", one).group().lower() for one in needed}  # type: ignore[union-attr]
    assert names <= pins((ROOT / "constraints.txt").read_text().splitlines()).keys()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a virtual environment with this project alone and pytest; returns its python.

    `resolution` is uv's: 'highest', or 'lowest-direct' for the lower bounds of pyproject.toml.
    """
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed, which makes the environment")

    def make(resolution: str) -> Path:
        place = tmp_path_factory.mktemp(resolution)
        python = place / "venv/bin/python"
        environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(place / "venv")], check=True, env=environment)
        # --no-config: the pins of pyproject.toml are of the tests, and a user of the wheel has none
        install = [uv, "pip", "install", "-q", "--no-config", "--python", str(python)]
        limited = [*install, "--resolution", resolution, "--only-binary", ":all:", "--no-binary", PROJECT["project"]["name"], str(ROOT)]
        done = subprocess.run(limited, capture_output=True, text=True, env=environment, cwd=place)
        if done.returncode and re.search(r"dns|connect|network|name or service", done.stderr, re.IGNORECASE):
            pytest.skip("the package index cannot be reached, which the environment is made from")
        assert done.returncode == 0, done.stderr
        subprocess.run([*install, "pytest>=9", "hypothesis>=6.150"], check=True, env=environment, cwd=place)
        return python

    return make


def run(command: list[str], where: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=where, capture_output=True, text=True, env={"PATH": os.environ["PATH"], "HOME": str(where)})


def copy_of_the_tests(where: Path) -> Path:
    """The tests that need no torch, away from the checkout, so that they import what is installed."""
    folder = where / "tests"
    (folder / "analysis").mkdir(parents=True)
    shutil.copy(ROOT / "tests/conftest.py", folder)
    shutil.copytree(ROOT / "tests/data", folder / "data")
    for name in ("conftest.py", *ANALYST_TESTS):
        shutil.copy(ROOT / "tests/analysis" / name, folder / "analysis")
    shutil.copy(ROOT / "pyproject.toml", where)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("resolution", ["highest", "lowest-direct"])
def test_a_plain_install_analyses_and_reports_without_torch(installed: Callable[[str], Path], resolution: str, tmp_path: Path) -> None:
    python = installed(resolution)
    assert run([str(python), "-c", "import torch"], tmp_path).returncode != 0
    assert run([str(python), "-c", "import ray"], tmp_path).returncode != 0

    tests = copy_of_the_tests(tmp_path)
    done = run([str(python), "-m", "pytest", "-q", str(tests)], tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]

    command = str(python.with_name("scaling-laws"))
    built = run([command, "report", "--published", "diminishing-returns", "--out", str(tmp_path / "paper.html")], tmp_path)
    assert built.returncode == 0, built.stderr
    assert "<svg" in (tmp_path / "paper.html").read_text() or "vega" in (tmp_path / "paper.html").read_text()

    refused = run([command, "launch", "grid.yaml"], tmp_path)
    assert refused.returncode == 2
    assert "pip install 'scaling-law-laboratory[train]'" in refused.stderr
