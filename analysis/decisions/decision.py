"""What every decision has in common: a sentence, cautions, and standard JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from analysis.formatting import digits, percent
from analysis.runs.columns import RUN_COLUMNS
from analysis.shown import Shown

if TYPE_CHECKING:
    import altair as alt

Interval = tuple[float, float]
NOT_WRITTEN = {"json": False}  # metadata of a field that to_json leaves out: a fit, which has a to_json of its own


@dataclass(frozen=True, kw_only=True)
class Decision(Shown):
    """An answer with its interval, its cautions and a sentence. `print` shows its first lines, a
    notebook its chart and its numbers.
    """

    KIND: ClassVar[str] = "decision"

    level: float
    """Confidence level of all intervals."""
    cautions: tuple[str, ...]
    """Sentences that qualify the answer: a fit at a bound, an extrapolation, an assumption that may
    fail. Empty where there are none.
    """

    def sentence(self) -> str:
        """The answer as a sentence, without the cautions."""
        raise NotImplementedError

    def summary(self) -> str:
        """The sentence, and each caution that it does not hold on a line of its own."""
        said = self.sentence()
        return "\n".join([said, *(f"  caution: {caution}" for caution in self.cautions if caution not in said)])

    def plot(self) -> alt.LayerChart:
        """The decision as an Altair chart, which composes with `+` and `|`."""
        from analysis.plots.decisions import decision_chart

        return decision_chart(self)

    def shown_table(self) -> pd.DataFrame:
        """Its table, or a row for each number."""
        from analysis.plots.decisions import decision_table

        return decision_table(self)

    def to_json(self) -> str:
        """All fields as standard JSON, with the sentence. An infinite or missing number is written
        as null: the `status` and `reason_no_interval` beside it say which of the two it is.
        """
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.metadata.get("json", True)}
        return json.dumps(
            {"kind": self.KIND, "sentence": self.sentence(), **{name: _plain(value) for name, value in fields.items()}}, allow_nan=False
        )


def with_names(text: str, x_name: str, y_name: str) -> str:
    """A sentence about x and y with the names that a table gives them: 'x = 400' becomes 'n_labels =
    400'. A documented column has its title. Without names the sentence stays as it is.
    """
    names = {"x": _title(x_name), "y": _title(y_name)}
    return re.sub(r"(?<![\w'-])([xy])(?![\w'^(-])", lambda found: names[found[1]], text)


SHORT = {"finetune_images": "labels"}
"""Titles that read ill within a sentence, in other words."""


def _title(name: str) -> str:
    documented = RUN_COLUMNS.get(name)
    return SHORT.get(name) or (documented.title if documented is not None else name)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, pd.DataFrame):
        return [_plain(row) for row in value.to_dict("records")]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one) for one in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def with_digits(value: float, interval: Interval | None, *, level: float, reason: str = "", never: str = "never") -> str:
    """'3,210 (90% interval 2,100 to 6,800)', to three significant digits; an infinite end is written
    as `never`.
    """
    if interval is None:
        return f"{digits(value, never)} (no interval: {reason})"
    return f"{digits(value, never)} ({percent(level)} interval {digits(interval[0], never)} to {digits(interval[1], never)})"


def interval_or_none(low: float, high: float) -> Interval | None:
    """The pair, or None where either end is not a number."""
    return None if math.isnan(low) or math.isnan(high) else (float(low), float(high))
