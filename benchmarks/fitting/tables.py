"""What the sections print with: Markdown tables and verdicts, and the options they all take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    data: Path
    """Folder of the public sets."""
    quick: bool
    """Whether to end in seconds, with numbers that only show that the section runs."""
    simulations: int | None
    """Simulations per cell, where a section simulates; None for its own number."""
    seed: int
    """Of all random numbers."""

    def file(self, name: str) -> Path:
        """Path of a public set. Raises MissingData where it is absent."""
        path = self.data / name
        if not path.exists():
            raise MissingData(f"{name} is not in {self.data}")
        return path

    def count(self, usual: int, quick: int) -> int:
        """How often to repeat something."""
        return quick if self.quick else usual


class MissingData(Exception):
    """A public set is not there, so its section is skipped."""


def show(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """One Markdown table."""
    print("\n| " + " | ".join(headers) + " |\n|" + "---|" * len(headers))
    for row in rows:
        print("| " + " | ".join(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row) + " |", flush=True)


def verdict(what: str, target: str, met: bool, *, judged: bool = True) -> None:
    """One line: what was measured against its target; a quick form that measures less than the
    target speaks of judges nothing.
    """
    answer = ("met" if met else "not met") if judged else "not judged in the quick form"
    print(f"\n{what}; target {target}: {answer}", flush=True)
