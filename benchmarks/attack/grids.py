"""Hostile grids: the shipped ones with changed values, keys and bytes, read and planned."""

from __future__ import annotations

import random
from pathlib import Path

import yaml

from benchmarks.attack.case import Attack
from benchmarks.attack.mutation import ODD, changed_bytes, changed_value
from scaling import load_grid

GRIDS = sorted((Path(__file__).resolve().parents[2] / "grids").glob("*.yaml"))
# strings are kept short: longer ones are refused by their length alone
VALUES = (
    *(value for value in ODD if not (isinstance(value, str) and len(value) > 1000)),
    *("1e9 epochs", "0 steps", "-1 epochs", "9" * 300 + " steps", "auto", "none", "leaves:../../x", "imagenet:/etc", "vit-base/16@224", "pico/3@16"),
    *([0, 0], list(range(300)), [None], [[1]], {"name": "compact", "learning_rate": "x"}, 10**12, 100_000),
)


def _attempt(rng: random.Random, scratch: Path) -> str:
    path = rng.choice(GRIDS)
    text = path.read_text()
    if rng.random() < 0.8:
        text = yaml.safe_dump(changed_value(rng, yaml.safe_load(text), VALUES), sort_keys=False, allow_unicode=True)
    if rng.random() < 0.4:
        text = changed_bytes(rng, text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
    if rng.random() < 0.1:
        names = [f"&a{level} [{', '.join([f'*a{level - 1}' if level else 'x'] * rng.randint(2, 9))}]" for level in range(rng.randint(1, 12))]
        text += "\n" + "\n".join(f"zip{number}: {name}" for number, name in enumerate(names))
    (scratch / "grid.yaml").write_text(text, encoding="utf-8", errors="replace")
    grid = load_grid(scratch / "grid.yaml")
    assert sum(1 for _ in grid.axes.combinations()) * grid.seeds["finetune"] <= 100_000
    return path.name


ATTACKS = (Attack(name="shipped grids, changed", attempt=_attempt, limit_s=2.0, limit_mb=300),)
