"""How far off is each law on the later points of the 20 language curves?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.fitting.curves import CHOICE, language_curves, methods, score
from benchmarks.fitting.tables import Options, show, verdict

BEST_KNOWN = 0.0085  # of the 20: the last value repeated, `fit/README.md` of the public sets


def run(options: Options) -> None:
    """Print mean RMSLE by method and domain."""
    curves = language_curves(options)
    rows = []
    for method in methods(options):
        for weighting in ("default", "equal", "x") if method not in ("last_value", CHOICE) else ("default",):
            for curve in curves:
                settings = {"default": {}, "equal": {"weights": "equal"}, "x": {"weights": curve.x}}[weighting]
                rows.append({"method": method, "weights": weighting, "domain": curve.group, "rmsle": score(curve, method, **settings)})
    scores = pd.DataFrame(rows)
    domains = list(dict.fromkeys(curve.group for curve in curves))
    table = []
    for (method, weighting), one in scores.groupby(["method", "weights"], sort=False):
        means = [one[one.domain == domain].rmsle.mean() for domain in domains]
        table.append(
            [method, weighting, *(f"{mean:.4f}" for mean in (*means, one.rmsle.mean())), f"{one.rmsle.median():.4f}", int(np.isinf(one.rmsle).sum())]
        )
    show(["law", "weights", *domains, f"all {len(curves)}", "median", "curves it cannot predict"], table)
    chosen = scores[(scores.method == CHOICE) & (scores.weights == "default")].rmsle
    if len(chosen):
        what = f"{CHOICE} {chosen.mean():.4f}"
        verdict(what, f"below the best of the reference's table, {BEST_KNOWN}", chosen.mean() < BEST_KNOWN, judged=not options.quick)
    else:
        print(f"\nthis version of analysis has no {CHOICE}")
