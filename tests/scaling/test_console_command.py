"""`scaling-laws COMMAND`: every command answers, and what is missing is said."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.util import find_spec

import pytest

from scaling import command_line
from scaling.command_line import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert "usage: " in capsys.readouterr().out


def test_the_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in COMMANDS)
    assert main([]) == 2


def test_a_misspelt_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lanch", "x.yaml"]) == 2
    assert "Did you mean 'launch'?" in capsys.readouterr().err


def test_arguments_reach_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = importlib.import_module("scaling.launch")
    seen: list[list[str]] = []
    monkeypatch.setattr(launch, "main", lambda arguments: seen.append(arguments) or 3)
    assert main(["plan", "grid.yaml", "--set", "seeds=5"]) == 3
    assert seen == [["--plan", "grid.yaml", "--set", "seeds=5"]]


def test_without_torch_a_launch_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command_line, "find_spec", lambda name: None if name == "torch" else find_spec(name))
    assert main(["launch", "grid.yaml"]) == 2
    assert "torch is not installed: pip install 'scaling-law-laboratory[train]'" in capsys.readouterr().err


def test_what_a_parser_lists_is_what_there_is() -> None:
    """Parsers that do not wait for pandas repeat a few names."""
    from analysis.claims import __main__ as claims
    from analysis.claims.findings import CLAIMS
    from analysis.published import PUBLISHED
    from trials.diagnostics.study import IMAGES

    assert set(claims.CLAIMS) == set(CLAIMS)
    assert set(claims.PUBLISHED) == set(PUBLISHED)
    assert IMAGES == 200, "trials.diagnose --help says so"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_waits_for_nothing_heavy(name: str) -> None:
    code = f"""
import sys
from scaling.command_line import main
try:
    main([{name!r}, "--help"])
except SystemExit:
    pass
print(sorted({{"torch", "ray", "scipy", "altair"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_nothing_heavy_is_imported_before_the_command_is_known() -> None:
    code = "import sys, scaling.command_line as c; c.main(['--help']); print({'torch', 'ray', 'numpy', 'pandas', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
