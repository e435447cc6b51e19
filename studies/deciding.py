"""A law used to decide: fitted to the cheaper runs of a study, it predicts the dearest ones before
they run.

    python -m studies.deciding studies/second_paper_in_miniature/runs.csv --longest 96000

Prints, of every encoder and number of images, the held-out loss that the shorter trainings predict
for the longest one, with a 90% interval for a new mean over seeds, and the outcome where that has
run; then what runs chosen by `suggest_runs` predict against a row of the grid at the same cost.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import choose_surface, load_runs, suggest_runs
from analysis.errors import AnalysisError

LEVEL = 0.9
INPUTS = ["pretrain_images", "pretrain_image_passes"]
CELL = ["encoder", *INPUTS]


def losses(runs: pd.DataFrame, arm: str | None = None) -> pd.DataFrame:
    """Mean held-out loss of each encoder, number of images and length, over pre-trainings."""
    own = runs[runs["arm"].str.split(", ").map(lambda arms: arm in arms)] if arm else runs
    one = own[own["pretrain_images"] > 0].drop_duplicates("pretrain_id")
    return one.groupby(CELL, as_index=False).agg(loss=("val_mim_loss", "mean"), sd=("val_mim_loss", "std"), seeds=("seed", "nunique"))


def forecast(table: pd.DataFrame, longest: float) -> pd.DataFrame:
    """What the lengths below `longest` predict for it, a row for each encoder and number of images."""
    lengths = sorted(table[INPUTS[1]].unique())
    if not lengths or lengths[0] >= longest:
        known = ", ".join(f"{one:,.0f}" for one in lengths)
        raise AnalysisError(f"no pre-training is shorter than {longest:,.0f} image passes, so nothing predicts it: the table has {known or 'none'}.")
    rows = []
    for encoder, cells in table.groupby("encoder"):
        before, dearest = cells[cells[INPUTS[1]] < longest], cells[cells[INPUTS[1]] == longest].set_index(INPUTS[0])["loss"]
        chosen = choose_surface(before, x=INPUTS, y="loss", level=LEVEL, metric="loss")
        sizes = sorted(before[INPUTS[0]].unique())
        told = chosen.predict(np.array([[size, longest] for size in sizes], dtype=float), kind="new run")
        for place, size in enumerate(sizes):
            outcome = dearest.get(size, float("nan"))
            low, high = float(told.low[place]), float(told.high[place])
            row = {"encoder": encoder, "images": int(size), "law": chosen.law, "predicted": float(told.mean[place]), "low": low, "high": high}
            rows.append(row | {"outcome": outcome, "held": "" if np.isnan(outcome) else "yes" if low <= outcome <= high else "no"})
    return pd.DataFrame(rows)


def chosen_runs(table: pd.DataFrame, longest: float) -> pd.DataFrame:
    """Two ways to spend the cost of one row of the grid, and how well each then predicts the dearest
    cell: the row of the second longest length, or the runs that `suggest_runs` chooses from all
    cells but the dearest.
    """
    rows = []
    for encoder, cells in table.groupby("encoder"):
        lengths = sorted(cells[INPUTS[1]].unique())
        begun = cells[cells[INPUTS[1]] < lengths[-2]]
        row = cells[cells[INPUTS[1]] == lengths[-2]]
        dearest = cells[(cells[INPUTS[1]] == longest) & (cells[INPUTS[0]] == cells[INPUTS[0]].max())]
        open_cells = cells[(cells[INPUTS[1]] >= lengths[-2])].drop(dearest.index)
        start = choose_surface(begun, x=INPUTS, y="loss", metric="loss")
        place, truth = dearest[INPUTS].to_numpy(dtype=float), float(dearest["loss"].iloc[0])
        suggested = suggest_runs(
            start,
            open_cells[INPUTS].to_numpy(dtype=float),
            ("predict", place[0]),
            cost=lambda X: X[:, 1],
            runs=len(open_cells),
            gpu_hours=float(row[INPUTS[1]].sum()),
            once=True,
        )
        wanted = {(float(images), float(passes)) for images, passes in suggested.chosen[["N", "D"]].to_numpy(dtype=float)}
        picked = open_cells[[pair in wanted for pair in map(tuple, open_cells[INPUTS].to_numpy(dtype=float))]]
        for way, added in (("row of the grid", row), ("suggest_runs", picked)):
            law = choose_surface(pd.concat([begun, added]), x=INPUTS, y="loss", metric="loss")
            told = float(law.predict(place).mean[0])
            bought = ", ".join(f"{images:,.0f} images x {passes / 1000:g}k" for images, passes in added[INPUTS].to_numpy(dtype=float))
            rows.append({"encoder": encoder, "way": way, "bought": bought, "predicted": told, "outcome": truth, "error": told / truth - 1.0})
    return pd.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m studies.deciding", description="Predict the dearest runs of a study from its cheaper ones.")
    parser.add_argument("runs", type=Path, help="a runs table, such as studies/NAME/runs.csv")
    parser.add_argument("--longest", type=float, required=True, help="image passes of the runs to predict")
    parser.add_argument("--arm", help="the arm to read, in a study with several")
    options = parser.parse_args(arguments)
    try:
        table = losses(load_runs(options.runs), options.arm)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            print(forecast(table, options.longest).to_string(index=False, float_format="{:.4f}".format))
            if (table[INPUTS[1]] == options.longest).any():
                print()
                print(chosen_runs(table, options.longest).to_string(index=False, float_format="{:.4f}".format))
    except AnalysisError as error:
        print(f"studies: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
