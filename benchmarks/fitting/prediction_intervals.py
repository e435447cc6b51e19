"""Do 90% intervals for new runs hold the later points of real curves, and how wide are they?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from analysis import AnalysisError, fit
from benchmarks.fitting.curves import CHOICE, Curve, choice_of, delta_method_only, language_curves, lcdb_curves, training_curves
from benchmarks.fitting.image_curves import image_curves
from benchmarks.fitting.tables import MissingData, Options, show, verdict

LEVEL = 0.90
RANGE = (0.85, 0.95)
LCDB_CURVES = 40
IMAGE_CURVES = 200


def _bands(curve: Curve) -> dict[str, Any]:
    """A prediction of the later points by method."""
    found: dict[str, Any] = {}
    choose = choice_of()
    if choose is not None:
        choice = choose(curve.x, curve.y, level=LEVEL)
        found[CHOICE] = choice.predict(curve.later_x, kind="new run")
        found["delta method, chosen law"] = delta_method_only(choice.fit).predict(curve.later_x, kind="new run")
    power = fit(curve.x, curve.y, level=LEVEL)
    found["fit, power law"] = power.predict(curve.later_x, kind="new run")
    found["delta method, power law"] = delta_method_only(power).predict(curve.later_x, kind="new run")
    return found


def _measure(curves: Iterable[Curve]) -> dict[str, list[tuple[float, float, float]]]:
    """Per method and curve: share of later points held, median of ln(high / low), share of points
    with an interval.
    """
    found: dict[str, list[tuple[float, float, float]]] = {}
    for curve in curves:
        try:
            bands = _bands(curve)
        except AnalysisError:
            continue
        for method, band in bands.items():
            given = np.isfinite(band.low) & np.isfinite(band.high)
            if not given.any():
                found.setdefault(method, []).append((np.nan, np.nan, 0.0))
                continue
            y = curve.later_y
            held = (band.low <= y) & (y <= band.high)
            with np.errstate(all="ignore"):
                width = np.log(band.high / np.maximum(band.low, 1e-12))
            found.setdefault(method, []).append((float(held[given].mean()), float(np.median(width[given])), float(given.mean())))
    return found


def run(options: Options) -> None:
    """Print coverage and width by set and method."""
    sources = {
        "language": lambda: language_curves(options),
        "LCDB, 20 to 80% seen": lambda: lcdb_curves(options, options.simulations or options.count(LCDB_CURVES, 1), (0.2, 0.4, 0.8)),
        "training curves, half seen": lambda: training_curves(options),
        "simulated images, 0.3 to 1.5 decades ahead": lambda: image_curves(
            options.simulations or options.count(IMAGE_CURVES, 1), options.seed + 10, far=True
        ),
    }
    rows: list[list[object]] = []
    chosen: dict[str, float] = {}
    for name, read in sources.items():
        try:
            measured = _measure(read())
        except MissingData as missing:
            print(f"\n{name} skipped: {missing}")
            continue
        for method, values in measured.items():
            held, width, given = np.array(values).T
            coverage, error = float(np.nanmean(held)), 2.0 * float(np.nanstd(held)) / max(1.0, np.sqrt(np.isfinite(held).sum()))
            rows.append([name, method, f"{coverage:.1%}", f"{error:.1%}", f"{np.nanmedian(width):.4f}", f"{given.mean():.0%}", len(held)])
            if method == CHOICE:
                chosen[name] = coverage
    print("\nmean over curves of the share of later points held; +- is two standard errors over curves; width is the median of ln(high / low)")
    show(["curves", f"interval, nominal {LEVEL:.0%}", "holds", "+-", "width", "points with an interval", "n"], rows)
    if chosen:
        coverages = ", ".join(f"{name} {coverage:.1%}" for name, coverage in chosen.items())
        met = all(RANGE[0] <= coverage <= RANGE[1] for coverage in chosen.values())
        verdict(f"{CHOICE}: {coverages}", f"{RANGE[0]:.0%} to {RANGE[1]:.0%} on each", met, judged=not options.quick)
    else:
        print(f"\nthis version of analysis has no {CHOICE}")
