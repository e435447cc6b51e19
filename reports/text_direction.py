"""Characters that a page cannot hold or that turn text round, and words written from right to left."""

from __future__ import annotations

import re

# NUL and its like have no place in HTML: browsers drop some and let others end a text. Unicode has
# a picture of each.
_CONTROLS = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n\r"}
_CONTROLS |= dict.fromkeys(range(0x7F, 0xA0), "\ufffd")
# Half of a pair, as a JSON file can hold: no encoding can write it.
_HALVES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
# Each turns the direction of what follows, so that 0.12 beside a hostile name reads 21.0. The
# letters of Arabic and Hebrew need none of them; the marks that their texts do use (U+200E, U+200F,
# U+061C) turn nothing around and stay.
_TURNING = {code: f"[U+{code:04X}]" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_SHOWN = _CONTROLS | _HALVES | _TURNING


# Letters of Hebrew, Arabic and their like, with the spaces and marks between them.
_RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
_RUN = re.compile(f"[{_RIGHT_TO_LEFT}]+(?:[ \u200e\u200f\u061c'\u2019-]+[{_RIGHT_TO_LEFT}]+)*")
_MARKUP = re.compile(r"(<(script|style|title)\b.*?</\2>|<[^>]*>)", re.DOTALL)


def isolated(text: str) -> str:
    """HTML whose words in right-to-left letters stand in `bdi` elements of their own, so that they do
    not turn round the numbers and names beside them. Only text is changed, no attribute and no
    script.
    """
    if not _RUN.search(text):
        return text
    parts = _MARKUP.split(text)
    # text, markup, the name of an element with its content or nothing, text, ...
    shown = [_RUN.sub(r"<bdi>\g<0></bdi>", part) if place % 3 == 0 else part for place, part in enumerate(parts) if place % 3 != 2]
    return "".join(shown)


def visible(text: str) -> str:
    """The text with control characters, halves of surrogate pairs and directional overrides
    replaced by something to see.
    """
    return text.translate(_SHOWN)
