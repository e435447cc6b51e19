"""What stands on the page, as plain objects, and the template that turns them into one HTML file."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from reports.cells import Cell as Cell
from reports.cells import cell_of, kind_of_column
from reports.download import GZIP, PLAIN, csv_address
from reports.pictures import Gallery
from reports.readable import isolated as isolated
from reports.readable import visible as visible
from reports.specifications import figure_specifications
from reports.template import fill
from reports.theme import specification, themed

MOST_ROWS = 100
"""Rows of one table that are written out; its CSV always has all."""

MOST_ROWS_OPEN = 3
"""Rows of a gallery that are shown; the rest is folded."""

NAMES = {"supported": "supported", "refuted": "refuted", "negligible": "negligible", "open": "cannot be told"}
"""What a count of verdicts calls each."""

PACKED_FROM = 400
"""Characters of a data address from which on a CSV is packed."""
SCRIPTS = ("keys.js", "report.js", "reload.js")
"""What the page's own script is made of, in order: the second calls what the first defines."""

SYMBOLS = {"supported": "✓", "refuted": "✗", "negligible": "≈", "open": "?", "passed": "✓", "failed": "✗", "not known": "?"}
"""What stands beside a verdict's word, so that colour alone does not carry it."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table for reading, and the address of its CSV."""

    caption: str
    headings: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    file_name: str
    address: str
    """data: URI of the CSV."""
    hidden: str = ""
    """Sentences about rows that are only in the CSV, and about texts that were changed for it."""

    @property
    def packed(self) -> str:
        """The CSV as `packed` gives it, where that makes the page smaller; '' for one that is short or
        gzipped as it is.
        """
        if not self.address.startswith(PLAIN) or len(self.address) < PACKED_FROM:
            return ""
        return packed(base64.b64decode(self.address.removeprefix(PLAIN)).decode("utf-8"))


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One chart of a figure."""

    identity: str
    chart: alt.LayerChart
    alternative: str
    """What the chart shows, in words, made from its data."""
    heading: str = ""
    choice: str = ""
    """Of which reading of the data it is, where a switch shows one reading at a time."""
    folded: bool = False
    """Whether it stands closed until a reader opens it."""
    narrow: alt.LayerChart | None = None
    """The chart for a phone, where it is another; None where the one chart serves every width."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A claim, how to read what shows it, the charts, and their data."""

    claim: str
    subtitle: str
    description: str
    """The whole figure in words, made from its data; shown with the data."""
    panels: tuple[Panel, ...]
    identity: str = ""
    """Its id on the page; a registered figure gets that of its registration."""
    notes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()

    @property
    def choices(self) -> tuple[str, ...]:
        """The readings between which a switch chooses; none where there is one alone."""
        found = tuple(dict.fromkeys(panel.choice for panel in self.panels if panel.choice))
        return found if len(found) > 1 else ()

    @property
    def reading(self) -> tuple[str, str]:
        """The first sentence of the subtitle, shown under the title, and the rest, which is folded."""
        first, stop, rest = self.subtitle.partition(". ")
        return (f"{first}.", rest) if stop else (first, "")


@dataclass(frozen=True, kw_only=True)
class PictureBlock:
    """A gallery under its heading."""

    heading: str
    subtitle: str
    pictures: Gallery
    folded: bool = False
    """Whether it stands closed until a reader opens it."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A claim with its verdict, as it stands on the page."""

    verdict: str
    """'supported', 'refuted', 'negligible' or 'open'."""
    identity: str = ""
    """Its id on the page is `claim-IDENTITY`; '' for one that has no place of its own."""
    headline: str = ""
    """What the verdict says of the claim, in a few words."""
    detail: str = ""
    """The numbers, in one line."""
    claim: str
    source: str
    """Who makes the claim; '' where nobody does."""
    sentence: str
    effect: tuple[str, str] = ("", "")
    """The estimate with its unit, and its interval and what it measures; '' where there is none."""
    facts: tuple[tuple[str, str], ...] = ()
    """What it rests on: a term and its value."""
    checks: tuple[tuple[str, str], ...] = ()
    """The assumption checks: 'passed', 'failed' or 'not known', and the sentence."""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """Statements under the heading that they share."""

    heading: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One heading of the page and what stands under it, in this order."""

    identity: str
    heading: str
    paragraphs: tuple[str, ...] = ()
    topics: tuple[Topic, ...] = ()
    questions: tuple[tuple[str, str], ...] = ()
    """What cannot be answered: the question, and why."""
    figures: tuple[Figure, ...] = ()
    galleries: tuple[PictureBlock, ...] = ()
    tables: tuple[Table, ...] = ()
    listings: tuple[tuple[str, str], ...] = ()
    folded: bool = False
    """Whether it is closed until a reader opens it."""
    summary: str = ""
    """What a folded section says of itself beside its heading."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One of the boxes under the findings, such as what the study cost."""

    term: str
    text: str
    kind: str = ""
    """'complete', 'incomplete' or ''."""


