"""What a browser would see of a page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

from reports.page import unpacked


def one_line(description: Sequence[str]) -> str:
    return re.sub(r"\s+", " ", " ".join(description))


class Reader(HTMLParser):
    """What a browser would see of a page: elements, addresses, and the text outside scripts and
    styles.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.inside = ""
        self.section: list[str] = []
        self.by_section: dict[str, list[str]] = {}
        self.feed(re.sub(r"</?bdi>", "", html))  # which parts no words
        self.text = one_line(self.words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.section.append(dict(attrs).get("id") or "")
        if tag in self.raw:
            self.inside = tag
            self.raw[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""
        if tag == "section":
            self.section.pop()

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.raw[self.inside][-1] += data
        else:
            self.words.append(data)
            for name in self.section:
                self.by_section.setdefault(name, []).append(data)

    @property
    def specifications(self) -> dict[str, Any]:
        """The charts of the page by the id of their place, as report.js unpacks them."""
        return dict(json.loads(unpacked(self.raw["script"][0])))

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]

    def text_of(self, section: str) -> str:
        """The text of the section with that id."""
        return one_line(self.by_section[section])
