"""Do the decisions of `analysis.decisions` hold up? Simulated data, known truth, nominal 90%.

    python -m benchmarks.decisions                    # about 10 minutes on an idle core
    python -m benchmarks.decisions --simulations 1000 # the second decimal, about 50 minutes
    python -m benchmarks.decisions --only worth       # exchange rates and speed-ups alone

Prints two Markdown tables; `+-` is two standard errors of the simulation itself. Expected of the
first, up to that error: 0.85 to 0.95, but for three kinds of rows that show what the default avoids
or what it costs: curves that share their seeds taken as independent are far too wide; wrong laws
taken as correct hold the truth too seldom; and where a law is far off (a step), the interval reaches
from its answer to the truth and nearly always holds it. Of the second: suggested runs
leave an error about as large as was foretold, and smaller than as many GPU-hours at cells drawn at
random do.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import AnalysisError, Fit, fit, fit_surface
from analysis.decisions import best_split, combine_additive, compute_optimal_exponent, diminishing_returns, exchange_rate, speed_up, suggest_runs

LEVEL = 0.90
Curve = Callable[[np.ndarray], np.ndarray]
Held = dict[str, bool | None]  # whether each interval held the truth; None where there was no interval
FLOOR, SIZE, EXPONENT, NOISE = 1.0, 8.0, 0.3, 0.005  # a loss, y = E + A x^-b, with relative noise
SCRATCH, PRETRAINED = (0.80, -2.0, 0.40), (0.80, -0.9, 0.33)  # scores by labels
E, A, ALPHA, B, BETA = 1.69, 406.4, 0.34, 410.7, 0.28  # Hoffmann et al. 2022
TRANSFER = (0.80, -0.25, 2000.0, 0.5, -1.2, 0.4)  # E, A, c, alpha, B, beta of a score by pre-training and fine-tuning images


def _holds(interval: tuple[float, float] | None, truth: float) -> bool | None:
    return None if interval is None else interval[0] <= truth <= interval[1]


def _power(params: tuple[float, float, float], x: np.ndarray) -> np.ndarray:
    return params[0] + params[1] * x ** -params[2]


def loss_curve(random: np.random.Generator, *, n: int, seeds: int = 0) -> Fit:
    """n sizes over two decades, one run each or one for each of some seeds, whose luck moves all
    their runs.
    """
    x = np.geomspace(1e2, 1e4, n)
    y = FLOOR + SIZE * x**-EXPONENT
    if not seeds:
        return fit(x, y * (1.0 + NOISE * random.standard_normal(n)), loss="log_squared", level=LEVEL)
    shift = 0.01 * random.standard_normal(seeds)[:, None]
    runs = y * (1.0 + NOISE * random.standard_normal((seeds, n))) + shift
    return fit(np.tile(x, seeds), runs.ravel(), loss="log_squared", cluster=np.repeat(np.arange(seeds), n), level=LEVEL)


def returns(random: np.random.Generator, *, n: int, seeds: int = 0) -> Held:
    """The point from which a doubling buys less than a known noise, than the fit's own, and than
    its price.
    """
    result = loss_curve(random, n=n, seeds=seeds)
    bought = SIZE * (1.0 - 2.0**-EXPONENT)  # by a doubling at x = 1
    known, price = 0.12, 1e-4
    held = {"x by a known noise": _holds(diminishing_returns(result, noise_sd=known).noise.interval, (bought / known) ** (1 / EXPONENT))}
    paid = diminishing_returns(result, noise_sd=known, price=price).price
    assert paid is not None
    held["x by a price"] = _holds(paid.interval, (SIZE * EXPONENT / price) ** (1 / (1 + EXPONENT)))
    if not seeds:  # with seeds the residual holds their luck too, which is no one sd
        # noise y(x) = bought x^-b: (bought - noise A) x^-b = noise E
        truth = ((bought - NOISE * SIZE) / (NOISE * FLOOR)) ** (1 / EXPONENT)
        held["x by the fit's own noise"] = _holds(diminishing_returns(result).noise.interval, truth)
    return held


def _bend(start: float, early: float, late: float) -> Curve:
    """A score whose gain per e-fold turns from `early` to `late` at 1,500 labels."""
    return lambda x: start + early * np.log(x / 100.0) + 0.3 * (late - early) * np.log1p((x / 1500.0) ** (1.0 / 0.3))


def _step(top: float, middle: float, bottom: float) -> Curve:
    """A score that rises from `bottom` to `top` around `middle` labels."""
    return lambda x: bottom + (top - bottom) / (1.0 + (x / middle) ** -1.4)


def _wave(params: tuple[float, float, float], height: float, pace: float) -> Curve:
    """A power law with a wave in ln x on it."""
    return lambda x: _power(params, x) + height * np.sin(pace * np.log(x))


WORTH: dict[str, tuple[Curve, Curve, float]] = {
    "right law": (lambda x: _power(SCRATCH, x), lambda x: _power(PRETRAINED, x), 0.65),
    "wrong law, a bend": (_bend(0.48, 0.055, 0.02), _bend(0.60, 0.04, 0.015), 0.646),
    "wrong law, a wave on one curve": (_wave(SCRATCH, 0.008, 2.2), lambda x: _power(PRETRAINED, x), 0.65),
    "wrong law, waves on both": (_wave(SCRATCH, 0.008, 1.6), _wave(PRETRAINED, -0.004, 1.6), 0.65),
    "wrong law, a step": (_step(0.78, 700.0, 0.45), _step(0.80, 350.0, 0.50), 0.70),
}
"""Scores by labels from scratch and pre-trained, and the score at which the speed-up is asked."""


def _labels_for(curve: Curve, y: float) -> float:
    """Labels at which a curve first has the score y."""
    x = np.geomspace(50.0, 50_000.0, 400_001)
    return float(x[np.argmax(curve(x) >= y)])


def worth(random: np.random.Generator, *, seeds: int, shared: bool, kind: str = "right law") -> Held:
    """Labels that a pre-training saves, and its speed-up; five numbers of labels for each seed.

    As called by default, and with the laws taken as correct, as before this was widened.
    """
    x = np.geomspace(100.0, 6400.0, 5)
    scratch, pretrained, aim = WORTH[kind]
    luck = 0.01 * random.standard_normal((2, seeds, 1))
    curves = []
    for arm, truth in enumerate((scratch, pretrained)):
        y = truth(x) + 0.004 * random.standard_normal((seeds, 5)) + (luck[0] if shared else luck[arm])
        names = [f"{0 if shared else arm}.{seed}" for seed in range(seeds)]
        curves.append(fit(np.tile(x, seeds), y.ravel(), loss="squared", cluster=np.repeat(names, 5), level=LEVEL))
    without, with_it = curves
    at = 400.0
    saved = _labels_for(scratch, float(pretrained(np.array([at]))[0]))
    ratio = _labels_for(scratch, aim) / _labels_for(pretrained, aim)
    held: Held = {
        "labels saved": _holds(exchange_rate(with_it, without, at).interval, saved),
        "speed-up at a score": _holds(speed_up(with_it, without, at_y=aim).interval, ratio),
    }
    believed = [replace(one, cluster=None) for one in (with_it, without)]  # without names of clusters nothing corrects a law
    held["labels saved, laws taken as correct"] = _holds(exchange_rate(*believed, at, paired=shared).interval, saved)
    held["speed-up, laws taken as correct"] = _holds(speed_up(*believed, at_y=aim, paired=shared).interval, ratio)
    if shared:
        held["labels saved, paired=False"] = _holds(exchange_rate(with_it, without, at, paired=False).interval, saved)
    return held


def worth_of_points(random: np.random.Generator, *, n: int) -> Held:
    """The same with one run at each number of labels, and bands from the delta method."""
    x = np.geomspace(100.0, 6400.0, n)
    without, with_it = (
        fit(x, _power(params, x) + 0.004 * random.standard_normal(n), loss="squared", level=LEVEL) for params in (SCRATCH, PRETRAINED)
    )
    y_there = float(_power(PRETRAINED, np.array([400.0]))[0])
    truth = ((y_there - SCRATCH[0]) / SCRATCH[1]) ** (-1 / SCRATCH[2])
    aim = 0.65
    ratio = ((aim - SCRATCH[0]) / SCRATCH[1]) ** (-1 / SCRATCH[2]) / ((aim - PRETRAINED[0]) / PRETRAINED[1]) ** (-1 / PRETRAINED[2])
    return {
        "labels saved": _holds(exchange_rate(with_it, without, 400.0).interval, truth),
        "speed-up at a score": _holds(speed_up(with_it, without, at_y=aim).interval, ratio),
    }


def chinchilla_split(random: np.random.Generator, *, bootstrap: int) -> Held:
    """36 runs; compute inside and beyond what was measured, and the exponent."""
    X = np.array([(n, d) for n in np.geomspace(1e7, 1e10, 6) for d in np.geomspace(1e9, 1e12, 6)])
    y = (E + A * X[:, 0] ** -ALPHA + B * X[:, 1] ** -BETA) * (1.0 + 0.01 * random.standard_normal(36))
    surface = fit_surface(X, y, loss="log_squared", bootstrap=bootstrap, level=LEVEL, seed=int(random.integers(2**31)))
    held: Held = {"exponent": _holds(compute_optimal_exponent(surface).interval, BETA / (ALPHA + BETA))}
    for name, budget in (("inside", 1e20), ("1,000 times beyond", 1e25)):
        split = best_split(surface, budget, {"product": 6.0})
        best = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (budget / 6.0) ** (BETA / (ALPHA + BETA))
        held[f"best N, {name}"] = _holds(split.intervals["N"], best)
    return held


def transfer_split(random: np.random.Generator, *, bootstrap: int) -> Held:
    """A score by pre-training and fine-tuning images, prices per image, 25 cells twice."""
    e, a, c, alpha, b, beta = TRANSFER
    X = np.array([(p, f) for p in (0.0, 1e3, 1e4, 1e5, 1e6) for f in np.geomspace(100.0, 1e4, 5)] * 2)
    y = e + a * (1.0 + X[:, 0] / c) ** -alpha + b * X[:, 1] ** -beta
    noisy = y + 0.003 * random.standard_normal(len(y))
    surface = fit_surface(X, noisy, law="additive", loss="squared", bootstrap=bootstrap, level=LEVEL, seed=int(random.integers(2**31)))
    P = np.geomspace(1.0, 9.9e5, 200_001)
    along = e + a * (1.0 + P / c) ** -alpha + b * ((1000.0 - 0.001 * P) / 0.3) ** -beta
    try:
        split = best_split(surface, 1000.0, {"P": 0.001, "F": 0.3})
    except AnalysisError:
        return {"best P": None}
    return {"best P": _holds(split.intervals["P"], float(P[np.argmax(along)]))}


def added_split(random: np.random.Generator) -> Held:
    """Two curves through one baseline cell, put together."""
    n, d = np.geomspace(1e7, 1e10, 8), np.geomspace(1e9, 1e12, 8)
    base = {"N": 1e8, "D": 1e10}
    rest = {"N": B * base["D"] ** -BETA, "D": A * base["N"] ** -ALPHA}
    own = {"N": (n, A, ALPHA), "D": (d, B, BETA)}
    fits = {
        name: fit(x, (E + rest[name] + size * x**-b) * (1.0 + 0.003 * random.standard_normal(8)), loss="log_squared", level=LEVEL)
        for name, (x, size, b) in own.items()
    }
    split = best_split(combine_additive(fits, base), 1e20, {"product": 6.0})
    best = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (1e20 / 6.0) ** (BETA / (ALPHA + BETA))
    return {"best N": _holds(split.intervals["N"], best)}


def scenarios() -> Iterator[tuple[str, float, Callable[[np.random.Generator], Held]]]:
    """Name, share of the simulations it gets, and one simulation."""
    for n in (6, 12):
        yield f"returns, {n} points", 1.0, lambda r, n=n: returns(r, n=n)
    yield "returns, 5 seeds x 5 sizes", 1.0, lambda r: returns(r, n=5, seeds=5)
    yield "returns, 10 seeds x 5 sizes", 1.0, lambda r: returns(r, n=5, seeds=10)
    yield "worth, 8 points each", 1.0, lambda r: worth_of_points(r, n=8)
    for kind in WORTH:
        for seeds in (5, 10):
            yield f"worth, {kind}, {seeds} seeds shared by both curves", 1.0, lambda r, s=seeds, k=kind: worth(r, seeds=s, shared=True, kind=k)
        yield f"worth, {kind}, 5 seeds of each curve's own", 1.0, lambda r, k=kind: worth(r, seeds=5, shared=False, kind=k)
    yield "split, 36 runs, bootstrap", 1.0, lambda r: chinchilla_split(r, bootstrap=200)
    yield "split, 36 runs, draws", 1.0, lambda r: chinchilla_split(r, bootstrap=0)
    yield "split, 50 runs with P and F, bootstrap", 1.0, lambda r: transfer_split(r, bootstrap=200)
    yield "split, 50 runs with P and F, draws", 1.0, lambda r: transfer_split(r, bootstrap=0)
    yield "split, two curves added", 1.0, added_split


def measure(simulate: Callable[[np.random.Generator], Held], *, simulations: int, random_seed: int) -> pd.DataFrame:
    """One row per interval: coverage among the intervals that were given, its standard error, and
    how many were withheld.
    """
    random = np.random.default_rng(random_seed)
    held = pd.DataFrame([simulate(random) for _ in range(simulations)]).astype("object")
    given = held.notna().sum()
    coverage = held.apply(lambda column: float(column.dropna().astype(float).mean()) if column.notna().any() else np.nan)
    error = np.sqrt(coverage * (1.0 - coverage) / given.clip(lower=1))
    return pd.DataFrame({"coverage": coverage, "error": error, "withheld": 1.0 - given / simulations})


def designs(quantity: object, truth: float, *, simulations: int, random_seed: int) -> dict[str, float]:
    """Standard deviation of a quantity after runs at suggested cells, after as many GPU-hours at
    random ones, and as foretold.
    """
    random = np.random.default_rng(random_seed)
    base, cells, hours = np.geomspace(100.0, 1e4, 12), np.geomspace(30.0, 1e5, 9), np.geomspace(30.0, 1e5, 9) / 1e4 + 0.05
    budget = 6.0
    found: dict[str, list[float]] = {"before": [], "suggested": [], "random": [], "foretold": []}

    def noisy(x: np.ndarray) -> np.ndarray:
        return np.asarray((FLOOR + SIZE * x**-EXPONENT) * (1.0 + NOISE * random.standard_normal(len(x))))

    def asked(result: Fit) -> float:
        if isinstance(quantity, str):
            return result.params[quantity]
        kind, argument = quantity  # type: ignore[misc]
        return float(result.predict(argument).mean[0]) if kind == "predict" else float(np.log(result.inverse(argument).x))

    from analysis.student import t_quantile

    for _ in range(simulations):
        y = noisy(base)
        first = fit(base, y, loss="log_squared", level=LEVEL)
        advice = suggest_runs(first, cells, quantity, hours, runs=200, gpu_hours=budget)  # type: ignore[arg-type]
        chosen = advice.chosen["x"].to_numpy()
        drawn, left = [], budget
        while (open_to := np.flatnonzero(hours <= left)).size:
            pick = int(random.choice(open_to))
            drawn.append(cells[pick])
            left -= hours[pick]
        found["before"].append(asked(first))
        found["foretold"].append(float(advice.chosen["half_width_after"].iloc[-1]) / t_quantile(LEVEL, first.degrees_of_freedom + len(chosen)))
        for name, x in (("suggested", chosen), ("random", np.array(drawn))):
            again = fit(np.append(base, x), np.append(y, noisy(x)), loss="log_squared", level=LEVEL)
            found[name].append(asked(again))
    rms = {name: float(np.sqrt(np.mean((np.array(found[name]) - truth) ** 2))) for name in ("before", "suggested", "random")}
    return rms | {"foretold": float(np.sqrt(np.mean(np.square(found["foretold"]))))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--simulations", type=int, default=200, help="per scenario")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of the names of the rows to print, such as 'worth'; then without the second table")
    options = parser.parse_args()
    start = time.perf_counter()
    print(f"Coverage of intervals at nominal {LEVEL:.0%} (seed {options.seed})\n")
    print("| data | interval of | coverage | +- | withheld | simulations |\n|---|---|---|---|---|---|")
    for name, share, simulate in scenarios():
        if options.only not in name:
            continue
        count = max(2, round(share * options.simulations))
        for interval, row in measure(simulate, simulations=count, random_seed=options.seed).iterrows():
            print(f"| {name} | {interval} | {row['coverage']:.3f} | {2 * row['error']:.3f} | {row['withheld']:.1%} | {count} |", flush=True)
    if options.only:
        print(f"\n{time.perf_counter() - start:.0f} s")
        return
    count = max(2, options.simulations)
    print(
        f"\nRoot mean squared error of a quantity from 12 runs and 6 more GPU-hours ({count} simulations, each within {1 / np.sqrt(2 * count):.0%})\n"
    )
    print("| quantity | before | foretold | suggested cells | random cells |\n|---|---|---|---|---|")
    inverse = 1.5
    truths = {
        "E": FLOOR,
        ("predict", 1e6): FLOOR + SIZE * 1e6**-EXPONENT,
        ("inverse", inverse): np.log(((inverse - FLOOR) / SIZE) ** (-1 / EXPONENT)),
    }
    for quantity, truth in truths.items():
        row = designs(quantity, float(truth), simulations=count, random_seed=options.seed)
        print(f"| {quantity} | {row['before']:.4f} | {row['foretold']:.4f} | {row['suggested']:.4f} | {row['random']:.4f} |", flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
