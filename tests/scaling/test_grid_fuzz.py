"""Malformed grids: changed YAML is either read as a grid or refused in one sentence that says
where, never a traceback.

    # as many as a release should see
    SCALING_FUZZ_EXAMPLES=2000 uv run pytest tests/scaling/test_grid_fuzz.py
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling import load_grid, make_plan
from scaling.launch import main
from trials import InputError

EXAMPLES = int(os.environ.get("SCALING_FUZZ_EXAMPLES", "150"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 10**14)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["100 epochs", "none", "auto", "leaves"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        *("zip", "exclude", "arms", "images", "length", "recipe", "seeds", "gpus", "objective", "name", "learning_rate", "études", ""),
        *("source", "sampling", "task", "order", "keep", "retries", "workers", "cpus", "micro_batches", "compile", "broken_images", "resources"),
    ]
)


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value of a nested mapping or list stands."""
    found = [above] if above else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += paths(inner, (*above, key))
    return found


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """The grid with up to three values replaced, removed, renamed or added, and sometimes a damaged
    text.
    """
    grid = yaml.safe_load(text)
    for _ in range(draw(st.integers(1, 3))):
        there = paths(grid)
        if not there:
            break
        *above, last = draw(st.sampled_from(there))
        place = grid
        for key in above:
            place = place[key]
        action = draw(st.sampled_from(["replace", "replace", "remove", "rename", "add"]))
        if action == "replace":
            place[last] = draw(VALUES)
        elif action == "remove":
            del place[last]
        elif isinstance(place, dict):
            key = draw(KEYS)
            place[key] = place.pop(last) if action == "rename" else draw(VALUES)
    written = yaml.safe_dump(grid, sort_keys=False, allow_unicode=True)
    if draw(st.booleans()):
        cut = draw(st.integers(0, len(written)))
        written = (
            written[:cut]
            + draw(st.sampled_from(["", "\t", ": :", "[", "&a", "*b", "!!python/object:os.system", "\x00", "- - -", "{"]))
            + written[cut:]
        )
    return written


def test_whatever_is_done_to_a_grid_it_is_one_sentence_or_a_grid(grid_file: Path, small_data: Path) -> None:
    text = grid_file.read_text()
    seen = {"refused": 0, "planned": 0}

    @given(damaged(text))
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=EXAMPLES < 1000)
    def refuses_or_reads(written: str) -> None:
        grid_file.write_text(written, encoding="utf-8")
        try:
            grid = load_grid(grid_file)
            if sum(1 for _ in grid.axes.combinations()) * grid.seeds["finetune"] < 500:  # a valid grid may be huge
                make_plan(grid, small_data)
            seen["planned"] += 1
        except InputError as error:
            message = str(error)
            assert message.strip()
            assert "\n" not in message
            assert len(message) < 900
            assert "grid.yaml" in message or "Data for" in message
            seen["refused"] += 1

    refuses_or_reads()
    assert seen["refused"] > EXAMPLES // 2


@pytest.mark.parametrize("damage", ["studdy: x\n", "pretrain:\n  images: [0, -3]\n", "seeds: {pretrain: many}\n", "zip: 3\n", ": :\n", "\t- a\n"])
def test_the_command_ends_with_2_and_starts_nothing(grid_file: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    kept = [line for line in grid_file.read_text().splitlines(keepends=True) if not line.startswith(damage.partition(":")[0] + ":")]
    grid_file.write_text("".join(kept) + damage)
    assert main([str(grid_file), "--out", str(tmp_path / "study"), "--data", str(tmp_path)]) == 2
    message = capsys.readouterr().err.strip()
    assert message
    assert "Traceback" not in message
    assert "\n" not in message
    assert not (tmp_path / "study").exists()
