"""What a page of anyone's table says where a decision, a threshold or a test cannot be had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.first_screen.levels import is_plural
from reports.page import Page
from reports.table import compose_table, read_question
from tests.prose import complaints


def page_of(table: pd.DataFrame, folder: Path, *, by: list[str], seed: str | None = None) -> Page:
    table.to_csv(folder / "results.csv", index=False)
    return compose_table(read_question(folder / "results.csv", x="n", y="acc", by=by, seed=seed))


def said(page: Page, section: str) -> str:
    return "\n".join(next(one for one in page.sections if one.identity == section).paragraphs)


def scores(sizes: list[float], gain: float = 0.0, seeds: int = 3) -> pd.DataFrame:
    random = np.random.default_rng(5)
    rows = [(n, seed, 0.9 + gain - 0.5 * (n + 1) ** -0.35 + random.normal(0, 0.004)) for n in sizes for seed in range(seeds)]
    return pd.DataFrame(rows, columns=["n", "seed", "acc"])


def test_where_there_is_no_law_the_section_says_the_reason_of_the_laws(tmp_path: Path) -> None:
    page = page_of(scores([0, 100, 200, 400, 800, 1600]), tmp_path, by=[])
    text = said(page, "decisions")
    assert "four sizes" not in text
    assert text.startswith("A decision rests on a law, and there is none for all rows: ")
    assert complaints(text) == []


def test_repeats_that_are_equal_are_not_said_to_be_missing(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    once = scores([100, 200, 400, 800, 1600], seeds=1).assign(acc=lambda t: t["acc"] + random.normal(0, 0.002, len(t)))
    twice = pd.concat([once, once.assign(seed=1)])
    text = said(page_of(twice, tmp_path, by=[], seed="seed"), "decisions")
    assert "no run is repeated" not in text
    assert "than the scatter of rows around the law (repeated rows are equal)" in text
    assert "(no run is repeated)" in said(page_of(once, tmp_path, by=[], seed="seed"), "decisions")


def test_groups_without_a_size_in_common_are_compared_nowhere(tmp_path: Path) -> None:
    table = pd.concat([scores([100, 200, 300, 400, 500]).assign(m="aa"), scores([1000, 2000, 4000, 8000, 16000], 0.02).assign(m="bb")])
    page = page_of(table, tmp_path, by=["m"], seed="seed")
    text = said(page, "decisions-in-sentences")
    assert "bb against aa: no size lies between the smallest and the largest of both (100 to 500 and 1,000 to 16,000)." in text
    worth = next(one for one in page.sections if one.identity == "decisions").tables[-1]
    assert [cell.text for cell in worth.rows[0]] == ["bb against aa", "–", "–", "no size in the range of both"]
    assert complaints(text) == []


def test_a_missing_level_is_tested_as_the_others_are(tmp_path: Path) -> None:
    table = pd.concat([scores([100, 200, 400, 800]).assign(m=value, k="one") for value in (None, 0.5)])
    page = page_of(table, tmp_path, by=["m", "k"], seed="seed")
    text = said(page, "tests")
    assert "1 levels" not in text
    assert "m missing against 0.5: " in text
    assert "over 12 pairs" in text
    assert "k has one level, so there is nothing to test." in text
    assert complaints(text) == []


@pytest.mark.parametrize(
    ("subject", "plural"),
    [
        ("16 times more n", False),
        ("16 times more n_labels", True),
        ("four times more fine-tuning steps (at 40 labels)", True),
        ("pre-training 5 times longer", False),
        ("twice more loss", False),
    ],
)
def test_a_verb_after_a_column_is_plural_where_its_name_is(subject: str, plural: bool) -> None:
    assert is_plural(subject) is plural


def test_a_column_that_is_one_number_raises_the_score(tmp_path: Path) -> None:
    page = page_of(scores([100, 200, 400, 800, 1600]), tmp_path, by=[], seed="seed")
    assert page.screen is not None
    assert page.screen.verdicts[0].headline.startswith("16 times more n raises acc by ")


def test_cells_of_one_pair_each_are_not_counted_as_none_of_none(tmp_path: Path) -> None:
    once = pd.concat([scores([100, 200, 400, 800], gain, seeds=1).assign(m=m) for m, gain in (("aa", 0.0), ("bb", 0.02))])
    text = said(page_of(once, tmp_path, by=["m"], seed="seed"), "tests")
    assert "0 of 0" not in text
    assert "over 4 pairs; no cell by itself could be tested." in text


def test_the_next_runs_are_for_each_group(tmp_path: Path) -> None:
    table = pd.concat([scores([100, 200, 400, 800, 1600], gain).assign(m=m) for m, gain in (("aa", 0.0), ("bb", 0.02))])
    text = said(page_of(table, tmp_path, by=["m"], seed="seed"), "decisions")
    assert "in each group" in text
    assert "that matters" not in text
