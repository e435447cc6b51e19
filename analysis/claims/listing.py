"""Findings as text for a terminal: by topic, then what is out of reach and what was not answered."""

from __future__ import annotations

import textwrap

from analysis.claims.finding import Findings


def formatted(found: Findings, width: int = 120) -> str:
    """Format all findings by topic, then the questions that could not be answered."""
    lines: list[str] = []
    topic = ""
    for one in found:
        if one.unreachable:
            continue
        if one.topic != topic:
            topic = one.topic
            lines += ["", topic.upper()]
        lines += _wrapped(f"{one.verdict:<10} {one.headline}.", width, indent=11)
        lines += _wrapped(" " * 11 + one.sentence, width, indent=11)
    if found.unreachable:
        lines += ["", "OUT OF REACH"]
        for one in found.unreachable:
            lines += _wrapped(f"{one.headline}.", width, indent=2)
    if found.unanswered:
        lines += ["", "NOT ANSWERED"]
        for question, reason in found.unanswered:
            lines += _wrapped(f"{question} {reason[:1].upper()}{reason[1:]}", width, indent=2)
    lines += ["", *(line for note in found.notes for line in _wrapped(note, width, indent=2))]
    return "\n".join(lines).strip()


def _wrapped(text: str, width: int, *, indent: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=" " * indent, drop_whitespace=True, break_on_hyphens=False) or [""]
