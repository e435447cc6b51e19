"""The site of docs/ builds without a warning, and every link of it leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Links(HTMLParser):
    """The ids of a page, what it links to, and its pictures without a description."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.not_described: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {value for name in ("id", "name") if (value := given.get(name))}
        self.links |= {value for name in ("href", "src") if (value := given.get(name))}
        if tag == "img" and not given.get("alt"):
            self.not_described.append(given.get("src") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: uv run --group dev brings it")
    place = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict", "-q", "-d", str(place)], cwd=ROOT, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-6000:]
    return place


def read_pages(site: Path) -> dict[Path, Links]:
    pages = {}
    for path in site.rglob("*.html"):
        pages[path] = Links()
        pages[path].feed(path.read_text(encoding="utf-8"))
    return pages


@pytest.mark.slow
def test_every_page_of_docs_is_in_the_navigation(site: Path) -> None:
    listed = {(site / link).resolve() for link in read_pages(site)[site / "index.html"].links if link.split("#")[0].endswith(".html")}
    pages = {site / path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert pages - listed - {site / "index.html"} == set()


@pytest.mark.slow
def test_every_link_and_anchor_of_the_site_leads_somewhere(site: Path) -> None:
    pages = read_pages(site)
    assert len(pages) > 30
    broken = []
    for path, page in pages.items():
        for link in page.links:
            target, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", target) or link in ("#", ".", "") or path.name == "404.html":
                continue
            place = path if not target else (path.parent / unquote(target)).resolve()
            if place.is_dir():
                place /= "index.html"
            if not place.is_file():
                broken.append(f"{path.relative_to(site)}: {link}")
            elif anchor and place in pages and unquote(anchor) not in pages[place].ids:
                broken.append(f"{path.relative_to(site)}: {link} (no such anchor)")
    assert broken == []


@pytest.mark.slow
def test_the_site_asks_no_other_machine_and_can_be_searched(site: Path) -> None:
    for path in site.rglob("*.html"):
        asked = re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=[\"']?(https?://[^\"' >]+)", path.read_text(encoding="utf-8"))
        assert asked == [], path.relative_to(site)
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    for page in ("analyst.html", "gallery.html", "reference/fitting.html"):
        assert f'"location":"{page}' in index


@pytest.mark.slow
def test_the_gallery_has_its_figures_and_each_is_described(site: Path) -> None:
    assert len(list((site / "figures").glob("gallery-*.svg"))) >= 12
    assert {path.name: page.not_described for path, page in read_pages(site).items() if page.not_described} == {}
