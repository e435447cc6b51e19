"""Finds slips in generated prose: doubled words and units, bare numbers, minus zeros, wrong plurals,
Python names.

    from tests.prose import complaints
    assert complaints(sentence) == []

What stands in quotes ('pretrain_steps') or backticks is a name, and free to be one.
"""

from __future__ import annotations

import re
from typing import Final

OFTEN_DOUBLED: Final = ("that", "had")
NOT_PLURAL: Final = ("across", "always", "as", "has", "his", "is", "its", "plus", "series", "this", "thus", "us", "versus", "was")
ADJECTIVES: Final = "common|distinct|free|further|independent|more|other|pre-training|fine-tuning|shared|single"
UNIT: Final = r"[A-Za-z%][\w%-]*"
QUOTED: Final = re.compile(r"`[^`]*`|(?<!\w)'[^'\n]*'(?!\w)|\"[^\"\n]*\"")
SLIPS: Final = (
    ("doubled word", re.compile(rf"(?<![\w-])(?!(?:{'|'.join(OFTEN_DOUBLED)})\b)([A-Za-z][\w-]*)\s+\1(?![\w-])", re.IGNORECASE)),
    ("doubled unit", re.compile(rf"(?<![\w-])({UNIT}(?: {UNIT}){{0,2}}) by [+\-−]?[\d.,]*\d \1(?![\w-])")),
    ("doubled unit", re.compile(r"%\s*%|\b(percent|points) \1\b")),
    ("number without separators", re.compile(r"(?<![\w.,#:/-])\d{5,}(?![\w-])")),
    ("plural of one", re.compile(rf"(?<![\w.,+−-])1 (?:(?:{ADJECTIVES}) )?(?!(?:{'|'.join(NOT_PLURAL)})\b)[a-z][a-z-]*(?<!s)s\b")),
    ("empty parentheses", re.compile(r"\([\s,;:.]*\)|\[[\s,;:.]*\]")),
    ("Python name", re.compile(r"(?<![\w/.-])[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?![\w/-])")),
    ("Python name", re.compile(r"(?<![\w-])(?<!=)(?:nan|NaN|NaT|inf|True|False|None(?! of\b)|numpy|dtype|DataFrame|np\.\w+|pd\.\w+)(?![\w-])")),
    ("Python name", re.compile(r"(?<![\w-])[a-z_]{3,}=\S+")),
    ("Python name", re.compile(r"<NA>|\bobject at 0x")),
    ("minus zero", re.compile(r"(?<![\w.,])[-−]0(?:\.0+)?(?!\d|[.,]\d)")),
    ("double space", re.compile(r"(?<=\S)[ \t]{2,}(?=\S)")),
    ("space before punctuation", re.compile(r"\w ([,;:]|\.(?!\d))")),
    ("doubled punctuation", re.compile(r"(?<!\.)\.\.(?!\.)|,,|;;|::|[,;:]\.|\.[,;:](?!\w)")),
)


def complaints(text: str) -> list[str]:
    """What is wrong with a text: one line a slip, with the words around it; [] where nothing is."""
    bare = QUOTED.sub(lambda found: "x" * len(found[0]), text)
    found = []
    for what, pattern in SLIPS:
        for slip in pattern.finditer(bare):
            around = text[max(0, slip.start() - 25) : slip.end() + 25].strip()
            found.append(f"{what}: '{text[slip.start() : slip.end()].strip()}' in '{around}'")
    return found
