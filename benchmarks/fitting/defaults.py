"""Does `fit(x, y)` as it stands forecast better than the last value, and than other weights?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from benchmarks.fitting.curves import CHOICE, Curve, language_curves, lcdb_curves, score, training_curves
from benchmarks.fitting.tables import MissingData, Options, show, verdict

LCDB_CURVES = 30
SIMULATED = 40


def simulated_curves(count: int, seed: int) -> Iterator[Curve]:
    """Curves of 8 to 29 points over 1 to 2.5 decades from four families with random parameters, to
    be predicted over a factor of 2 to 10; noise about 1%.
    """
    random = np.random.default_rng(seed)
    given = 0
    while given < count:
        points, decades, ahead = int(random.integers(8, 30)), random.uniform(1.0, 2.5), np.log10(random.uniform(2.0, 10.0))
        x = np.logspace(3.0, 3.0 + decades + ahead, points + max(4, int(points * ahead / decades)))
        u = x / 10 ** (3.0 + decades)
        floor = float(random.choice([0.0, random.uniform(0.0, 0.6)]))
        b = np.exp(random.normal(np.log(0.4), 0.5))
        kind = random.integers(4)
        if kind == 0:
            shape = (u + np.exp(random.normal(-2.5, 1.5))) ** -b
        elif kind == 1:
            shape = 2.0 * (1.0 + (u / np.exp(random.normal(-2.0, 1.5))) ** np.exp(random.normal(0.0, 0.4))) ** -np.exp(random.normal(-0.5, 0.6))
        elif kind == 2:
            shape = np.exp(-((u / np.exp(random.normal(-1.0, 1.0))) ** np.exp(random.normal(np.log(0.5), 0.4))))
        else:
            g, d, f = np.exp(random.normal(np.log(0.4), 0.7)), np.exp(random.normal(-1.5, 1.0)), np.exp(random.normal(np.log(0.4), 0.5))
            shape = u**-b * (1.0 + (u / d) ** (1.0 / f)) ** (-(g - b) * f)
        y = (floor + 0.5 * shape) * np.exp(np.exp(random.normal(np.log(0.01), 0.8)) * random.standard_normal(len(x)))
        seen = u <= 1.0001
        if y.min() <= 1e-4 * y.max() or seen.sum() < 6 or (~seen).sum() < 2:
            continue
        given += 1
        yield Curve(name=f"simulated {given}", group="simulated", x=x[seen], y=y[seen], later_x=x[~seen], later_y=y[~seen])


def run(options: Options) -> None:
    """Print mean RMSLE by set and method."""
    count = options.simulations or options.count(LCDB_CURVES, 1)
    sources = {
        "language": lambda: language_curves(options),
        "training, half seen": lambda: training_curves(options),
        "LCDB, 20 to 80% seen": lambda: lcdb_curves(options, count, (0.2, 0.4, 0.8)),
        "simulated": lambda: simulated_curves(options.simulations or options.count(SIMULATED, 2), options.seed),
    }
    table: list[list[object]] = []
    beaten = True
    for name, read in sources.items():
        try:
            rows = list(_rows(read()))
        except MissingData as missing:
            print(f"\n{name} skipped: {missing}")
            continue
        means = pd.DataFrame(rows).mean()
        beaten &= bool(means["default"] < means["last value"])
        table.append([name, len(rows), *(f"{means[one]:.4f}" for one in means.index)])
    print("\nmean RMSLE over curves on the points after the cut, which no method sees; power law unless said otherwise")
    show(["curves", "n", "last value", "fit, equal weights", "fit, weights ~ x", "fit, default", CHOICE], table)
    verdict(f"the default is {'' if beaten else 'not '}better than the last value on each set", "better on each", beaten, judged=not options.quick)


def _rows(curves: Iterable[Curve]) -> Iterator[dict[str, float]]:
    for curve in curves:
        yield {
            "last value": score(curve, "last_value"),
            "equal": score(curve, "power", weights="equal"),
            "x": score(curve, "power", weights=curve.x),
            "default": score(curve, "power"),
            CHOICE: score(curve, CHOICE),
        }
