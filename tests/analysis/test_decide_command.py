"""`scaling-laws decide`: the answers are those of the functions, and wrong calls are sentences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import best_split, diminishing_returns, fit, fit_surface, speed_up, suggest_runs
from analysis.decisions.__main__ import main

CURVE = ["--x", "n_labels", "--y", "err"]
PAIR = ["--by", "backbone", "--better", "vit", "--worse", "swin"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    sizes = (100, 200, 400, 800, 1600, 3200)
    rows = [(name, seed, size, 0.2 + a * size**-0.4) for name, a in (("swin", 4.0), ("vit", 3.0)) for seed in range(3) for size in sizes]
    table = pd.DataFrame(rows, columns=["backbone", "seed", "n_labels", "err"])
    table.assign(err=table["err"] * np.exp(0.005 * random.standard_normal(len(table)))).to_csv(tmp_path / "results.csv", index=False)
    return tmp_path / "results.csv"


def answered(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out.rstrip("\n")


MIXED = "  caution: 'backbone' varies at equal n_labels, and what that changes counts as noise here: give the rows of one group"


def test_where_returns_diminish(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curve = fit(pd.read_csv(file), x="n_labels", y="err", cluster="seed")
    given = ["returns", str(file), *CURVE, "--cluster", "seed", "--noise-sd", "0.01"]
    assert answered(given, capsys) == f"{diminishing_returns(curve, noise_sd=0.01).summary()}\n{MIXED}"


def test_what_an_advantage_is_worth(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fits = fit(pd.read_csv(file), x="n_labels", y="err", by="backbone", cluster="seed")
    exchanged = json.loads(answered(["exchange", str(file), *CURVE, *PAIR, "--cluster", "seed", "--at", "400", "--json"], capsys))
    assert exchanged["ratio"] == pytest.approx(fits.exchange_rate("vit", "swin", 400).ratio)
    assert exchanged["ratio"] == pytest.approx((4 / 3) ** 2.5, rel=0.1)
    said = answered(["speed-up", str(file), *CURVE, *PAIR, "--cluster", "seed", "--at-y", "0.4"], capsys)
    assert said == fits.speed_up("vit", "swin", at_y=0.4).summary()
    assert "with 'vit' and 1,770 with 'swin'" in said
    assert fits.speed_up("vit", "swin", at_y=0.4).ratio == speed_up(fits["vit"], fits["swin"], at_y=0.4).ratio


def test_which_runs_to_add(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curve = fit(pd.read_csv(file), x="n_labels", y="err")
    given = ["runs", str(file), *CURVE, "--candidates", "1600", "6400", "--cost-each", "1", "4", "--predict", "10000", "--count", "2"]
    suggested = suggest_runs(curve, [1600, 6400], ("predict", 10_000), [1.0, 4.0], runs=2)
    assert answered(given, capsys) == f"{suggested.summary()}\n{MIXED}"


def test_how_to_split_a_budget(public_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = public_data / "chinchilla_points.csv"
    given = ["split", str(place), "--x", "params", "tokens", "--y", "loss", "--budget", "1e21", "--prices", "6 N D", "--json"]
    points = pd.read_csv(place)
    expected = best_split(fit_surface(points, x=["params", "tokens"], y="loss"), 1e21, "6 N D")
    assert json.loads(answered(given, capsys)) == json.loads(expected.to_json())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["--by", "backbne"], r"no column 'backbne' \(did you mean 'backbone'\?\)"),
        (["--better", "vi"], r"there is no backbone 'vi' \(did you mean 'vit'\?\)"),
        (["--at", "-1"], "above zero"),
        (["--law", "powr"], "powr"),
    ],
)
def test_a_wrong_call_is_one_sentence(file: Path, change: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exchange", str(file), *CURVE, *PAIR, "--at", "400", *change]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert pd.Series([said]).str.contains(sentence).all()


def test_settings_that_are_taken_for_noise_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """'The noise of one run' over rows of two models is the difference between the models."""
    random = np.random.default_rng(0)
    rows = [
        (n, model, 22 if model == "s" else 86, seed, 0.1 + gap + 3.0 * n**-0.5 + random.normal(0, 0.001), random.normal())
        for n in (100, 200, 400, 800, 1600)
        for model, gap in (("s", 0.1), ("b", 0.0))
        for seed in range(3)
    ]
    file = tmp_path / "mixed.csv"
    pd.DataFrame(rows, columns=["n", "model", "params_M", "seed", "err", "loss"]).to_csv(file, index=False)
    assert main(["returns", str(file), "--x", "n", "--y", "err"]) == 0
    assert "caution: 'model' varies at equal n, and what that changes counts as noise here: give the rows of one group" in capsys.readouterr().out
    assert main(["exchange", str(file), "--x", "n", "--y", "err", "--by", "model", "--better", "b", "--worse", "s", "--at", "400"]) == 0
    assert "counts as noise" not in capsys.readouterr().out
    assert main(["exchange", str(file), "--x", "n", "--y", "err", "--by", "seed", "--better", "0", "--worse", "1", "--at", "400"]) == 0
    assert capsys.readouterr().out.count("counts as noise") == 1
