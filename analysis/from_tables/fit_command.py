"""What `python -m analysis` does: the fits of a table's groups, as text and as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError, unforeseen
from analysis.fitting.curve import Fit
from analysis.fitting.fit import fit
from analysis.fitting.surface import SurfaceFit, fit_surface
from analysis.forecasting.choice import LawChoice
from analysis.forecasting.choose import choose_law
from analysis.formatting import percent
from analysis.from_tables.settings import taken_for_noise
from analysis.runs.table import load_runs, numeric_column, require_columns

Result = LawChoice | Fit | SurfaceFit


def fit_and_print(options: argparse.Namespace) -> int:
    """Fit, print, and write the JSON; returns the exit status."""
    try:
        answers, reasons, text = _answers(options)
        out = Path(options.json) if options.json else Path(_stem(options.table) + ".fits.json")
        out.write_text(json.dumps(answers, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except AnalysisError as error:
        print(f"analysis: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"analysis: the fits cannot be written ({error.strerror or error}): name another place with --json.", file=sys.stderr)
        return 2
    except Exception as error:
        print(f"analysis: {unforeseen(options.table, error)}", file=sys.stderr)
        return 2
    print("\n\n".join(text))
    for reason in reasons:
        print(f"analysis: {reason}", file=sys.stderr)
    print(f"\nWrote {out}.")
    return 1 if reasons else 0


def _answers(options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """One answer per group, why some have none, and all as text."""
    columns = [*options.x, options.y, *options.by, *(name for name in (options.cluster, options.sigma, options.weights) if name)]
    table = load_runs(options.table, required=columns)
    answers, reasons, text = [], [], []
    mixed = taken_for_noise(table, options.x, columns, options.by)
    for group, part in _groups(table, options.by):
        label = ", ".join(f"{name} = {'missing' if value is None else value}" for name, value in group.items())
        try:
            result, left_out = _fitted(part, options)
        except AnalysisError as error:
            if not group:
                raise
            reasons.append(f"{label}: {error}")
            continue
        lines = [f"{label}:"] if label else []
        if left_out:
            lines.append(f"{left_out} {'row' if left_out == 1 else 'rows'} left out: a value is missing")
        answer: dict[str, Any] = {"group": group, "left_out": left_out, "result": json.loads(result.to_json())}
        lines.append(result.summary())
        if options.predict:
            predicted = result.predict(_places(options, result), kind="new run").to_frame()
            lines.append(f"one new run, {percent(result.level)} interval:\n{predicted.to_string(index=False)}")
            answer["predictions"] = json.loads(predicted.to_json(orient="records"))
        if options.target is not None:
            if isinstance(result, SurfaceFit):
                raise AnalysisError("--target finds one x, and a surface has several inputs: leave it out.")
            inverse = result.inverse(options.target)
            lines.append(inverse.sentence)
            answer["inverse"] = {
                name: value if np.isfinite(value) else None for name, value in (("x", inverse.x), ("low", inverse.low), ("high", inverse.high))
            }
        answers.append(answer)
        text.append("\n".join(lines))
    if not answers:
        raise AnalysisError(f"no group could be fitted; the first: {reasons[0]}")
    return answers, reasons, [*text, *([f"caution: {mixed}, or name it with --by"] if mixed else [])]


def _fitted(part: pd.DataFrame, options: argparse.Namespace) -> tuple[Result, int]:
    """The fit of one group, and how many rows had a value missing."""
    where = str(options.table)
    names = [*options.x, options.y, *(name for name in (options.sigma, options.weights) if name)]
    numbers = pd.DataFrame({name: numeric_column(part, name, where=where) for name in names})
    keep = numbers.notna().all(axis=1)
    if options.cluster:
        keep &= part[options.cluster].notna()
    numbers, part = numbers[keep], part[keep]
    if numbers.empty:
        raise AnalysisError(f"{where} has no row with a value in each of {', '.join(names)}.")
    y = numbers[options.y].to_numpy()
    settings: dict[str, Any] = {
        "level": options.level,
        "cluster": part[options.cluster].to_numpy() if options.cluster else None,
        "sigma": numbers[options.sigma].to_numpy() if options.sigma else None,
        "weights": numbers[options.weights].to_numpy() if options.weights else None,
    }
    if options.y_range is not None:
        settings["y_range"] = tuple(options.y_range)
    left_out = int((~keep).sum())
    if options.law == "auto" and len(options.x) == 1:
        if options.fixed or options.bootstrap is not None:
            raise AnalysisError("--fixed and --bootstrap belong to one law: name it with --law.")
        return choose_law(numbers[options.x[0]].to_numpy(), y, **settings).named(options.x[0], options.y), left_out
    settings |= {"fixed": _pins(options.fixed), "loss": options.loss, "seed": options.seed}
    if options.bootstrap is not None:
        settings["bootstrap"] = options.bootstrap
    if len(options.x) == 1:
        return replace(fit(numbers[options.x[0]].to_numpy(), y, law=options.law, **settings), x_name=", ".join(options.x), y_name=options.y), left_out
    law = "chinchilla" if options.law == "auto" else options.law
    return replace(fit_surface(numbers[options.x].to_numpy(), y, law=law, **settings), x_name=", ".join(options.x), y_name=options.y), left_out


def _groups(table: pd.DataFrame, by: list[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    if not by:
        yield {}, table
        return
    require_columns(table, by, where="the table")
    for key, part in table.groupby(by, dropna=False, sort=True):
        values = key if isinstance(key, tuple) else (key,)
        yield {name: _plain(value) for name, value in zip(by, values, strict=True)}, part


def _plain(value: Any) -> Any:
    """A group's value as JSON knows it; a missing one is None."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value if isinstance(value, str | int | float | bool) else str(value)


def _places(options: argparse.Namespace, result: Result) -> Any:
    if isinstance(result, SurfaceFit):
        width = len(options.x)
        if len(options.predict) % width:
            raise AnalysisError(f"--predict has {len(options.predict)} numbers: give {width} for each place, {' '.join(options.x)}.")
        return np.array(options.predict).reshape(-1, width)
    return options.predict


def _pins(fixed: list[str]) -> dict[str, float]:
    pins = {}
    for one in fixed:
        name, equals, value = one.partition("=")
        try:
            pins[name.strip()] = float(value)
        except ValueError:
            raise AnalysisError(f"--fixed {one!r} is not a pinned parameter: write NAME=NUMBER, such as E=0.1.") from None
        if not equals:
            raise AnalysisError(f"--fixed {one!r} is not a pinned parameter: write NAME=NUMBER, such as E=0.1.")
    return pins


def _stem(table: str) -> str:
    place = Path(table)
    return str(place / "runs") if place.is_dir() else str(place.with_suffix(""))
