"""Tells whether y turns at its end: a loss that rises again, which no law of this library does.

The mean of the last w points is compared with the lowest mean of w earlier neighbours, for w = 1, 2,
4, ..., by Student's t with Bonferroni's correction. The noise is that of repeated measurements, or
else what neighbours leave of a parabola through them (contrasts of four), taken over blocks as well
where there are many points, so that noise that goes on from point to point counts in full. On flat
curves with independent noise 1 to 2% are called; `tests/analysis/test_turning.py` measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.inverse import falls
from analysis.forecasting.candidates import BINS, curve_of
from analysis.formatting import digits, number_of, p_value

Array = NDArray[np.float64]

CLEAR = 0.01  # p up to which a rise counts
PROBABLE, RUN = 0.05, 3  # p up to which one of RUN or more steps in a row counts
LONG_RUN = 5  # steps in a row that count by themselves: without a trend one in 720 ends so
FEWEST = 6  # points without repeats
FEWEST_FREEDOM = 3  # of the noise of repeats, below which neighbours say what it is
BLOCKS = 10  # of points, at least, where their noise is taken over blocks
HALF = 0.5  # of a rise: a law that follows more of it is not contradicted
NORMAL_MEDIAN = 0.6744897501960817


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A rise at the end of a series."""

    start: int
    """Index of the lowest point."""
    rise: float
    """How far the last points lie above the lowest ones, on the scale of the errors."""
    p: float
    """How often a series that never rises ends so."""


def turn_of(u: Array, t: Array, sd: float | None = None, freedom: int = 0) -> Turn | None:
    """The rise at the end of t over the rising u, shape (n,) each; None where there is none. `sd`,
    with its degrees of freedom, is the noise of one t where that is known.
    """
    n = len(t)
    if n < (3 if sd is not None else FEWEST) or int(np.argmin(t)) == n - 1:
        return None
    if sd is None:
        sd, freedom = noise_of_neighbours(u, t)
    total = np.concatenate([[0.0], np.cumsum(t)])
    best, rise, start, compared, w = 1.0, 0.0, 0, 0, 1
    while 2 * w <= n:
        means = (total[w:] - total[:-w]) / w
        earlier = means[:-w]
        compared += len(earlier)
        up = float(means[-1] - earlier.min())
        tail = _tail(up / max(sd * np.sqrt(2.0 / w), 1e-12 * float(np.max(np.abs(t))) + 1e-300), freedom)
        if tail < best:
            best, rise, start = tail, up, int(np.argmin(earlier)) + w // 2
        w *= 2
    p = min(1.0, best * compared)
    steps = np.diff(t)[::-1] > 0
    run = n - 1 if steps.all() else int(np.argmin(steps))
    if p <= CLEAR or run >= LONG_RUN or (p <= PROBABLE and run >= RUN):
        return Turn(start=start, rise=rise, p=p)
    return None


