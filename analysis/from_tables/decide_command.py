"""What `python -m analysis.decisions` does: a fit of a table's columns, and one decision from it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.decisions.budget import best_split
from analysis.decisions.decision import Decision
from analysis.decisions.returns import diminishing_returns
from analysis.decisions.suggest import suggest_runs
from analysis.from_tables.fit import fit, fit_surface
from analysis.from_tables.settings import taken_for_noise
from analysis.runs.table import load_runs, require_columns


def answer(options: argparse.Namespace) -> Decision:
    """The decision asked for, with a caution where rows of several settings are taken as one group.
    Raises AnalysisError for a table or a call that is wrong.
    """
    inputs = options.x if isinstance(options.x, list) else [options.x]
    by = getattr(options, "by", None)
    used = [name for name in (options.y, options.cluster, by) if name]
    table = load_runs(options.table, required=[*inputs, *used])
    require_columns(table, inputs, where=options.table)
    decision = _decided(options, table, by)
    mixed = taken_for_noise(table, inputs, used, [by] if by else [])
    return replace(decision, cautions=(*decision.cautions, mixed)) if mixed else decision


def _decided(options: argparse.Namespace, table: pd.DataFrame, by: str | None) -> Decision:
    settings: dict[str, Any] = {"y": options.y, "cluster": options.cluster, "law": options.law}
    if options.level is not None:
        settings["level"] = options.level
    if options.question == "split":
        return best_split(fit_surface(table, x=options.x, **settings), options.budget, options.prices)
    if options.question in ("exchange", "speed-up"):
        fits = fit(table, x=options.x, by=str(by), **settings)
        if options.question == "exchange":
            return fits.exchange_rate(options.better, options.worse, options.at)
        return fits.speed_up(options.better, options.worse, at_y=options.at_y, at_x=options.at_x)
    curve = fit(table, x=options.x, **settings)
    if options.question == "returns":
        return diminishing_returns(curve, noise_sd=options.noise_sd, price=options.price)
    wanted: Any = ("predict", options.predict) if options.predict is not None else ("inverse", options.reach)
    if options.parameter is not None:
        wanted = options.parameter
    cost = options.cost_each[0] if len(options.cost_each) == 1 else options.cost_each
    return suggest_runs(curve, options.candidates, wanted, cost, runs=options.count, gpu_hours=options.gpu_hours)
