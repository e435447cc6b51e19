"""Put a study's page together and write it: everything between the study folder and the HTML file."""

from __future__ import annotations

import os
from pathlib import Path

from reports.coverage import completeness_sentence, run_states
from reports.evidence import gather
from reports.findings import cost_sentence, findings, study_sentence
from reports.page import Page, Section, render
from reports.sections import (
    correlation_section,
    coverage_section,
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
    target = Path(out) if out is not None else study.folder / "report.html"
    text = render(compose(study))
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
    found: list[str] = []
    sections: list[Section] = []
    if len(study.runs):
        evidence = gather(study)
        if len(evidence.runs):
            found = findings(evidence)
            sections += [score_section(evidence), pretraining_section(evidence), intermediate_section(evidence)]
            sections += [loss_section(evidence), correlation_section(evidence), picture_section(evidence), runs_section(evidence)]
        else:
            found = [f"No finished run has a finite mIoU ({len(study.runs)} finished), so there is nothing to draw."]
    else:
        found = ["No run is finished yet, so there is nothing to draw; below is how far the stages are."]
    sections += [coverage_section(study, states), provenance_section(study)]
    return Page(
        title=study.name,
        lead=study_sentence(study),
        findings=tuple(found),
        complete=study.planned is not None and len(states) > 0 and bool((states["state"] == "done").all()),
        completeness=completeness_sentence(study, states),
        cost=cost_sentence(study),
        sections=tuple(sections),
    )
