"""A figure of one's own: one module and one registration, found by the page and by `--figures`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import altair as alt
import pytest

import reports
import reports.registry
from reports.build import main
from reports.errors import ReportError
from reports.evidence import Evidence
from reports.page import Figure, Panel, make_table
from reports.registry import FigureKind, SectionKind, compose_sections, figure_kinds, register, section_kinds
from tests.reports.page_reader import Reader


def best_score(evidence: Evidence) -> Figure | str:
    """The best score at each number of labels."""
    table = evidence.runs.groupby("finetune_images")[evidence.score.column].max().rename("best").reset_index()
    chart = alt.layer(alt.Chart(table).mark_line().encode(x="finetune_images:Q", y="best:Q"))
    return Figure(
        claim=f"The best {evidence.score.title} is {table['best'].max():.3f}",
        subtitle="Each point is the best run.",
        description="The best runs.",
        panels=(Panel(identity="best-score-0", chart=chart, alternative="The best runs."),),
        tables=(make_table(table, caption="Best runs", file_name="best_score.csv"),),
    )


def load_plugin() -> None:
    """What importing a plug-in's module does."""
    register(FigureKind(name="best-score", section="scores", place=90, title="Best score", draws="the best run", needs=("miou",), build=best_score))


def install(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Act as if a package with this entry point were installed."""
    point = EntryPoint(name="best", value=value, group="scaling_laws.figures")
    monkeypatch.setattr(reports.registry, "entry_points", lambda *, group: [point] if group == point.group else [])


@pytest.mark.usefixtures("figures_restored")
def test_a_plugins_figure_is_on_the_page_and_among_the_files(write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Module:
        """Stands for the plug-in's module, which registers when it is imported."""

        def __getattr__(self, name: str) -> object:
            load_plugin()
            return best_score

    monkeypatch.setitem(sys.modules, "my_figures", Module())
    install(monkeypatch, "my_figures:best_score")
    study = write(tmp_path / "study", pretrain_sizes=(0,), intermediates=("none",), examples=False)
    assert main([str(study)]) == 0
    page = Reader((study / "report.html").read_text(encoding="utf-8"))
    assert "figure-best-score" in page.attributes("id")
    assert "The best mIoU is" in page.text_of("scores")
    assert main([str(study), "--figures", str(tmp_path / "figures")]) == 0
    assert (tmp_path / "figures" / "best-score-0.svg").read_text(encoding="utf-8").startswith("<svg")
    assert (tmp_path / "figures" / "best_score.csv").exists()
    assert "Best score" in (tmp_path / "figures" / "captions.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("figures_restored")
def test_a_plugin_that_cannot_be_used_is_named_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "no_such_module")
    with pytest.raises(ReportError, match=r"plug-in 'no_such_module' .* cannot be imported: ModuleNotFoundError: .* Mend or uninstall its package"):
        figure_kinds()
    register(FigureKind(name="lost", section="score", place=1, title="Lost", draws="nothing", build=best_score))
    with pytest.raises(ReportError, match=r"names the section 'score', which is not there; its choices are .*scores"):
        compose_sections()
    with pytest.raises(ReportError, match="already a figure named 'lost': register yours under another name"):
        register(FigureKind(name="lost", section="scores", place=1, title="Lost", draws="nothing", build=best_score))


def test_each_figure_belongs_to_a_section_and_each_place_is_taken_once() -> None:
    sections = {(kind.subject, kind.name) for kind in section_kinds()}
    assert {(kind.subject, kind.section) for kind in figure_kinds()} <= sections
    for kinds in (section_kinds(), figure_kinds()):
        places = [(kind.subject, getattr(kind, "section", ""), kind.place) for kind in kinds]
        assert len(set(places)) == len(places)
    assert all(kind.title and kind.draws for kind in figure_kinds())
    assert all(isinstance(kind, SectionKind) for kind in section_kinds())


def test_every_chart_is_a_public_name() -> None:
    charts = {
        name
        for file in (Path(reports.registry.__file__).parent / "charts").glob("*.py")
        for name, value in vars(__import__(f"reports.charts.{file.stem}", fromlist=["x"])).items()
        if callable(value) and getattr(value, "__annotations__", {}).get("return") == "alt.LayerChart"
        if value.__module__ == f"reports.charts.{file.stem}" and not name.startswith("_")
    }
    assert len(charts) == 28
    assert charts <= set(reports.__all__)
