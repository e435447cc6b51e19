"""Numbers as a person reads them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """`48 s`, `12 min`, `3.4 h` or `12 days`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds >= 100 * 3600:
        return f"{seconds / 86400:,.0f} days" if seconds < 3 * 365.25 * 86400 else f"{seconds / (365.25 * 86400):,.0f} years"
    return f"{seconds / 3600:.1f} h"


def count(number: float) -> str:
    """`950`, `20k` or `1.3M`."""
    for power, letter in ((21, "Z"), (18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g}{letter}"
    return f"{number:g}"


def size(number_of_bytes: float) -> str:
    """`512 B`, `48.1 MB` or `1.21 TB`."""
    for power, letter in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number_of_bytes >= 10**power:
            return f"{number_of_bytes / 10**power:.3g} {letter}B"
    return f"{number_of_bytes:.0f} B"
