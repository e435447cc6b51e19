"""Put a study's page together and write it: everything between the study folder and the HTML file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from analysis.claims.findings import Claims
from analysis.runs.columns import documented_scores
from reports.coverage import GridState, completeness_sentence, run_states
from reports.errors import ReportError
from reports.evidence import Evidence, gather
from reports.findings import ask
from reports.first_screen import first_screen
from reports.first_screen.strip import study_screen
from reports.overview import cost_sentence, study_sentence
from reports.page import Fact, Page, render
from reports.registry import compose_sections
from reports.report_data import ReportData, read_study
from reports.score import of_task, score_of, tasks_of
from reports.theme import count


def build_report(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    template: str | Path | None = None,
    reload_s: int | None = None,
    task: str | None = None,
    claims: Claims | None = None,
) -> Path:
    """Write the report of a study folder, by default into it as report.html (report-TASK.html where
    a task is named), and return where. A study with several tasks has a page for each, beside one
    another and linked; the first is returned.

    Args:
        template: a Jinja2 file in place of the built-in template, which it may extend.
        reload_s: seconds after which the browser loads the page again; None for never.
        task: of a study with several tasks of fine-tuning, the one that findings and figures are
            about; by default there is a page for each.
        claims: 'own' for the claims asked of every study (the default), 'papers' for those that
            the two papers make, 'all' for both.

    Raises:
        ReportError: if the folder is missing, is not a study folder, has no such task, the template
            cannot be used, or the file cannot be written.
        AnalysisError: if one of its tables cannot be read.
    """
    study = read_study(Path(folder))
    target = Path(out) if out is not None else study.folder / (f"report-{task}.html" if task else "report.html")
    tasks = tasks_of(study) if task is None else ()
    if len(tasks) < 2:
        return _write(compose(study, task=task, claims=claims), target, template, reload_s)
    files = task_files(target, tasks)
    for one, file in reversed(files.items()):  # the first last: who sees it finds the others
        page = compose(study, task=one, claims=claims)
        remarks = tuple(remark for remark in page.remarks if remark != of_task(study, one)[1])
        _write(replace(page, others=linked(files, one), remarks=remarks), file, template, reload_s)
    return target


def task_files(target: Path, tasks: Sequence[str]) -> dict[str, Path]:
    """Where the page of each task is written: the first as `target`, the others beside it."""
    plain = [re.sub(r"[^\w-]+", "-", task).strip("-")[:80] or "task" for task in tasks]
    beside = [target.with_name(f"{target.stem}-{name}{target.suffix}") for name in plain]
    return dict(zip(tasks, [target, *beside[1:]], strict=True))


def linked(files: Mapping[str, Path], task: str) -> tuple[tuple[str, str], ...]:
    """`Page.others` for the page of one task."""
    return tuple((name, "" if name == task else quote(file.name)) for name, file in files.items())


def _write(page: Page, target: Path, template: str | Path | None, reload_s: int | None) -> Path:
    if reload_s is not None:
        live = f"The study is being watched: this page loads itself again every {count(reload_s)} s, as long as a stage is to come."
        page = replace(page, reload_s=reload_s, remarks=(live, *page.remarks))
    return write_page(page, target, template=template)


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


def compose(study: ReportData, *, task: str | None = None, claims: Claims | None = None) -> Page:
    """The page of a study: all sections if a run is finished, else what there is of the grid.
    Raises ReportError for a task that it has not.
    """
    states = run_states(study)
    whole, (study, left_out) = study, of_task(study, task)
    remarks: list[str] = []
    grid = GridState(whole=whole, part=study, states=states)
    subjects: list[object] = [grid]
    screen = study_screen(grid)
    if len(study.runs):
        answer = ask(study.runs, claims=claims)
        subjects.append(answer)
        if answer.findings is None:
            remarks.append(answer.reason)
        elif not len(answer.findings):
            remarks.append("No claim could be tested; the reasons stand below.")
        evidence, reason = _evidence(study)
        subjects += [evidence] if evidence is not None else []
        remarks += [reason] if reason else []
        screen = first_screen(evidence.runs, evidence.score, answer, screen) if evidence is not None else replace(screen, sentence=reason)
    else:
        screen = replace(screen, sentence="No run is finished yet, so there is no score to draw; below is what there is so far.")
    sections = compose_sections(*subjects)
    remarks += [one for one in (study.assumed, left_out) if one]
    remarks += [f"Not shown: {sentence}" for sentence in whole.refused]
    if not len(study.runs):  # then the coverage and the machine are all there is to read
        sections = tuple(replace(section, folded=False) for section in sections)
    there = {f"#{section.identity}" for section in sections}
    screen = replace(screen, links=tuple(link for link in screen.links if link[1] in there))
    complete = whole.planned is not None and len(states) > 0 and bool((states["state"] == "done").all())
    return Page(
        kicker="Report of a scaling study",
        title=study.name,
        lead=study_sentence(whole),
        findings=screen.verdicts,
        remarks=tuple(remarks),
        facts=(
            Fact(term="Grid", text=completeness_sentence(whole, states), kind="complete" if complete else "incomplete"),
            Fact(term="Cost", text=cost_sentence(whole)),
        ),
        sections=sections,
        screen=screen,
    )


def _evidence(study: ReportData) -> tuple[Evidence | None, str]:
    """What analysis makes of the scores, or a sentence that says why nothing can be drawn of them."""
    score = score_of(study.runs)
    if score.column not in study.runs.columns:
        known = ", ".join(column.name for column in documented_scores(study.runs))
        return None, f"The runs have no score ({known}), which the figures of a study are about, so none is drawn."
    evidence = gather(study)
    if evidence.runs.empty:
        return None, f"No finished run has a finite {score.title} ({len(study.runs)} finished), so there is nothing to draw."
    return evidence, ""
