"""What `findings` says of studies whose truth is known, of the published tables, and of tables that
cannot tell.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError, findings, load_published
from analysis.claims.__main__ import main
from analysis.claims.claim_table import ClaimTable
from analysis.claims.contrasts import contrast_rows
from analysis.claims.finding import Estimate, Finding, Findings, Question
from analysis.claims.findings import all_questions
from analysis.claims.rules import for_every_cell, for_one
from analysis.significance.multiplicity import adjust
from benchmarks.statistics.grids import Noise, simulate_grid

QUIET = Noise(seed=0.001, pretraining=0.001, intermediate=0.001, run=0.001)


def study(*, seeds: int = 4, gain: float = 0.1, effect: float = -0.03, noise: Noise = QUIET, random_seed: int = 0) -> pd.DataFrame:
    return simulate_grid(
        np.random.default_rng(random_seed),
        seeds=seeds,
        labels=(250, 1000, 4000),
        pretraining_gain=gain,
        intermediate_effect=effect,
        loss_slope=0.5,
        noise=noise,
    )


@pytest.fixture(scope="module")
def helped() -> Findings:
    return findings(study(), claims="all")


@pytest.fixture(scope="module")
def returns() -> Findings:
    return findings(load_published("diminishing-returns"))


@pytest.fixture(scope="module")
def scaling() -> Findings:
    return findings(load_published("data-scaling"))


def test_effects_that_are_there_are_found_with_their_size(helped: Findings) -> None:
    average = helped["intermediate-hurts-on-average"]
    assert average.verdict == "supported"
    assert average.estimate is not None
    assert average.estimate.low < -0.03 < average.estimate.high
    assert helped["pretraining-helps-everywhere"].verdict == "supported"
    assert helped["intermediate-hurts-everywhere"].verdict == "supported"
    assert helped["gain-shrinks-with-labels"].verdict == "supported"
    assert helped["classification-negates-pretraining"].verdict == "refuted"


def test_the_opposite_effects_refute_the_same_claims() -> None:
    found = findings(study(gain=-0.1, effect=0.03), claims="all")
    for name in ("pretraining-helps-everywhere", "pretraining-helps-on-average", "intermediate-hurts-everywhere", "intermediate-hurts-on-average"):
        assert found[name].verdict == "refuted", name


def test_noise_alone_decides_nothing_about_effects() -> None:
    decided = 0
    for random_seed in range(6):
        found = findings(study(seeds=3, gain=0.0, effect=0.0, noise=Noise(), random_seed=random_seed), margin=1e-6, claims="all")
        decided += sum(one.verdict != "open" for one in found if one.topic in ("Pre-training", "The intermediate stage"))
    assert decided <= 1


def test_no_effect_inside_the_margin_is_negligible_and_a_proven_sign_stands_however_small() -> None:
    nothing = findings(study(gain=0.0, effect=0.0, seeds=5, random_seed=1), margin=0.01)["intermediate-hurts-on-average"]
    assert nothing.verdict == "negligible"
    tiny = Noise(seed=1e-4, pretraining=1e-4, intermediate=1e-4, run=1e-4)
    small = findings(study(gain=0.0, effect=-0.002, seeds=5, noise=tiny), margin=0.01)["intermediate-hurts-on-average"]
    assert small.verdict == "supported"
    for one in (nothing, small):
        assert "within the 0.01 that counts as negligible" in one.sentence


def test_numbers_in_a_sentence_are_those_of_its_estimate(helped: Findings) -> None:
    for one in helped:
        if one.identity in ("pretraining-helps-on-average", "intermediate-hurts-on-average"):
            assert one.estimate is not None
            for number in (one.estimate.value, one.estimate.low, one.estimate.high):
                assert f"{number:+.3f}" in one.sentence


def test_everything_can_be_written_down(helped: Findings, returns: Findings, scaling: Findings) -> None:
    for found in (helped, returns, scaling):
        said = json.loads(found.to_json())
        assert [one["identity"] for one in said["findings"]] == [one.identity for one in found]
        assert len({one.identity for one in found}) == len(found)
        assert len(found.to_frame()) == len(found) == len(found.sentences())
        tests = found.tests()
        assert set(tests["finding"]) <= {one.identity for one in found}
        assert tests["label"].notna().all()
        for one in found:
            assert one.sentence.endswith(".")
            assert one.claim.endswith(".")
            assert one.verdict in ("supported", "refuted", "negligible", "open")


def test_a_finding_that_does_not_survive_the_correction_over_all_is_open(scaling: Findings) -> None:
    for one in scaling:
        if np.isfinite(one.p_adjusted):
            assert one.p_adjusted >= one.p
            if one.verdict != "open":
                assert one.p_adjusted < 0.05


# The first paper, from its printed means


def rows(finding: Finding, reading: str) -> pd.DataFrame:
    return finding.rows[finding.rows["reading"] == reading]


def test_pretraining_helps_in_every_published_cell(returns: Findings) -> None:
    found = returns["pretraining-helps-everywhere"]
    assert found.verdict == "supported"
    assert len(rows(found, "spread read as SD")) == len(rows(found, "spread read as SE")) == 18


def test_always_hurts_survives_in_17_cells_read_as_sd_and_11_read_as_se(returns: Findings) -> None:
    found = returns["intermediate-hurts-everywhere"]
    assert found.verdict == "open"
    for reading, survive in (("spread read as SD", 17), ("spread read as SE", 11)):
        table = rows(found, reading)
        assert (table["estimate"] < 0).all()
        assert int((table["p_holm"] < 0.05).sum()) == survive
    unsure = rows(found, "spread read as SD").query("p_holm >= 0.05")
    assert unsure["label"].tolist() == ["100,000 pre-training images, 6,000 labels"]
    assert unsure["estimate"].iloc[0] == pytest.approx(-0.0021)


def test_negates_the_gains_is_refuted(returns: Findings) -> None:
    found = returns["classification-negates-pretraining"]
    assert found.verdict == "refuted"
    assert int((rows(found, "spread read as SD")["estimate"] > 0).sum()) == 17


def test_the_stage_harms_most_where_the_gain_was_most_beyond_regression_to_the_mean(returns: Findings) -> None:
    for name in ("classification-harms-most-where-gain-is-most", "classification-harms-most-where-gain-is-most-at-equal-labels"):
        found = returns[name]
        assert found.verdict == "supported"
        assert found.estimate is not None
        assert found.estimate.high < 0


def test_returns_shrink_and_no_floor_is_determined(returns: Findings) -> None:
    assert returns["returns-shrink-pretrain"].verdict == "supported"
    assert returns["last-doubling-pretrain"].verdict == "supported"
    assert returns["worth-in-labels"].verdict == "supported"
    assert returns["floor"].verdict == "open"


# The second paper, from its 63 runs


def value(found: Findings, name: str) -> float:
    estimate = found[name].estimate
    assert estimate is not None
    return estimate.value


def test_one_run_of_each_setting_leaves_the_loss_as_a_predictor_open(scaling: Findings) -> None:
    assert value(scaling, "loss-predicts-score") == pytest.approx(-0.786, abs=5e-4)
    assert scaling["loss-predicts-score"].verdict == "open"
    assert "no two pre-trainings are equal in all settings that vary" in scaling["loss-predicts-score"].sentence


def test_with_one_run_of_each_setting_overfitting_is_counted_and_what_it_does_to_the_loss_is_open(scaling: Findings) -> None:
    falling, over, gap = (scaling[name] for name in ("loss-predicts-when-falling", "loss-predicts-when-overfitting", "overfitting-changes-slope"))
    assert {falling.verdict, over.verdict, gap.verdict} == {"open"}
    assert "12 of 21 series (36 runs)" in falling.sentence
    assert value(scaling, "loss-predicts-when-falling") == pytest.approx(-0.956, abs=5e-4)
    assert value(scaling, "loss-predicts-when-overfitting") == pytest.approx(-0.697, abs=5e-4)
    assert "lives between the levels of pre-training images alone" in over.sentence
    assert "which compares settings and so decides nothing" in gap.sentence


def test_both_claims_on_more_data_are_tested(scaling: Findings) -> None:
    assert scaling["more-data-always-helps"].verdict == "open"
    flat = scaling["no-benefit-without-overfitting"]
    assert flat.verdict == "open"
    assert "supported by the first way to split and open by the second" in flat.sentence
    gain = scaling["benefit-where-overfitting"]
    assert gain.p == pytest.approx(0.0067, abs=1e-4)
    assert gain.verdict == "open"  # 0.054 over the eight secondary claims
    assert "before correction" in gain.headline
    last = scaling["last-step-brings-nothing"]
    assert "by 0.0010 at most in any cell" in last.sentence


# Tables that cannot tell


def test_one_seed_gives_differences_without_intervals_and_says_why() -> None:
    found = findings(study(seeds=1))
    for name in ("pretraining-helps-on-average", "intermediate-hurts-on-average"):
        assert found[name].verdict == "open"
        assert "no interval" in found[name].sentence
    assert "no interval" in found["returns-shrink-pretrain"].sentence


def test_missing_cells_and_unbalanced_seeds_leave_the_rest_standing() -> None:
    whole = study(seeds=4)
    gone = whole[(whole["seed"] == 3) & (whole["finetune_images"] == 250) | (whole["pretrain_images"] == 45_000) & (whole["finetune_images"] == 4000)]
    found = findings(whole.drop(gone.index), claims="all")
    assert found["intermediate-hurts-on-average"].verdict == "supported"
    assert found["pretraining-helps-everywhere"].verdict == "supported"


def test_cells_of_one_run_and_spreads_of_zero_are_named() -> None:
    table = load_published("diminishing-returns").table.copy()
    table.loc[table.index[0], "n_runs"] = 1
    table.loc[table.index[1], "miou_spread"] = 0.0
    found = findings(table, claims="all")["pretraining-helps-everywhere"]
    assert found.verdict == "open"
    notes = found.rows["note"].astype(str)
    assert notes.str.contains("a single run, which has no spread").sum() == 6
    assert notes.str.contains("a spread of zero").sum() == 6


def test_a_constant_loss_is_said_to_be_constant() -> None:
    found = findings(study().assign(val_mim_loss=lambda t: t["val_mim_loss"].where(t["val_mim_loss"].isna(), 0.5)))
    assert any("constant" in reason for _, reason in found.unanswered)


def test_questions_without_columns_are_listed_with_what_would_answer_them(returns: Findings) -> None:
    reasons = dict(returns.unanswered)
    assert reasons["Does the validation loss predict the score?"] == (
        "the table has no column 'val_mim_loss': record the held-out loss of every pre-training."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcome": "mious"}, "the table of the study has no column 'mious' \\(did you mean 'miou'\\?\\)"),
        ({"margin": 0.0}, "margin = 0.0 is not a difference above zero"),
        ({"level": 95}, "level"),
    ],
)
def test_a_wrong_question_gets_one_sentence(change: dict[str, object], message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        findings(study(seeds=2), **change)  # type: ignore[arg-type]


def test_a_table_without_a_finite_outcome_or_with_a_loss_is_refused() -> None:
    runs = study(seeds=2)
    with pytest.raises(AnalysisError, match="has no outcome among miou, accuracy"):
        findings(runs.assign(miou=np.nan))
    with pytest.raises(AnalysisError, match="the outcome 'val_mim_loss' is a loss"):
        findings(runs, outcome="val_mim_loss")
    with pytest.raises(AnalysisError, match="findings needs a runs table or a published one, and got str"):
        findings("runs/quickstart")  # type: ignore[arg-type]


def test_a_claim_on_every_cell_needs_every_cell() -> None:
    def decided(estimates: list[float], p: list[float]) -> tuple[str, float]:
        return for_every_cell(pd.DataFrame({"estimate": estimates, "p": p, "p_holm": adjust(np.array(p))}), +1)

    assert decided([0.1, 0.2], [0.03, 0.04]) == ("supported", 0.04)  # each by its own test
    assert decided([-0.1, 0.2], [0.03, 0.04]) == ("open", 0.04)  # against it after Holm
    assert decided([0.1, 0.2], [0.01, 0.2]) == ("open", 0.2)
    assert decided([0.1, -0.2], [0.04, 0.01]) == ("refuted", 0.02)
    verdict, p = decided([0.1, 0.2], [0.01, np.nan])
    assert verdict == "open"
    assert np.isnan(p)


def test_the_command_prints_verdicts_and_what_is_not_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(seeds=4).to_csv(tmp_path / "runs.csv", index=False)
    assert main([str(tmp_path / "runs.csv"), "--margin", "0.02", "--claims", "all"]) == 0
    said = capsys.readouterr().out
    assert "PRE-TRAINING\n" in said
    assert "refuted    Pre-training followed by an intermediate classification stage, against neither, raises mIoU in at least" in said
    assert "Differences below 0.02 are called negligible." in said
    assert main([str(tmp_path / "runs.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "miou"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.csv"], "analysis: nowhere.csv does not exist: give a study folder"),
        (["published:data-scalling"], "did you mean 'data-scaling'?"),
        (["published:data-scaling", "--outcome", "val_mim_loss"], "is a loss"),
    ],
)
def test_the_command_answers_a_mistake_in_one_sentence(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_claim_of_ones_own_is_asked_like_any_other(study) -> None:
    def gain_of_labels(table: ClaimTable) -> list[Finding]:
        few, many = (table.find(pretrain_images=0, intermediate="none", finetune_images=size) for size in (60, 600))
        if few is None or many is None:
            raise AnalysisError("the table lacks one of the two numbers of labels: run it.")
        rows, mean = contrast_rows(table, [("from 60 to 600", {many: 1.0, few: -1.0})], spread="sd")
        estimate = Estimate(what="gain", value=mean.value, low=mean.low, high=mean.high, level=table.level, unit=table.outcome_name)
        return [
            Finding(
                identity="labels-help",
                topic="Labels",
                claim="More labels help.",
                source="",
                verdict=for_one(mean.value, mean.p, table.better),
                sentence="More labels help.",
                estimate=estimate,
                p=mean.p,
                p_adjusted=np.nan,
                n=mean.n,
                rows=rows,
            )
        ]

    mine = Question("Do labels help?", gain_of_labels)
    found = findings(study(), questions=(*all_questions(), mine))
    assert found["labels-help"].verdict == "supported"
    assert len(found) == len(findings(study(), claims="all")) + 1
    alone = findings(study(labels=(60,)), questions=(mine,))
    assert alone.unanswered == (("Do labels help?", "the table lacks one of the two numbers of labels: run it."),)
