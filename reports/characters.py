"""Characters that a name may hold and a page must not pass on: made visible, so that a reader sees
what was there.
"""

from __future__ import annotations

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


def visible(text: str) -> str:
    """The text with control characters, halves of surrogate pairs and directional overrides
    replaced by something to see.
    """
    return text.translate(_SHOWN)