def noise_of_neighbours(u: Array, t: Array) -> tuple[float, int]:
    """Standard deviation of one t about a parabola through its neighbours; degrees of freedom."""
    sd, freedom, w, n = 0.0, 1, 1, len(t)
    while w == 1 or n // w >= BLOCKS:
        first = n - n // w * w
        off = np.abs(_contrasts(u[first:].reshape(-1, w).mean(axis=1), t[first:].reshape(-1, w).mean(axis=1)))
        own = max(float(np.median(off)) / NORMAL_MEDIAN, float(np.sqrt(np.mean(off[len(off) // 2 :] ** 2)))) * w**0.5
        if own > sd:
            sd, freedom = own, len(off)
        w *= 2
    return sd, freedom


def turn_of_curve(x: Array, y: Array, used: NDArray[np.bool_], law: Callable[[Array], Array], name: str) -> str:
    """A sentence that y turns at the end while the fitted law, called `name`, does not; empty where it
    does not. x and y have shape (n,), `used` says which points count.
    """
    x, y = x[used], y[used]
    logarithmic = bool(np.all(y > 0))
    curve = curve_of(x, y, np.ones(len(x)), logarithmic=logarithmic)
    sd, freedom = _noise_of_repeats(x[:, None], np.log(y) if logarithmic else y) if len(np.unique(x)) <= BINS else (None, 0)
    if sd is not None:
        sd /= float(curve.count.min()) ** 0.5
    down = falls(x, y)
    for sign in (1.0,) if down else (1.0, -1.0):
        found = turn_of(curve.steps, sign * curve.t, sd, freedom)
        if sign > 0 and not down and turn_of(-curve.steps[::-1], curve.t[::-1], sd, freedom) is None:
            continue  # y rises all along, as a law that rises does
        if found is None or _follows(law, curve.x[[found.start, -1]], sign * found.rise, logarithmic=logarithmic):
            continue
        where = f"from x = {digits(curve.x[found.start])} on, {_size(sign * found.rise, logarithmic=logarithmic)} up to x = {digits(curve.x[-1])}"
        return f"y {_verb(sign)}s at the end: {where} ({p_value(found.p)}); the law '{name}' {_consequence(sign)}"
    return ""


def turn_of_surface(X: Array, y: Array, used: NDArray[np.bool_], inputs: tuple[str, ...], law: Callable[[Array], Array], name: str) -> str:
    """The same for a surface: whether y rises at the end of an input while the others stay as they
    are. X has shape (n, inputs). Points that share no values of the others cannot tell.
    """
    X, y = X[used], y[used]
    logarithmic = bool(np.all(y > 0))
    t = np.log(y) if logarithmic else y
    down = [falls(column, y) for column in X.T]
    cells, place, count = np.unique(X, axis=0, return_inverse=True, return_counts=True)
    means = np.bincount(place.ravel(), t) / count
    pooled, freedom = _noise_of_repeats(X, t)
    for column, input_name in enumerate(inputs):
        if not down[column] or not np.all(cells[:, column] > 0):
            continue
        series = list(_series(cells, column))
        sd, own_freedom = (pooled, freedom) if pooled is not None else _pooled_noise(series, cells[:, column], means)
        turned: list[tuple[NDArray[np.int64], Turn]] = []
        for rows in series:
            per_mean = None if sd is None else sd / (float(count[rows].min()) ** 0.5 if pooled is not None else 1.0)
            found = turn_of(np.log(cells[rows, column]), means[rows], per_mean, own_freedom)
            # every series is one more that could end high by chance
            if found and found.p * len(series) <= CLEAR and not _follows(law, cells[rows[[found.start, -1]]], found.rise, logarithmic=logarithmic):
                turned.append((rows, found))
        if turned:
            rows, found = max(turned, key=lambda one: one[1].rise)
            others = [other for other in range(len(inputs)) if other != column]
            at = ", ".join(f"{inputs[other]} = {digits(cells[rows[0], other])}" for other in others)
            more = f", the largest of {number_of(len(turned), 'such rise')} in {len(series)} series" if len(turned) > 1 else ""
            start, end = cells[rows[found.start], column], cells[rows[-1], column]
            where = f"from {input_name} = {digits(start)} on, {_size(found.rise, logarithmic=logarithmic)} up to {input_name} = {digits(end)}"
            return f"y rises at the end where {at}: {where} ({p_value(found.p)}){more}; the law '{name}' {_consequence(1.0)}"
    return ""


def with_turn(status: str, detail: str, sentence: str) -> dict[str, Any]:
    """A fit's `status` and `status_detail`, changed to say that its y turns (`sentence`)."""
    if status == "not identified":
        return {"status": status, "status_detail": f"{detail}; {sentence}"}
    before = f"at bound: {detail}" if status == "at bound" else detail
    return {"status": "does not fit", "status_detail": "; ".join(one for one in (sentence, before) if one)}


def _tail(z: float, freedom: int) -> float:
    from scipy.special import stdtr  # here, so that importing analysis stays quick

    return float(stdtr(max(freedom, 1), -z))


def _contrasts(u: Array, t: Array) -> Array:
    """What each four neighbours leave of a parabola, in units of the noise of one, shape (n - 3,)."""
    rows = np.arange(len(u) - 3)[:, None] + np.arange(4)
    gaps = u[rows][:, :, None] - u[rows][:, None, :] + np.eye(4)
    weights = 1.0 / gaps.prod(axis=2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return np.asarray(np.sum(weights * t[rows], axis=1))


def _noise_of_repeats(X: Array, t: Array) -> tuple[float | None, int]:
    """Standard deviation within equal X, and its degrees of freedom; None where there are too few."""
    _, place, count = np.unique(X, axis=0, return_inverse=True, return_counts=True)
    freedom = len(t) - len(count)
    if freedom < FEWEST_FREEDOM:
        return None, 0
    place = place.ravel()
    off = t - (np.bincount(place, t) / count)[place]
    sd = float(np.sqrt(np.sum(off**2) / freedom))
    return (sd, freedom) if sd > 0 else (None, 0)


def _series(cells: Array, column: int) -> Iterator[NDArray[np.int64]]:
    """Rows of the cells that differ in one column alone, in its order: three or more each."""
    others = np.delete(cells, column, axis=1)
    _, place = np.unique(others, axis=0, return_inverse=True)
    for one in range(int(place.max()) + 1):
        rows = np.flatnonzero(place.ravel() == one)
        if len(rows) >= 3:
            yield rows[np.argsort(cells[rows, column])]


def _pooled_noise(series: list[NDArray[np.int64]], x: Array, t: Array) -> tuple[float | None, int]:
    """Noise of one t from the contrasts of all series of four or more."""
    off = [np.abs(_contrasts(np.log(x[rows]), t[rows])) for rows in series if len(rows) > 3]
    every = np.concatenate(off) if off else np.empty(0)
    if len(every) < FEWEST_FREEDOM:
        return None, 0
    sd = float(np.median(every)) / NORMAL_MEDIAN
    return (sd, len(every)) if sd > 0 else (None, 0)


def _follows(law: Callable[[Array], Array], ends: Array, rise: float, *, logarithmic: bool) -> bool:
    """Whether the law itself moves by at least half of the rise between its ends."""
    with np.errstate(all="ignore"):
        values = np.log(law(ends)) if logarithmic else law(ends)
    moved = float(values[1] - values[0])
    return bool(np.isfinite(moved) and moved * np.sign(rise) >= HALF * abs(rise))


def _verb(sign: float) -> str:
    return "rise" if sign > 0 else "fall"


def _size(rise: float, *, logarithmic: bool) -> str:
    return f"by {digits(100.0 * abs(float(np.expm1(rise))))}%" if logarithmic else f"by {digits(abs(rise))}"


def _consequence(sign: float) -> str:
    side = "low" if sign > 0 else "high"
    return f"does not {_verb(sign)} there, nor can others of this library, so forecasts beyond are too {side} if y goes on so"
