"""Tables that no launch wrote, into the commands of analysis: one sentence and status 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis import AnalysisError, load_runs
from analysis.__main__ import main
from analysis.errors import MOST_CHARACTERS, TRACEBACK, nearest_name, unforeseen

ROWS = [1.0, 2.0, 4.0, 8.0, 16.0]


def csv(tmp_path: Path, text: str) -> Path:
    (tmp_path / "t.csv").write_text(text)
    return tmp_path / "t.csv"


def parquet(tmp_path: Path, columns: dict[str, object]) -> Path:
    pd.DataFrame(columns).to_parquet(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "lists in a column": (lambda place: parquet(place, {"x": [[1, 2]] * 5, "y": ROWS}), "column 'x', row 0: '[1 2]' is not a number"),
    "a number beyond a float": (lambda place: csv(place, f"x,y\n1{'0' * 400},1\nabc,2\n"), "column 'x', row 1: 'abc' is not a number"),
    "a cell of 200 kB": (lambda place: csv(place, f"x,y\n{'a' * 100_000},1\n"), "is not a number: correct it, or leave the cell empty."),
    "two columns of a name": (lambda place: csv(place, "x,y,x\n1,2,3\n"), "has two columns 'x': rename or remove one."),
    "20,000 columns": (
        lambda place: csv(place, f"{','.join(f'c{number}' for number in range(20_000))}\n{','.join(['1'] * 20_000)}\n"),
        "has 20,000 columns, and at most 5,000 are read",
    ),
    "a column that is not there, among 4,000": (
        lambda place: csv(place, f"{','.join(f'{number}' for number in range(4000))}\n{','.join(['1'] * 4000)}\n"),
        "has no column 'x'",
    ),
    "bytes": (lambda place: csv(place, "x,y\n\x00\x01,2\n"), "is not a number"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_table_is_one_short_sentence(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, sentence = HOSTILE[case]
    assert main([str(make(tmp_path)), "--x", "x", "--y", "y", "--law", "power"]) == 2
    said = capsys.readouterr().err.strip()
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert len(said) < 500 + len(str(tmp_path))
    assert not list(tmp_path.glob("*.json"))


def test_a_column_of_lists_that_is_not_used_does_no_harm(tmp_path: Path) -> None:
    table = load_runs(parquet(tmp_path, {"x": ROWS, "y": ROWS, "tags": [["a"], [], ["b"], None, ["c"]]}), required=["x", "y"])
    assert list(table["x"]) == ROWS
    assert table["tags"].isna().sum() == 1


def test_a_broken_parquet_is_told_in_one_line(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"x": ROWS})
    path.write_bytes(path.read_bytes()[:-20] + b"\x00" * 20)
    with pytest.raises(AnalysisError, match="cannot be read as Parquet") as caught:
        load_runs(path)
    assert "\n" not in str(caught.value)


def test_messages_are_short_whatever_is_in_a_file() -> None:
    assert len(str(AnalysisError("x" * 10_000))) <= MOST_CHARACTERS
    assert str(AnalysisError("two\nlines")) == "two lines"
    assert len(nearest_name("zzz", ["x" * 10_000] * 100_000)) < 5000


def test_an_error_that_no_check_foresaw_is_a_sentence_and_a_traceback_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    said = unforeseen("runs/study", KeyError("colour"))
    assert said == "runs/study cannot be used (KeyError: 'colour'): set SCALING_TRACEBACK=1 to see where, and correct what it names."
    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(KeyError):
        unforeseen("runs/study", KeyError("colour"))
