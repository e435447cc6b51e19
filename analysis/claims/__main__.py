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
import textwrap
from collections.abc import Sequence

from analysis.claims.finding import Findings
from analysis.claims.findings import CLAIMS, findings
from analysis.errors import AnalysisError
from analysis.published import PUBLISHED, load_published
from analysis.runs.table import load_runs

PREFIX = "published:"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
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
    try:
        name = options.table
        study = load_published(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else load_runs(name, required=())
        found = findings(study, outcome=options.outcome, level=options.level, margin=options.margin, claims=options.claims)
    except AnalysisError as error:
        print(f"analysis: {error}", file=sys.stderr)
        return 2
    try:
        print(found.to_json() if options.json else formatted(found), flush=True)
    except BrokenPipeError:  # `... | head` has seen enough
        sys.stderr.close()
    return 0


def formatted(found: Findings, width: int = 120) -> str:
    """Format all findings by topic, then the questions that could not be answered."""
    lines: list[str] = []
    topic = ""
    for one in found:
        if one.unreachable:
            continue
        if one.topic != topic:
            topic = one.topic
            lines += ["", topic.upper()]
        lines += _wrapped(f"{one.verdict:<10} {one.headline}.", width, indent=11)
        lines += _wrapped(" " * 11 + one.sentence, width, indent=11)
    if found.unreachable:
        lines += ["", "OUT OF REACH"]
        for one in found.unreachable:
            lines += _wrapped(f"{one.headline}.", width, indent=2)
    if found.unanswered:
        lines += ["", "NOT ANSWERED"]
        for question, reason in found.unanswered:
            lines += _wrapped(f"{question} {reason[:1].upper()}{reason[1:]}", width, indent=2)
    lines += ["", *(line for note in found.notes for line in _wrapped(note, width, indent=2))]
    return "\n".join(lines).strip()


def _wrapped(text: str, width: int, *, indent: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=" " * indent, drop_whitespace=True, break_on_hyphens=False) or [""]


if __name__ == "__main__":
    sys.exit(main())
