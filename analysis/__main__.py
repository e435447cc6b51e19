"""Fits a law to columns of a table, prints the result, and writes it as JSON.

    # choose the law that extrapolates best
    python -m analysis results.csv --x images --y error
    # one fit per encoder
    python -m analysis results.csv --x images --y error --law power --by encoder
    # predict, and find the data that a target needs
    python -m analysis runs/quickstart --x finetune_images --y miou --cluster seed \\
        --predict 1000 5000 --target 0.6
    # fit a surface over two columns
    python -m analysis points.csv --x params tokens --y loss --law chinchilla

Exit status: 0 every group was fitted, 1 some group could not be, 2 the table or the call is wrong
and nothing was written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from analysis.fitting.losses import LOSSES
from analysis.laws import LAWS, SURFACES


def _seed(text: str) -> int:
    """A seed of the bootstrap; elsewhere --seed names a column, so a name is a likely mistake."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no whole number: --seed is that of the bootstrap; name a column of seeds with --cluster."
        ) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = _parser().parse_args(arguments)
    from analysis.from_tables.fit_command import fit_and_print  # pandas and scipy, which --help does not wait for

    return fit_and_print(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis", description="Fit a law to columns of a table; print it and write it as JSON.")
    parser.add_argument("table", help="a .csv or .parquet file, or a study folder")
    parser.add_argument("--x", nargs="+", action="extend", required=True, metavar="COL", help="column of x; several for a surface")
    parser.add_argument("--y", required=True, metavar="COL", help="column of y")
    parser.add_argument("--by", nargs="+", action="extend", default=[], metavar="COL", help="one fit for each value of these columns")
    parser.add_argument("--law", default="auto", metavar="LAW", help=f"auto (default), {', '.join(LAWS)}; for a surface {', '.join(SURFACES)}")
    parser.add_argument("--cluster", metavar="COL", help="column of labels of points that are not independent, such as seed")
    parser.add_argument("--sigma", metavar="COL", help="column of standard errors of y")
    parser.add_argument("--weights", metavar="COL", help="column of weights")
    parser.add_argument("--loss", default="log_huber", choices=list(LOSSES))
    parser.add_argument("--fixed", nargs="+", action="extend", default=[], metavar="NAME=NUMBER", help="pinned parameters, such as E=0.1")
    parser.add_argument("--y-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="range of the metric, such as 0 1, or 0 100 of percent")
    parser.add_argument("--bootstrap", type=int, metavar="SAMPLES", help="bootstrap intervals from so many samples")
    parser.add_argument("--level", type=float, default=0.95, help="confidence level of the intervals (default 0.95)")
    parser.add_argument("--seed", type=_seed, default=0, help="of the bootstrap (default 0); a column of seeds is named with --cluster")
    parser.add_argument("--predict", nargs="+", action="extend", type=float, default=[], metavar="X", help="predict one new run at these x")
    parser.add_argument("--target", type=float, metavar="Y", help="the x at which y reaches this value")
    parser.add_argument("--json", metavar="FILE", help="where to write the fits (default: TABLE.fits.json beside the table)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
