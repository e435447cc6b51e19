"""What a paper would print about choosing by a loss."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.formatting import decimals_for, p_value, percent
from analysis.runs.outcomes import title_of


def sentences_of(table: pd.DataFrame, *, loss: str, score: str, within: tuple[str, ...], proxies: Mapping[str, str], level: float) -> tuple[str, ...]:
    """Accuracy, top-1 regret, and each trivial rule beside it, from the first group of the table."""
    outcome = title_of(score)
    rows = table[table["group"] == table["group"].iloc[0]].set_index("proxy")
    first = rows.loc["loss"]
    inside = f" at equal {', '.join(within)}" if within else ""
    if not first["pairs"]:
        return (f"No two runs of different pre-trainings can be compared{inside}: nothing can be said about choosing by {loss}.",)
    ends = f"{percent(level)} interval {first['low']:.0%} to {first['high']:.0%}" if np.isfinite(first["low"]) else f"no interval: {first['note']}"
    tested = f", {p_value(first['p'])}" if np.isfinite(first["p"]) else ""
    counted = f"{first['pretrainings']} pre-trainings"
    if first["clusters"] != first["pretrainings"]:
        counted += f" in {first['clusters']} clusters"
    said = [
        f"Of two runs of different pre-trainings{inside} the one with the lower {loss} has the higher {outcome} in {first['accuracy']:.0%} of "
        f"{first['pairs']:,} pairs ({ends}{tested}; {counted}), where chance has 50%."
    ]
    spread = float(rows["regret"].max())
    shown = f".{max(decimals_for(spread), 1)}f" if 1e-5 < spread < 1e6 else ".4g"
    mean = "Averaged over levels, the" if within and table["group"].nunique() > 3 else "The"
    others = [f"{rows.loc[name, 'regret']:{shown}} by {_rule(name)}" for name in (*proxies, "random")]
    said.append(
        f"{mean} run with the lowest {loss} has {outcome} {first['chosen']:{shown}} where the best has {first['best']:{shown}}: a top-1 regret "
        f"of {first['regret']:{shown}}, against {', '.join(others)}."
    )
    for name in proxies:
        row = rows.loc[name]
        ahead = f"{100.0 * row['ahead']:+.0f} points"
        how = f"{percent(level)} interval {100.0 * row['ahead_low']:+.0f} to {100.0 * row['ahead_high']:+.0f}"
        if not np.isfinite(row["ahead_low"]):
            how, verdict = f"no interval: {row['note']}", ""
        else:
            sure = row["ahead_low"] * row["ahead_high"] > 0
            verdict = f": {'the loss' if row['ahead'] > 0 else 'the trivial rule'} chooses better" if sure else ": the two are not told apart"
        said.append(f"Choosing by {_rule(name)} orders {row['accuracy']:.0%} of the pairs rightly; the loss is {ahead} ahead ({how}){verdict}.")
    return tuple(said)


def _rule(name: str) -> str:
    return "chance" if name == "random" else f"the {name}"