@dataclass(frozen=True, kw_only=True)
class Screen:
    """The first screen of a report of one study."""

    about: str
    """What was done with what, a phrase for the line above the sentence."""
    state: str = ""
    """How complete it is, a phrase at the end of that line."""
    sentence: str = ""
    """What was found, in at most 25 words."""
    beside: str = ""
    """Which verdict reads as its opposite, and why; '' where none does."""
    scaling: Figure | None = None
    moved: Figure | None = None
    verdicts: tuple[Statement, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()
    """Each verdict and how many claims have it."""
    share_done: float | None = None
    """Of the planned runs, from 0 to 1; None where nothing was planned."""
    strip: tuple[Fact, ...] = ()
    """What the numbers rest on: the number and what it counts."""
    links: tuple[tuple[str, str], ...] = ()
    """What the strip links to, and the address on this page."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures that there are."""
        return tuple(one for one in (self.scaling, self.moved) if one is not None)


@dataclass(frozen=True, kw_only=True)
class Page:
    """The whole report."""

    kicker: str
    """What kind of report it is, above the title."""
    title: str
    lead: str
    findings: tuple[Statement, ...] = ()
    """The headline findings."""
    remarks: tuple[str, ...] = ()
    """Sentences under the findings, or in their place where there is none."""
    facts: tuple[Fact, ...] = ()
    sections: tuple[Section, ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    """The pages of one study: the task of each, and its file beside this one; '' for this page."""
    reload_s: int | None = None
    """Seconds after which the browser loads the page again, for a study that runs; None for never."""
    screen: Screen | None = None
    """The first screen; without one the title, the lead and the findings stand there."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure, in the order of the page."""
        return (*(self.screen.figures if self.screen else ()), *(figure for section in self.sections for figure in section.figures))


def make_table(
    frame: pd.DataFrame,
    *,
    caption: str,
    file_name: str,
    shown: Sequence[str] = (),
    meanings: dict[str, str] | None = None,
    marked: dict[str, str] | None = None,
) -> Table:
    """A page table from a data frame: `shown` columns (default all) for reading, every column and
    digit in the CSV.

    Args:
        meanings: what a column means, by name; becomes the heading's tooltip.
        marked: a style for the cells of a column that are neither zero nor empty, by name of the
            column.
    """
    columns = list(shown) or list(frame.columns)
    rows = tuple(
        tuple(cell_of(value, column, marked or {}) for column, value in zip(columns, values, strict=True))
        for values in frame.loc[:, columns].head(MOST_ROWS).itertuples(index=False, name=None)
    )
    address, changed = csv_address(frame)
    hidden = [f"The first {MOST_ROWS} of {len(frame):,} rows; the CSV has all."] if len(frame) > MOST_ROWS else []
    if changed:
        hidden.append(f"In the CSV an apostrophe stands before {changed} texts that a spreadsheet would take for formulas.")
    return Table(
        caption=caption,
        headings=tuple(
            Cell(text=column, meaning=(meanings or {}).get(column, ""), kind=kind_of_column([row[place] for row in rows]))
            for place, column in enumerate(columns)
        ),
        rows=rows,
        file_name=f"{file_name}.gz" if address.startswith(GZIP) else file_name,
        address=address,
        hidden=" ".join(hidden),
    )


def render(page: Page, template: Path | None = None) -> str:
    """The page as one HTML text that needs nothing else and asks no host for anything; the same
    page gives the same bytes.

    `template` is a Jinja2 file in place of the built-in one, which it may extend. Raises
    ReportError if it cannot be used.
    """
    panels = [panel for figure in page.figures for panel in figure.panels]
    specifications = {name: themed(spec) for figure in page.figures for name, spec in figure_specifications(figure)}
    specifications |= {f"{panel.identity}@narrow": themed(specification(panel.narrow)) for panel in panels if panel.narrow is not None}
    bundle = vega_bundle()
    script = _inside_script("\n".join(_template_text(name) for name in SCRIPTS))
    # Only these two texts may run: a hash for each, no eval, no inline handler, and no request of
    # any kind.
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash_source(bundle)} {_hash_source(script)}",
            "style-src 'unsafe-inline'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    text = fill(
        template,
        page=page,
        symbols=SYMBOLS,
        names=NAMES,
        rows_open=MOST_ROWS_OPEN,
        # These are marked `safe` in the template: our own text, or escaped for where it stands.
        policy=policy,
        style=_template_text("report.css"),
        specifications=packed_json(specifications),
        bundle=packed(bundle),
        script=script,
    )
    return isolated(visible(text))


@cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that loads nothing further and sets `vegaEmbed`;
    made once a process, in a second.
    """
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])  # as vl_convert names it: 'v6.4.1' -> '6.4'
    return _inside_script(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version))


def packed_json(value: Any) -> str:
    """Strict JSON, packed.

    Raises:
        ValueError: if a number is not finite, which JSON cannot say.
    """
    return packed(json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")))


def packed(text: str) -> str:
    """Text compressed by gzip, in base64, which report.js unpacks; the same text gives the same
    bytes.
    """
    return base64.b64encode(gzip.compress(text.encode("utf-8"), mtime=0)).decode("ascii")


def unpacked(text: str) -> str:
    """What was given to `packed`."""
    return gzip.decompress(base64.b64decode(text)).decode("utf-8")


def _inside_script(code: str) -> str:
    """JavaScript that may stand inside a script element; both forms mean the same in strings,
    templates and regular expressions.
    """
    return code.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash_source(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode('utf-8')).digest()).decode('ascii')}'"


def _template_text(name: str) -> str:
    return files("reports").joinpath("templates", name).read_text(encoding="utf-8")
