"""One task, five libraries: fit a learning curve with an interval, plot it, and say how much data
reaches an accuracy of 90%.

    uv run --group benchmark python -m benchmarks.side_by_side

Each program below is run as it stands in a folder with curve.csv (n, seed, acc: simulated, so that
the truth is known) and is as short as we could write it with what the library offers. Lines are
counted without empty ones and comments.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

PROGRAMS = {
    "this project": """
from analysis import fit, load_runs
law = fit(load_runs("curve.csv", required=["n", "acc"]), x="n", y="acc", cluster="seed", y_range=(0, 1))
law.plot().save("plot.png")
print(law.inverse(0.90).sentence)
""",
    "lmfit": """
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from lmfit.models import ExpressionModel
curve = pd.read_csv("curve.csv")
model = ExpressionModel("E + A * x**-b")
result = model.fit(curve["acc"], x=curve["n"], E=0.9, A=-1.0, b=0.5)  # starts are needed
grid = np.geomspace(curve["n"].min(), 4 * curve["n"].max(), 100)
mean, half = result.eval(x=grid), result.eval_uncertainty(x=grid, sigma=0.95)
plt.scatter(curve["n"], curve["acc"])
plt.plot(grid, mean)
plt.fill_between(grid, mean - half, mean + half, alpha=0.2)
plt.xscale("log")
plt.savefig("plot.png")
E, A, b = (result.uvars[name] for name in "EAb")
n90 = ((0.90 - E) / A) ** (-1 / b)
print(f"n at 0.90: {n90.nominal_value:,.0f} +- {1.96 * n90.std_dev:,.0f}, by the delta method, rows taken as independent")
""",
    "scipy": """
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.optimize import curve_fit
curve = pd.read_csv("curve.csv")
def law(x, E, A, b):
    return E + A * x**-b
params, covariance = curve_fit(law, curve["n"], curve["acc"], p0=[0.9, -1.0, 0.5])  # starts are needed
draws = np.random.default_rng(0).multivariate_normal(params, covariance, 4000)
grid = np.geomspace(curve["n"].min(), 4 * curve["n"].max(), 100)
low, high = np.quantile([law(grid, *draw) for draw in draws], [0.025, 0.975], axis=0)
plt.scatter(curve["n"], curve["acc"])
plt.plot(grid, law(grid, *params))
plt.fill_between(grid, low, high, alpha=0.2)
plt.xscale("log")
plt.savefig("plot.png")
def inverse(E, A, b):
    return ((0.90 - E) / A) ** (-1 / b)
low90, high90 = np.quantile([inverse(*draw) for draw in draws], [0.025, 0.975])
print(f"n at 0.90: {inverse(*params):,.0f} ({low90:,.0f} to {high90:,.0f}), by draws from the covariance, rows taken as independent")
""",
    "seaborn": """
import pandas as pd
import seaborn
curve = pd.read_csv("curve.csv")
axes = seaborn.lineplot(curve, x="n", y="acc", errorbar=("ci", 95), marker="o")
axes.set_xscale("log")
axes.figure.savefig("plot.png")
print("no law, so no n at 0.90; the largest mean is", curve.groupby("n")["acc"].mean().max().round(4))
""",
    "scikit-learn": """
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LearningCurveDisplay
images, digits = load_digits(return_X_y=True)  # it trains by itself, and draws no table of results
model = LogisticRegression(max_iter=50)
display = LearningCurveDisplay.from_estimator(model, images / 16, digits, score_type="test")
display.figure_.savefig("plot.png")
print("no law, so no n at 0.90; band is one standard deviation over folds; the largest mean is", display.test_scores.mean(axis=1).max().round(4))
""",
}


def curve() -> tuple[pd.DataFrame, float]:
    """Accuracies at 7 sizes, 3 seeds each, acc = 0.95 - 2.2 n^-0.42, and the n at which it is 0.90.

    A seed moves its whole curve by 0.003, a run by 0.002 (standard deviations).
    """
    random = np.random.default_rng(5)
    of_seed = 0.003 * random.standard_normal(3)
    rows = [(n, seed, 0.95 - 2.2 * n**-0.42 + of_seed[seed] + 0.002 * random.standard_normal()) for seed in range(3) for n in 100 * 2 ** np.arange(7)]
    return pd.DataFrame(rows, columns=["n", "seed", "acc"]).round(4), float((0.05 / 2.2) ** (-1 / 0.42))


def lines_of(program: str) -> int:
    """Lines of a program without empty ones and comments."""
    return sum(1 for line in program.splitlines() if line.strip() and not line.strip().startswith("#"))


def run(program: str, table: pd.DataFrame) -> tuple[str, bool]:
    """What a program prints in a folder with the table, and whether it leaves a plot."""
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.to_csv("curve.csv", index=False)
        exec(compile(program, "program", "exec"), {})
        plotted = Path("plot.png").stat().st_size > 1000
    return " ".join(printed.getvalue().split()), plotted


def main() -> None:
    """Prints one row a library."""
    os.environ.setdefault("MPLBACKEND", "agg")
    table, truth = curve()
    print(f"truth: {truth:,.0f}; largest n measured: {table['n'].max():,}\n\n| library | lines | plot | prints |\n|---|---|---|---|")
    for name, program in PROGRAMS.items():
        said, plotted = run(program, table)
        print(f"| {name} | {lines_of(program)} | {'yes' if plotted else 'no'} | {said} |", flush=True)


if __name__ == "__main__":
    main()
