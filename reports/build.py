"""Write a report: one HTML file that opens offline, of a study or of a published table.

    python -m reports.build runs/quickstart                      # writes runs/quickstart/report.html
    python -m reports.build runs/quickstart --out quickstart.html
    python -m reports.build --published diminishing-returns      # writes diminishing-returns.html
    python -m reports.build --published data-scaling --out data_scaling.html

Exit status: 0 written, 2 the folder is no study, the name is not published, or a file cannot be read or written (one sentence on stderr
says which).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from analysis import AnalysisError
from reports.published import build_published
from reports.report import build_report
from reports.study import ReportError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m reports.build", description="Write a report as one HTML file.")
    parser.add_argument("folder", nargs="?", help="the study folder, such as runs/quickstart")
    parser.add_argument("--published", metavar="NAME", help="a published table in its place: diminishing-returns or data-scaling")
    parser.add_argument("--out", help="the file to write (default: report.html in the study folder, or NAME.html here)")
    options = parser.parse_args(arguments)
    if (options.folder is None) == (options.published is None):
        parser.error("name either a study folder or a published table with --published.")
    try:
        written = build_report(options.folder, options.out) if options.published is None else build_published(options.published, options.out)
    except (ReportError, AnalysisError) as error:
        print(f"reports: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {written} ({written.stat().st_size / 1e6:.1f} MB).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
