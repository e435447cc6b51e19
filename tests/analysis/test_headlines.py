"""Headlines say what the numbers say: never the claim over numbers that contradict it."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError, findings, load_published
from analysis.claims.finding import Estimate, Finding, Verdict
from analysis.claims.headline import Wording, changes, in_every_cell
from analysis.claims.varied import QUESTIONS as VARIED
from analysis.runs.columns import Column
from benchmarks.statistics.worlds import World, simulate_world

NOTHING = float("nan")


def finding(verdict: Verdict, value: float, low: float, high: float, *, wording: Wording | None, margin: float = NOTHING, claim: str = "") -> Finding:
    return Finding(
        identity="one",
        topic="",
        claim=claim or "Pre-training raises mIoU on average.",
        source="",
        verdict=verdict,
        sentence="",
        estimate=Estimate(what="", value=value, low=low, high=high, level=0.95, unit="mIoU"),
        p=NOTHING,
        p_adjusted=NOTHING,
        n="",
        wording=wording,
        margin=margin,
    )


PRETRAINING = changes("pre-training", "mIoU")


@pytest.mark.parametrize(
    ("verdict", "numbers", "said"),
    [
        ("supported", (0.0420, 0.0396, 0.0444), "Pre-training raises mIoU by 0.042 (0.040 to 0.044)"),
        ("refuted", (-0.0420, -0.0444, -0.0396), "Pre-training lowers mIoU by 0.042 (0.040 to 0.044)"),
        ("negligible", (0.0016, -0.0041, 0.0068), "Pre-training changes mIoU by less than 0.01 (+0.002, -0.004 to +0.007)"),
        ("open", (0.0016, -0.0041, 0.0068), "Whether pre-training changes mIoU cannot be told: the data allow -0.004 to +0.007"),
        ("open", (0.0016, NOTHING, NOTHING), "Whether pre-training changes mIoU cannot be told: the data give no interval"),
        ("supported", (0.00042, 0.00031, 0.00053), "Pre-training raises mIoU by 0.0004 (0.0003 to 0.0005)"),
        ("supported", (4.2, 3.61, 4.79), "Pre-training raises mIoU by 4.2 (3.6 to 4.8)"),
    ],
)
def test_the_headline_follows_the_verdict_and_the_numbers(verdict: Verdict, numbers: tuple[float, float, float], said: str) -> None:
    assert finding(verdict, *numbers, wording=PRETRAINING, margin=0.01).headline == said


def test_a_refuted_claim_about_every_cell_says_what_is_shown_and_the_mean_apart() -> None:
    wording = in_every_cell("an intermediate stage", "mIoU", direction=-1, counted="0 of 3 cells are below zero")
    refuted = finding("refuted", 0.01, 0.002, 0.018, wording=wording).headline
    assert refuted == "An intermediate stage raises mIoU in at least one cell; on average by +0.010 (+0.002 to +0.018)"
    assert finding("open", 0.01, 0.002, 0.018, wording=wording).headline == (
        "Whether an intermediate stage lowers mIoU in every cell cannot be told: 0 of 3 cells are below zero"
    )


def test_a_claim_without_a_wording_is_never_printed_as_true_unless_supported() -> None:
    said = {verdict: finding(verdict, -0.1, -0.2, -0.05, wording=None).headline for verdict in ("supported", "refuted", "negligible", "open")}
    assert said["supported"] == "Pre-training raises mIoU on average (-0.10, -0.20 to -0.05)"
    assert said["refuted"].startswith("The data show the opposite of this: pre-training raises mIoU on average (")
    assert said["open"] == "Whether pre-training raises mIoU on average cannot be told: the data allow -0.20 to -0.05 before correction"
    assert not said["negligible"].startswith("Pre-training")


@pytest.mark.parametrize("name", ["diminishing-returns", "data-scaling"])
def test_no_headline_of_a_published_table_contradicts_its_number(name: str) -> None:
    for one in findings(load_published(name)):
        assert one.estimate is not None
        assert not re.search(r"nan|_|  |\.$", one.headline), one.headline
        assert len(re.sub(r"[:;(].*", "", one.headline).split()) <= 24, one.headline
        if one.verdict == "open":
            assert one.headline.startswith("Whether "), one.headline
        elif re.search(r"\b(raises?|lowers?) (mIoU|top-1 accuracy) by", one.headline):
            assert bool(re.search(r"\braises?\b", one.headline)) == (one.estimate.value > 0), one.headline


def test_every_axis_has_a_claim_that_is_found_where_the_axis_matters() -> None:
    found = findings(simulate_world(np.random.default_rng(0), World(length=0.04, model=-0.04), seeds=5), questions=VARIED)
    longer, bigger = found["varied-pretrain-length"], found["varied-encoder"]
    assert (longer.verdict, bigger.verdict) == ("supported", "refuted")
    assert longer.headline.startswith("Pre-training five times longer raises mIoU by 0.0")
    assert bigger.headline.startswith("A model with four times the parameters lowers mIoU by 0.0")
    assert longer.detail == "Up in 24 of 24 cells, 5 seeds"
    assert bigger.detail.startswith("Down in ")
    assert {one.family for one in found if one.identity != "varied-finetune-images"} == {"primary"}
    assert found["varied-finetune-images"].family == "secondary"


def test_where_lower_is_better_the_words_follow_the_score() -> None:
    runs = simulate_world(np.random.default_rng(0), World(length=0.04), seeds=5)
    error = runs.drop(columns="miou").assign(error_rate=1.0 - runs["miou"])
    error.attrs["columns"] = {"error_rate": Column("error_rate", "", "fraction", "score", "lower", 0.0, 1.0, "error rate").to_dict()}
    longer = findings(error, questions=VARIED)["varied-pretrain-length"]
    assert (longer.verdict, longer.claim) == ("supported", "Longer pre-training lowers error rate.")
    assert longer.headline.startswith("Pre-training five times longer lowers error rate by 0.0")


def test_named_levels_make_a_difference_and_are_never_refuted() -> None:
    random = np.random.default_rng(0)
    rows = [(recipe, labels, seed) for recipe in ("mae", "simmim") for labels in (60, 120) for seed in range(5)]
    runs = pd.DataFrame(rows, columns=["pretrain_recipe", "finetune_images", "seed"]).assign(pretrain_images=1000)
    runs["miou"] = 0.5 - 0.05 * (runs["pretrain_recipe"] == "simmim") + 0.002 * random.standard_normal(len(runs))
    one = findings(runs, questions=VARIED)["varied-pretrain-recipe"]
    assert one.verdict == "supported"
    assert one.headline.startswith("Pre-training recipe simmim instead of mae lowers mIoU by 0.05")


def test_claims_of_papers_are_asked_of_published_tables_and_where_wanted() -> None:
    runs = simulate_world(np.random.default_rng(0), World(pretraining=0.03))
    asked = {wanted: findings(runs, claims=wanted) for wanted in (None, "own", "papers", "all")}
    own, papers = ({one.identity for one in asked[wanted]} for wanted in ("own", "papers"))
    assert [one.identity for one in asked[None]] == [one.identity for one in asked["own"]]
    assert own | papers == {one.identity for one in asked["all"]}
    assert not any(one.source for one in asked["own"])
    assert all(one.source for one in asked["papers"])
    assert "pretraining-helps-everywhere" in papers - own
    assert {"pretraining-helps-on-average", "varied-encoder", "loss-predicts-score", "returns-shrink-pretrain"} <= own
    assert "pretraining-helps-everywhere" in [one.identity for one in findings(load_published("diminishing-returns"))]
    with pytest.raises(AnalysisError, match="claims is 'mine': choose 'own'"):
        findings(runs, claims="mine")  # type: ignore[arg-type]


def test_headline_detail_and_family_are_written_down() -> None:
    found = findings(simulate_world(np.random.default_rng(0), World(pretraining=0.03)), questions=VARIED)
    for one, said in zip(found, json.loads(found.to_json())["findings"], strict=True):
        assert (said["headline"], said["detail"], said["family"]) == (one.headline, one.detail, one.family)
    assert {"headline", "detail", "family", "condition", "unreachable"} <= set(found.to_frame().columns)
    assert found.primary == tuple(one for one in found if one.family == "primary")
