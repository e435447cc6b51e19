"""The command `scaling-laws`: one name for every command of the four packages.

    scaling-laws launch grids/quickstart.yaml        as python -m scaling.launch grids/quickstart.yaml
    scaling-laws fit results.csv --x images --y error

Nothing is imported before the command is known, and then only what that command needs.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final, NoReturn

from scaling.leaving import leave

WRONG = 2
NEEDED_TO_TRAIN: Final = ("torch", "ray", "yaml", "rich", "safetensors")


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command: where it is, and what it does."""

    module: str
    """Has `main(arguments) -> exit status`; also runs as `python -m MODULE`."""
    does: str
    trains: bool = False
    """Whether it needs what `pip install 'scaling-law-laboratory[train]'` brings."""
    first: tuple[str, ...] = ()
    """Arguments that stand before those of the user."""


COMMANDS: Final = {
    "launch": Command(module="scaling.launch", does="train every stage that a grid needs; the same command resumes", trains=True),
    "plan": Command(module="scaling.launch", does="show every stage of a grid, why and how long, and run nothing", trains=True, first=("--plan",)),
    "status": Command(module="scaling.status", does="say how far a study is"),
    "prepare": Command(module="trials.prepare", does="decode a data set once, or check a decoded one", trains=True),
    "diagnose": Command(module="trials.diagnose", does="measure what the encoders of a study have learned", trains=True),
    "report": Command(module="reports.build", does="build the report of a study, of two against each other, or of a published paper"),
    "fit": Command(module="analysis", does="fit a law to columns of a table"),
    "decide": Command(module="analysis.decisions", does="say where to stop, what an advantage is worth, how to split a budget, what to run next"),
    "findings": Command(module="analysis.claims", does="test the claims that a table can answer"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: that of the command, 2 for a wrong call."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if given else WRONG
    name, rest = given[0], given[1:]
    command = COMMANDS.get(name)
    if command is None:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        said = f" Did you mean '{near[0]}'?" if near else ""
        print(f"scaling-laws has no command '{name[:60]}'.{said} There are: {', '.join(COMMANDS)}.", file=sys.stderr)
        return WRONG
    missing = [package for package in NEEDED_TO_TRAIN if command.trains and find_spec(package) is None]
    if missing:
        print(
            f"scaling-laws {name} trains or reads training data, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed: pip install 'scaling-law-laboratory[train]'.",
            file=sys.stderr,
        )
        return WRONG
    return int(importlib.import_module(_main_of(command.module)).main([*command.first, *rest]))


def run() -> NoReturn:
    """The installed command `scaling-laws`."""
    leave(main())


def _main_of(module: str) -> str:
    """The module that holds `main`: a package has it in `__main__`."""
    found = find_spec(module)
    return f"{module}.__main__" if found is not None and found.submodule_search_locations is not None else module


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.does}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: scaling-laws COMMAND ...", "", *lines, "", "scaling-laws COMMAND --help lists the options of each."])


if __name__ == "__main__":
    run()
