"""The rules of the house: which package may import which, what is public, how long a file may be."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("scaling", "trials", "analysis", "reports")

# what each package may import besides itself and the standard library
ALLOWED = {
    "scaling": {"lazy_loader", "analysis", "trials", "ray", "rich", "yaml", "pandas", "torch", "pyarrow", "fsspec"},
    "trials": {"lazy_loader", "torch", "torchvision", "timm", "pycocotools", "numpy", "PIL", "pyarrow", "safetensors", "yaml"},
    "analysis": {"lazy_loader", "numpy", "pandas", "scipy", "altair", "narwhals", "vl_convert", "tensorboard"},
    "reports": {"lazy_loader", "analysis", "altair", "jinja2", "numpy", "pandas", "vl_convert"},
}


def _python_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def _imported(tree: ast.AST) -> set[str]:
    """The name of every module imported anywhere in a file, also inside functions."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that a test can read them"
            names.add(node.module or "")
    return names


# whole modules of another package that a package may import, and nothing else of it
SHARED = {"scaling": {"analysis.runs.columns"}}


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    for path in _python_files(package):
        imported = _imported(ast.parse(path.read_text())) - SHARED.get(package, set())
        foreign = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) - {package}
        assert foreign <= ALLOWED[package], f"{path.relative_to(ROOT)} imports {sorted(foreign - ALLOWED[package])}"


def test_scaling_takes_nothing_from_analysis_but_the_list_of_columns() -> None:
    for path in _python_files("scaling"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "analysis":
                assert node.module == "analysis.runs.columns", path.relative_to(ROOT)


# circles of modules that import one another inside functions, until their owners have opened them
KNOWN_CIRCLES: set[frozenset[str]] = set()


def _modules() -> dict[str, Path]:
    """Every module of the four packages by its dotted name."""
    paths = [path for package in PACKAGES for path in _python_files(package)]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def _module_imports(path: Path, known: Collection[str], *, in_functions: bool) -> set[str]:
    """The modules that a file imports; those under TYPE_CHECKING are never imported at run time."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not in_functions:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names & set(known)) or {str(node.module)}
        waiting += ast.iter_child_nodes(node)
    return found & set(known)


def _circles(imports: Mapping[str, Collection[str]]) -> set[frozenset[str]]:
    """Groups of modules of which each can be reached from every other one along imports."""
    reached: dict[str, set[str]] = {}
    for start in imports:
        waiting, seen = list(imports[start]), set()
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += imports[module]
        reached[start] = seen
    return {frozenset(other for other in reached[start] if start in reached[other]) for start in imports if start in reached[start]}


@pytest.mark.parametrize("in_functions", [False, True], ids=["at module level", "inside functions too"])
def test_no_import_circles(in_functions: bool) -> None:
    modules = _modules()
    imports = {name: _module_imports(path, modules, in_functions=in_functions) for name, path in modules.items()}
    assert _circles(imports) <= (KNOWN_CIRCLES if in_functions else set())


def test_import_circles_are_found() -> None:
    imports = {"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": [], "e": ["d"], "f": ["f"]}
    assert _circles(imports) == {frozenset("abc"), frozenset("f")}


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_listed_once_and_exist(package: str) -> None:
    module = importlib.import_module(package)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_a_class_name_has_one_meaning() -> None:
    found: dict[str, list[str]] = {}
    for name, path in _modules().items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(name)
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


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


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_is_hidden_from_git(package: str) -> None:
    """An ignored file is neither linted nor built into the wheel."""
    paths = [str(path.relative_to(ROOT)) for path in _python_files(package)]
    command = ["git", "check-ignore", "--no-index", "--stdin"]
    found = subprocess.run(command, cwd=ROOT, input="\n".join(paths), capture_output=True, text=True)
    assert found.stdout == ""


def test_tests_read_data_of_the_repository_or_by_one_fixture() -> None:
    variable, beside = "SCALING_REAL" + "_DATA", "shared"
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text()
        assert variable not in text or path == ROOT / "tests" / "conftest.py", f"{path} should use the fixture real_data"
        assert f'/ "{beside}" /' not in text, f"{path} reads a folder beside the checkout"
