"""A law, the points and the settings of its parameters, in coordinates that make the search easy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.fitting.losses import Loss
from analysis.laws.law import Law

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is to be fitted. Coordinates u of the search: the log of a positive parameter, any other
    parameter divided by its `size`, all for x / scale.
    """

    law: Law
    x: Array
    """Shape (n,), or (n, inputs) for a surface."""
    y: Array
    """Shape (n,)."""
    weights: Array
    """Shape (n,), mean 1 over the points used; zero leaves a point out."""
    loss: Loss
    pinned: Mapping[str, float]
    """Values of pinned parameters, for x as given."""
    bounds: Mapping[str, tuple[float, float]]
    """Bounds that the caller set, for x as given."""
    natural: tuple[float, ...]
    """Geometric mean of each input."""
    scale: tuple[float, ...]
    """What each input is divided by: `natural`, or 1 where a value is set whose meaning hangs on
    the unit of x.
    """
    units: Array | float = 1.0
    """What a residual is measured in, shape (n,): the standard error of each point relative to a
    typical one.
    """

    @cached_property
    def centred(self) -> Array:
        """x / scale."""
        return self.x / (self.scale[0] if self.x.ndim == 1 else np.array(self.scale))

    @property
    def free(self) -> tuple[str, ...]:
        """Parameters to be found, in the law's order."""
        return tuple(name for name in self.law.names if name not in self.pinned)

    @cached_property
    def free_mask(self) -> NDArray[np.bool_]:
        """Which coordinates move, shape (p,)."""
        return np.array([name not in self.pinned for name in self.law.names])

    @cached_property
    def linear_mask(self) -> NDArray[np.bool_]:
        """In which coordinates the fitted values are linear, shape (p,)."""
        return np.array([parameter.role == "linear" for parameter in self.law.parameters])

    @cached_property
    def logged(self) -> tuple[bool, ...]:
        """Which coordinates are logs."""
        return tuple(parameter.role == "positive" for parameter in self.law.parameters)

    @cached_property
    def sizes(self) -> tuple[float, ...]:
        """What each coordinate that is no log is multiplied by to give the parameter."""
        return tuple(1.0 if parameter.role == "positive" else parameter.size for parameter in self.law.parameters)

    @property
    def kept(self) -> Problem:
        """The points of positive weight alone, with x / geometric mean."""
        used = self.weights > 0
        units = self.units[used] if isinstance(self.units, np.ndarray) else self.units
        return dataclasses.replace(self, x=self.x[used], y=self.y[used], weights=self.weights[used], units=units, scale=self.natural)

    @property
    def masses(self) -> Array:
        """What a squared residual in the unit of y counts, shape (n,)."""
        return np.asarray(self.weights / np.square(self.units))

    def residual(self, u: Array) -> Array:
        """Residuals in `units` at coordinates u, shape (batch, n)."""
        with np.errstate(all="ignore"):
            return np.asarray(self.loss.residual(self.function(u), self.y) / self.units)

    def params(self, u: Array) -> dict[str, Array]:
        """Parameters of the centred law at coordinates u, shape (batch, p): each of shape (batch,
        1).
        """
        return {
            name: (np.exp(u[:, index]) if logged else u[:, index] * size)[:, None]
            for index, (name, logged, size) in enumerate(zip(self.law.names, self.logged, self.sizes, strict=True))
        }

    def coordinates(self, params: Mapping[str, Array]) -> Array:
        """Coordinates of parameters of the centred law, each of shape (batch,); the result has
        shape (batch, p).
        """
        with np.errstate(all="ignore"):
            columns = [
                np.log(params[name]) if logged else np.asarray(params[name]) / size
                for name, logged, size in zip(self.law.names, self.logged, self.sizes, strict=True)
            ]
        return np.stack(np.broadcast_arrays(*columns), axis=-1).astype(np.float64)

    def original(self, u: Array) -> dict[str, Array]:
        """Parameters for x as given at coordinates u, shape (batch, p): each of shape (batch,)."""
        centred = {name: value[:, 0] for name, value in self.params(u).items()}
        with np.errstate(all="ignore"):
            return self.law.rescale(centred, tuple(1.0 / factor for factor in self.scale))

    def at(self, params: Mapping[str, Array]) -> Array:
        """Coordinates of parameters for x as given, each of shape (batch,)."""
        with np.errstate(all="ignore"):
            return self.coordinates(self.law.rescale({name: np.asarray(value, dtype=np.float64) for name, value in params.items()}, self.scale))

    def function(self, u: Array) -> Array:
        """Fitted values, shape (batch, n)."""
        return self.law.function(self.centred, **self.params(u))

    def gradient(self, u: Array) -> Array:
        """Derivatives of the fitted values by the coordinates, shape (batch, n, p)."""
        return self.gradient_at(self.centred, u)

    def gradient_at(self, centred: Array, u: Array) -> Array:
        """The same at other x / scale, shape (batch, m, p)."""
        params = self.params(u)
        by = self.law.derivatives(centred, **params)
        chain = [
            params[name] if logged else np.full_like(params[name], size)
            for name, logged, size in zip(self.law.names, self.logged, self.sizes, strict=True)
        ]
        return by * np.concatenate(chain, axis=1)[:, None, :]

    @cached_property
    def box(self) -> tuple[Array, Array]:
        """Lower and upper bounds of the coordinates, each of shape (p,): the law's own, narrowed by
        the caller's.
        """
        low, high = np.array([parameter.bounds for parameter in self.law.parameters], dtype=np.float64).T.copy()
        to_here = tuple(near / here for near, here in zip(self.natural, self.scale, strict=True))
        for index, (name, logged) in enumerate(zip(self.law.names, self.logged, strict=True)):
            ratio = proportion(self.law, name, tuple(1.0 / factor for factor in to_here))
            if ratio is None:  # its size hangs on other parameters, so that no fixed range is right here
                low[index], high[index] = (1e-250, 1e250) if logged else (-np.inf, np.inf)
            elif logged:
                low[index], high[index] = low[index] * ratio, high[index] * ratio
            if name in self.bounds:
                ratio = proportion(self.law, name, self.scale) or 1.0
                low[index], high[index] = max(low[index], self.bounds[name][0] * ratio), min(high[index], self.bounds[name][1] * ratio)
            if name in self.pinned:  # the caller knows better than the range of the search
                low[index], high[index] = (0.0, np.inf) if logged else (-np.inf, np.inf)
        chosen = np.array(self.logged)
        low, high = low / np.array(self.sizes), high / np.array(self.sizes)
        with np.errstate(divide="ignore"):
            return np.where(chosen, np.log(np.where(chosen, np.maximum(low, 0.0), 1.0)), low), np.where(
                chosen, np.log(np.where(chosen, high, 1.0)), high
            )

    def pinned_coordinates(self, u: Array) -> Array:
        """u with the pinned coordinates set, shape (batch, p)."""
        u = u.copy()
        for name, value in self.pinned.items():
            index = self.law.names.index(name)
            here = value * (proportion(self.law, name, self.scale) or 1.0)
            u[:, index] = np.log(here) if self.logged[index] else here / self.sizes[index]
        return u

    def uncentred(self) -> Problem:
        """The same with x as it is given."""
        return dataclasses.replace(self, scale=(1.0,) * len(self.scale))


