"""The notebooks run, say what they say, and stay small."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks.run import FOLDER, run_notebook, texts_of

NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
MOST_KB = 150


def test_the_notebooks_are_four_and_small() -> None:
    assert NAMES == ["chinchilla", "diminishing_returns", "loss_and_score", "your_own_csv"]
    assert {name: size for name in NAMES if (size := (FOLDER / f"{name}.ipynb").stat().st_size / 1024) > MOST_KB} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_prints_what_it_holds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed: uv run --group dev brings it")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    stored = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    assert texts_of(run_notebook(FOLDER / f"{name}.ipynb")) == texts_of(stored), f"run python -m notebooks.run {name}"
