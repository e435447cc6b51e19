import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import Fit, LawChoice, SurfaceFit, fit
from analysis.__main__ import main

X = np.geomspace(100.0, 1e5, 12)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"images": X, "error": (floor + 3.0 * X**-0.4) * np.exp(0.01 * random.standard_normal(12)), "encoder": name, "run": range(12)})
        for name, floor in (("small", 0.2), ("base", 0.1))
    ]
    path = tmp_path / "results.csv"
    pd.concat(parts).to_csv(path, index=False)
    return path


def test_the_summary_is_that_of_the_python_call_and_the_json_reads_back(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(table), "--x", "images", "--y", "error", "--by", "encoder", "--law", "power", "--fixed", "E=0.1"]) == 0
    printed = capsys.readouterr().out
    answers = json.loads((table.parent / "results.fits.json").read_text())
    assert [answer["group"] for answer in answers] == [{"encoder": "base"}, {"encoder": "small"}]
    base = pd.read_csv(table).query("encoder == 'base'")
    expected = fit(base["images"], base["error"], law="power", fixed={"E": 0.1})
    assert Fit.from_json(json.dumps(answers[0]["result"])).params == pytest.approx(expected.params)
    assert "encoder = base:\ny = E + A x^-b" in printed
    assert "E = 0.1 (pinned)" in printed


def test_the_law_is_chosen_unless_named_and_targets_and_places_are_answered(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            [
                str(table),
                "--x",
                "images",
                "--y",
                "error",
                "--by",
                "encoder",
                "--predict",
                "2e5",
                "1e6",
                "--target",
                "0.01",
                "--json",
                str(table.parent / "out.json"),
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    answer = json.loads((table.parent / "out.json").read_text())[0]
    choice = LawChoice.from_json(json.dumps(answer["result"]))
    assert answer["predictions"][1]["mean"] == pytest.approx(float(choice.predict(1e6).mean[0]))
    assert "<- chosen" in printed
    assert "never" in printed


def test_two_columns_of_x_make_a_surface(tmp_path: Path) -> None:
    n, d = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e7, 1e10, 5), np.geomspace(1e8, 1e11, 5)))
    path = tmp_path / "points.csv"
    pd.DataFrame({"N": n, "D": d, "loss": 1.69 + 406.4 * n**-0.34 + 410.7 * d**-0.28}).to_csv(path, index=False)
    assert main([str(path), "--x", "N", "D", "--y", "loss", "--bootstrap", "0", "--predict", "1e9", "1e10"]) == 0
    answer = json.loads((tmp_path / "points.fits.json").read_text())[0]
    assert SurfaceFit.from_json(json.dumps(answer["result"])).params == pytest.approx(
        {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28}, rel=1e-6
    )


def test_rows_with_a_missing_value_are_left_out_and_counted(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.read_csv(table).query("encoder == 'base'")
    rows.loc[rows.index[3], "error"] = math.nan
    rows.to_csv(table, index=False)
    assert main([str(table), "--x", "images", "--y", "error", "--law", "power"]) == 0
    assert "1 row left out" in capsys.readouterr().out


def test_a_repeated_option_adds_to_its_values(table: Path) -> None:
    pd.read_csv(table).assign(kind="one").to_csv(table, index=False)
    assert main([str(table), "--x", "images", "--y", "error", "--by", "encoder", "--by", "kind", "--law", "power"]) == 0
    answers = json.loads((table.parent / "results.fits.json").read_text())
    assert [answer["group"] for answer in answers] == [{"encoder": "base", "kind": "one"}, {"encoder": "small", "kind": "one"}]


def test_a_group_that_cannot_be_fitted_is_named_and_the_others_come_out(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.concat([pd.read_csv(table), pd.DataFrame({"images": [100.0], "error": [0.5], "encoder": ["tiny"], "run": [0]})])
    rows.to_csv(table, index=False)
    assert main([str(table), "--x", "images", "--y", "error", "--by", "encoder", "--law", "power"]) == 1
    captured = capsys.readouterr()
    assert "analysis: encoder = tiny: the law 'power' has 3 free parameters" in captured.err
    assert len(json.loads((table.parent / "results.fits.json").read_text())) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--x", "image", "--y", "error"], "has no column 'image' (did you mean 'images'?): add it, or name another."),
        (["--x", "encoder", "--y", "error"], "encoder"),
        (["--x", "images", "--y", "error", "--law", "powr"], "there is no law 'powr' (did you mean 'power'?)"),
        (
            ["--x", "images", "--y", "error", "--law", "power", "--fixed", "E"],
            "--fixed 'E' is not a pinned parameter: write NAME=NUMBER, such as E=0.1.",
        ),
        (["--x", "images", "--y", "error", "--fixed", "E=1"], "--fixed and --bootstrap belong to one law: name it with --law."),
        (["--x", "images", "--y", "error", "--predict", "0"], "the x to predict at hold 0"),
        (["--x", "images", "run", "--y", "error", "--target", "1"], "D of X[0] is 0: the law 'chinchilla' needs it finite and above zero."),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(table: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(table), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("analysis: ")
    assert captured.err.count("\n") == 1
    assert sentence in captured.err
    assert not (table.parent / "results.fits.json").exists()


def test_a_missing_table_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.csv"), "--x", "a", "--y", "b"]) == 2
    assert capsys.readouterr().err.endswith("does not exist: give a study folder, a .csv or a .parquet file.\n")


def test_a_group_without_a_name_is_called_missing(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.read_csv(table)
    rows.loc[rows["encoder"] == "small", "encoder"] = None
    rows.to_csv(table, index=False)
    assert main([str(table), "--x", "images", "--y", "error", "--by", "encoder", "--law", "power"]) == 0
    assert "encoder = missing:" in capsys.readouterr().out
    assert json.loads((table.parent / "results.fits.json").read_text())[1]["group"] == {"encoder": None}


def test_a_column_given_as_the_seed_of_the_bootstrap_is_told_where_it_belongs(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(table), "--x", "images", "--y", "error", "--seed", "run"])
    assert ended.value.code == 2
    assert "'run' is no whole number: --seed is that of the bootstrap; name a column of seeds with --cluster." in capsys.readouterr().err
