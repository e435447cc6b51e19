"""Compares each size of pre-training data with the next, and with the largest, all else equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.data_size.grid import SizeGrid, size_grid
from analysis.data_size.pooling import by_regime, over_cells
from analysis.data_size.run_error import RunError, run_error
from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level
from analysis.formatting import format_setting, p_value, percent
from analysis.overfitting.split import FALLING, OverfittingSplit
from analysis.runs.groups import groups_of_seeds
from analysis.runs.outcomes import outcome_of, title_of
from analysis.runs.table import of_table
from analysis.significance.multiplicity import holm
from analysis.significance.pairs import paired_effects
from analysis.student import t_p_value, t_quantile

COLUMNS = ("smaller", "larger", "is_next", "is_largest", "n_pairs", "n_groups", "difference", "low", "high", "p")


@dataclass(frozen=True, kw_only=True)
class MoreDataEffects:
    """Differences between data sizes. Make one with `more_data_effects`."""

    outcome: str
    """The column that is compared, in its own unit."""
    outcome_title: str
    """What sentences call it."""
    length: str
    """Column of the length of pre-training."""
    level: float
    """Nominal coverage of the intervals."""
    margin: float | None
    """Difference that counts as none, in the unit of the outcome; None if none was stated."""
    error: str
    """Where the error comes from on which the intervals of `table` rest."""
    table: pd.DataFrame
    """One row per cell and pair of sizes: encoder, length, the other settings that vary, smaller,
    larger (images), is_next (no size between them), is_largest (larger is the cell's largest),
    n_pairs, n_groups (independent; 1 for single runs), difference (larger - smaller), low, high, p
    (two-sided), p_holm (over the table), label and phase of the smaller size's series and run
    (missing without a split), note.
    """
    pooled: pd.DataFrame
    """One row per pair of sizes, length ('all', then each) and unit: smaller, larger, length, unit
    ('encoder', or 'seed' given these encoders), n_cells, n_units, difference (mean over units of
    the unit's mean), low, high, p, p_holm (over rows of one unit), largest_absolute (of any cell's
    difference), p_equivalent (two one-sided tests against the margin), note.
    """
    regimes: pd.DataFrame
    """With a split: what the next larger size adds where the smaller one is 'falling', where it is
    'overfitting', and the 'difference'; rows by regime and measure ('step', or 'doubling' of the
    data): n_cells, n_encoders, difference, low, high, p, p_equivalent, note. Else no rows.
    """
    n_left_out: int
    """Runs without pre-training, outcome or length."""

    def sentences(self) -> list[str]:
        """Sentences on the pooled rows over all lengths, then on the regimes."""
        name = self.outcome_title
        rows = self.pooled[self.pooled["length"] == "all"]
        sentences = [
            f"{format_setting(row.larger)} rather than {format_setting(row.smaller)} images change {name} by {row.difference:+z.5f} over "
            f"{row.n_cells} cells of "
            f"{self._units(row)}{self._tail(row.low, row.high, row.p_holm, row.p_equivalent, row.note, ' after Holm')}."
            for row in list[Any](rows.itertuples())
        ]
        for row in list[Any](self.regimes[self.regimes["measure"] == "step"].itertuples()):
            tail = self._tail(row.low, row.high, row.p, row.p_equivalent, row.note, "")
            if row.regime == "difference":
                sentences.append(f"The next size adds {row.difference:+z.5f} more where the smaller one overfits than where it does not{tail}.")
            else:
                where = "overfits" if row.regime == "overfitting" else "does not overfit"
                sentences.append(
                    f"Where the smaller size {where}, the next larger one changes {name} by {row.difference:+z.5f} ({row.n_cells} cells){tail}."
                )
        return sentences

    def _units(self, row: Any) -> str:
        return f"{row.n_units} {row.unit}{'s' if row.n_units != 1 else ''}"

    def _tail(self, low: float, high: float, p: float, equivalent: float, note: str, family: str) -> str:
        if np.isnan(low):
            return f" (no interval: {note})"
        text = f" ({percent(self.level)} interval {low:+z.5f} to {high:+z.5f}, {p_value(p)}{family}"
        if self.margin is not None and np.isfinite(equivalent):
            verdict = "equivalent" if equivalent < 1.0 - self.level else "not shown to be equivalent"
            text += f"; {verdict} within +-{self.margin:g}, {p_value(equivalent)}"
        return text + (f"; {note})" if note else ")")


@of_table
def more_data_effects(
    runs: pd.DataFrame,
    *,
    outcome: str | None = None,
    length: str = "pretrain_steps",
    split: OverfittingSplit | None = None,
    regime: str = "label",
    margin: float | None = None,
    run_sd: float | None = None,
    level: float = 0.95,
) -> MoreDataEffects:
    """Compares data sizes in each cell (encoder, length, other settings that vary), and over cells.

    With several seeds a cell's interval is that of `paired_effects` over seeds. With one run a cell
    it is difference +- t * sqrt(2) * SD of one run, from `run_sd` if stated, else from what a
    smooth surface leaves (see `run_error`; with `split`, of the falling series if they are enough);
    the note says so. Pooled rows average each encoder's differences first and take Student's t over
    encoders, because an encoder's lengths share their two pre-training series; with seeds there is
    also a row over seeds, which holds for these encoders alone. With `margin` each pooled row is
    also tested for equivalence (two one-sided tests, Schuirmann 1987). All runs on one data size
    share its images, so every statement is about these subsets.

    Args:
        split: from split_by_overfitting on the same table; adds `regimes`.
        regime: 'label' takes a size for overfitting where its series does; 'phase' where this run
            lies after the change point.

    Raises AnalysisError for a missing column, fewer than two sizes, no two sizes at one length, or
    duplicate runs.
    """
    checked_level(level)
    outcome = outcome_of(runs, outcome)
    if margin is not None and not (np.isfinite(margin) and margin > 0.0):
        raise AnalysisError(f"margin is {margin}: give the difference that counts as none, above zero, in the unit of '{outcome}'.")
    if regime not in ("label", "phase"):
        raise AnalysisError(f"regime is '{regime}': give 'label' (of the series) or 'phase' (of the run).")
    if split is not None and not runs.index.equals(split.runs.index):
        raise AnalysisError("the split was made from another table: call split_by_overfitting on the runs given here.")
    grid = size_grid(runs, outcome=outcome, length=length)
    pairs = _pairs_of_sizes(grid)
    if pairs.empty:
        raise AnalysisError(
            f"no two data sizes share an encoder and a value of '{length}': sizes can only be compared at one length; name another column, such as "
            f"'pretrain_length', or run the missing cells."
        )
    if grid.seeds > 1:
        table, error = _over_seeds(runs, grid, pairs, outcome, level), "paired differences over seeds"
    else:
        found = _single_error(runs, grid, run_sd, split)
        table, error = _single(pairs, found, level), found.source if isinstance(found, RunError) else found
    for name in ("label", "phase"):
        shown = split.runs[name].to_numpy(dtype=object) if split is not None else None
        table[name] = shown[pairs["row"].to_numpy()] if shown is not None else None
    table["p_holm"] = holm(table["p"].to_numpy(float))
    order = [*grid.cells, *COLUMNS, "p_holm", "label", "phase", "note"]
    return MoreDataEffects(
        outcome=outcome,
        outcome_title=title_of(outcome, runs),
        length=length,
        level=level,
        margin=margin,
        error=error,
        table=table[order],
        pooled=over_cells(grid, pairs, groups=groups_of_seeds(runs) if grid.seeds > 1 else None, margin=margin, level=level),
        regimes=by_regime(table, None if split is None else regime, margin=margin, level=level),
        n_left_out=grid.n_left_out,
    )


def _pairs_of_sizes(grid: SizeGrid) -> pd.DataFrame:
    """One row per cell and compared pair of sizes.

    y of the two is the mean over common seeds; row is a run of the smaller size.
    """
    found: list[tuple[Any, ...]] = []
    for key, cell in grid.frame.groupby(grid.cells, sort=True, dropna=False):
        by_size: dict[Any, dict[Any, float]] = {}
        first: dict[Any, int] = {}
        for size, seed, y, row in zip(*(cell[name].tolist() for name in ("size", "seed", "y", "row")), strict=True):
            by_size.setdefault(size, {})[seed] = y
            first.setdefault(size, row)
        sizes = sorted(by_size)
        for place, small in enumerate(sizes[:-1]):
            for large in {sizes[place + 1], sizes[-1]}:
                gaps = {seed: by_size[large][seed] - y for seed, y in by_size[small].items() if seed in by_size[large]}
                if gaps:
                    mean = sum(gaps.values()) / len(gaps)
                    found.append((*key, small, large, large == sizes[place + 1], large == sizes[-1], len(gaps), mean, first[small], gaps))
    columns = [*grid.cells, "smaller", "larger", "is_next", "is_largest", "n_pairs", "difference", "row", "by_seed"]
    return pd.DataFrame(found, columns=columns).sort_values([*grid.cells, "smaller", "larger"], ignore_index=True)


def _single_error(runs: pd.DataFrame, grid: SizeGrid, run_sd: float | None, split: OverfittingSplit | None) -> RunError | str:
    smooth = None if split is None else (split.runs["label"] == FALLING).to_numpy()[grid.frame["row"].to_numpy()]
    try:
        return run_error(runs, grid, run_sd=run_sd, smooth=smooth)
    except AnalysisError as error:
        if run_sd is not None:
            raise
        return str(error)


def _single(pairs: pd.DataFrame, error: RunError | str, level: float) -> pd.DataFrame:
    table = pairs.assign(n_groups=1)
    if isinstance(error, str):
        return table.assign(low=np.nan, high=np.nan, p=np.nan, note=f"single runs: {error}")
    sd = error.sd * 2.0**0.5
    half = t_quantile(level, error.degrees) * sd
    p = [t_p_value(one / sd, error.degrees) for one in table["difference"]]
    return table.assign(low=table["difference"] - half, high=table["difference"] + half, p=p, note=f"single runs, judged by {error.source}")


def _over_seeds(runs: pd.DataFrame, grid: SizeGrid, pairs: pd.DataFrame, outcome: str, level: float) -> pd.DataFrame:
    """The table of paired_effects, by one call per pair of sizes."""
    here = runs.iloc[grid.frame["row"].to_numpy()]
    match = [name for name in ("encoder", grid.length, *grid.contexts, "seed") if name in runs.columns]
    by = [name for name in match if name != "seed"]
    parts = []
    for small, large in pairs[["smaller", "larger"]].drop_duplicates().itertuples(index=False):
        found = paired_effects(
            here, factor="pretrain_images", baseline=small, treatment=large, outcome=outcome, by=by, match=match, level=level
        ).table.rename(columns={grid.length: "length"})
        parts.append(found.assign(smaller=small, larger=large, encoder=found["encoder"].astype(str) if "encoder" in found.columns else "all"))
    keys: Sequence[str] = [*grid.cells, "smaller", "larger"]
    wanted = pd.concat(parts, ignore_index=True)[[*keys, "n_groups", "low", "high", "p", "note"]]
    return pairs.merge(wanted, on=list(keys), how="left", validate="one_to_one")
