"""Put a study's page together and write it: everything between the study folder and the HTML file."""

from __future__ import annotations

import os
from pathlib import Path

from reports.coverage import completeness_sentence, run_states
from reports.evidence import gather
from reports.findings import ask, headline_of, headlines, verdict_counts
from reports.overview import cost_sentence, study_sentence
from reports.page import Fact, Page, Section, Statement, render
from reports.sections import (
    claims_section,
    correlation_section,
    coverage_section,
    forest_section,
    intermediate_section,
    loss_section,
    picture_section,
    pretraining_section,
    provenance_section,
    runs_section,
    score_section,
)
from reports.study import ReportError, Study, read_study


def build_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a study folder, by default into it as report.html, and return where it was written.

    Raises:
        ReportError: if the folder is missing, is not a study folder, or the file cannot be written.
        AnalysisError: if one of its tables cannot be read.
    """
    study = read_study(Path(folder))
    return write_page(compose(study), Path(out) if out is not None else study.folder / "report.html")


def write_page(page: Page, target: Path) -> Path:
    """Write a page and return where. Raises ReportError where the file cannot be written."""
    text = render(page)
    partial = target.with_name(f"{target.name}.partial")
    try:
        # Whoever has the old page open never reloads half of the new one.
        partial.write_text(text, encoding="utf-8", newline="\n")
        os.replace(partial, target)
    except OSError as error:
        raise ReportError(f"The report cannot be written to {target} ({error.strerror}); name another file with --out.") from error
    return target


def compose(study: Study) -> Page:
    """The page of a study: all sections if a run is finished, else what there is of the grid."""
    states = run_states(study)
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
        remarks = ["No run is finished yet, so there is nothing to draw; below is how far the stages are."]
    sections += [coverage_section(study, states), provenance_section(study)]
    complete = study.planned is not None and len(states) > 0 and bool((states["state"] == "done").all())
    return Page(
        kicker="Report of a scaling study",
        title=study.name,
        lead=study_sentence(study),
        findings=found,
        remarks=tuple(remarks),
        facts=(
            Fact(term="Grid", text=completeness_sentence(study, states), kind="complete" if complete else "incomplete"),
            Fact(term="Cost", text=cost_sentence(study)),
        ),
        sections=tuple(sections),
    )


def _figures(study: Study) -> tuple[list[Section], str]:
    """The sections with figures of the score, or a sentence that says why there is none."""
    if "miou" not in study.runs.columns:
        return [], "The runs have no mIoU, which the figures of a study are about, so none is drawn."
    evidence = gather(study)
    if evidence.runs.empty:
        return [], f"No finished run has a finite mIoU ({len(study.runs)} finished), so there is nothing to draw."
    scored = [score_section(evidence), pretraining_section(evidence), intermediate_section(evidence)]
    return [*scored, loss_section(evidence), correlation_section(evidence), picture_section(evidence), runs_section(evidence)], ""
