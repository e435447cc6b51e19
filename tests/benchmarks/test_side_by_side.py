"""The programs that are compared: ours answers, and lines are counted as said."""

from __future__ import annotations

import pytest

from benchmarks.side_by_side import PROGRAMS, curve, lines_of, run


def test_our_program_answers_in_four_lines_and_its_interval_holds_the_truth() -> None:
    table, truth = curve()
    said, plotted = run(PROGRAMS["this project"], table)
    assert lines_of(PROGRAMS["this project"]) == 4
    assert plotted
    assert said.startswith("acc = 0.9 is reached at n = 9,030 (95% interval 6,840 to never)")
    assert truth > 6840


@pytest.mark.slow
@pytest.mark.parametrize(("name", "module"), [("lmfit", "lmfit"), ("scipy", "matplotlib"), ("seaborn", "seaborn"), ("scikit-learn", "sklearn")])
def test_a_program_of_another_library_runs(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(module, reason="the group benchmark brings it")
    monkeypatch.setenv("MPLBACKEND", "agg")
    said, plotted = run(PROGRAMS[name], curve()[0])
    assert plotted
    assert "n at 0.90" in said


def test_lines_are_counted_without_empty_ones_and_comments() -> None:
    assert lines_of("\n# a\nx = 1\n\n    # b\ny = 2  # c\n") == 2
