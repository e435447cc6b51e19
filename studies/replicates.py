"""Which findings of a kept study hold on fresh seeds: k of n.

    python -m studies.replicates studies/first_paper_in_miniature studies/first_paper_on_fresh_seeds

A finding that is decided in the first study replicates where the second, on other seeds, has an
estimate of the same sign whose interval excludes zero; it has the same sign where its interval does
not; else it fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

DECIDED = ("supported", "refuted")
RULE = "each by its own interval, since it was named beforehand: the page of the second study corrects over all its claims and may leave it open"


def replications(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]], called: Mapping[str, str] | None = None) -> pd.DataFrame:
    """A row for each decided finding of the first that the second has, too: both estimates with their
    intervals, and whether it replicates ('yes', 'same sign' or 'no').

    Args:
        called: what the second calls findings of the first, where the names differ: a study with one
            kind of intermediate stage has 'intermediate-hurts-on-average'.
    """
    again = {one["identity"]: one for one in second}
    again |= {name: again[other] for name, other in (called or {}).items() if other in again}
    rows = []
    for one in first:
        other = again.get(one["identity"])
        if one["verdict"] not in DECIDED or one["estimate"] is None or other is None or other["estimate"] is None:
            continue
        same = one["estimate"] * other["estimate"] > 0
        told = other["low"] is not None and other["low"] * other["high"] > 0
        row = {"finding": one["identity"]}
        row |= {
            name: f"{each['estimate']:+.3f} ({each['low']:+.3f} to {each['high']:+.3f})" for name, each in (("first", one), ("fresh seeds", other))
        }
        rows.append(row | {"replicates": "yes" if same and told else "same sign" if same else "no"})
    return pd.DataFrame(rows, columns=["finding", "first", "fresh seeds", "replicates"])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m studies.replicates", description="Which findings of a kept study hold on fresh seeds.")
    parser.add_argument("first", type=Path, help="a kept study")
    parser.add_argument("second", type=Path, help="a kept study of the same design on other seeds")
    parser.add_argument("--called", nargs="+", default=[], metavar="FIRST=SECOND", help="findings that the second study calls by another name")
    options = parser.parse_args(arguments)
    try:
        first, second = (json.loads((place / "findings.json").read_text(encoding="utf-8")) for place in (options.first, options.second))
        seeds = [set(pd.read_csv(place / "runs.csv")["seed"]) for place in (options.first, options.second)]
    except (OSError, ValueError, KeyError) as error:
        missing = [str(place) for place in (options.first, options.second) if not (place / "findings.json").is_file()]
        why = f"{' and '.join(missing)} has no findings.json: keep a study with python -m studies.keep RUNS_FOLDER FOLDER" if missing else str(error)
        print(f"studies: one of the two is no kept study: {why}.", file=sys.stderr)
        return 2
    if shared := seeds[0] & seeds[1]:
        print(f"studies: both have seed {min(shared)}, so the second is not independent of the first: give it another first seed.", file=sys.stderr)
        return 2
    table = replications(first, second, dict(pair.split("=", 1) for pair in options.called if "=" in pair))
    print(table.to_string(index=False))
    print(f"{(table['replicates'] == 'yes').sum()} of {len(table)} replicate, {RULE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
