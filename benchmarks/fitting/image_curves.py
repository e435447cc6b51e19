"""Simulated error curves of image classifiers, to choose constants on where the real ones are kept
aside.

An error near 1 falls by a generalised logistic, M4, a mixture of skills or a broken power law
towards a floor of 0 to 0.3, over 8 to 40 numbers of images on 1.3 to 3 decades; noise 0.4 to 3%.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.fitting.curves import Curve

Array = NDArray[np.float64]
SKILLS = 40


def image_curves(count: int, seed: int, *, far: bool) -> Iterator[Curve]:
    """Curves to be predicted over 0.3 to 1.5 decades where `far`, else over a factor of 2 or 4."""
    random = np.random.default_rng(seed)
    for number in range(1, count + 1):
        points, decades = int(random.integers(8, 41)), random.uniform(1.3, 3.0)
        ahead = random.uniform(0.3, 1.5) if far else float(np.log10(random.choice([2.0, 4.0])))
        seen = np.logspace(0.0, decades, points)
        later = 10 ** (decades + ahead * np.linspace(0.0, 1.0, max(4, round(points * ahead / decades)) + 1)[1:])
        u = np.concatenate([seen, later]) / 10**decades
        floor = float(random.choice([0.0, random.uniform(0.0, 0.3)]))
        truth = floor + (1.0 - floor) * _falling(u, random)
        y = truth * np.exp(np.exp(random.uniform(np.log(0.004), np.log(0.03))) * random.standard_normal(len(u)))
        group = "simulated images, far" if far else "simulated images, near"
        yield Curve(name=f"{group} {number}", group=group, x=1e3 * u[:points], y=y[:points], later_x=1e3 * u[points:], later_y=y[points:])


def _falling(u: Array, random: np.random.Generator) -> Array:
    """A share of the largest error, near 1 for small u."""
    kind = random.integers(4)
    middle, slope = np.exp(random.normal(-3.0, 1.5)), np.exp(random.normal(np.log(0.4), 0.5))
    if kind == 0:  # a generalised logistic in ln u
        return np.asarray((1.0 + (u / middle) ** np.exp(random.normal(0.0, 0.3))) ** -slope)
    if kind == 1:  # M4: (1 - e) / e^a = B u^-c
        height, a = random.uniform(0.2, 3.0), random.uniform(1.0, 4.0)
        low, high = np.full(len(u), 1e-9), np.ones(len(u))
        for _ in range(60):
            half = 0.5 * (low + high)
            above = half / (1.0 - half) ** a > height * u**-slope
            low, high = np.where(above, low, half), np.where(above, half, high)
        return 0.5 * (low + high)
    if kind == 2:  # a mixture of skills, each learnt over a part of a decade
        places = random.normal(np.log(middle), random.uniform(1.0, 3.0), SKILLS)
        return np.asarray(np.mean(1.0 / (1.0 + (u[:, None] / np.exp(places)) ** random.uniform(0.7, 1.5)), axis=1))
    bend, sharp = np.exp(random.normal(-1.5, 1.0)), np.exp(random.normal(np.log(0.4), 0.5))
    later = np.exp(random.normal(np.log(0.4), 0.7))
    first = (1.0 + u / (0.2 * middle)) ** -slope
    return np.asarray(first * (1.0 + (u / bend) ** (1.0 / sharp)) ** (-(later - slope) * sharp if later > slope else 0.0))
