"""The README is short, its commands and links are there, and its fit prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports.errors import ReportError
from reports.screenshot import take_picture

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_short_and_holds_the_two_commands() -> None:
    assert len(README.splitlines()) < 120
    assert re.search(r"^pip install -q uv && uv run [^\n]*python -m scaling\.launch grids/quickstart\.yaml$", README, flags=re.MULTILINE)
    assert re.search(r"^pip install -q uv && uv run [^\n]*pytest -n 2 --dist loadfile$", README, flags=re.MULTILINE)


@pytest.mark.parametrize("page", [Path("README.md"), *sorted(path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md"))], ids=str)
def test_every_link_leads_to_a_file(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith(("http", "#"))]
    assert [target for target in targets if not (ROOT / page.parent / target).exists()] == []


def test_every_page_of_the_documentation_is_linked() -> None:
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"(docs/{path.name})" not in README] == []


def test_its_fit_is_short() -> None:  # tests/docs/test_snippets.py runs it
    section = README.split("## A fit\n")[1].split("\n## ")[0]
    (printed,) = re.findall(r"```\n(.*?)```", section.split("```python")[1].split("```", 1)[1], flags=re.DOTALL)
    assert 8 <= len(printed.strip().splitlines()) <= 12


def test_its_picture_is_small() -> None:
    picture = ROOT / "docs" / "first_screen.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 300_000


def test_a_picture_of_no_page_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReportError, match=r"There is no page .*: build it first"):
        take_picture(tmp_path / "none.html", tmp_path / "out.png")
    (tmp_path / "page.html").write_text("<p>x</p>")
    monkeypatch.setattr("reports.screenshot.shutil.which", lambda name: None)
    with pytest.raises(ReportError, match="No browser is on the path"):
        take_picture(tmp_path / "page.html", tmp_path / "out.png")
