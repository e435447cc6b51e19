"""Put a study's page together and write it: everything between the study folder and the HTML file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from analysis.runs.outcomes import OUTCOMES
from reports.coverage import completeness_sentence, run_states
from reports.evidence import Evidence, gather
from reports.findings import ask, headline_of, headlines, verdict_counts
from reports.overview import cost_sentence, study_sentence
from reports.page import Fact, Page, Section, Statement, render
from reports.progress import early_sections, progress_section
from reports.score import of_task, score_of
from reports.sections import (
    claims_section,
    correlation_section,
    coverage_section,
    dynamics_section,
    forest_section,
    geometry_section,
    intermediate_section,
    laws_section,
    loss_section,
    picture_section,
    pretraining_section,
    provenance_section,
    returns_section,
    runs_section,
    score_section,
    surface_section,
    worth_section,
)
from reports.study import ReportError, Study, read_study
from reports.theme import FigureError, count

SECTIONS: Final[tuple[Callable[[Evidence], Section], ...]] = (
    score_section,
    pretraining_section,
    returns_section,
    worth_section,
    surface_section,
    intermediate_section,
    loss_section,
    dynamics_section,
    correlation_section,
    geometry_section,
    picture_section,
    laws_section,
    runs_section,
)
"""What is drawn of the scores, in the order in which a reader asks."""


def build_report(
    folder: str | Path, out: str | Path | None = None, *, template: str | Path | None = None, reload_s: int | None = None, task: str | None = None
) -> Path:
    """Write the report of a study folder, by default into it as report.html (report-TASK.html where
    a task is named), and return where.

    Args:
        template: a Jinja2 file in place of the built-in template, which it may extend.
        reload_s: seconds after which the browser loads the page again; None for never.
        task: of a study with several tasks of fine-tuning, the one that findings and figures are
            about; by default the first of its grid.

    Raises:
        ReportError: if the folder is missing, is not a study folder, has no such task, the template
            cannot be used, or the file cannot be written.
        AnalysisError: if one of its tables cannot be read.
    """
    study = read_study(Path(folder))
    page = compose(study, task=task)
    if reload_s is not None:
        live = f"The study is being watched: this page loads itself again every {count(reload_s)} s, as long as a stage is to come."
        page = replace(page, reload_s=reload_s, remarks=(live, *page.remarks))
    return write_page(page, Path(out) if out is not None else study.folder / (f"report-{task}.html" if task else "report.html"), template=template)


def write_page(page: Page, target: Path, *, template: str | Path | None = None) -> Path:
    """Write a page and return where. Raises ReportError where the template cannot be used or the
    file not be written.
    """
    text = render(page, Path(template) if template is not None else None)
    # Of this process alone: at its end a launch builds the page that a watch beside it is building,
    # too.
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        # Whoever has the old page open never reloads half of the new one.
        partial.write_text(text, encoding="utf-8", newline="\n")
        os.replace(partial, target)
    except OSError as error:
        raise ReportError(f"The report cannot be written to {target} ({error.strerror}); name another file with --out.") from error
    return target


def compose(study: Study, *, task: str | None = None) -> Page:
    """The page of a study: all sections if a run is finished, else what there is of the grid.
    Raises ReportError for a task that it has not.
    """
    states = run_states(study)
    whole, (study, left_out) = study, of_task(study, task)
    found: tuple[Statement, ...] = ()
    remarks: list[str] = []
    sections: list[Section] = []
    if len(study.runs):
        asked = ask(study.runs)
        if asked.findings is not None:
            found = tuple(headline_of(one) for one in headlines(asked.findings))
            remarks += [verdict_counts(asked.findings) or "No claim could be tested; what cannot be answered, and why, is said below."]
        else:
            remarks.append(asked.reason)
        sections += [section for section in (claims_section(asked), forest_section(asked)) if section is not None]
        drawn, reason = _figures(study)
        sections += drawn
        remarks += [reason] if reason else []
    else:
        remarks = ["No run is finished yet, so there is no score to draw; below is what there is so far."]
    if early := early_sections(study):
        # Scratch runs are often the first to finish; what the pre-trainings left so far then stands
        # in place of 'there is no loss'.
        sections = [section for section in sections if section.identity != "losses"] + early
    remarks += [left_out] if left_out else []
    under_way = progress_section(whole)
    sections += [under_way] if under_way is not None else []
    sections += [coverage_section(whole, states), provenance_section(whole)]
    complete = whole.planned is not None and len(states) > 0 and bool((states["state"] == "done").all())
    return Page(
        kicker="Report of a scaling study",
        title=study.name,
        lead=study_sentence(whole),
        findings=found,
        remarks=tuple(remarks),
        facts=(
            Fact(term="Grid", text=completeness_sentence(whole, states), kind="complete" if complete else "incomplete"),
            Fact(term="Cost", text=cost_sentence(whole)),
        ),
        sections=tuple(sections),
    )


def _figures(study: Study) -> tuple[list[Section], str]:
    """The sections with figures of the score, or a sentence that says why there is none."""
    score = score_of(study.runs)
    if score.column not in study.runs.columns:
        return [], f"The runs have no score ({', '.join(OUTCOMES)}), which the figures of a study are about, so none is drawn."
    evidence = gather(study)
    if evidence.runs.empty:
        return [], f"No finished run has a finite {score.words} ({len(study.runs)} finished), so there is nothing to draw."
    drawn, failed = [], []
    for section in SECTIONS:
        try:
            drawn.append(section(evidence))
        except FigureError as error:  # one figure that cannot be drawn must not take the page with it
            failed.append(f"A section is missing: {error}")
    return drawn, " ".join(failed)
