"""`fit` and `choose_law` for tables and arrays, and `fit_surface` likewise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

from numpy.typing import ArrayLike

from analysis.errors import AnalysisError
from analysis.fitting.curve import Fit
from analysis.fitting.fit import OwnLaw
from analysis.fitting.fit import fit as fit_points
from analysis.fitting.surface import SurfaceFit
from analysis.fitting.surface import fit_surface as fit_surface_points
from analysis.forecasting.choice import LawChoice
from analysis.forecasting.choose import choose_law as choose_law_of_points
from analysis.forecasting.choose_surface import choose_surface as choose_surface_of_points
from analysis.forecasting.surface_choice import SurfaceChoice
from analysis.from_tables.points import Given, given_points, naming

if TYPE_CHECKING:
    from analysis.from_tables.fits import Fits

Kind = TypeVar("Kind", Fit, LawChoice)


class FitSettings(TypedDict, total=False):
    """Settings of one fit; `analysis.fitting.fit.fit` says what each does."""

    law: str | OwnLaw
    loss: str
    delta: float | None
    fixed: Mapping[str, float] | None
    bounds: Mapping[str, tuple[float | None, float | None]] | None
    y_range: tuple[float | None, float | None] | None
    metric: str | None
    bootstrap: int
    start: Mapping[str, float] | None
    level: float
    seed: int


class ChoiceSettings(TypedDict, total=False):
    """Settings of one choice; `analysis.forecasting.choose.choose_law` says what each does."""

    candidates: Sequence[str | OwnLaw] | None
    y_range: tuple[float | None, float | None] | None
    average_laws: bool
    level: float


@overload
def fit(
    data: Any = None,
    y: Any = None,
    *,
    x: Any = None,
    by: None = None,
    weights: ArrayLike | str | None = None,
    sigma: ArrayLike | str | None = None,
    cluster: ArrayLike | str | None = None,
    **settings: Unpack[FitSettings],
) -> Fit: ...
@overload
def fit(
    data: Any = None,
    y: Any = None,
    *,
    x: Any = None,
    by: str | Sequence[str] | ArrayLike,
    weights: ArrayLike | str | None = None,
    sigma: ArrayLike | str | None = None,
    cluster: ArrayLike | str | None = None,
    **settings: Unpack[FitSettings],
) -> Fits[Fit]: ...
def fit(
    data: Any = None,
    y: Any = None,
    *,
    x: Any = None,
    by: str | Sequence[str] | ArrayLike | None = None,
    weights: ArrayLike | str | None = None,
    sigma: ArrayLike | str | None = None,
    cluster: ArrayLike | str | None = None,
    **settings: Unpack[FitSettings],
) -> Fit | Fits[Fit]:
    """Fits a law y = f(x), by default the power law E + A x^-b.

        fit(x, y)                                                   # arrays, Series, tensors
        fit(table, x="n_labels", y="acc", cluster="seed")           # columns of a table
        fit(table, x="n_labels", y="acc", by="backbone")            # one fit for each backbone

    Args:
        data: a table (pandas, polars, or any that narwhals knows), or the values of x.
        y: values of shape (n,), or the name of a column.
        x: values of shape (n,), above zero, in any unit; or the name of a column.
        by: the name of a column, several, or labels of shape (n,): the result is then a `Fits`.
        weights: multiply the loss of each point; values or a column, or 'equal'. Unless given, they
            are chosen by how well earlier points predict later ones.
        sigma: standard errors of y up to a common factor; values or a column.
        cluster: labels of points that are not independent, such as runs of one seed; values or a
            column.
        settings: `law` (a name in `analysis.LAWS`, a function f(x, a, b) of your own, or a `Law`),
            `level` of the intervals, `bootstrap` samples, `fixed` and `bounds` of parameters,
            `y_range` of the metric or its name `metric`, `loss`, `delta`, `start`, `seed`: as
            `analysis.fitting.fit.fit` describes them.

    Names of columns and Series follow into sentences, tables and axes. Rows of a table in which a
    column that is used is empty are left out. Raises AnalysisError for points or settings that no
    law can be fitted to, saying which, and a column that is not there, naming the nearest.
    """
    columns, equal = _weights(weights, data)
    given = given_points(data, x, y, by=by, weights=columns, sigma=sigma, cluster=cluster)

    def one(points: Given) -> Fit:
        others = points.others | equal
        with naming(points):
            return replace(fit_points(points.x, points.y, **others, **settings), x_name=points.x_name, y_name=points.y_name)

    return one(given) if by is None else _each(given, one, by)


@overload
def choose_law(
    data: Any = None,
    y: Any = None,
    *,
    x: Any = None,
    by: None = None,
    weights: ArrayLike | str | None = None,
    sigma: ArrayLike | str | None = None,
    cluster: ArrayLike | str | None = None,
    **settings: Unpack[ChoiceSettings],
) -> LawChoice: ...
@overload
def choose_law(
    data: Any = None,
    y: Any = None,
    *,
    x: Any = None,
    by: str | Sequence[str] | ArrayLike,
    weights: ArrayLike | str | None = None,
    sigma: ArrayLike | str | None = None,
    cluster: ArrayLike | str | None = None,
    **settings: Unpack[ChoiceSettings],
) -> Fits[LawChoice]: ...
def choose_law(
    data: Any = None,
    y: Any = None,
    *,
    x: Any = None,
    by: str | Sequence[str] | ArrayLike | None = None,
    weights: ArrayLike | str | None = None,
    sigma: ArrayLike | str | None = None,
    cluster: ArrayLike | str | None = None,
    **settings: Unpack[ChoiceSettings],
) -> LawChoice | Fits[LawChoice]:
    """Chooses a law for y over x by its error at later points, and forecasts by the average of the
    candidates.

    Takes data as `fit` does; `settings` are `candidates`, `y_range`, `average_laws` and `level`, as
    `analysis.forecasting.choose.choose_law` describes them, with the method and its source. Raises
    AnalysisError as `fit`, and for fewer than 3 distinct x.
    """
    given = given_points(data, x, y, by=by, weights=weights, sigma=sigma, cluster=cluster)

    def one(points: Given) -> LawChoice:
        with naming(points):
            return choose_law_of_points(points.x, points.y, **points.others, **settings).named(points.x_name, points.y_name)

    return one(given) if by is None else _each(given, one, by)


class SurfaceSettings(FitSettings, total=False):
    """Settings of a surface; `analysis.fitting.surface.fit_surface` says what each does."""


def fit_surface(
    data: Any = None,
    y: Any = None,
    *,
    x: Sequence[str] | None = None,
    X: ArrayLike | None = None,
    weights: ArrayLike | str | None = None,
    sigma: ArrayLike | str | None = None,
    cluster: ArrayLike | str | None = None,
    **settings: Unpack[SurfaceSettings],
) -> SurfaceFit:
    """Fits a surface over several inputs, by default Chinchilla's E + A N^-alpha + B D^-beta.

        fit_surface(X, y)                                                # arrays
        fit_surface(table, x=["params", "tokens"], y="loss")             # columns of a table

    Takes data as `fit` does, with the columns of `x` as the law's inputs in order (see
    `SURFACES[law].inputs`); `settings` are those of `fit`, as
    `analysis.fitting.surface.fit_surface` describes them. Raises AnalysisError as it does.
    """
    if isinstance(x, str):
        raise AnalysisError(f"x is '{x}': a surface has several inputs, so name their columns, x=[\"{x}\", ...]; for one use fit.")
    columns, equal = _weights(weights, data)
    given = given_points(data, X if x is None else x, y, inputs="X" if x is None else "x", weights=columns, sigma=sigma, cluster=cluster)
    others = given.others | equal
    with naming(given):
        fitted = fit_surface_points(given.x, given.y, **others, **settings)
    return replace(fitted, x_name=given.x_name, y_name=given.y_name)


class SurfaceChoiceSettings(TypedDict, total=False):
    """Settings of a choice of surfaces; `analysis.forecasting.choose_surface` says what each does."""

    candidates: Sequence[str | OwnLaw] | None
    window: float | None
    y_range: tuple[float | None, float | None] | None
    metric: str | None
    average_laws: bool
    level: float


def choose_surface(
    data: Any = None,
    y: Any = None,
    *,
    x: Sequence[str] | None = None,
    X: ArrayLike | None = None,
    weights: ArrayLike | str | None = None,
    **settings: Unpack[SurfaceChoiceSettings],
) -> SurfaceChoice:
    """Chooses a surface by how it predicts larger budgets from smaller ones, and forecasts by the
    average of the candidates.

        choose_surface(X, y)                                               # arrays
        choose_surface(table, x=["params", "tokens"], y="loss")            # columns of a table

    Takes data as `fit_surface` does; `settings` are `candidates`, `window`, `y_range`, `metric`,
    `average_laws` and `level`, as `analysis.forecasting.choose_surface.choose_surface` describes
    them. Raises AnalysisError as it does.
    """
    if isinstance(x, str):
        raise AnalysisError(f"x is '{x}': a surface has several inputs, so name their columns, x=[\"{x}\", ...]; for one use choose_law.")
    given = given_points(data, X if x is None else x, y, inputs="X" if x is None else "x", weights=weights)
    with naming(given):
        return choose_surface_of_points(given.x, given.y, **given.others, **settings).named(given.x_name, given.y_name)


def _weights(weights: ArrayLike | str | None, data: Any) -> tuple[ArrayLike | str | None, dict[str, Any]]:
    """Weights as values or a column, and the setting 'equal' where that is no column's name."""
    equal = isinstance(weights, str) and weights == "equal" and "equal" not in getattr(data, "columns", data if isinstance(data, Mapping) else ())
    return (None, {"weights": "equal"}) if equal else (weights, {})


def _each(given: Given, one: Callable[[Given], Kind], by: Any) -> Fits[Kind]:
    """One fit a group. Raises AnalysisError where no group can be fitted."""
    from analysis.from_tables.fits import Fits  # pandas is not waited for where there are no groups

    fits: dict[str, Kind] = {}
    reasons: dict[str, str] = dict(given.empty_groups)
    for label, rows in given.groups.items():
        try:
            fits[label] = one(given.part(rows))
        except AnalysisError as error:
            reasons[label] = str(error)
    name = by if isinstance(by, str) else ", ".join(by) if isinstance(by, list | tuple) and all(isinstance(key, str) for key in by) else ""
    name = name or getattr(by, "name", None) or "group"
    if not fits:
        label, reason = next(iter(reasons.items()))
        raise AnalysisError(f"no group could be fitted; {name} '{label}': {reason}")
    return Fits(fits, by=str(name), reasons=reasons)
