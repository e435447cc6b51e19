"""The page of a comparison: what differs, the paired differences, the scores of both, their cost
and how complete each is.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from reports.comparison.differences import grid_difference, setting_differences, spec_differences, version_differences
from reports.comparison.effects import Differences, paired_differences
from reports.comparison.pair import Pair, read_pair, shared_tasks
from reports.comparison.screen import comparison_screen
from reports.comparison.sections import coverage_section, difference_section, score_section, settings_section
from reports.comparison.wording import common_cells_sentence, differing_settings_sentence, findings_of, same_runs_sentence
from reports.coverage import completeness_sentence, run_states
from reports.overview import cost_sentence, settings_phrase
from reports.page import Fact, Page, Section
from reports.report import linked, task_files, write_page
from reports.report_data import ReportData
from reports.wording import sentence


def build_comparison(first: str | Path, second: str | Path, out: str | Path | None = None, *, template: str | Path | None = None) -> Path:
    """Write one page that sets the second study against the first, by default as
    FIRST_and_SECOND.html into the current folder. Studies that share several tasks get a page for
    each, linked; the first is returned.

    Raises:
        ReportError: if both are one folder, one cannot be reported on or has no finished run, they
            have no run in common, the template cannot be used, or the file cannot be written.
        AnalysisError: if a table cannot be read.
    """
    tasks = shared_tasks(first, second) if Path(first).resolve() != Path(second).resolve() else ()
    chosen = [None] if len(tasks) < 2 else list(tasks)
    pairs = {task: read_pair(first, second, task=task) for task in chosen}
    pair = pairs[chosen[0]]
    plain = [re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80] or "study" for name in pair.names]
    target = Path(out) if out is not None else Path(f"{plain[0]}_and_{plain[1]}.html")
    if len(pairs) == 1:
        return write_page(_compose(pair), target, template=template)
    files = task_files(target, tasks)
    for task, one in pairs.items():
        write_page(replace(_compose(one), others=linked(files, task or "")), files[task or ""], template=template)
    return target


def compose_comparison(first: str | Path, second: str | Path) -> Page:
    """The page as an object. Raises ReportError and AnalysisError as build_comparison does."""
    return _compose(read_pair(first, second))


def _compose(pair: Pair) -> Page:
    differences = paired_differences(pair)
    states = [run_states(study) for study in pair.studies]
    both = list(zip(pair.names, pair.studies, states, strict=True))
    facts = [
        Fact(term=f"Grid of {name}", text=completeness_sentence(study, state), kind="complete" if _is_complete(study, state) else "incomplete")
        for name, study, state in both
    ]
    facts += [Fact(term=f"Cost of {name}", text=cost_sentence(study)) for name, study, _ in both]
    remarks = [differing_settings_sentence(pair), same_runs_sentence(pair, differences), common_cells_sentence(pair), *_reasons(differences)]
    return Page(
        kicker="Comparison of two scaling studies",
        title=f"{pair.names[1]} against {pair.names[0]}",
        lead=f"Differences are {pair.names[1]} − {pair.names[0]}, in pairs of runs equal in all else. Both: {settings_phrase(pair.planned)}.",
        findings=findings_of(pair, differences),
        remarks=tuple(remark for remark in remarks if remark),
        facts=tuple(facts),
        sections=(
            settings_section(pair, setting_differences(pair), spec_differences(pair), version_differences(pair), grid_difference(pair)),
            difference_section(pair, differences),
            score_section(pair),
            coverage_section(pair, facts),
            _about(pair),
        ),
        screen=comparison_screen(pair, differences),
    )


def _is_complete(study: ReportData, states: pd.DataFrame) -> bool:
    return study.planned is not None and len(states) > 0 and bool((states["state"] == "done").all())


def _reasons(differences: Differences) -> list[str]:
    return [sentence(f"No paired difference can be given: {differences.reason}")] if differences.reason else []


def _about(pair: Pair) -> Section:
    folders = " ".join(f"runs/{study.folder.resolve().name}" for study in pair.studies)
    return Section(
        identity="about",
        heading="How this was made",
        paragraphs=("This page was made from the two study folders alone: the same folders give the same page, byte for byte.",),
        listings=(("Rebuild this page", f"python -m reports.build {folders}"),),
    )
