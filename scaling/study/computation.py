"""Says where the stages of a study were computed in more than one way; needs no Ray or torch.

A stage's id holds the precision that its recipe names. Under `precision: auto` it holds `auto`, and
what that came to is provenance: bf16 on one machine, float32 on another.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trials.received_files import RefusedFileError, file_inside

MOST_WAYS = 4
"""Ways that are named; the others are counted."""


def mixed_computation(rows: Iterable[Mapping[str, Any]]) -> str:
    """A sentence where finished stages of one kind ran on several devices or in several number
    formats; '' where they did not.

    Args:
        rows: of the stages table: kind, device, precision.
    """
    ways: dict[str, Counter[tuple[str, str]]] = {}
    for row in rows:
        device, precision = row.get("device"), row.get("precision")
        if device and precision:
            kind = "pretrain" if row.get("kind") == "trunk" else str(row.get("kind"))
            ways.setdefault(kind, Counter())[str(precision)[:20], str(device)[:60]] += 1
    mixed = {kind: counts for kind, counts in sorted(ways.items()) if len(counts) > 1}
    if not mixed:
        return ""
    parts = "; ".join(f"{kind}: {_counted(counts)}" for kind, counts in mixed.items())
    if any(len({precision for precision, _ in counts}) > 1 for counts in mixed.values()):
        advice = "compare them with care, or name precision in the recipe (docs/fidelity.md)"
        return f"stages of one kind ran in different number formats ({parts}): {advice}"
    return f"stages of one kind ran on different devices ({parts}): their numbers differ by rounding"


def _counted(counts: Counter[tuple[str, str]]) -> str:
    named = [f"{number:,} in {precision} on {device}" for (precision, device), number in counts.most_common(MOST_WAYS)]
    more = len(counts) - len(named)
    return ", ".join(named) + (f" and {more:,} more ways" if more else "")


def mixed_in_folder(folder: Path) -> str:
    """The same from a study folder's stages.csv; '' where there is none that can be read."""
    try:
        with open(file_inside(folder, "stages.csv"), newline="", encoding="utf-8") as handle:
            return mixed_computation(csv.DictReader(handle))
    except (OSError, ValueError, csv.Error, RefusedFileError):
        return ""
