"""The result of `correlate` and the sentences that report it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.formatting import number_of, p_value, percent
from analysis.shown import Shown

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True, kw_only=True)
class Correlation(Shown):
    """Correlations of two columns of the runs table. Make one with `analysis.correlate`. `print`
    shows its first lines, a notebook its chart and its table.
    """

    x: str
    """First column."""
    y: str
    """Second column."""
    within: tuple[str, ...]
    """Columns that define groups: it was also computed within each."""
    given: tuple[str, ...]
    """Columns that were held fixed: the correlations are partial."""
    adjusted: tuple[str, ...]
    """What was done with each of them, such as 'log of pretrain_images'."""
    level: float
    """Nominal coverage of the intervals."""
    table: pd.DataFrame
    """Three rows (method 'pearson', 'spearman', 'kendall') for each group; the first group is
    'all'. Columns: group, the columns of `within` (missing for 'all'), method, r, low, high (NaN
    where there is no interval), p (of no association: losses change places, or a t test over
    clusters), n (runs), pretrainings (distinct), clusters (of pre-trainings that share no trunk:
    the units that are left out or change places), note (on the interval), p_note (what p counts).
    """
    within_groups: pd.DataFrame
    """The same columns, one row per method: the pooled correlation with the groups' means removed
    (ranks inside each group for Spearman, pairs inside one group for Kendall), which differences
    between groups cannot make. Empty where there is no `within`.
    """
    points: pd.DataFrame
    """The runs it was computed from: x, y, the columns of `within` and `given`, cluster (a label)."""
    n_without_x: int
    """Runs left out because x is missing, as for a run trained from scratch."""
    n_without_y: int
    """Runs left out because y is missing though x is not."""
    n_without_given: int
    """Runs left out because a column that is held fixed is missing though x and y are not."""
    signs_differ: bool
    """Whether any group's Pearson correlation has the other sign than the pooled one (Simpson's
    paradox).
    """
    signs_differ_beyond_doubt: tuple[str, ...]
    """The groups among them whose interval excludes zero, where the pooled one does too.

    Not adjusted for the number of groups.
    """
    sentence: str
    """The pooled Pearson correlation as a sentence, with a warning where signs differ."""

    def summary(self) -> str:
        """The sentence, then Pearson's r within each group, then the other two methods over all."""
        lines = [self.sentence]
        for row in self.table[self.table["group"] != "all"].to_dict("records"):
            if row["method"] == "pearson" and np.isfinite(row["r"]):
                lines.append(f"  within {row['group']}: r = {_r_of(row, self.level)}")
        for row in self.table[self.table["group"] == "all"].to_dict("records"):
            if row["method"] != "pearson" and np.isfinite(row["r"]):
                lines.append(f"  {str(row['method']).capitalize()} over all: {_r_of(row, self.level)}")
        return "\n".join(lines)

    def plot(self) -> alt.LayerChart:
        """The runs, y over x, coloured by group, as an Altair chart that composes with `+` and `|`."""
        from analysis.plots.scatter import scatter_chart

        return scatter_chart(self.points, self.x, self.y, self.within)

    def shown_table(self) -> pd.DataFrame:
        """Pearson's r over all and within each group: group, r, low, high, p, n."""
        return self.table.loc[self.table["method"] == "pearson", ["group", "r", "low", "high", "p", "n"]]

    def __repr__(self) -> str:
        return f"<Correlation of {self.x} with {self.y}, {self.n_runs} runs>"

    @property
    def n_runs(self) -> int:
        """Runs it was computed from."""
        return len(self.points)


def _r_of(row: Mapping[Hashable, Any], level: float) -> str:
    """'-0.31 (95% interval -0.60 to +0.05, 24 runs)'."""
    inside = f"{percent(level)} interval {row['low']:+z.2f} to {row['high']:+z.2f}, " if np.isfinite(row["low"]) else ""
    return f"{row['r']:+z.2f} ({inside}{number_of(int(row['n']), 'run')})"


def opposite_groups(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Groups whose Pearson correlation has another sign than the pooled one.

    Returns them formatted, and the names of those whose interval excludes zero.
    """
    rows = table[table["method"] == "pearson"]
    pooled = rows.iloc[0]
    turned = [row for _, row in rows.iloc[1:].iterrows() if np.isfinite(row["r"]) and np.isfinite(pooled["r"]) and row["r"] * pooled["r"] < 0]
    sure = [str(row["group"]) for row in turned if row["low"] * row["high"] > 0 and pooled["low"] * pooled["high"] > 0]
    return [f"{row['r']:+z.2f} within {row['group']}" for row in turned], sure


def format_sentence(
    table: pd.DataFrame,
    inside: pd.DataFrame,
    *,
    x: str,
    outcome: str,
    adjusted: tuple[str, ...],
    level: float,
    cluster: str | None,
) -> str:
    """The sentence: pooled, then groups of opposite sign, then with the groups' means removed."""
    pooled = table.iloc[0]
    held = f" given {', '.join(adjusted)}" if adjusted else ""
    if not np.isfinite(pooled["r"]):
        return f"The correlation of {x} with {outcome}{held} is undefined: {pooled['note']}."
    if np.isfinite(pooled["low"]):
        how = f"{percent(level)} interval {pooled['low']:+z.2f} to {pooled['high']:+z.2f}"
    else:
        how = f"no interval: {pooled['note']}"
    tested = f", {p_value(pooled['p'])}" if np.isfinite(pooled["p"]) else ""
    counted = f"{pooled['pretrainings']} pre-trainings"
    if cluster is None:
        counted = "each run counted as a pre-training of its own, as no column says which share one"
    elif cluster != "pretrain_id":
        counted = f"{pooled['clusters']} clusters by {cluster}"
    text = f"Over all {pooled['n']} runs {x} and {outcome} correlate{held} with r = {pooled['r']:+z.2f} ({how}{tested}; {counted})."
    turned, sure = opposite_groups(table)
    if turned:
        text += f" The sign turns within levels ({'; '.join(turned)}), so the pooled number may reflect what differs between levels alone;"
        if sure:
            text += f" it turns beyond doubt within {' and '.join(sure)}, whose interval excludes zero."
        else:
            text += " no level has an interval that excludes zero on the other side, so the turn may be chance."
    if len(inside) and np.isfinite(inside["r"].iloc[0]) and (turned or not adjusted):
        row = inside.iloc[0]
        ends = f" ({percent(level)} interval {row['low']:+z.2f} to {row['high']:+z.2f})" if np.isfinite(row["low"]) else ""
        text += f" With the levels' means removed r = {row['r']:+z.2f}{ends}."
    return text
