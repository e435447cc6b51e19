"""Write a report: one HTML file that opens offline, of a study, of two studies against each other,
of a published table, or of any table.

    # write runs/quickstart/report.html
    python -m reports.build runs/quickstart
    python -m reports.build runs/quickstart --out quickstart.html
    # write it again every few seconds while the study runs
    python -m reports.build runs/quickstart --watch
    # compare two studies: before_and_after.html
    python -m reports.build runs/before runs/after
    # write diminishing-returns.html
    python -m reports.build --published diminishing-returns
    # one task of a study with two: report-classification.html
    python -m reports.build runs/both --task classification
    # any table: results.html
    python -m reports.build results.csv --x n_labels --y acc --by backbone --seed seed
    python -m reports.build results.csv --columns finetune_images=n_labels,accuracy=acc
    python -m reports.build runs/quickstart --template mine.html.j2
    # figures for a paper, with the CSV behind each
    python -m reports.build runs/quickstart --figures figures --format pdf

Exit status: 0 written, 2 the folder is no study, the name is not published, or a file cannot be
read or written (one sentence on stderr says which).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from analysis import AnalysisError, load_published
from reports.comparison import build_comparison, compose_comparison
from reports.export import FORMATS, write_figures
from reports.page import Page
from reports.published.paper import compose_published
from reports.report import build_report, compose, write_page
from reports.report_data import ReportError, read_study
from reports.table import build_table_report, compose_table, read_question
from reports.table.question import TableQuestion, column_pairs
from reports.watching import EVERY_S, watch


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (mistake := _mistake(options)) is not None:
        parser.error(mistake)
    try:
        if options.watch:
            # Each line at once, also into a file or a pipe: one reads them while the watch goes on.
            watch(options.folder[0], options.out, every_s=options.every, template=options.template, log=partial(print, flush=True))
            return 0
        if options.figures is not None:
            written = write_figures(_page(options), options.figures, kind=options.format or FORMATS[0])
            print(f"Wrote {len(written)} files into {options.figures}.")
            return 0
        page = _build(options)
    except (ReportError, AnalysisError) as error:
        print(f"reports: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {page} ({page.stat().st_size / 1e6:.1f} MB).")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reports.build", description="Write a report as one HTML file.")
    parser.add_argument("folder", nargs="*", help="the study folder, such as runs/quickstart; two are compared, the second against the first")
    parser.add_argument("--published", metavar="NAME", help="a published table in its place: diminishing-returns or data-scaling")
    parser.add_argument("--out", metavar="FILE", help="the file to write (default: report.html in the study folder, else one here)")
    parser.add_argument("--task", metavar="NAME", help="of a study with several tasks of fine-tuning, the one to report on (default: its first)")
    parser.add_argument("--claims", choices=("own", "papers", "all"), help="of a study: its own claims (default), those of the two papers, or all")
    parser.add_argument("--template", metavar="FILE", type=Path, help="a Jinja2 template of your own; it may extend report.html.j2")
    parser.add_argument("--watch", action="store_true", help="build again whenever the study has changed, until it has ended or Ctrl-C")
    parser.add_argument("--every", metavar="S", type=float, default=EVERY_S, help="seconds between two looks of --watch (default: %(default)g)")
    parser.add_argument("--figures", metavar="DIR", type=Path, help="write each figure as a file, and its CSV, into DIR in place of the page")
    parser.add_argument("--format", choices=FORMATS, help=f"the kind of these files (default: {FORMATS[0]})")
    table = parser.add_argument_group("a table", "of a .csv or .parquet file, in the names of its own columns")
    table.add_argument("--x", metavar="COL", help="the column of sizes")
    table.add_argument("--y", metavar="COL", help="the column of scores")
    table.add_argument("--by", metavar="COL", nargs="+", default=[], help="columns that divide the rows into groups")
    table.add_argument("--seed", metavar="COL", help="the column that tells repeated runs apart (default: seed, where there is one)")
    table.add_argument("--columns", metavar="OURS=THEIRS,...", help="what columns are, such as finetune_images=n_labels,accuracy=acc")
    table.add_argument("--lower-is-better", action="store_true", help="of the scores, as of an error or a loss")
    return parser


def _is_table(options: argparse.Namespace) -> bool:
    """Whether the report is to be of a table and not of a study."""
    return len(options.folder) == 1 and Path(options.folder[0]).suffix.lower() in (".csv", ".parquet") and not Path(options.folder[0]).is_dir()


def _question(options: argparse.Namespace) -> TableQuestion:
    columns = column_pairs(options.columns) if options.columns is not None else None
    lower = options.lower_is_better
    return read_question(options.folder[0], x=options.x, y=options.y, by=options.by, seed=options.seed, columns=columns, lower_is_better=lower)


def _mistake(options: argparse.Namespace) -> str | None:
    """Returns a sentence about options that contradict each other, None where none do."""
    if bool(options.folder) == (options.published is not None):
        return "name either a study folder or a published table with --published."
    if len(options.folder) > 2:
        return f"two studies can be compared, not {len(options.folder)}."
    if options.task is not None and (len(options.folder) != 1 or options.watch):
        return "--task takes one study folder, and no --watch."
    of_table = [name for name in ("x", "y", "seed", "columns") if getattr(options, name) is not None]
    of_table += ["by"] if options.by else []
    of_table += ["lower-is-better"] if options.lower_is_better else []
    if of_table and not _is_table(options):
        return f"--{of_table[0]} is of a table: name one .csv or .parquet file."
    if _is_table(options) and (options.watch or options.task is not None or options.claims is not None):
        return "a table has no --watch, no --task and no --claims."
    if options.claims is not None and (len(options.folder) != 1 or options.watch):
        return "--claims takes one study folder, and no --watch."
    if options.watch and len(options.folder) != 1:
        return "--watch takes one study folder."
    if options.watch and not 0.1 <= options.every <= 86_400:
        return "--every takes seconds from 0.1 to 86400."
    if options.figures is not None and (options.watch or options.out is not None or options.template is not None):
        return "--figures writes figures and no page: leave out --out, --watch and --template."
    if options.format is not None and options.figures is None:
        return "--format is of the files that --figures DIR writes: name the folder as well."
    return None


def _build(options: argparse.Namespace) -> Path:
    if options.published is not None:
        page = compose_published(load_published(options.published))
        return write_page(page, Path(options.out or f"{options.published}.html"), template=options.template)
    if len(options.folder) == 2:
        first, second = options.folder
        return build_comparison(first, second, options.out, template=options.template)
    if _is_table(options):
        return build_table_report(_question(options), options.out, template=options.template)
    return build_report(options.folder[0], options.out, template=options.template, task=options.task, claims=options.claims)


def _page(options: argparse.Namespace) -> Page:
    """Composes the page whose figures are to be written."""
    if options.published is not None:
        return compose_published(load_published(options.published))
    if len(options.folder) == 2:
        return compose_comparison(*options.folder)
    if _is_table(options):
        return compose_table(_question(options))
    return compose(read_study(Path(options.folder[0])), task=options.task, claims=options.claims)


if __name__ == "__main__":
    sys.exit(main())
