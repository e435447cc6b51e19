"""Which law extrapolates LCDB's learning curves best, from 20, 40 and 80% of the anchors, and do
standard errors help?
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.fitting.curves import CHOICE, lcdb_curves, methods, score
from benchmarks.fitting.tables import Options, show, verdict

SHARES = (0.2, 0.4, 0.8)
CURVES = 60


def run(options: Options) -> None:
    """Print mean rank and median RMSLE by method and share of the curve that was seen."""
    count = options.simulations or options.count(CURVES, 1)
    rows = []
    for curve in lcdb_curves(options, count, SHARES):
        for method in methods(options):
            for weighting in ("default", "standard error"):
                settings = {} if weighting == "default" else {"sigma": curve.error}
                rows.append({"curve": curve.name, "seen": curve.group, "method": f"{method}, {weighting}", "rmsle": score(curve, method, **settings)})
    scores = pd.DataFrame(rows)
    scores["rank"] = scores.groupby(["curve", "seen"]).rmsle.rank()
    seen = [f"{share:.0%}" for share in SHARES]
    ranks = scores.pivot_table(index="method", columns="seen", values="rank", aggfunc="mean", sort=False)[seen]
    middle = scores.pivot_table(index="method", columns="seen", values="rmsle", aggfunc="median", sort=False)[seen]
    failed = scores.assign(failed=np.isinf(scores.rmsle)).groupby("method", sort=False).failed.sum()
    order = ranks.mean(axis=1).sort_values().index
    table = [
        [method, *(f"{ranks.loc[method, one]:.1f}" for one in seen), *(f"{middle.loc[method, one]:.4f}" for one in seen), failed[method]]
        for method in order
    ]
    print(f"\n{count} curves, seed {options.seed}; rank 1 is best of {len(ranks)}")
    show(["law, weights", *(f"rank at {one}" for one in seen), *(f"median RMSLE at {one}" for one in seen), "cannot predict"], table)
    if CHOICE in methods(options):
        own = [f"{CHOICE}, default", f"{CHOICE}, standard error"]
        best = {one: ranks[one].drop(own).min() for one in seen}
        ranked = ", ".join(f"{ranks.loc[own[0], one]:.1f} at {one} where the best law has {best[one]:.1f}" for one in seen)
        met = all(ranks.loc[own[0], one] <= best[one] for one in seen)
        verdict(f"mean rank of {CHOICE} {ranked}", "at or below that of the best single law at each", met, judged=not options.quick)
    else:
        print(f"\nthis version of analysis has no {CHOICE}")
