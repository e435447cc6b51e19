"""The section on what to run next: unfinished runs, seeds, and the runs that analysis suggests."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import suggest_runs
from analysis.student import t_quantile
from reports.evidence import Evidence, gather
from reports.registry import compose_section
from reports.report_data import read_study
from reports.sections.next_runs import chosen_laws, seeds, unfinished
from tests.prose import complaints


@pytest.fixture(scope="module")
def evidence(full_study: Path) -> Evidence:
    return gather(read_study(full_study))


def test_the_runs_named_are_those_that_analysis_suggests(evidence: Evidence) -> None:
    section = compose_section("next-runs", evidence)
    assert section is not None
    laws = chosen_laws(evidence)
    assert [law.series for law in laws] == ["none", "20,000"]
    fitted = laws[-1].fit
    assert fitted is not None
    far = 2.0 * fitted.x_max
    found = suggest_runs(fitted, sorted({*map(float, fitted.x), far}), ("predict", far), 1.0, runs=3)
    last = float(found.chosen["half_width_after"].iloc[-1])
    said = section.paragraphs[-1]
    assert said.startswith("After pre-training on 20,000 images (no intermediate stage): to know mIoU at 6,000 labels better, run next ")
    assert f"from ±{found.half_width_now:.3g} to ±{last:.3g}" in said
    assert any("another doubling of labels gains less than the noise of one run" in text for text in section.paragraphs)
    assert section.tables[0].file_name == "next_runs.csv"
    assert [slip for text in section.paragraphs for slip in complaints(text)] == []


def test_few_seeds_are_told_what_five_would_bring(evidence: Evidence) -> None:
    narrower = 1 - t_quantile(0.95, 4.0) / t_quantile(0.95, 2.0) * (3 / 5) ** 0.5
    (said,) = seeds(evidence)
    assert said.startswith(f"Add seeds: 5 in the place of 3 would make the 95% intervals over seeds about {100 * narrower:.0f}% narrower, ")
    assert unfinished(evidence) == []


def test_an_unfinished_grid_comes_first(unfinished_study: Path) -> None:
    said = unfinished(gather(read_study(unfinished_study)))
    assert said[0].startswith("Finish the grid first: ")
