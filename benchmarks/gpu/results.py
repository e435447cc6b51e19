"""What was measured, written as it comes, and the last lines that sum it up."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Target:
    """One number of the summary and what it should be."""

    key: str
    title: str
    unit: str
    wanted: float | None = None
    least: bool = True
    """Whether the number should be at least `wanted`, else at most."""

    def line(self, value: float | None) -> str:
        """One line of the summary; 'not measured' where the part did not come that far."""
        if value is None:
            return f"| {self.title} | not measured | {self._wanted()} | - |"
        verdict = "-" if self.wanted is None else "met" if (value >= self.wanted) == self.least or value == self.wanted else "missed"
        return f"| {self.title} | {f'{number(value)} {self.unit}'.strip()} | {self._wanted()} | {verdict} |"

    def _wanted(self) -> str:
        return "-" if self.wanted is None else f"{'at least' if self.least else 'at most'} {number(self.wanted)} {self.unit}".strip()


TARGETS = (
    Target("parity_captured", "losses of 50 steps, captured beside eager, largest relative difference", "", 0.02, least=False),
    Target("parity_evaluated", "held-out losses of the same, captured beside eager", "", 0.02, least=False),
    Target("parity_cpu", "held-out losses, captured in bf16 beside fp32 on the CPU", "", 0.05, least=False),
    Target("resumed_equal", "weights after a stop at a random step equal those without (1 is yes)", "", 1.0),
    Target("viny_64", "ViNy, batch 64, one process", "images/s", 20_000),
    Target("viny_64_over_eager", "the same, over eager steps", "times", 5.0),
    Target("replay_cpu_ms", "a replayed step, of the CPU", "ms", 0.2, least=False),
    Target("viny_together", "ViNy, batch 64, the best number of processes", "images/s", 45_000),
    Target("over_usual", "ViNy beside the usual loop", "times", 10.0),
    Target("vit_b_utilisation", "ViT-B/16 at 224 px, share of the measured ceiling", "", 0.40),
    Target("swinv2_b_utilisation", "SwinV2-B at 192 px, share of the measured ceiling", "", 0.35),
    Target("finetune_250_s", "fine-tuning of 250 steps, batch 32, 64 px", "s", 1.5, least=False),
    Target("stage_overhead_s", "a stage beyond its steps", "s", 0.7, least=False),
    Target("packing_decided_s", "packing decided", "s", 15.0, least=False),
    Target("study_busy_share", "busy share of the GPU in a study of short stages", "", 0.5),
)


def number(value: float) -> str:
    """A number to three digits, thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class Results:
    """Numbers by name, and lines of text; both on disk after every change.

    Args:
        folder: gets `results.json` and `report.md`, and `logs/` of what failed.
        go_on: keep what an earlier run wrote there.
    """

    def __init__(self, folder: Path, show: Callable[[str], None], *, go_on: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._show = folder, show
        self.values: dict[str, Any] = {}
        self._lines: list[str] = []
        if go_on and (folder / "results.json").is_file():
            self.values = json.loads((folder / "results.json").read_text())
            self._lines = (folder / "report.md").read_text().splitlines()
        self._write()

    def say(self, text: str) -> None:
        """Add a line to the report and show it."""
        self._lines.append(text)
        self._show(text)
        self._write()

    def attach(self, name: str, text: str) -> None:
        """Put a log beside the report."""
        logs = self._folder / "logs"
        logs.mkdir(exist_ok=True)
        (logs / (re.sub(r"[^A-Za-z0-9-]+", "-", name) + ".txt")).write_text(text + "\n")

    def keep(self, **values: Any) -> None:
        """Add numbers."""
        self.values |= values
        self._write()

    def sum_up(self) -> None:
        """The summary: one row a target."""
        self.say("\n| what | measured | target | |\n|---|---|---|---|")
        for target in TARGETS:
            self.say(target.line(self.values.get(target.key)))

    def _write(self) -> None:
        for name, text in (("results.json", json.dumps(self.values, indent=1)), ("report.md", "\n".join(self._lines) + "\n")):
            part = self._folder / f"{name}.part"
            part.write_text(text)
            os.replace(part, self._folder / name)
