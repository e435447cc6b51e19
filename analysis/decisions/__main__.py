"""Decide from a table: fit a law to its columns and answer one question.

    # up to where does a doubling of labels still gain more than noise?
    python -m analysis.decisions returns results.csv --x n_labels --y acc --cluster seed
    # what are 400 labels with one backbone worth in labels of the other?
    python -m analysis.decisions exchange results.csv --x n_labels --y acc \\
        --by backbone --better vit --worse swin --at 400
    # how many times more labels does the other need for a score of 0.8?
    python -m analysis.decisions speed-up results.csv --x n_labels --y acc \\
        --by backbone --better vit --worse swin --at-y 0.8
    # how to divide a budget over model and data?
    python -m analysis.decisions split points.csv --x params tokens --y loss \\
        --budget 1e21 --prices "6 N D"
    # which runs to add, so that the score at 10,000 labels becomes most precise?
    python -m analysis.decisions runs results.csv --x n_labels --y acc \\
        --candidates 1600 3200 6400 --cost-each 2 --predict 10000

Also as `scaling-laws decide ...`. Exit status: 0 answered, 2 the table or the call is wrong (one
sentence on stderr says what).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = _parser().parse_args(arguments)
    from analysis.errors import AnalysisError, unforeseen
    from analysis.from_tables.decide_command import answer  # pandas and scipy, which --help does not wait for

    try:
        decision = answer(options)
    except AnalysisError as error:
        print(f"analysis: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        print(f"analysis: {unforeseen(options.table, error)}", file=sys.stderr)
        return 2
    print(decision.to_json() if options.json else decision.summary())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis.decisions", description="Fit a law to columns of a table and answer one question.")
    questions = parser.add_subparsers(dest="question", required=True, metavar="QUESTION")
    returns = _question(questions, "returns", "up to where more x still pays", law="power")
    returns.add_argument("--noise-sd", type=float, metavar="SD", help="standard deviation over seeds, in the unit of y (default: of the fit)")
    returns.add_argument("--price", type=float, metavar="Y", help="what one more unit of x must gain in y to pay for itself")
    for name, text in (("exchange", "how much x an advantage is worth"), ("speed-up", "how many times more x the worse group needs")):
        pair = _question(questions, name, text, law="power")
        pair.add_argument("--by", required=True, metavar="COL", help="the column that holds the two groups")
        pair.add_argument("--better", required=True, metavar="GROUP", help="the group with the advantage")
        pair.add_argument("--worse", required=True, metavar="GROUP", help="the group without it")
        if name == "exchange":
            pair.add_argument("--at", type=float, required=True, metavar="X", help="x of the group with the advantage")
        else:
            at = pair.add_mutually_exclusive_group(required=True)
            at.add_argument("--at-y", type=float, metavar="Y", help="the y that both are to reach")
            at.add_argument("--at-x", type=float, metavar="X", help="x of the better group, whose y both are to reach")
    split = _question(questions, "split", "how to divide a budget over the inputs of a surface", law="chinchilla", several=True)
    split.add_argument("--budget", type=float, required=True, metavar="B", help="what there is to spend, in the unit of the prices")
    split.add_argument(
        "--prices", required=True, metavar="FORMULA", help="what the inputs cost, by the law's names of them: '6 N D', '0.1 P + 0.3 F'"
    )
    runs = _question(questions, "runs", "which runs to make next", law="power")
    runs.add_argument("--candidates", type=float, nargs="+", action="extend", required=True, metavar="X", help="x at which a run could be made")
    runs.add_argument("--cost-each", type=float, nargs="+", default=[1.0], metavar="HOURS", help="GPU-hours of a run, one for all or one a candidate")
    runs.add_argument("--count", type=int, default=3, metavar="N", help="how many runs to choose (default 3)")
    runs.add_argument("--gpu-hours", type=float, metavar="H", help="what they may cost together")
    wanted = runs.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--predict", type=float, metavar="X", help="make y at this x most precise")
    wanted.add_argument("--reach", type=float, metavar="Y", help="make the x that reaches this y most precise")
    wanted.add_argument("--parameter", metavar="NAME", help="make a parameter of the law most precise, such as b")
    return parser


def _question(
    questions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, *, law: str, several: bool = False
) -> argparse.ArgumentParser:
    one = questions.add_parser(name, help=text, description=f"Say {text}.")
    one.add_argument("table", help="a .csv or .parquet file, or a study folder")
    if several:
        one.add_argument("--x", required=True, metavar="COL", nargs="+", action="extend", help="columns of x, in the law's order")
    else:
        one.add_argument("--x", required=True, metavar="COL", help="column of x")
    one.add_argument("--y", required=True, metavar="COL", help="column of y")
    one.add_argument("--cluster", metavar="COL", help="column of labels of points that are not independent, such as seed")
    one.add_argument("--law", default=law, metavar="LAW", help=f"the law to fit (default {law})")
    one.add_argument("--level", type=float, metavar="SHARE", help="confidence level of the intervals")
    one.add_argument("--json", action="store_true", help="print JSON, with every number, instead of sentences")
    return one


if __name__ == "__main__":
    sys.exit(main())
