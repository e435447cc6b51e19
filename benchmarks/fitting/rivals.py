"""The other tools on the same data: scipy's curve_fit, lmfit and the chinchilla package, each
called as its documentation says.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Params = dict[str, float]
CHINCHILLA_NAMES = ("E", "A", "alpha", "B", "beta")


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Other tools' warnings and progress are not ours to print."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def power(x: Array, E: float, A: float, b: float) -> Array:
    """y = E + A x^-b as a user would write it."""
    return E + A * x**-b


def surface(X: Array, E: float, A: float, alpha: float, B: float, beta: float) -> Array:
    """y = E + A N^-alpha + B D^-beta, X of shape (2, n), as curve_fit wants it."""
    return E + A * X[0] ** -alpha + B * X[1] ** -beta


def curve_fit(function: Callable[..., Array], x: Array, y: Array, start: Sequence[float] | None, names: Sequence[str]) -> tuple[Params, Array] | None:
    """Least squares by scipy, from 1 for every parameter where no start is given: parameters and
    standard errors; None where it gives up.
    """
    from scipy import optimize

    with quietly():
        try:
            found, covariance = optimize.curve_fit(function, x, y, p0=np.ones(len(names)) if start is None else start)
        except (RuntimeError, ValueError, TypeError):
            return None
        return dict(zip(names, (float(value) for value in found), strict=True)), np.sqrt(np.diag(covariance))


def lmfit_model(function: Callable[..., Array], x: Array, y: Array, start: Mapping[str, float]) -> object:
    """lmfit's Model of that function by least squares: its ModelResult."""
    import lmfit

    with quietly():
        model = lmfit.Model(function)
        return model.fit(y, model.make_params(**start), **{model.independent_vars[0]: x})


def lmfit_power_law(x: Array, y: Array) -> object:
    """lmfit's own power law plus a constant, each from its own guess, as its documentation combines
    models.
    """
    import lmfit

    with quietly():
        model = lmfit.models.PowerLawModel() + lmfit.models.ConstantModel()
        guess = lmfit.models.PowerLawModel().guess(y, x=x) + lmfit.models.ConstantModel().guess(y, x=x)
        return model.fit(y, guess, x=x)


def lmfit_scalar(X: Array, y: Array, start: Mapping[str, float], loss: Callable[[Array], float]) -> Params:
    """lmfit's Minimizer, by BFGS, on a loss of the log residuals."""
    import lmfit

    def residual(params: lmfit.Parameters) -> Array:
        fitted = surface(X, **params.valuesdict())
        return np.log(np.maximum(fitted, 1e-300) / y)

    with quietly():
        params = lmfit.Parameters()
        for name, value in start.items():
            params.add(name, value=value)
        found = lmfit.Minimizer(residual, params, reduce_fcn=loss, nan_policy="omit").minimize(method="bfgs")
        return {name: float(value) for name, value in found.params.valuesdict().items()}


def chinchilla_package(N: Array, D: Array, y: Array, *, delta: float | None, values: int) -> Params:
    """The chinchilla package from the grid of its README, thinned to `values` an axis: its
    log-Huber with that delta, or its default loss.
    """
    import functools

    import matplotlib as mpl

    mpl.use("Agg")
    with quietly(), tempfile.TemporaryDirectory() as folder:
        import pandas as pd
        from chinchilla import Chinchilla
        from chinchilla._metrics import log_huber

        grid = {
            "E": np.linspace(1.1, 1.5, values),
            "A": np.linspace(200, 1000, values),
            "B": np.linspace(200, 1000, values),
            "alpha": np.linspace(0.1, 0.5, values),
            "beta": np.linspace(0.1, 0.5, values),
        }
        chosen = {} if delta is None else {"loss_fn": functools.partial(log_huber, delta=delta)}
        tool = Chinchilla(folder, param_grid=grid, seed_ranges={"C": (1e15, 1e16), "N_to_D": (10, 100)}, log_level=50, **chosen)
        tool.database.df = pd.DataFrame({"C": 6 * N * D, "N": N, "D": D, "loss": y})
        tool.fit()
        return tool.get_params()
