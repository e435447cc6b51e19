"""Odd names and paths on the command line: status 2, one sentence, nothing started."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling.launch import main
from tests.scaling.conftest import GRID


def looping(place: Path) -> Path:
    (place / "loop").symlink_to("loop")
    return place / "loop"


def below_a_loop(place: Path) -> Path:
    return looping(place) / "study"


def too_long(place: Path) -> Path:
    return place / ("x" * 300)


def below_a_file(place: Path) -> Path:
    (place / "file").touch()
    return place / "file" / "study"


def with_nul(place: Path) -> Path:
    return place / "a\0b"


ODD = pytest.mark.parametrize("odd", [looping, below_a_loop, too_long, below_a_file, with_nul])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The sentence with which a launch is refused."""
    assert main(list(arguments)) == 2
    said = capsys.readouterr().err.strip()
    assert said
    assert len(said.splitlines()) == 1
    assert len(said) < 500 + 300
    return said


@pytest.fixture
def grid(tmp_path: Path) -> str:
    (tmp_path / "grid.yaml").write_text(GRID)
    return str(tmp_path / "grid.yaml")


@ODD
@pytest.mark.parametrize("more", [[], ["--plan"]], ids=["launch", "plan"])
def test_an_odd_study_folder(odd: Callable[[Path], Path], more: list[str], grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if odd is below_a_file and more:
        return  # a plan writes nothing, and says what it would do
    said = refused(capsys, grid, "--data", str(tmp_path / "data"), "--out", str(odd(tmp_path)), *more)
    assert "choose another with --out" in said or "name another" in said


@pytest.mark.parametrize("odd", [looping, too_long])
def test_an_odd_data_folder(odd: Callable[[Path], Path], grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, grid, "--data", str(odd(tmp_path)), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out" / "plan.json").exists()


@ODD
def test_an_odd_grid_file(odd: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, str(odd(tmp_path)), "--out", str(tmp_path / "out"))


def test_a_sentence_echoes_no_file(grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "plan.json").write_text(json.dumps({"study": "x" * 200_000}))
    assert "holds the study 'xxx" in refused(capsys, grid, "--data", str(tmp_path), "--out", str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("leaves:../../x", "line 5: The images of leaves are generated, so it takes no folder: write 'leaves', not 'leaves:../../x'."),
        ("leaves:", "it takes no folder"),
        ("imagenet:../secret", "line 5: 'imagenet:../secret' must name a folder below the data folder, as in 'imagenet:my-images'."),
        ("imagenet:/etc", "must name a folder below the data folder"),
        ("imagenet:", "must name a folder below the data folder"),
    ],
)
def test_a_source_names_a_folder_of_the_data(source: str, sentence: str, grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(grid).write_text(GRID.replace("source: leaves", f"source: '{source}'", 1))
    assert sentence in refused(capsys, grid, "--out", str(tmp_path / "out")).replace("line 4", "line 5")
