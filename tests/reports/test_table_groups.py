"""Names, order and counts on a page of anyone's table of many groups: levels, tests, lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import main_effects
from analysis.formatting import size_in
from reports.page import Panel, make_table, render
from reports.table import TableQuestion, compose_table, read_question
from reports.template import options_as_code
from tests.reports.test_table_report import GAIN, NOISE, SIZES, paragraphs, rows_of


def steps(written: Sequence[object], path: Path) -> TableQuestion:
    """A table whose column 'extra' takes four levels, so written: 0, 100,000, 300,000 and 1,000,000,
    of which more is better; the rows are not in their order.
    """
    random = np.random.default_rng(2)
    rows = [
        (n, written[place], seed, 0.5 + 0.02 * np.log2(n / 100) + 0.03 * place * (1.0 if n < 500 else 0.2) + random.normal(0, 0.002))
        for place in (3, 0, 2, 1)
        for n in SIZES
        for seed in range(3)
    ]
    pd.DataFrame(rows, columns=["n_labels", "extra", "seed", "acc"]).to_csv(path, index=False)
    return read_question(path, x="n_labels", y="acc", by=["extra"])


@pytest.mark.parametrize(
    "written",
    [(0, 100_000, 300_000, 1_000_000), ("0", "100,000", "300,000", "1,000,000"), ("0", "1e5", "3e5", "1e6"), ("0", "100k", "300k", "1M")],
)
def test_levels_that_are_numbers_stand_in_their_order_however_they_are_written(written: Sequence[object], tmp_path: Path) -> None:
    question = steps(written, tmp_path / "steps.csv")
    page = compose_table(question)
    levels = [group.replace(",", "").replace(".0", "") for group in question.groups()]
    assert [size_in(one) for one in levels] == [0, 1e5, 3e5, 1e6]
    row = main_effects(question.runs, outcome="acc", axes=["n_labels", "extra"]).table.set_index("axis").loc["extra"]
    assert (size_in(row["low_level"]), size_in(row["high_level"])) == (0, 1e6)
    assert "differs most of" not in row["note"]  # one comparison, from the lowest to the highest, was meant
    means = next(table for figure in page.figures for table in figure.tables if table.caption.startswith("Mean acc"))
    assert list(dict.fromkeys(row[0].text for row in means.rows)) == question.groups()
    tests = next(one for one in page.sections if one.identity == "tests").tables
    assert [size_in(table.caption.split()[1]) for table in tests] == [1e5, 3e5, 1e6]
    assert page.screen is not None
    assert page.screen.scaling is not None
    drawn = page.screen.scaling.panels[0].alternative
    places = [drawn.index(f"xtra {level}: ") if f"xtra {level}: " in drawn else drawn.index(f" {level}: ") for level in question.groups()]
    assert places == sorted(places)


def three_models(folder: Path, *, seeds: int = 3, recipes: Sequence[int] = (10, 20)) -> TableQuestion:
    """Three models, of which b and c are alike, crossed with an amount that changes nothing."""
    random = np.random.default_rng(8)
    rows = [
        (n, model, recipe, seed, 0.9 - 1.5 * n**-0.35 + gain + random.normal(0, NOISE))
        for model, gain in (("a", 0.0), ("b", GAIN), ("c", GAIN + 0.001))
        for n in (100, 250, 6250)
        for recipe in recipes
        for seed in range(seeds)
    ]
    table = pd.DataFrame(rows, columns=["n_labels", "model", "pretrain_images", "seed", "acc"])
    (table if seeds > 1 else table.drop(columns="seed")).to_csv(folder / "three.csv", index=False)
    return read_question(folder / "three.csv", x="n_labels", y="acc", by=["model", "pretrain_images"])


def test_an_interval_widened_for_a_choice_among_pairs_says_so_beside_it_and_so_do_the_tests(tmp_path: Path) -> None:
    page = compose_table(three_models(tmp_path))
    assert page.screen is not None
    assert page.screen.moved is not None
    widened = "widened for the choice among 3 pairs"
    assert "between the two levels that differ most among pairs that runs have, its interval corrected for that choice" in page.screen.moved.subtitle
    assert [widened in one.detail for one in page.screen.verdicts] == ["odel" in one.headline for one in page.screen.verdicts]
    assert widened in paragraphs(page, "tests")
    tests = next(one for one in page.sections if one.identity == "tests").tables
    assert ["each interval by itself" in one.caption for one in tests] == [one.caption.startswith("model") for one in tests]


def test_tests_name_their_cells_by_every_column_and_count_them(tmp_path: Path) -> None:
    page = compose_table(three_models(tmp_path))
    assert re.search(r"model b against a: .* over 18 pairs; \d of 6 cells differ after Holm", paragraphs(page, "tests"))
    rows = rows_of(page, "tests", "model b against a: difference in acc at each n_labels and pretrain_images")
    assert len({(row["n_labels"], row["pretrain_images"]) for row in rows}) == len(rows) == 6
    assert all(re.fullmatch(r"<0\.001|[01]\.\d{2,3}", row[name]) for row in rows for name in ("p", "p_holm"))
    for name in ("p", "p_adjusted"):
        shown = make_table(pd.DataFrame({name: [1.0, 0.0001, 0.011]}), caption="", file_name="p.csv")
        assert [row[0].text for row in shown.rows] == ["1.00", "<0.001", "0.011"]


def test_a_verdict_without_repeats_says_what_its_interval_is_over(tmp_path: Path) -> None:
    """And 62.5 times is neither 62 nor 63 times."""
    page = compose_table(three_models(tmp_path, seeds=1))
    assert page.screen is not None
    labels = next(one for one in page.screen.verdicts if "n_labels" in one.headline)
    assert labels.headline.startswith("62.5 times more n_labels raise acc by")
    assert labels.verdict == "supported"
    assert "no repeats: interval over cells" in labels.detail
    assert page.screen.moved is not None
    assert "× 62.5" in str(page.screen.moved.panels[0].chart.to_dict())
    assert "no repeats" not in str(compose_table(three_models(tmp_path)).screen)


def losses(folder: Path) -> TableQuestion:
    """A loss over tokens of five sizes of model and two optimizers, a run each."""
    random = np.random.default_rng(3)
    rows = [
        (params, tokens, optimizer, (1.7 + 410.0 / params**0.34 + 420.0 / (tokens * better) ** 0.28) * np.exp(random.normal(0, 0.004)))
        for optimizer, better in (("adamw", 1.0), ("muon", 1.25))
        for params in (10**9, 19_000_000, 75_000_000, 160_000_000, 410_000_000)
        for tokens in (400_000_000, 1_600_000_000, 6_400_000_000, 25_000_000_000)
    ]
    pd.DataFrame(rows, columns=["params", "tokens", "optimizer", "val_loss"]).to_csv(folder / "lm.csv", index=False)
    return read_question(folder / "lm.csv", x="tokens", y="val_loss", by=["params", "optimizer"])


def drawn_texts(panel: Panel) -> list[str]:
    """The words at the ends of the lines of a chart."""
    tables = panel.chart.to_dict()["datasets"].values()
    return [str(row[name]) for table in tables for row in table for name in ("text", "name", "detail") if name in row]


def test_of_many_groups_each_level_has_a_panel_and_every_line_its_own_name(tmp_path: Path) -> None:
    page = compose_table(losses(tmp_path))
    figure = next(one for one in page.sections if one.identity == "scores").figures[0]
    assert [panel.heading for panel in figure.panels] == ["adamw", "muon"]
    for panel in figure.panels:
        assert drawn_texts(panel) == ["19M", "75M", "160M", "410M", "1B"]
        assert "'legend': {" not in str(panel.chart.to_dict()["layer"])
    assert "a panel is a value of optimizer, a line one of params" in figure.subtitle
    assert len(compose_table(three_models(tmp_path)).sections[0].figures[0].panels) == 1  # six groups have a colour each


def test_the_first_figure_says_what_its_lines_are_over_and_which_dots_have_none(tmp_path: Path) -> None:
    screen = compose_table(losses(tmp_path)).screen
    assert screen is not None
    assert screen.scaling is not None
    assert "Each line is over all values of optimizer." in screen.scaling.subtitle
    assert "Dots without a line: params 160M." in screen.scaling.subtitle
    words = drawn_texts(screen.scaling.panels[0])
    assert list(dict.fromkeys(one for one in words if one.startswith("params"))) == ["params 19M", "params 75M", "params 410M", "params 1B"]
    assert all(one.endswith("at 25B tokens") for one in words if " at " in one)
    axis = str(screen.scaling.panels[0].chart.to_dict())
    assert "'labelExpr': \"replace(datum.label, 'G', 'B')\"" in axis  # ticks as the words beside them: 25B
    assert "'labelSeparation': 8" in axis  # '10k20k' is no number
    assert screen.moved is not None
    assert "400M → 25B, × 62.5" in str(screen.moved.panels[0].chart.to_dict())


def test_a_page_has_one_minus_sign(tmp_path: Path) -> None:
    page = compose_table(losses(tmp_path))
    said = [text for one in page.sections for text in (*one.paragraphs, *(text for _, text in one.listings if "reports.build" not in text))]
    assert any("−" in text for text in said)
    assert not re.search(r"(?<![\w.])-\d|\+-", " ".join(said))


def test_an_option_on_a_page_is_code_that_no_line_breaks(tmp_path: Path) -> None:
    assert "name one with <code>--seed</code>." in render(compose_table(losses(tmp_path)))
    assert str(options_as_code("a -- b, --x-y <i> x--y")) == "a -- b, <code>--x-y</code> &lt;i&gt; x--y"
