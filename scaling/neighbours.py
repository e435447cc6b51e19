"""Says which folder hides a package of this project: `python -m` looks into the current one first."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

NEEDED = ("analysis", "reports", "trials")


def check_neighbours() -> None:
    """Raises ImportError if a package that `scaling` needs is found elsewhere than beside it, as a
    folder `analysis` in the current folder is.
    """
    beside = Path(__file__).resolve().parents[1]
    for name in NEEDED:
        found = find_spec(name)
        places = [Path(place).resolve() for place in (found.submodule_search_locations or [])] if found is not None else []
        if places and beside / name not in places:
            raise ImportError(
                f"{places[0]} hides the package '{name}' of this project, since python -m looks into the current folder first: "
                "use the command scaling-laws in place of python -m, or run it from another folder."
            )
