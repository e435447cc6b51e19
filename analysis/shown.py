"""How results show themselves: a few lines in a terminal, a figure and a table in a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MOST_LINES = 12
MOST_ROWS = 10


class Shown:
    """A result with `summary()`, `plot()` and `shown_table()`. `print` shows its first lines; a
    notebook its figure and its table.
    """

    def summary(self) -> str:
        """The result in a few lines, then the method."""
        raise NotImplementedError

    def plot(self) -> Any:
        """The result as an Altair chart."""
        raise NotImplementedError

    def shown_table(self) -> pd.DataFrame:
        """What a notebook shows beside the figure, a few columns wide."""
        raise NotImplementedError

    def __str__(self) -> str:
        lines = self.summary().splitlines()
        if len(lines) <= MOST_LINES:
            return "\n".join(lines)
        left = len(lines) - MOST_LINES + 1
        return "\n".join([*lines[: MOST_LINES - 1], f"  ... {left} more lines in .summary()"])

    def _repr_html_(self) -> str:
        """The figure as SVG, which needs no network, and the first ten rows of the table."""
        import vl_convert

        table = self.shown_table()
        rest = f"<p>{len(table) - MOST_ROWS} more rows</p>" if len(table) > MOST_ROWS else ""
        rows = table.head(MOST_ROWS).to_html(index=False, float_format=lambda value: f"{value:.4g}", border=0)
        try:
            figure = vl_convert.vegalite_to_svg(self.plot().to_json())
        except Exception as error:  # a figure that cannot be drawn must not hide the numbers
            figure = f"<p>no figure: {html.escape(str(error))}</p>"
        return f"<div>{figure}{rows}{rest}</div>"
