"""Write a study's report: one HTML file that opens offline.

    python -m reports.build runs/quickstart                      # writes runs/quickstart/report.html
    python -m reports.build runs/quickstart --out quickstart.html

Exit status: 0 written, 2 the folder is no study or cannot be read (one sentence on stderr says what).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from analysis import AnalysisError
from reports.report import build_report
from reports.study import ReportError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m reports.build", description="Write a study's report as one HTML file.")
    parser.add_argument("folder", help="the study folder, such as runs/quickstart")
    parser.add_argument("--out", help="the file to write (default: report.html in the study folder)")
    options = parser.parse_args(arguments)
    try:
        written = build_report(options.folder, options.out)
    except (ReportError, AnalysisError) as error:
        print(f"reports: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {written} ({written.stat().st_size / 1e6:.1f} MB).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
