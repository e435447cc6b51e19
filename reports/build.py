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
from pathlib import Path

from analysis.errors import AnalysisError, unforeseen
from reports.choices import EVERY_S, FORMATS, is_table
from reports.errors import ReportError

# pandas, scipy and Altair take a second to import, and --help does not wait for them: what imports
# them is imported in `reports.building`.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (mistake := _mistake(options)) is not None:
        parser.error(mistake)
    from reports import building

    try:
        if done := building.run(options):
            print(done)
    except (ReportError, AnalysisError) as error:
        print(f"reports: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # of a folder that was edited or received
        print(f"reports: {unforeseen(' '.join(options.folder) or options.published, error)}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reports.build", description="Write a report as one HTML file.")
    parser.add_argument("folder", nargs="*", help="the study folder, such as runs/quickstart; two are compared, the second against the first")
    parser.add_argument("--published", metavar="NAME", help="a published table in its place: diminishing-returns or data-scaling")
    parser.add_argument("--out", metavar="FILE", help="the file to write (default: report.html in the study folder, else one here)")
    parser.add_argument("--task", metavar="NAME", help="of a study with several tasks of fine-tuning, the one to report on (default: its first)")
    parser.add_argument("--claims", choices=("own", "papers", "all"), help="of a study: its own claims (default), those of the two papers, or all")
    parser.add_argument("--template", metavar="FILE", type=Path, help="a Jinja2 template of your own (it runs as code); it may extend report.html.j2")
    parser.add_argument("--watch", action="store_true", help="build again whenever the study has changed, until it has ended or Ctrl-C")
    parser.add_argument("--every", metavar="S", type=float, default=EVERY_S, help="seconds between two looks of --watch (default: %(default)g)")
    parser.add_argument("--figures", metavar="DIR", type=Path, help="write each figure as a file, and its CSV, into DIR in place of the page")
    parser.add_argument("--format", choices=FORMATS, help=f"the kind of these files (default: {FORMATS[0]})")
    table = parser.add_argument_group("a table", "of a .csv or .parquet file, in the names of its own columns")
    table.add_argument("--x", metavar="COL", help="the column of sizes")
    table.add_argument("--y", metavar="COL", help="the column of scores")
    table.add_argument("--by", metavar="COL", nargs="+", action="extend", default=[], help="columns that divide the rows into groups")
    table.add_argument("--seed", metavar="COL", help="the column that tells repeated runs apart (default: seed, where there is one)")
    table.add_argument("--columns", metavar="OURS=THEIRS,...", help="what columns are, such as finetune_images=n_labels,accuracy=acc")
    direction = table.add_mutually_exclusive_group()
    direction.add_argument(
        "--lower-is-better", action="store_true", default=None, help="of the scores (default: as their name says, or as they go with x)"
    )
    direction.add_argument("--higher-is-better", dest="lower_is_better", action="store_false", default=None, help="of the scores")
    return parser


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
    of_table += [f"{'lower' if options.lower_is_better else 'higher'}-is-better"] if options.lower_is_better is not None else []
    if of_table and not is_table(options):
        return f"--{of_table[0]} is of a table: name one .csv or .parquet file."
    if is_table(options) and (options.watch or options.task is not None or options.claims is not None):
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


if __name__ == "__main__":
    sys.exit(main())
