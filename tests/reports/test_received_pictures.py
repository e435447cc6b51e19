"""Of a study folder received from somebody, a page shows only its own PNGs, never another file that
its builder can read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reports.pictures import PNG_START, found_pictures, is_own_picture

PNG = PNG_START + b"rest"


def linked(folder: Path) -> str:
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    return "link.png"


def piped(folder: Path) -> str:
    os.mkfifo(folder / "pipe.png")
    return "pipe.png"


def text(folder: Path) -> str:
    (folder / "text.png").write_text("secret")
    return "text.png"


@pytest.mark.parametrize(
    "name",
    [
        lambda folder: "../secret.png",
        lambda folder: str(folder.parent / "secret.png"),
        lambda folder: "a\0b",
        lambda folder: "..",
        lambda folder: "",
        lambda folder: 3,
        linked,
        piped,
        text,
    ],
)
def test_what_is_no_picture_of_its_own_is_left_out(tmp_path: Path, name: Callable[[Path], object]) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    folder = tmp_path / "examples"
    folder.mkdir()
    (folder / "0.png").write_bytes(PNG)
    items = [{"file": name(folder), "caption": "a"}, {"file": "0.png", "caption": "b"}]
    (folder / "index.json").write_text(json.dumps({"columns": ["image"], "items": items}))
    [(_, index, _)], _ = found_pictures([("arm", tmp_path)], "examples")
    assert index["items"] == items[1:]


def test_a_study_reached_through_a_link_keeps_its_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "study" / "stages" / "a" / "examples"
    folder.mkdir(parents=True)
    (folder / "0.png").write_bytes(PNG)
    (tmp_path / "link").symlink_to(tmp_path / "study")
    assert is_own_picture(tmp_path / "link" / "stages" / "a" / "examples", "0.png")
