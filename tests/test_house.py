"""The rules of the house: which package may import which, what is public, how long a file may be."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("scaling", "trials", "analysis", "reports")

# what each package may import besides itself and the standard library
ALLOWED = {
    "scaling": {"lazy_loader", "trials", "ray", "rich", "yaml", "pandas", "torch", "pyarrow", "fsspec"},
    "trials": {"lazy_loader", "torch", "torchvision", "numpy", "PIL", "safetensors"},
    "analysis": {"lazy_loader", "numpy", "pandas", "scipy", "statsmodels"},
    "reports": {"analysis", "altair", "jinja2", "numpy", "pandas", "vl_convert"},
}


def _python_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def _imported(tree: ast.AST) -> set[str]:
    """Top-level names of every module imported anywhere in a file, also inside functions."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that a test can read them"
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    for path in _python_files(package):
        foreign = _imported(ast.parse(path.read_text())) - set(sys.stdlib_module_names) - {package}
        assert foreign <= ALLOWED[package], f"{path.relative_to(ROOT)} imports {sorted(foreign - ALLOWED[package])}"


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_listed_once_and_exist(package: str) -> None:
    module = importlib.import_module(package)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("package", PACKAGES)
def test_files_are_short_and_named_for_what_they_hold(package: str) -> None:
    for path in _python_files(package):
        assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}, path
        assert len(path.read_text().splitlines()) <= 400, f"{path.relative_to(ROOT)} holds more than one idea"


@pytest.mark.parametrize(("package", "barred"), [("analysis", "torch ray altair"), ("reports", "torch ray"), ("trials", "ray")])
def test_importing_stays_light(package: str, barred: str) -> None:
    code = f"import sys, {package}; print(*[m for m in {barred.split()!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_a_plan_and_a_mistake_do_not_wait_for_ray() -> None:
    code = "import sys, scaling.launch; print('ray' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "False"


@pytest.mark.parametrize(
    "command", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy", "--no-error-summary"]], ids=["lint", "format", "types"]
)
def test_style_and_types_hold(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
