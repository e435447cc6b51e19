"""Makes files and values hostile: changes at random places, drawn from a seed."""

from __future__ import annotations

import copy
import json
import math
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEEP: list[Any] = []
for _ in range(200):
    DEEP = [DEEP]
ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2**63, 10**30, 10**400, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf),
    *("", "x", "x" * 100_000, "../../x", "/etc/passwd", "a\0b", "\ud800", "<script>alert(1)</script>", "nan", "1e999", "\u202e21.0", "é" * 300),
    *([], {}, [[]], [1, "a", None], {"a": {"b": []}}, DEEP),
)
"""Values that stand where another kind is expected."""


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of nested mappings and lists stands."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()):
        yield (*above, key)
        yield from places(inner, (*above, key))


def changed_value(rng: random.Random, value: Any, odd: tuple[Any, ...] = ODD) -> Any:
    """A copy of nested JSON with one to three values replaced, removed, repeated or renamed."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        there = list(places(value))
        if not there or rng.random() < 0.02:
            value = copy.deepcopy(rng.choice(odd))
            continue
        *above, last = rng.choice(there)
        inner = value
        for key in above:
            inner = inner[key]
        action = rng.choice(["replace", "replace", "replace", "remove", "repeat", "rename"])
        if action == "replace":
            inner[last] = copy.deepcopy(rng.choice(odd))
        elif action == "remove":
            del inner[last]
        elif isinstance(inner, list):
            inner.insert(rng.randint(0, len(inner)), copy.deepcopy(inner[last]))
        else:
            inner[str(rng.choice(["", "id", "x", "../x"]))] = inner.pop(last) if action == "rename" else copy.deepcopy(inner[last])
    return value


def changed_bytes(rng: random.Random, data: bytes) -> bytes:
    """The bytes cut off, with bits flipped, a piece repeated or removed, or junk put in."""
    action = rng.choice(["cut", "flip", "flip", "repeat", "remove", "insert", "empty"])
    if action == "empty" or not data:
        return b""
    at, to = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    if action == "cut":
        return data[:at]
    if action == "flip":
        changed = bytearray(data)
        for _ in range(rng.randint(1, 8)):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    if action == "repeat":
        return data[:to] + data[at:to] * 2 + data[to:]
    if action == "remove":
        return data[:at] + data[to:]
    return data[:at] + rng.choice([b"\0" * 16, b"\xff\xfe", b"[" * 5000, b"{", b'"', b"\n", rng.randbytes(64)]) + data[at:]


def damaged_file(rng: random.Random, path: Path, *, elsewhere: Path) -> str:
    """Make one file hostile in place; returns what was done, for a report.

    JSON keeps its form and gets other values, most of the time. Else its bytes change, or it becomes
    a link that leads out or to itself, a pipe, a folder, or nothing.
    """
    action = rng.choice(["value"] * 6 + ["bytes"] * 3 + ["link", "loop", "pipe", "folder", "none"])
    if action == "value":
        try:
            values = json.loads(path.read_text())
            path.write_text(json.dumps(changed_value(rng, values)))
            return f"{path.name}: values"
        except (ValueError, UnicodeDecodeError):
            action = "bytes"
    if action == "bytes":
        path.write_bytes(changed_bytes(rng, path.read_bytes()))
        return f"{path.name}: bytes"
    path.unlink()
    if action == "link":
        path.symlink_to(elsewhere)
    elif action == "loop":
        path.symlink_to(path.name)
    elif action == "pipe":
        os.mkfifo(path)
    elif action == "folder":
        path.mkdir()
    return f"{path.name}: {action}"
