"""The decode report of a split: images that were skipped, with the reason, and images that were
converted.

A store from which images were skipped holds other images than its listing, so it has a fingerprint
of its own, made from the listing's and the positions skipped. With nothing skipped the fingerprint,
and so every stage's id, is that of the listing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = "decode_report.json"
OLD_FILE = "oddities.json"
"""Its name in stores made before version 0.2."""
FORMAT = 1
SHOWN = 5


@dataclass(kw_only=True)
class DecodeReport:
    """What was skipped and converted in one split, gathered as it is decoded."""

    listing_fingerprint: str
    listed: int
    """How many images the listing names."""
    empty_classes: list[str] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    """`index` in the listing, `name` and `why` of each image skipped, in order."""
    converted: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By kind: how many `images`, and the names of the first few as `examples`."""

    def skip(self, index: int, name: str, why: str) -> None:
        """Record an image that is skipped."""
        self.skipped.append({"index": index, "name": name, "why": why})

    def convert(self, kind: str, name: str) -> None:
        """Count an image that was converted, by the kind of conversion."""
        known = self.converted.setdefault(kind, {"images": 0, "examples": []})
        known["images"] += 1
        if len(known["examples"]) < SHOWN:
            known["examples"].append(name)

    @property
    def fingerprint(self) -> str:
        """Of the images that are left: the listing's own if none was skipped."""
        if not self.skipped:
            return self.listing_fingerprint
        left_out = ",".join(str(one["index"]) for one in self.skipped)
        return hashlib.sha256(f"{self.listing_fingerprint} without {left_out}".encode()).hexdigest()[:16]

    @property
    def images(self) -> int:
        """How many images are left."""
        return self.listed - len(self.skipped)

    def write(self, path: Path) -> None:
        """Write it as JSON, unless there is nothing to report."""
        if self.skipped or self.converted or self.empty_classes:
            path.write_text(json.dumps({"format": FORMAT} | vars(self), indent=1) + "\n", encoding="utf-8")

    def sentences(self, where: Path) -> list[str]:
        """What a user should know, a sentence each; `where` is the file that lists it all."""
        sentences = []
        if self.skipped:
            sentences.append(f"Skipped {len(self.skipped):,} of {self.listed:,} images: {shown_images(self.skipped)} (all in {shown(str(where))}).")
        if self.converted:
            kinds = ", ".join(f"{kind} {one['images']:,}" for kind, one in sorted(self.converted.items()))
            sentences.append(f"Converted images: {kinds} (examples in {shown(str(where))}).")
        if self.empty_classes:
            sentences.append(f"Class folders without images: {shown_list(self.empty_classes)}.")
        return sentences


def report_file(folder: Path) -> Path:
    """Where the decode report of the store in a folder is, or would be."""
    return folder / (OLD_FILE if (folder / OLD_FILE).exists() else FILE)


def read_decode_report(folder: Path) -> DecodeReport | None:
    """The report of the store in a folder; None if there was nothing to report, or the file cannot
    be read.
    """
    try:
        values = json.loads(report_file(folder).read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            return None
        found = DecodeReport(**values)
        indices = [one["index"] for one in found.skipped]
        entries = all(isinstance(one["name"], str) and isinstance(one["why"], str) for one in found.skipped)
        counts = all(isinstance(kind["images"], int) and isinstance(kind["examples"], list) for kind in found.converted.values())
        places = all(type(one) is int and 0 <= one < found.listed for one in indices) and indices == sorted(set(indices))
        texts = isinstance(found.listing_fingerprint, str) and all(isinstance(one, str) for one in found.empty_classes)
        return found if entries and counts and places and texts else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def shown(text: str) -> str:
    """A file's name as it can be printed anywhere: bytes that are not UTF-8, line breaks and the
    like are escaped.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown_list(texts: Sequence[str], separator: str = ", ") -> str:
    """The first few, and how many more there are."""
    more = f"{separator}and {len(texts) - SHOWN:,} more" if len(texts) > SHOWN else ""
    return separator.join(shown(text) for text in texts[:SHOWN]) + more


def shown_images(skipped: list[dict[str, Any]]) -> str:
    """The first few images with their reasons, and how many more there are."""
    return shown_list([f"{one['name']} ({one['why']})" for one in skipped], "; ")