def make_problem(
    law: Law,
    x: Array,
    y: Array,
    weights: Array,
    loss: Loss,
    pinned: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
    units: Array | float = 1.0,
) -> Problem:
    """The problem, centred where that keeps the meaning of what the caller has set."""
    natural = centres(law, x[weights > 0])
    entangled = any(proportion(law, name, natural) is None for name in (*pinned, *bounds))
    scale = (1.0,) * len(natural) if entangled else natural
    return Problem(law=law, x=x, y=y, weights=weights, loss=loss, pinned=pinned, bounds=bounds, natural=natural, scale=scale, units=units)


def centres(law: Law, x: Array) -> tuple[float, ...]:
    """What to divide each input by: its geometric mean over the positive values, where parameters
    are least correlated; 1 for a law that cannot be rescaled.
    """
    if not law.centres_x:
        return (1.0,) * len(law.inputs)
    columns = x[:, None] if x.ndim == 1 else x
    found = [float(np.exp(np.mean(np.log(column[column > 0])))) if np.any(column > 0) else 1.0 for column in columns.T]
    for group in law.shared_scale:
        for index in group:
            found[index] = found[group[0]]
    return tuple(found)


def proportion(law: Law, name: str, factors: tuple[float, ...]) -> float | None:
    """By what a parameter is multiplied when x is divided by `factors`; None where that hangs on
    other parameters.
    """
    if all(factor == 1.0 for factor in factors):
        return 1.0
    moved = []
    for other in (0.7, 0.9):
        params = {one: np.array(0.8 if one == name else other) for one in law.names}
        # the factors themselves may be as large as 1e300, so whether a parameter hangs on others is
        # asked of a mild one
        moved.append(float(law.rescale(params, tuple(1.0 if factor == 1.0 else 2.0 for factor in factors))[name]))
    if moved[0] != moved[1]:
        return None
    params = {one: np.array(0.8) for one in law.names}
    return 1.0 if moved[0] == 0.8 else float(law.rescale(params, factors)[name] / 0.8)
