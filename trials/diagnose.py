"""Measure what the encoders of a study have learned, on held-out images; `trials.diagnostics`
defines every number.

python -m trials.diagnose runs/NAME --store data/store

Writes stages/<id>/diagnostics.json and stages/<id>/diagnostics/*.png for every finished
pre-training and intermediate stage, and skips those already there for the same weights and
settings. Computes on a GPU where there is one. Exit status: 0, 1 if a stage's weights could not be
used, 2 if the study or its stores could not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trials.errors import InputError
from trials.registry import load_plugin


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m trials.diagnose", description="Measure what the encoders of a study have learned.")
    parser.add_argument("study", type=Path, help="the study folder, runs/NAME")
    parser.add_argument("--store", type=Path, required=True, help="root of the image stores that the study was trained from")
    parser.add_argument("--images", type=int, help="held-out images to measure on, and as many for the probe (default: 200)")
    parser.add_argument("--plugin", type=Path, action="append", default=[], metavar="FILE", help="a Python file to load first; repeatable")
    options = parser.parse_args(arguments)
    from trials.diagnostics.study import IMAGES, diagnose  # after --help, which need not wait for torch

    try:
        for plugin in options.plugin:
            load_plugin(plugin)
        problems = diagnose(
            options.study, options.store, images=IMAGES if options.images is None else options.images, say=lambda text: print(text, flush=True)
        )
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
