"""The page of anyone's table: scores and laws, what moved the score, decisions, tests, all rows."""

from __future__ import annotations

import shlex
from pathlib import Path

from analysis import MainEffects
from reports.findings import Answer, ask
from reports.page import Fact, Page
from reports.report import write_page
from reports.table.decisions import decisions_sections
from reports.table.direction import usual_direction
from reports.table.laws import laws_of
from reports.table.noise import noise_of
from reports.table.question import TableQuestion
from reports.table.screen import table_screen
from reports.table.sections import (
    claims_section,
    effects_of,
    effects_section,
    laws_section,
    scores_section,
    table_section,
    tests_section,
)
from reports.theme import count
from reports.wording import joined


def build_table_report(question: TableQuestion, out: str | Path | None = None, *, template: str | Path | None = None) -> Path:
    """Write the report, by default as FILE.html into the current folder, and return where.

    Raises:
        ReportError: if the template cannot be used or the file cannot be written.
    """
    target = Path(out) if out is not None else Path(f"{question.file.stem}.html")
    return write_page(compose_table(question), target, template=template)


def compose_table(question: TableQuestion) -> Page:
    """The page of a table as an object."""
    laws, effects = laws_of(question), effects_of(question)
    known = bool(question.columns) and {"finetune_images", question.y} <= set(question.runs.columns)
    answer = ask(question.runs) if known else Answer(findings=None, reason="")
    sections = (
        scores_section(question, laws),
        effects_section(question, effects),
        *decisions_sections(question, laws, noise_of(question, effects)),
        tests_section(question, effects),
        claims_section(question, answer),
        laws_section(laws, question),
        table_section(question, command_of(question)),
    )
    return Page(
        kicker="Report of a table",
        title=question.file.stem,
        lead=_lead(question),
        remarks=(*_remarks(question), *(effects.odd_sentences() if isinstance(effects, MainEffects) else ())),
        facts=(Fact(term="Rows", text=_rows(question)), Fact(term="Better", text=f"a {question.better} {question.y_title} is better")),
        sections=tuple(one for one in sections if one is not None),
        screen=table_screen(question, effects, answer),
    )


def command_of(question: TableQuestion) -> str:
    """The command that makes the page again."""
    words = ["python", "-m", "reports.build", question.file.name]
    if question.columns:
        words += ["--columns", ",".join(f"{ours}={theirs}" for ours, theirs in question.columns.items())]
    words += ["--x", question.x_title, "--y", question.y_title]
    words += ["--by", *question.titles.values()] if question.by else []
    words += ["--seed", question.columns.get(question.seed, question.seed)] if question.seed else []
    if question.better == "lower" or usual_direction(question.runs, question.x, question.y, question.by) == "lower":
        words += [f"--{question.better}-is-better"]
    return shlex.join(words)


def _lead(question: TableQuestion) -> str:
    sizes, groups = question.runs[question.x].nunique(), question.groups()
    divided = f", {count(len(groups))} groups by {joined(list(question.titles.values()))}" if question.by else ""
    return f"{question.y_title} at {count(sizes)} sizes of {question.x_title}{divided}."


def _rows(question: TableQuestion) -> str:
    seeds = f", {count(question.runs[question.seed].nunique())} seeds" if question.seed else ", no column of seeds"
    left = f"; {count(question.left_out)} without {question.x_title} or {question.y_title} left out" if question.left_out else ""
    return f"{count(len(question.runs))}{seeds}{left}"


def _remarks(question: TableQuestion) -> tuple[str, ...]:
    if question.seed is not None:
        return ()
    return ("No column tells repeated runs apart, so rows of one group and size count as independent: name one with --seed.",)
