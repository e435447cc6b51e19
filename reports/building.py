"""What `python -m reports.build` does with its arguments: pages, figures, and watching a study."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from analysis import load_published
from reports.choices import FORMATS, is_table
from reports.comparison import build_comparison, compose_comparison
from reports.export import write_figures
from reports.page import Page
from reports.published.paper import compose_published
from reports.report import build_report, compose, write_page
from reports.report_data import read_study
from reports.table import build_table_report, compose_table, read_question
from reports.table.question import TableQuestion, column_pairs
from reports.watching import watch


def run(options: argparse.Namespace) -> str:
    """Does what was asked and returns a sentence about it, where there is one to say.

    Raises ReportError and AnalysisError.
    """
    if options.watch:
        # Each line at once, also into a file or a pipe: one reads them while the watch goes on.
        watch(options.folder[0], options.out, every_s=options.every, template=options.template, log=partial(print, flush=True))
        return ""  # it has said all line by line
    if options.figures is not None:
        written = write_figures(_page(options), options.figures, kind=options.format or FORMATS[0])
        return f"Wrote {len(written)} files into {options.figures}."
    page = _build(options)
    return f"Wrote {page} ({page.stat().st_size / 1e6:.1f} MB)."


def _question(options: argparse.Namespace) -> TableQuestion:
    columns = column_pairs(options.columns) if options.columns is not None else None
    lower = options.lower_is_better
    return read_question(options.folder[0], x=options.x, y=options.y, by=options.by, seed=options.seed, columns=columns, lower_is_better=lower)


def _build(options: argparse.Namespace) -> Path:
    if options.published is not None:
        page = compose_published(load_published(options.published))
        return write_page(page, Path(options.out or f"{options.published}.html"), template=options.template)
    if len(options.folder) == 2:
        first, second = options.folder
        return build_comparison(first, second, options.out, template=options.template)
    if is_table(options):
        return build_table_report(_question(options), options.out, template=options.template)
    return build_report(options.folder[0], options.out, template=options.template, task=options.task, claims=options.claims)


def _page(options: argparse.Namespace) -> Page:
    """Composes the page whose figures are to be written."""
    if options.published is not None:
        return compose_published(load_published(options.published))
    if len(options.folder) == 2:
        return compose_comparison(*options.folder)
    if is_table(options):
        return compose_table(_question(options))
    return compose(read_study(Path(options.folder[0])), task=options.task, claims=options.claims)
