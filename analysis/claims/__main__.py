"""Test the claims about a table, and print which are supported, refuted, negligible or open.

    # a study folder, a .csv or a .parquet file
    python -m analysis.claims runs/quickstart
    # a table of means, one row per cell: miou, miou_spread, n_runs
    python -m analysis.claims means.csv --margin 0.005
    # the tables of a paper
    python -m analysis.claims published:diminishing-returns --json
    # also the claims that the two papers made
    python -m analysis.claims runs/quickstart --claims all

Exit status: 0 tested, 2 the table cannot be read or holds nothing to test (one sentence on stderr
says what).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from analysis.errors import AnalysisError, unforeseen

PREFIX = "published:"
# as in `analysis.published` and `analysis.claims.findings`, which --help does not wait for
PUBLISHED = ("diminishing-returns", "data-scaling")
CLAIMS = ("own", "papers", "all")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m analysis.claims", description="What a table supports, refutes and leaves open.")
    parser.add_argument("table", help=f"a study folder, a .csv or .parquet file, or {PREFIX}{{{','.join(PUBLISHED)}}}")
    parser.add_argument("--outcome", help="the score to test (default: miou, or accuracy)")
    parser.add_argument(
        "--margin",
        type=float,
        help="differences below this, in the unit of the outcome, are negligible (default: from the study)",
    )
    parser.add_argument("--level", type=float, default=0.95, help="nominal coverage of the intervals (default: 0.95)")
    parser.add_argument(
        "--claims",
        choices=CLAIMS,
        help="own: asked of every study; papers: made by a paper; all (default: all of a published table, else own)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with every number, instead of sentences")
    options = parser.parse_args(arguments)
    from analysis.claims.findings import findings
    from analysis.claims.listing import formatted
    from analysis.published import load_published
    from analysis.runs.table import load_runs

    try:
        name = options.table
        study = load_published(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else load_runs(name, required=())
        found = findings(study, outcome=options.outcome, level=options.level, margin=options.margin, claims=options.claims)
    except AnalysisError as error:
        print(f"analysis: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        print(f"analysis: {unforeseen(options.table, error)}", file=sys.stderr)
        return 2
    try:
        print(found.to_json() if options.json else formatted(found), flush=True)
    except BrokenPipeError:  # `... | head` has seen enough
        sys.stderr.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
