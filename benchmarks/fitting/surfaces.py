"""Do surfaces fitted to small budgets forecast large ones, and do they say when they do not fit?

Hoffmann et al.'s points cut at several budgets, and simulated surfaces of three truths (chinchilla,
a coupled law, a mixture of scales) whose budgets below a tenth of the largest are seen; and the same
truths in designs of many kinds (`varied_surfaces`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis import choose_surface, fit_surface
from benchmarks.fitting.chinchilla import columns, read_points
from benchmarks.fitting.curves import rmsle
from benchmarks.fitting.tables import MissingData, Options, show, verdict

Array = NDArray[np.float64]
CUTS = (1e20, 3e20, 1e21)
TRUTHS = ("chinchilla", "coupled", "mixture of scales")
LAWS = ("chinchilla", "shared_exponent", "skaling")
SIMULATED = 6
LEVEL = 0.90
SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Split:
    """Points of small budgets, and those of large ones to predict."""

    group: str
    X: Array
    y: Array
    later_X: Array
    later_y: Array


def mixture_of_scales(X: Array, random: np.random.Generator) -> Array:
    """Loss of a population of 60 skills, each learnt over a decade of the effective size; no law of
    this library.
    """
    place = random.uniform(np.log(1e4), np.log(3e9), 60)
    share = np.exp(-0.12 * (place - place.min())) * random.uniform(0.5, 1.5, 60)
    size = -np.logaddexp(-np.log(X[:, 0]), np.log(20.0) - np.log(X[:, 1]))
    return np.asarray(random.uniform(1.5, 2.0) + 4.0 * (share / share.sum() / (1.0 + np.exp(1.2 * (size[:, None] - place)))).sum(axis=1))


def true_loss(group: str, X: Array, random: np.random.Generator) -> Array:
    """Loss without noise, with parameters drawn at random."""
    if group == "chinchilla":
        E, alpha, beta = random.uniform(1.0, 2.0), random.uniform(0.25, 0.4), random.uniform(0.25, 0.4)
        return np.asarray(E + 400.0 * X[:, 0] ** -alpha + 400.0 * X[:, 1] ** -beta)
    if group == "coupled":
        k = random.uniform(0.2, 0.5)
        return np.asarray(random.uniform(1.0, 2.0) + 4.0 * ((X[:, 0] / 1e6) ** -(0.3 / k) + (X[:, 1] / 1e8) ** -(0.3 / k)) ** k)
    return mixture_of_scales(X, random)


def _simulated(count: int, seed: int) -> Iterator[Split]:
    for number in range(count):
        for group in TRUTHS:
            random = np.random.default_rng([seed, number])
            X = 10 ** np.column_stack([random.uniform(6.5, 9.5, 120), random.uniform(8.5, 11.0, 120)])
            y = true_loss(group, X, random) * np.exp(0.004 * random.standard_normal(120))
            budget = X.prod(axis=1)
            seen = budget < budget.max() / 10.0
            yield Split(group=f"simulated, {group}", X=X[seen], y=y[seen], later_X=X[~seen], later_y=y[~seen])


def varied_surfaces(count: int, seed: int) -> Iterator[Split]:
    """The same truths as other studies would measure them: 30 to 250 points at random places or on a
    grid, noise of 0.1 to 1%, budgets below a tenth or a hundredth of the largest seen.
    """
    given = 0
    while given < count:
        random = np.random.default_rng([seed, given, 7])
        group, points = TRUTHS[given % len(TRUTHS)], int(np.exp(random.uniform(np.log(30), np.log(250))))
        if random.random() < 0.5:
            X = 10 ** np.column_stack([random.uniform(6.5, 9.5, points), random.uniform(8.5, 11.0, points)])
        else:
            side = max(4, round(points**0.5))
            X = np.array([(N, D) for N in np.geomspace(3e6, 3e9, side) for D in np.geomspace(3e8, 1e11, side)])
        noise, cut = np.exp(random.uniform(np.log(0.001), np.log(0.01))), random.choice([10.0, 100.0])
        y = true_loss(group, X, random) * np.exp(noise * random.standard_normal(len(X)))
        budget = X.prod(axis=1)
        seen = budget < budget.max() / cut
        given += 1
        if seen.sum() >= 15 and (~seen).sum() >= 3:
            yield Split(group=f"varied, {group}", X=X[seen], y=y[seen], later_X=X[~seen], later_y=y[~seen])


def _hoffmann(options: Options) -> Iterator[Split]:
    points = read_points(options)[5:]
    X, y = columns(points)
    for cut in CUTS[: options.count(3, 1)]:
        seen = points["compute"].to_numpy() < cut
        yield Split(group=f"Hoffmann, C < {cut:g}", X=X[seen], y=y[seen], later_X=X[~seen], later_y=y[~seen])


def run(options: Options) -> None:
    """Print RMSLE beyond the budgets seen, coverage, and how many fits say that they do not fit."""
    splits = list(_simulated(options.simulations or options.count(SIMULATED, 1), options.seed))
    splits += varied_surfaces(3 * (options.simulations or options.count(SIMULATED, 1)), options.seed + 10)
    try:
        splits = [*_hoffmann(options), *splits]
    except MissingData as missing:
        print(f"\nHoffmann's points skipped: {missing}")
    found: dict[str, list[dict[str, float]]] = {}
    seconds = []
    for split in splits:
        start = time.process_time()
        choice = choose_surface(split.X, split.y, level=LEVEL)
        seconds.append(time.process_time() - start)
        ahead = choice.predict(split.later_X, "new run")
        row = {"choose_surface": rmsle(ahead.mean, split.later_y)}
        row["holds"] = float(np.mean((ahead.low <= split.later_y) & (split.later_y <= ahead.high)))
        for law in LAWS:
            fitted = fit_surface(split.X, split.y, law=law, bootstrap=0, level=LEVEL)
            row[law] = rmsle(fitted.predict(split.later_X).mean, split.later_y)
            if law == "chinchilla":
                band = fitted.predict(split.later_X, "new run")
                row["chinchilla holds"] = float(np.mean((band.low <= split.later_y) & (split.later_y <= band.high)))
                row["says so"] = float(fitted.status == "does not fit")
        found.setdefault(split.group, []).append(row)
    order = ["chinchilla", "shared_exponent", "skaling", "choose_surface", "holds", "chinchilla holds", "says so"]
    table = [[group, len(rows), *(f"{np.mean([row[one] for row in rows]):.4f}" for one in order)] for group, rows in found.items()]
    print("\nmean RMSLE on the larger budgets; then the share of them in the 90% interval of a new run, and of chinchilla fits that 'do not fit'")
    headers = ["set", "n", *LAWS, "choose_surface", "its interval holds", "chinchilla's holds", "chinchilla 'does not fit'"]
    show(headers, table)
    mean = {one: float(np.mean([row[one] for rows in found.values() for row in rows])) for one in order}
    better = mean["choose_surface"] < min(mean[law] for law in LAWS)
    verdict(f"choose_surface {mean['choose_surface']:.4f}", "below each law on average", better, judged=not options.quick)
    held = 0.85 <= mean["holds"] <= 0.95
    verdict(f"its intervals hold {mean['holds']:.1%}", "85 to 95%", held, judged=not options.quick)
    verdict(f"choose_surface takes {np.median(seconds):.2f} s of CPU", f"under {SECONDS:g} s", bool(np.median(seconds) < SECONDS))
