"""Fits of several groups side by side: one for each value of `by`, and how they compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from analysis.decisions.exchange import ExchangeRate, SpeedUp, exchange_rate, speed_up
from analysis.errors import AnalysisError, nearest_name
from analysis.fitting.curve import Fit
from analysis.fitting.prediction import Prediction
from analysis.forecasting.choice import LawChoice
from analysis.formatting import with_interval
from analysis.shown import Shown

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

Kind = TypeVar("Kind", Fit, LawChoice)


class Fits(Mapping[str, Kind], Shown, Generic[Kind]):
    """Fits by the label of their group, in the order of the groups. Make one with `fit(..., by=...)`
    or `choose_law(..., by=...)`.
    """

    def __init__(self, fits: Mapping[str, Kind], *, by: str, reasons: Mapping[str, str] | None = None) -> None:
        """Args:
        fits: by label of the group.
        by: what the groups are of, such as 'backbone'.
        reasons: why groups have no fit, by label.
        """
        self._fits: dict[str, Kind] = dict(fits)
        self.by = by
        self.reasons: dict[str, str] = dict(reasons or {})

    def __getitem__(self, label: str) -> Kind:
        if label in self._fits:
            return self._fits[label]
        if label in self.reasons:
            raise AnalysisError(f"{self.by} '{label}' has no fit: {self.reasons[label]}")
        raise AnalysisError(f"there is no {self.by} '{label}' ({nearest_name(str(label), list(self._fits))}).")

    def __iter__(self) -> Iterator[str]:
        return iter(self._fits)

    def __len__(self) -> int:
        return len(self._fits)

    def __contains__(self, label: object) -> bool:
        return label in self._fits

    def __repr__(self) -> str:
        return f"<Fits by {self.by}: {', '.join(self._fits)}>"

    def exchange_rate(self, better: str, worse: str, at_x: float, **settings: Any) -> ExchangeRate:
        """What the advantage of one group over another is worth in x: see `analysis.exchange_rate`."""
        found = exchange_rate(self._curve(better), self._curve(worse), at_x, **settings)
        return replace(found, names=(str(better), str(worse)))

    def speed_up(self, better: str, worse: str, *, at_y: float | None = None, at_x: float | None = None, **settings: Any) -> SpeedUp:
        """How many times more x one group needs than another: see `analysis.speed_up`."""
        found = speed_up(self._curve(better), self._curve(worse), at_y=at_y, at_x=at_x, **settings)
        return replace(found, names=(str(better), str(worse)))

    def ranking(self, at_x: float) -> pd.DataFrame:
        """The groups by their law at x, best first: rank, group, mean, low, high, extrapolated.

        Higher counts as better where y rises with x, lower where it falls. Intervals are of each
        group's mean alone: two that overlap may still differ, see `exchange_rate`.
        """
        import pandas as pd

        rows = []
        for label, one in self.items():
            found: Prediction = one.predict([at_x])
            rows.append((label, *(float(getattr(found, name)[0]) for name in ("mean", "low", "high")), bool(found.extrapolated[0])))
        table = pd.DataFrame(rows, columns=[self.by, "mean", "low", "high", "extrapolated"])
        table = table.sort_values("mean", ascending=not self._rises(), kind="stable", ignore_index=True)
        table.insert(0, "rank", np.arange(1, len(table) + 1))
        return table

    def to_frame(self) -> pd.DataFrame:
        """One row a group: its law, parameters with the ends of their intervals, points and status."""
        import pandas as pd

        rows = []
        for label, one in self.items():
            of_law = _law_of(one)
            row: dict[str, Any] = {self.by: label, "law": one.law}
            for name, value in of_law.params.items():
                low, high = of_law.intervals[name] or (np.nan, np.nan)
                row |= {name: value, f"{name}_low": low, f"{name}_high": high}
            rows.append(row | {"points": of_law.n, "status": of_law.status})
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """One line a group: the value of its law at the largest x that all groups have measured, its
        law and status; then why groups have none.
        """
        at = min(one.x_max for one in self.values())
        first = next(iter(self.values()))
        lines = [f"{first.y_name} at {first.x_name} = {at:,.6g}, by {self.by}:"]
        for label in self.ranking(at)[self.by]:
            one = self[label]
            found = one.predict([at])
            mean, low, high = float(found.mean[0]), float(found.low[0]), float(found.high[0])
            shown = with_interval(mean, low, high, level=one.level) if np.isfinite(low + high) else f"{mean:.4g} (no interval)"
            lines.append(f"  {label}: {shown}, law {one.law}, {_law_of(one).status}")
        lines += [f"  {label}: no fit: {reason}" for label, reason in self.reasons.items()]
        return "\n".join(lines)

    def shown_table(self) -> pd.DataFrame:
        """The ranking at the largest x that all groups have measured."""
        return self.ranking(min(one.x_max for one in self.values()))

    def plot(self) -> alt.LayerChart:
        """Points, laws and bands of all groups in one Altair chart, with labels at the line ends."""
        from analysis.plots.curves import curve_chart

        return curve_chart(self)

    def _rises(self) -> bool:
        first = _law_of(next(iter(self.values())))
        ends = first.predict([first.x_min, first.x_max]).mean
        return bool(ends[1] > ends[0])

    def _curve(self, label: str) -> Fit:
        return _law_of(self[label])


def _law_of(one: Fit | LawChoice) -> Fit:
    return one if isinstance(one, Fit) else one.fit
