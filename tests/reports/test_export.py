"""Figures for a paper: a file for every panel, the CSV behind it, and no network; and the house
style for charts of one's own.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import altair as alt
import pandas as pd
import pytest

import reports.altair_theme
from analysis import load_published
from reports.build import main
from reports.charts.forest import forest
from reports.errors import ReportError
from reports.export import WIDTH_PT, draw, paper_specification, write_figures
from reports.page import Figure, Page, Panel, Section, make_table
from reports.published.paper import compose_published
from reports.theme import PALETTE


@pytest.fixture(scope="module")
def panel() -> Panel:
    row = {"finding": "f", "reading": "", "label": "one test", "estimate": 0.1, "low": 0.0, "high": 0.2, "p": 0.04, "p_holm": 0.04}
    return Panel(identity="tests-0", chart=forest(pd.DataFrame([row])), alternative="one", heading="A heading")


def page_of(*panels: Panel, identity: str = "figure-tests") -> Page:
    table = make_table(pd.DataFrame({"a": [1.25]}), caption="T", file_name="tests.csv")
    figure = Figure(identity=identity, claim="It holds", subtitle="n = 1", description="…", panels=panels, notes=("A note.",), tables=(table,))
    section = Section(identity="tests", heading="Tests", figures=(figure,))
    return Page(kicker="", title="Study", lead="", sections=(section,))


def test_a_figure_is_as_wide_as_a_paper_and_black_on_white(panel: Panel) -> None:
    svg = draw(paper_specification(panel), "svg").decode("utf-8")
    root = ElementTree.fromstring(svg)
    assert float(root.attrib["width"]) == pytest.approx(WIDTH_PT, abs=2)
    assert 'fill="white"' in svg
    assert "#1a1a1a" in svg
    assert "http" not in svg.replace("http://www.w3.org/", "")


@pytest.mark.parametrize(("kind", "begins"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_each_panel_and_table_is_a_file_with_a_caption(kind: str, begins: bytes, panel: Panel, tmp_path: Path) -> None:
    files = write_figures(page_of(panel), tmp_path, kind=kind)
    assert [file.name for file in files] == [f"tests-0.{kind}", "tests.csv", "captions.md"]
    assert files[0].read_bytes().startswith(begins)
    assert files[1].read_text(encoding="utf-8") == "a\n1.25\n"
    caption = files[2].read_text(encoding="utf-8")
    assert all(description in caption for description in ("## It holds", "n = 1", "A note.", f"`tests-0.{kind}`: A heading"))
    if kind != "pdf":  # the writer of PDFs lists its fonts in any order
        first = files[0].read_bytes()
        assert write_figures(page_of(panel), tmp_path, kind=kind)[0].read_bytes() == first


def test_a_hostile_identity_stays_inside_the_folder(panel: Panel, tmp_path: Path) -> None:
    hostile = Panel(identity="../../a/b" + "🙂" * 300, chart=panel.chart, alternative="one")
    names = [file.relative_to(tmp_path).parts for file in write_figures(page_of(hostile), tmp_path)]
    assert all(len(parts) == 1 and len(parts[0]) < 120 for parts in names)


def test_two_tables_of_one_name_are_both_kept(panel: Panel, tmp_path: Path) -> None:
    first, second = page_of(panel), page_of(panel, identity="figure-other")
    other = make_table(pd.DataFrame({"b": [2]}), caption="U", file_name="tests.csv")
    figure = second.sections[0].figures[0]
    changed = Figure(identity=figure.identity, claim="", subtitle="", description="", panels=(), tables=(other,))
    page = Page(kicker="", title="S", lead="", sections=(first.sections[0], Section(identity="o", heading="O", figures=(changed,))))
    names = {file.name for file in write_figures(page, tmp_path)}
    assert {"tests.csv", "figure-other_tests.csv"} <= names


def test_a_kind_or_page_without_figures_is_refused_in_a_sentence(panel: Panel, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="cannot be written as 'gif'; choose one of svg, png, pdf"):
        write_figures(page_of(panel), tmp_path, kind="gif")
    with pytest.raises(ReportError, match="has no figure yet"):
        write_figures(Page(kicker="", title="S", lead=""), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"cannot be written into .*; name another folder with --figures"):
        write_figures(page_of(panel), tmp_path / "file" / "figures")


def test_the_command_writes_every_figure_of_a_study(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr("reports.export.draw", lambda spec, kind: drawn.append(kind) or b"")
    study = write(tmp_path / "study", pretrain_sizes=(0,), intermediates=("none",), examples=False)
    assert main([str(study), "--figures", str(tmp_path / "figures"), "--format", "pdf"]) == 0
    assert set(drawn) == {"pdf"}
    runs = pd.read_csv(tmp_path / "figures" / "scores_runs.csv")
    assert len(runs) == 12
    assert not (study / "report.html").exists()
    assert "files into" in capsys.readouterr().out


def test_a_published_table_has_its_figures_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.export.draw", lambda spec, kind: b"")
    page = compose_published(load_published("data-scaling"))
    panels = [panel.identity for section in page.sections for figure in section.figures for panel in figure.panels]
    written = {file.name for file in write_figures(page, tmp_path)}
    assert {f"{identity}.svg" for identity in panels} <= written
    table = next(table for section in page.sections for figure in section.figures for table in figure.tables)
    assert base64.b64decode(table.address.partition("base64,")[2]) in [file.read_bytes() for file in tmp_path.glob("*.csv")]


def test_figures_and_a_page_are_not_asked_for_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["study", "--figures", "figures", "--watch"])
    assert "leave out --out, --watch and --template" in capsys.readouterr().err


def test_a_chart_of_ones_own_takes_the_house_style() -> None:
    chart = alt.Chart(pd.DataFrame({"x": [1]})).mark_point().encode(x="x:Q")
    assert reports.altair_theme.NAME in alt.theme.names()
    before = alt.theme.active
    reports.altair_theme.enable()
    try:
        config = chart.to_dict()["config"]
    finally:
        alt.theme.enable(before)
    assert config["range"]["category"] == list(PALETTE)
    assert config["background"] == "transparent"
