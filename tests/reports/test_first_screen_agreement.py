"""The first sentence and the verdicts below it: where they differ, the page says which and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import findings, load_runs, main_effects
from reports.findings import Answer, card_of
from reports.first_screen.agreement import DECIDED, beside
from reports.first_screen.screen import first_screen
from reports.page import Page, Screen, render
from reports.score import score_of
from tests.prose import complaints

STUDIES = Path(__file__).resolve().parents[2] / "studies"


def noisier(name: str, seed: int) -> pd.DataFrame:
    """A kept study with noise added: of each run, and of what each seed was pre-trained to."""
    runs = load_runs(STUDIES / name / "runs.csv")
    draw = np.random.default_rng(seed)
    runs["miou"] += draw.normal(0, 0.02, len(runs))
    return runs.assign(miou=runs["miou"] + draw.normal(0, 0.03, int(runs["seed"].max()) + 1)[runs["seed"]] * (runs["pretrain_images"] > 0))


def screen_of(runs: pd.DataFrame) -> Screen:
    return first_screen(runs, score_of(runs), Answer(findings=findings(runs), reason=""), Screen(about=""))


def test_a_claim_that_is_supported_below_a_sentence_of_nothing_is_named_with_the_reason() -> None:
    screen = screen_of(noisier("first_paper_in_miniature", 19))
    assert screen.sentence.startswith("Nothing moved mIoU by more than 5 seeds can tell from zero after correction over 9 comparisons; ")
    assert len(screen.sentence.split()) <= 25
    assert screen.beside == (
        "Below, one claim is supported all the same: Six times more labels raise mIoU by 0.018 (0.006 to 0.029). "
        "It is corrected over the 4 further claims (p = 0.027), and the line above over all 9 comparisons (p = 0.10)."
    )
    assert complaints(screen.beside) == []
    page = render(Page(kicker="", title="", lead="", screen=screen))
    assert page.index("<h1>") < page.index("Below, one claim is supported") < page.index('id="findings"')


def test_a_claim_that_is_open_below_a_sentence_that_names_its_setting_is_named_with_the_reason() -> None:
    runs = load_runs(STUDIES / "first_paper_in_miniature" / "runs.csv")
    effects, found = main_effects(runs), findings(runs)
    stage = float(effects.table.loc[effects.table["kind"] == "spatial", "p_holm"].iloc[0])
    assert stage < 0.05
    left_open = [replace(one, verdict="open", p_adjusted=0.052) if one.identity == "spatial-hurts-on-average" else one for one in found.statements]
    assert beside(effects, replace(found, statements=tuple(left_open))) == (
        "Below, one claim is left open all the same: An intermediate spatial stage lowers mIoU on average. "
        f"It is corrected over the 9 claims stated beforehand (p = 0.052), and the line above over all 9 comparisons (p = {stage:.3f})."
    )


def test_a_claim_about_something_else_is_told_as_another_question() -> None:
    runs = noisier("h200_real_subset", 8)
    screen = screen_of(runs)
    assert screen.sentence.startswith("Nothing moved")
    assert "the held-out loss still falls" in screen.beside
    assert screen.beside.endswith("It asks another question than the line above, and is corrected over the 8 further claims (p = 0.005).")
    # several are counted, and the first of the page is named
    found = findings(runs)
    more = tuple(replace(one, verdict="supported", p_adjusted=0.01) if one.identity.startswith("loss-") else one for one in found.statements)
    several = beside(main_effects(runs), replace(found, statements=more))
    number = sum(one.verdict in DECIDED for one in more)
    assert number > 1
    assert several.startswith(f"Below, {number} claims are decided all the same, the first of them: ")


@pytest.mark.parametrize("study", sorted(STUDIES.glob("*/runs.csv")), ids=lambda path: path.parent.name)
def test_the_kept_studies_say_nothing_beside_a_sentence_that_agrees(study: Path) -> None:
    runs = load_runs(study)
    effects, found = main_effects(runs), findings(runs)
    decided = [one for one in found if one.verdict in DECIDED]
    said = beside(effects, found)
    if not (effects.table["p_holm"] < 0.05).any() and decided:
        assert any(card_of(one).headline in said for one in decided)
    else:
        assert said == ""
