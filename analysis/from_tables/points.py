"""What a caller hands to a fit, as named arrays: columns of any table, Series, arrays, tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, nearest_name


@dataclass(frozen=True, kw_only=True)
class Given:
    """The points of one fit, as arrays, and what they are called."""

    x: Any
    """Shape (n,), or (n, inputs) for a surface."""
    y: Any
    """Shape (n,)."""
    x_name: str
    """Name of the column or Series; 'x' for an array without a name."""
    y_name: str
    """Name of the column or Series; 'y' for an array without a name."""
    others: dict[str, Any]
    """Further arguments of one value a point: weights, sigma, cluster."""
    groups: dict[str, NDArray[np.intp]] = field(default_factory=dict)
    """Rows of each group of `by`, by its label, in order; empty without `by`."""
    empty_groups: dict[str, str] = field(default_factory=dict)
    """Why groups of `by` have no rows, by label."""

    def part(self, rows: NDArray[np.intp]) -> Given:
        """The points in these rows, without groups."""
        others = {name: None if value is None else np.asarray(value)[rows] for name, value in self.others.items()}
        return Given(x=np.asarray(self.x)[rows], y=np.asarray(self.y)[rows], x_name=self.x_name, y_name=self.y_name, others=others)


@contextmanager
def naming(points: Given) -> Iterator[None]:
    """Adds to an AnalysisError of a fit the names of the columns and their number of points."""
    try:
        yield
    except AnalysisError as error:
        if (points.x_name, points.y_name) in (("x", "y"), ("X", "y")):  # arrays, which have no names
            raise
        n = len(np.asarray(points.y))
        raise AnalysisError(f"{points.y_name} over {points.x_name}, {n} {'point' if n == 1 else 'points'}: {error}") from None


def given_points(data: Any, x: Any, y: Any, *, by: Any = None, inputs: str = "x", **others: Any) -> Given:
    """Converts the arguments of `fit`, in any accepted form, to arrays of points.

    Args:
        data: a table (pandas, polars, or any that narwhals knows), with the other arguments as names
            of its columns; or the values of x; or None where `x` holds them.
        x: values, the name of a column, or for a surface a list of names.
        by: labels of groups, or the name of a column, or a list of names.
        inputs: what x is called in messages: 'x' or 'X'.
        others: arguments with one value a point; each values, a name of a column, or None.

    Rows in which a column that is used has no value are left out. Raises AnalysisError for a
    missing column (naming the nearest), a table without x or y, or a name without a table.
    """
    table = _table_of(data)
    x, y = (str(value) if isinstance(value, int) and table is not None else value for value in (x, y))
    if table is not None and inputs == "X" and x is None and not isinstance(y, str):  # the columns of X as a table of their own
        called, table, data = ", ".join(map(str, table.columns)), None, data.to_numpy()
    else:
        called = inputs
    if table is None:
        if isinstance(data, str) and x is not None:
            raise AnalysisError(f"the table is the text '{data[:60]}': read it first, load_runs(\"{data[:60]}\", required=[...]).")
        if data is not None and x is not None:
            raise AnalysisError(f'{inputs} was given twice: write fit(x, y), or fit(table, x="COLUMN", y="COLUMN") with a table first.')
        values = data if x is None else x
        for name, value in {inputs: values, "y": y, "by": by, **others}.items():
            if isinstance(value, str):
                raise AnalysisError(f"{name} is '{value}', the name of a column, and no table was given: write fit(table, x=\"{value}\", ...).")
        if values is None or y is None:
            raise AnalysisError(f'{inputs if values is None else "y"} is missing: write fit(x, y), or fit(table, x="COLUMN", y="COLUMN").')
        return Given(
            x=_of_series(values),
            y=_of_series(y),
            x_name=_name(values, called),
            y_name=_name(y, "y"),
            others={name: None if value is None else _values(value) for name, value in others.items()},
            groups={} if by is None else _groups([np.asarray(_values(by))]),
        )
    for name, value in ((inputs, x), ("y", y)):
        if value is None:
            raise AnalysisError(f'{name} is missing: name a column of the table, {name}="COLUMN"; it has {_listed(table)}.')
    for name, value in (("x", x), ("y", y)):
        if not isinstance(value, str) and not (name == "x" and isinstance(value, list | tuple) and len(value) > 1):
            given = " ".join(str(value).split())[:60]
            raise AnalysisError(f'{name} is {given}, not the name of a column: write {name}="COLUMN"; the table has {_listed(table)}.')
    keys = [] if by is None else [by] if isinstance(by, str) else list(by)
    x_names = [x] if isinstance(x, str) else list(x)
    named = {name: value for name, value in others.items() if isinstance(value, str)}
    used = {name: _column(table, name) for name in (*x_names, y, *keys, *named.values())}
    kept = ~np.any([_missing(values) for name, values in used.items() if name not in keys], axis=0)
    if not kept.any():
        raise AnalysisError(f"no row of the table has a value in each of {', '.join(name for name in used if name not in keys)}.")
    columns = {name: values[kept] for name, values in used.items()}
    groups = _groups([columns[name] for name in keys]) if keys else {}
    needed = ", ".join(name for name in used if name not in keys)
    empty = [label for label in (_groups([used[name] for name in keys]) if keys else {}) if label not in groups]
    of_x = [_numbers(columns[name], name) for name in x_names]
    return Given(
        x=of_x[0] if isinstance(x, str) else np.column_stack(of_x),
        y=_numbers(columns[y], y),
        x_name=", ".join(x_names),
        y_name=y,
        others={name: _other(name, value, columns, kept) for name, value in others.items()},
        groups=groups,
        empty_groups=dict.fromkeys(empty, f"none of its rows has a value in each of {needed}."),
    )


def _table_of(data: Any) -> Any:
    """The data as a narwhals table, or None where they are no table."""
    if data is None or isinstance(data, str | np.ndarray | Sequence) or hasattr(data, "detach"):
        return None
    if hasattr(data, "collect"):
        raise AnalysisError(f"a {type(data).__name__} holds no rows yet: give table.collect().")
    if hasattr(data, "ngroups"):
        raise AnalysisError('a table that was grouped cannot be fitted: give the table itself, and by="COLUMN".')
    if isinstance(data, Mapping):
        import pandas as pd

        data = pd.DataFrame({name: _values(values) for name, values in data.items()})
    if not hasattr(data, "columns") and not hasattr(data, "__dataframe__") and not hasattr(data, "column_names"):
        return None
    import narwhals

    _no_twins(data)
    if hasattr(data, "set_axis"):  # pandas, whose columns may be numbers
        data = data.set_axis([str(name) for name in data.columns], axis=1)
    try:
        return narwhals.from_native(data, eager_only=True)
    except TypeError:
        raise AnalysisError(f"a {type(data).__name__} cannot be read as a table: give a pandas or polars DataFrame, or arrays.") from None


def _no_twins(data: Any) -> None:
    names = [str(name) for name in getattr(data, "column_names", getattr(data, "columns", ()))]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise AnalysisError(f"the table has two columns '{twice}': rename or remove one.")


def _column(table: Any, name: Any) -> NDArray[Any]:
    if name not in table.columns:
        raise AnalysisError(f"the table has no column '{name}' ({nearest_name(str(name), table.columns)}): name another.")
    column = table[name]
    return np.asarray(column.to_pandas() if hasattr(column, "to_pandas") else column.to_numpy(), dtype="object")


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    import pandas as pd

    return np.asarray(pd.isna(values))


def _numbers(values: NDArray[Any], name: str) -> NDArray[np.float64]:
    try:
        return np.array([float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        wrong = next(value for value in values if not _is_number(value))
        raise AnalysisError(f"column '{name}' holds {str(wrong)[:60]!r}, which is not a number: correct it, or name another column.") from None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _other(name: str, value: Any, columns: Mapping[str, NDArray[Any]], kept: NDArray[np.bool_]) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        return columns[value] if name == "cluster" else _numbers(columns[value], value)
    values = np.asarray(_values(value))
    return values[kept] if values.shape[:1] == kept.shape else values


def _groups(keys: Sequence[NDArray[Any]]) -> dict[str, NDArray[np.intp]]:
    """Rows of each group, in the order of its values; a missing value is a group 'missing'."""
    import pandas as pd

    frame = pd.DataFrame(dict(enumerate(keys)))
    found: dict[str, NDArray[np.intp]] = {}
    for values, rows in frame.groupby(list(frame.columns), dropna=False, sort=True).indices.items():
        parts = values if isinstance(values, tuple) else (values,)
        found[", ".join("missing" if pd.isna(part) else _label(part) for part in parts)] = np.asarray(rows)
    return found


def _label(value: Any) -> str:
    """A group's value as text: 1000 as '1,000'."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"
    return str(value)


def _values(value: Any) -> Any:
    """Values as numpy or plain Python has them: a tensor is detached and copied to the CPU."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return value.to_numpy() if hasattr(value, "to_numpy") and not isinstance(value, np.ndarray) else value


def _of_series(value: Any) -> Any:
    """Values, of a Series that has a name and no numbers as those of a column."""
    values, name = _values(value), _name(value, "")
    return _numbers(values, name) if name and np.asarray(values).dtype.kind in "OUST" else values


def _name(value: Any, otherwise: str) -> str:
    name = getattr(value, "name", None)
    return name if isinstance(name, str) and name else otherwise


def _listed(table: Any) -> str:
    names = list(table.columns)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
