"""The pages of the published tables: complete, offline, and every finding and number that of
analysis.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis import AnalysisError, findings, main_effects
from analysis.claims.finding import Finding, Findings
from analysis.overfitting import phase_relations, split_by_overfitting
from analysis.published.load import PUBLISHED, Published, load_published
from reports.build import main
from reports.findings import card_of, counts_of, ranked
from reports.first_screen.levels import sentence_of
from reports.page import NAMES
from reports.published import build_published
from reports.published.cell_statistics import CellStatistics, cell_statistics
from reports.published.paper import compose_published, lead_of
from reports.published.runs import run_sections
from reports.theme import decimals
from reports.wording import sentence
from tests.reports.page_reader import Reader


@pytest.fixture(scope="module", params=list(PUBLISHED))
def published(request: pytest.FixtureRequest) -> Published:
    return load_published(request.param)


@pytest.fixture(scope="module")
def found(published: Published) -> Findings:
    return findings(published)


@pytest.fixture(scope="module")
def cells() -> CellStatistics:
    return cell_statistics(load_published("diminishing-returns"))


@pytest.fixture
def quick_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a page is about something else: to ask analysis takes seconds."""

    def refuse(study: Published) -> None:
        raise AnalysisError("nothing can be compared: add rows.")

    monkeypatch.setattr("analysis.findings", refuse, raising=False)


@pytest.fixture(scope="module")
def page(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(build_published(published.name, tmp_path_factory.mktemp("page") / "page.html").read_text(encoding="utf-8"))


def test_the_page_is_well_formed_and_asks_no_host(page: Reader) -> None:
    identities = page.attributes("id")
    assert len(identities) == len(set(identities))
    assert page.count("h1") == 1
    assert {link[1:] for link in page.attributes("href") if link.startswith("#")} <= set(identities)
    assert all(address.startswith(("#", "data:")) for address in [*page.attributes("src"), *page.attributes("href")])
    assert page.attributes("content")[0].startswith("default-src 'none'")


def test_every_chart_has_a_place_and_a_text(page: Reader) -> None:
    places = {attributes["id"]: attributes for tag, attributes in page.tags if attributes.get("role") == "img"}
    assert [name for name in page.specifications if not name.endswith("@narrow")] == list(places)
    assert len(places) >= 12
    assert all(len(attributes["aria-label"] or "") > 20 for attributes in places.values())


def said(one: Finding) -> str:
    """The verdict in words after a headline; that of a refuted claim begins with it."""
    return f" {NAMES[one.verdict]}" if one.verdict != "refuted" else ""


def test_every_finding_stands_on_the_page_with_whoever_claims_it(page: Reader, found: Findings) -> None:
    claims = page.text_of("claims")
    assert len(found) >= 5
    assert any(one.source for one in found)
    for one in found:
        assert sentence(one.sentence) in claims
        assert f"{card_of(one).headline}{said(one)}" in claims
        assert f"The claim: {sentence(one.claim)}" in claims
        assert not one.source or one.source in claims
    for question, reason in found.unanswered:
        assert question in claims
        assert sentence(reason) in claims


def test_the_first_screen_says_what_analysis_says(page: Reader, published: Published, found: Findings) -> None:
    """The sentence is that of the main effects; a verdict has the two lines of its finding, and the
    first that counts cells says what a cell is.
    """
    top = page.text_of("findings")
    gloss = " (all other settings equal)"
    assert top.count(gloss) == 1
    top = top.replace(gloss, "")
    assert sentence_of(main_effects(published)) in page.text
    for one in ranked(found)[:3]:
        card = card_of(one)
        assert f"{card.headline}{said(one)}{':' if said(one) else ''} {card.detail}" in top
    for verdict, number in counts_of(found):
        assert f"{NAMES[verdict]} {number}" in top


def test_title_source_and_notes_are_told(page: Reader, published: Published) -> None:
    assert published.title in page.text
    assert published.source in page.text
    assert all(note.replace("`", "") in page.text for note in published.notes)


def test_the_lead_is_made_from_the_table() -> None:
    cells, runs = (load_published(name) for name in ("diminishing-returns", "data-scaling"))
    assert lead_of(cells) == (
        "Mean mIoU of 42 cells of 3 runs: ViNy/16@128 fine-tuned on 250, 500, 1,000, 2,000, 4,000 and 6,000 labelled images, from scratch and "
        "after pre-training on 45,000, 100,000 and 200,000 images, with and without an intermediate classification stage."
    )
    assert "63 runs: 5 encoders (SwinV2-Small to SwinV2-giant)" in lead_of(runs)


def test_the_intervals_of_a_cell_are_students_t_under_both_readings(cells: CellStatistics) -> None:
    scratch = cells.means.query("series == 'none' and finetune_images == 250").set_index("reading")
    half = (scratch["high"] - scratch["mean"]) / 4.302652729911275  # t(0.975, 2 degrees of freedom)
    assert half["spread read as SE"] == pytest.approx(0.0102)
    assert half["spread read as SD"] == pytest.approx(0.0102 / 3**0.5)


def test_differences_and_gains_are_those_of_the_printed_means(cells: CellStatistics) -> None:
    assert cells.pretraining is not None
    assert cells.intermediate is not None
    gain = cells.pretraining.query("series == '200,000' and finetune_images == 250")["difference"]
    assert gain.to_numpy() == pytest.approx([0.5714 - 0.4373] * 2)
    drop = cells.intermediate.query("series == '100,000' and finetune_images == 6000")["difference"]
    assert drop.to_numpy() == pytest.approx([0.6779 - 0.6800] * 2)
    step = cells.steps.query("series == 'none' and step == '4,000 → 6,000'")["gain"]
    assert step.iloc[0] == pytest.approx((0.6507 - 0.6299) / 0.5849625007211562)


def test_the_slopes_drawn_are_those_of_analysis() -> None:
    published = load_published("data-scaling")
    table = phase_relations(published.table, split_by_overfitting(published.table), y="accuracy").table.set_index("phase")
    figure = next(section for section in run_sections(published) if section.identity == "proxy").figures[0]
    assert decimals(table.loc["falling", "slope"], 2) in figure.claim
    data = figure.panels[0].chart.to_dict()
    lines = pd.DataFrame(data["datasets"][data["layer"][0]["data"]["name"]])
    ends = lines.loc[lines["group"] == "overfitting"]
    assert ends["score"].diff().iloc[-1] / ends["val_mim_loss"].diff().iloc[-1] == pytest.approx(table.loc["overfitting", "slope"])
    assert "−0.786" in figure.description
    assert "−0.956" in figure.description


@pytest.mark.usefixtures("quick_findings")
def test_the_command_writes_the_page_and_refuses_a_name_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--published", "data-scaling"]) == 0
    assert (tmp_path / "data-scaling.html").stat().st_size < 3_000_000
    capsys.readouterr()
    assert main(["--published", "data-scalling"]) == 2
    error = capsys.readouterr().err
    assert "there is no published table 'data-scalling' (did you mean 'data-scaling'?)" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["runs/x", "--published", "data-scaling"]])
def test_either_a_folder_or_a_published_name_is_wanted(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "name either a study folder or a published table with --published." in capsys.readouterr().err


@pytest.mark.usefixtures("quick_findings")
def test_a_page_is_made_where_no_claim_can_be_tested(published: Published) -> None:
    page = compose_published(published)
    assert page.findings == ()
    assert page.remarks == ("No claim could be tested: nothing can be compared: add rows.",)
    assert len(page.sections) >= 6
