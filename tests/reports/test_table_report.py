"""The report of anyone's table: its numbers are those of a known law, its words those of the table."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import load_runs, main_effects
from analysis.formatting import digits
from reports.build import main
from reports.errors import ReportError
from reports.page import Page
from reports.table import compose_table, read_question
from reports.table.wording import named

SIZES = (100, 200, 400, 800, 1600)
GAIN = 0.05
NOISE = 0.004


def results(seeds: int = 3) -> pd.DataFrame:
    """acc = 0.9 - 1.5 n^-0.35, and 0.05 more with the better backbone."""
    random = np.random.default_rng(5)
    rows = [
        (n, backbone, seed, 0.9 - 1.5 * n**-0.35 + gain + random.normal(0, NOISE))
        for backbone, gain in (("resnet", 0.0), ("vit", GAIN))
        for n in SIZES
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["n_labels", "backbone", "trial", "acc"])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "results.csv"
    results().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def page(file: Path) -> Page:
    return compose_table(read_question(file, x="n_labels", y="acc", by=["backbone"], seed="trial"))


def paragraphs(page: Page, section: str) -> str:
    return "\n".join(next(one for one in page.sections if one.identity == section).paragraphs)


def test_the_page_has_scores_effects_decisions_tests_and_rows_in_the_words_of_the_table(page: Page) -> None:
    assert [one.identity for one in page.sections] == ["scores", "moved", "decisions", "decisions-in-sentences", "tests", "laws", "rows"]
    said = " ".join([page.lead, *page.remarks, *(text for one in page.sections for text in one.paragraphs)])
    assert "n_labels" in said
    assert "acc" in said
    assert not re.search(r"mIoU|labelled images|pre-training|finetune", said)
    assert not re.search(r"(?<![\w-])[xy](?![\w-])", paragraphs(page, "decisions") + paragraphs(page, "decisions-in-sentences"))
    assert not re.search(r"\d\.\d+e[+-]?\d", said)


def test_the_effects_are_those_that_the_table_was_made_with(file: Path, page: Page) -> None:
    table = load_runs(file, required=["n_labels", "acc"])
    found = main_effects(table, outcome="acc", axes=["n_labels", "backbone"], seed="trial").table.set_index("axis")
    truth = 1.5 * (SIZES[0] ** -0.35 - SIZES[-1] ** -0.35)
    assert found.loc["n_labels", "effect"] == pytest.approx(truth, abs=4 * NOISE)
    assert found.loc["backbone", "effect"] == pytest.approx(GAIN, abs=4 * NOISE / np.sqrt(15))
    assert found["low"].gt(0).all()
    assert "backbone vit against resnet: +0.0" in paragraphs(page, "tests")
    assert "15 pairs; 5 of 5 cells differ" in paragraphs(page, "tests")


def test_what_the_better_group_is_worth_holds_the_true_number_of_labels(page: Page) -> None:
    worth = next(line for line in paragraphs(page, "decisions-in-sentences").split("\n") if line.startswith("vit against resnet:"))
    match = re.search(r"n_labels = ([\d,.]+) with vit gives .* as n_labels = ([\d,]+) ", worth)
    assert match is not None, worth
    at, found = (float(text.replace(",", "")) for text in match.groups())
    truth = (at**-0.35 - GAIN / 1.5) ** (-1 / 0.35)
    assert found == pytest.approx(truth, rel=0.15)


def test_columns_called_otherwise_are_known_and_keep_their_names(file: Path) -> None:
    named_so = {"finetune_images": "n_labels", "accuracy": "acc", "encoder": "backbone", "seed": "trial"}
    question = read_question(file, columns=named_so)
    assert (question.x, question.y, question.by, question.seed) == ("finetune_images", "accuracy", ("encoder",), "seed")
    assert (question.x_title, question.y_title) == ("n_labels", "acc")
    page = compose_table(question)
    assert "claims" in [one.identity for one in page.sections]
    assert "n_labels" in paragraphs(page, "moved")
    own = main_effects(load_runs(file, columns=named_so))
    assert own.outcome_title == "acc"
    assert any(one.startswith("n_labels, 100 to 1,600: +") for one in own.sentences())


def test_an_error_is_better_lower(tmp_path: Path) -> None:
    table = results().assign(err=lambda t: 1 - t["acc"]).drop(columns="acc")
    table.to_csv(tmp_path / "errors.csv", index=False)
    question = read_question(tmp_path / "errors.csv", x="n_labels", y="err", by=["backbone"], seed="trial", lower_is_better=True)
    page = compose_table(question)
    assert any(line.startswith("vit against resnet: ") for line in paragraphs(page, "decisions-in-sentences").split("\n"))
    claim = page.sections[0].figures[0].claim
    assert claim.endswith("of vit")
    assert float(claim.split("reaches ")[1].split(" ")[0]) < 0.19  # of the other group 0.21


@pytest.mark.parametrize(
    ("name", "falls", "better"),
    [
        *((name, falls, "lower") for name in ("err", "Error (%)", "val_loss", "valLoss", "top1_error", "perplexity") for falls in (True, False)),
        *((name, falls, "higher") for name in ("acc", "mIoU", "Top-1 accuracy", "f1", "mAP") for falls in (True, False)),
        ("y", True, "lower"),
        ("y", False, "higher"),
        ("terror", False, "higher"),
    ],
)
def test_which_scores_are_better_follows_from_their_name_or_from_how_they_go(name: str, falls: bool, better: str, tmp_path: Path) -> None:
    table = results().assign(acc=lambda t: -t["acc"] if falls else t["acc"]).rename(columns={"acc": name})
    table.to_csv(tmp_path / "scores.csv", index=False)
    columns = {"x": "n_labels", "y": name, "by": ["backbone"], "seed": "trial"}
    assert read_question(tmp_path / "scores.csv", **columns).better == better
    assert read_question(tmp_path / "scores.csv", **columns, lower_is_better=True).better == "lower"
    assert read_question(tmp_path / "scores.csv", **columns, lower_is_better=False).better == "higher"


def test_a_page_says_which_errors_are_better_and_the_command_can_say_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results().assign(err=lambda t: 1 - t["acc"]).to_csv(tmp_path / "errors.csv", index=False)
    command = [str(tmp_path / "errors.csv"), "--x", "n_labels", "--y", "err", "--by", "backbone", "--out", str(tmp_path / "page.html")]
    for option, better in ((None, "lower"), ("--higher-is-better", "higher")):
        assert main([*command, *([option] if option else [])]) == 0
        page = (tmp_path / "page.html").read_text()
        assert f"a {better} err is better" in page
        assert f"--{better}-is-better" in page  # the command that makes the page again
    assert not capsys.readouterr().err


def test_a_repeated_option_adds_columns(file: Path, tmp_path: Path) -> None:
    """As `--by backbone seed` does; the last one alone would leave the others out without a word."""
    load_runs(file, required=[]).assign(half=lambda t: t["trial"] % 2).to_csv(tmp_path / "results.csv", index=False)
    command = [str(tmp_path / "results.csv"), "--x", "n_labels", "--y", "acc", "--out", str(tmp_path / "page.html")]
    assert main([*command, "--by", "backbone", "--by", "half"]) == 0
    assert "acc against n_labels by backbone and half" in (tmp_path / "page.html").read_text()


def test_a_table_without_seeds_groups_or_enough_sizes_still_has_its_page(tmp_path: Path) -> None:
    table = results(seeds=1).query("n_labels <= 200 and backbone == 'vit'")[["n_labels", "acc"]]
    table.to_csv(tmp_path / "small.csv", index=False)
    page = compose_table(read_question(tmp_path / "small.csv", x="n_labels", y="acc"))
    assert page.sections[0].figures[0].notes
    assert "No column tells repeated runs apart" in " ".join(page.remarks)
    assert "acc is given at only 2 distinct n_labels" in paragraphs(page, "decisions")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--x", "n_label", "--y", "acc"], "has no column 'n_label' (did you mean 'n_labels'?): add it, or name another."),
        (["--x", "n_labels", "--y", "backbone"], "column 'backbone', row 0: 'resnet' is not a number"),
        (["--x", "n_labels", "--y", "acc", "--by", "acc"], "The column 'acc' is named twice"),
        (["--x", "n_labels"], "Name the columns of the table with --x and --y"),
        (["--columns", "finetune_images=labels"], "has no column 'labels'"),
        (["--columns", "n_labels"], "is not of the form ours=theirs"),
        (["--columns", "seed=trial,accuracy=trial"], "the column 'trial' of"),
    ],
)
def test_a_wrong_call_is_one_sentence_that_names_the_column(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert main([str(file), *options, "--out", str(tmp_path / "out.html")]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out.html").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("n_labels,acc\n100,0.5\n", "has one row with a finite 'n_labels' and 'acc'"),
        ("n_labels,acc,acc\n100,0.5,0.5\n", "has two columns 'acc'"),
        ("n_labels,acc\n100,0.5\n100,0.6\n", "The column 'n_labels' of"),
        ("n_labels,acc\n", "holds no rows"),
    ],
)
def test_a_table_that_cannot_be_reported_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert main([str(tmp_path / "t.csv"), "--x", "n_labels", "--y", "acc", "--out", str(tmp_path / "out.html")]) == 2
    assert sentence in capsys.readouterr().err


def test_the_command_writes_a_page_and_names_itself(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.html"
    assert main([str(file), "--x", "n_labels", "--y", "acc", "--by", "backbone", "--seed", "trial", "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert "python -m reports.build results.csv --x n_labels --y acc --by backbone --seed trial" in text
    assert "http://" not in re.sub(r"http://www\.w3\.org/\S*", "", text[: text.index("figure-specifications")])


def test_x_and_y_are_replaced_as_words_alone(file: Path) -> None:
    question = read_question(file, x="n_labels", y="acc")
    assert named("from x = 3 on, extra y of 0.1 e^x", question) == "From n_labels = 3 on, extra acc of 0.1 e^n_labels."
    assert named("x = 1.5e+07", question) == "n_labels = 15,000,000."


def test_the_first_screen_says_what_moved_the_score(page: Page) -> None:
    screen = page.screen
    assert screen is not None
    assert screen.sentence.startswith("16 times more n_labels raised acc by 0.")
    assert len(screen.sentence.split()) <= 25
    assert screen.scaling is not None
    assert screen.scaling.claim == "Backbone vit instead of resnet raises acc at every size"
    ends = screen.scaling.panels[0].alternative
    assert "vit: 0.8" in ends
    assert "at 1,600 n_labels" in ends
    assert screen.moved is not None
    headlines = [one.headline for one in screen.verdicts]
    assert [one.verdict for one in screen.verdicts] == ["supported", "supported"]
    assert headlines[1].startswith("Backbone vit instead of resnet raises acc by 0.0")
    assert all("raises" in one or "raise " in one for one in headlines)
    assert "cells (all other settings equal), 3 seeds" in screen.verdicts[0].detail
    assert screen.counts == (("supported", 2), ("open", 0))
    assert (screen.strip[0].term, screen.strip[0].text) == ("30", "rows")
    there = {f"#{section.identity}" for section in page.sections}
    assert {address for _, address in screen.links} <= there


def test_a_column_that_makes_no_difference_is_told_to_be_open(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    table = results()
    table.loc[table["backbone"] == "vit", "acc"] -= GAIN
    table["acc"] += 0.004 * random.standard_normal(len(table))
    table.to_csv(tmp_path / "equal.csv", index=False)
    screen = compose_table(read_question(tmp_path / "equal.csv", x="n_labels", y="acc", by=["backbone"], seed="trial")).screen
    assert screen is not None
    one = next(one for one in screen.verdicts if "ackbone" in one.headline)
    assert one.verdict == "open"
    assert one.headline.startswith("Whether backbone ")
    assert one.headline.endswith(" cannot be told.")
    assert one.detail.startswith("The data allow")
    assert screen.scaling is not None
    assert screen.scaling.claim == "Backbone vit instead of resnet: no difference that 3 seeds can tell"


@pytest.mark.parametrize(
    "names",
    [{"n_labels": "n"}, {"n_labels": "group"}, {"n_labels": "arm"}, {"backbone": "group"}, {"backbone": "unit"}, {"backbone": "treatment"}],
)
def test_columns_may_be_named_as_those_that_the_page_makes(names: dict[str, str], file: Path, page: Page, tmp_path: Path) -> None:
    results().assign(seed=7).rename(columns=names).to_csv(tmp_path / "results.csv", index=False)
    x, by = (names.get(name, name) for name in ("n_labels", "backbone"))
    found = compose_table(read_question(tmp_path / "results.csv", x=x, y="acc", by=[by], seed="trial"))
    assert [len(figure.tables) for figure in found.figures] == [len(figure.tables) for figure in page.figures]
    means = next(table for figure in found.figures for table in figure.tables if table.caption.startswith("Mean acc"))
    assert [cell.text for cell in means.headings[:3]] == ["group (report)" if x == "group" else "group", x, "n (report)" if x == "n" else "n"]
    assert "over 15 pairs" in paragraphs(found, "tests")


def test_a_column_seed_cannot_be_x_beside_another_column_of_seeds(tmp_path: Path) -> None:
    results().rename(columns={"n_labels": "seed"}).to_csv(tmp_path / "results.csv", index=False)
    with pytest.raises(ReportError, match=r"The column 'seed' of .* is named as x, y or by, and 'trial' as the seeds: give 'seed' another name"):
        read_question(tmp_path / "results.csv", x="seed", y="acc", by=["backbone"], seed="trial")


def crossing(seeds: int = 3) -> pd.DataFrame:
    """Percent: the small model is 6 better with the fewest images, and 6 worse with the most."""
    random = np.random.default_rng(3)
    rows = [
        (n, model, seed, 40.0 + 12.0 * place + sign * (6.0 - 6.0 * place) + random.normal(0, 0.3))
        for model, sign in (("large", -0.5), ("small", 0.5))
        for place, n in ((0, 1_000), (1, 10_000), (2, 100_000))
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["images", "model", "seed", "top1"])


def test_an_effect_of_either_sign_is_given_by_level_and_never_called_no_difference(tmp_path: Path) -> None:
    crossing().to_csv(tmp_path / "crossing.csv", index=False)
    page = compose_table(read_question(tmp_path / "crossing.csv", x="images", y="top1", by=["model"]))
    screen = page.screen
    assert screen is not None
    assert screen.scaling is not None
    assert screen.scaling.claim == "small has the higher top1 at 1,000 images, large at 100,000"
    assert "model small instead of large raised top1" in screen.sentence
    assert "at 1,000 images and lowered it" in screen.sentence
    assert re.search(r"^A hundred times more images raised top1 by 2\d\.\d\d;", screen.sentence)
    model = next(one for one in screen.verdicts if one.headline.startswith("Model"))
    assert model.verdict == "supported"
    assert re.search(r"changes top1, not alike everywhere: \+[56]\.\d+ at 1,000 images, .*−[56]\.\d+ at 100,000 images; on average", model.headline)


def test_one_wrong_run_is_named_where_it_hides_every_effect(tmp_path: Path) -> None:
    table = results(2)
    table.loc[1, "acc"] = 9.0
    table.to_csv(tmp_path / "odd.csv", index=False)
    page = compose_table(read_question(tmp_path / "odd.csv", x="n_labels", y="acc", by=["backbone"], seed="trial"))
    assert page.screen is not None
    assert re.search(r"equal runs give 0\.\d+ and 9\.000: check them first\.", page.screen.sentence)
    assert "The runs of one cell (n_labels 100, backbone resnet) lie far apart" in page.remarks[0]


def two_seeds(folder: Path) -> Page:
    """Percent over five sizes: two backbones crossed with two recipes, two seeds."""
    random = np.random.default_rng(1)
    rows = [
        (n, backbone, recipe, seed, 88.0 - 40.0 * (n / 1e5) ** -0.25 + 3.0 * (backbone == "vit") + recipe / 1e5 + random.normal(0, 0.4))
        for n in (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
        for backbone in ("resnet", "vit")
        for recipe in (10_000, 100_000)
        for seed in range(2)
    ]
    pd.DataFrame(rows, columns=["images", "backbone", "recipe", "seed", "top1"]).to_csv(folder / "two.csv", index=False)
    return compose_table(read_question(folder / "two.csv", x="images", y="top1", by=["backbone", "recipe"]))


def rows_of(page: Page, section: str, caption: str) -> list[dict[str, str]]:
    """The rows of the first table whose caption begins so."""
    table = next(one for one in next(part for part in page.sections if part.identity == section).tables if one.caption.startswith(caption))
    return [{heading.text: cell.text for heading, cell in zip(table.headings, row, strict=True)} for row in table.rows]


def test_with_two_seeds_decisions_have_intervals_and_a_caution(tmp_path: Path) -> None:
    page = two_seeds(tmp_path)
    assert paragraphs(page, "decisions").startswith("2 seeds are too few to tell what rows of one seed share")
    said = paragraphs(page, "decisions-in-sentences")
    assert "on, another doubling of images gains less" in said or "another doubling of images gains more" in said
    assert not re.search(r"paired|cluster|for for|no interval|_fit\b", said)
    assert any(re.search(r"[\d,]+ (to [\d,]+|or more)", row["95% interval"]) for row in rows_of(page, "decisions", "From where on"))


def test_groups_are_weighed_against_the_first_that_differs_in_one_column(tmp_path: Path) -> None:
    page = two_seeds(tmp_path)
    weighed = [(row["compared"], row["at"]) for row in rows_of(page, "decisions", "How many times")]
    backbone = [("vit against resnet", f"recipe {one}") for one in ("10,000", "100,000")]
    assert weighed[:2] == backbone
    assert [at for _, at in weighed[2:]] == ["resnet", "vit"]
    assert all(compared in ("recipe 100,000 against 10,000", "recipe 10,000 against 100,000") for compared, _ in weighed[2:])
    assert paragraphs(page, "decisions-in-sentences").count(" against ") == 4


def test_where_more_stops_paying_beyond_the_data_is_no_number(tmp_path: Path) -> None:
    """A loss over tokens that falls on: its law puts the point where another doubling gains too little
    at a trillion times the data.
    """
    random = np.random.default_rng(4)
    rows = [
        (tokens, optimizer, (1.7 + 420.0 / (tokens * better) ** 0.28) * np.exp(random.normal(0, 0.002)))
        for optimizer, better in (("adamw", 1.0), ("muon", 1e3))
        for tokens in (4e8, 1.6e9, 6.4e9, 2.5e10)
    ]
    pd.DataFrame(rows, columns=["tokens", "optimizer", "val_loss"]).to_csv(tmp_path / "lm.csv", index=False)
    page = compose_table(read_question(tmp_path / "lm.csv", x="tokens", y="val_loss", by=["optimizer"]))
    stops = rows_of(page, "decisions", "From where on")
    assert [row["group"] for row in stops] == ["adamw", "muon"]
    assert {row["stops paying at tokens"] for row in stops} <= {"beyond the data (largest: 25,000,000,000)", "–"}
    assert all(row["last doubling of tokens gained"].startswith("0.") for row in stops)
    worth = rows_of(page, "decisions", "How many times")
    assert [(row["compared"], row["times the tokens"]) for row in worth] == [("muon against adamw", "beyond the data (largest: 25,000,000,000)")]
    said = paragraphs(page, "decisions") + paragraphs(page, "decisions-in-sentences")
    sizes = [float(one.replace(",", "")) for one in re.findall(r"\d{1,3}(?:,\d{3})+", said)]
    assert max(sizes) <= 4 * 2.5e10
    assert "noise of one run" not in said  # no run is repeated: what is known is how rows scatter around a law
    assert "scatter of rows around the law" in said
    assert len(paragraphs(page, "decisions").split("\n")) == 2  # one lead and one suggestion of next runs


def test_the_noise_of_one_run_is_that_between_repeats_everywhere(tmp_path: Path) -> None:
    """Of a law that misses the points the residuals are ten times as large, and are no noise."""
    random = np.random.default_rng(6)
    rows = [
        (n, model, seed, y + (0.06 if model == "a" and n == 400 else 0.0) + random.normal(0, NOISE))
        for model in ("a", "b")
        for n, y in zip(SIZES, (0.3, 0.45, 0.55, 0.62, 0.67), strict=True)
        for seed in range(3)
    ]
    pd.DataFrame(rows, columns=["n_labels", "model", "seed", "acc"]).to_csv(tmp_path / "bump.csv", index=False)
    question = read_question(tmp_path / "bump.csv", x="n_labels", y="acc", by=["model"])
    page = compose_table(question)
    sd = main_effects(question.runs, outcome="acc", axes=["n_labels", "model"]).noise_sd
    assert sd == pytest.approx(NOISE, rel=0.4)
    assert page.screen is not None
    assert page.screen.moved is not None
    assert f"noise between runs, ±{sd:.3f}" in page.screen.moved.subtitle
    said = paragraphs(page, "decisions-in-sentences").split("\n")
    assert all(
        f"the noise of one run, {digits(sd)} of acc (the standard deviation between repeats" in line for line in said if " against " not in line
    )
    assert "residual" not in " ".join(said)


def test_a_group_that_no_law_forecasts_is_said_in_words_of_the_table(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    scores = 70.0 + random.normal(0, 0.8, 15)
    rows = [(n, seed, scores[3 * place + seed]) for place, n in enumerate((1e3, 3e3, 1e4, 3e4, 1e5)) for seed in range(3)]
    pd.DataFrame(rows, columns=["images", "seed", "top1"]).to_csv(tmp_path / "flat.csv", index=False)
    said = paragraphs(compose_table(read_question(tmp_path / "flat.csv", x="images", y="top1")), "decisions")
    assert said == "No law forecasts top1 better than its last value, so no decision about images follows."


def test_the_plot_of_two_seeds_promises_no_band_and_shows_where_a_line_goes(tmp_path: Path) -> None:
    page = two_seeds(tmp_path)
    assert page.screen is not None
    assert page.screen.scaling is not None
    assert page.screen.scaling.subtitle.endswith("Line: power law, dashed beyond the data. A band takes three seeds or more.")
    chart = next(one for one in page.sections if one.identity == "scores").figures[0].panels[0].chart.to_dict()
    domain = next(layer["encoding"]["y"]["scale"]["domain"] for layer in chart["layer"] if "scale" in layer.get("encoding", {}).get("y", {}))
    rows = [row for table in chart["datasets"].values() for row in table if row.get("extrapolated") is True]
    assert rows
    assert max(row["mean"] for row in rows) <= domain[1]


def test_a_band_of_any_width_leaves_the_points_in_sight(tmp_path: Path) -> None:
    table = results(2)
    table.loc[1, "acc"] = 0.001
    table.to_csv(tmp_path / "odd.csv", index=False)
    page = compose_table(read_question(tmp_path / "odd.csv", x="n_labels", y="acc", by=["backbone"], seed="trial"))
    chart = next(one for one in page.sections if one.identity == "scores").figures[0].panels[0].chart.to_dict()
    low, high = next(layer["encoding"]["y"]["scale"]["domain"] for layer in chart["layer"] if "scale" in layer.get("encoding", {}).get("y", {}))
    assert high - low < 2 * (table["acc"].max() - table["acc"].min())


def test_a_title_over_crossing_errors_does_not_call_the_worse_one_better(tmp_path: Path) -> None:
    """A higher error is no higher score."""
    table = crossing()
    table.assign(error=100.0 - table["top1"]).drop(columns="top1").to_csv(tmp_path / "errors.csv", index=False)
    screen = compose_table(read_question(tmp_path / "errors.csv", x="images", y="error", by=["model"])).screen
    assert screen is not None
    assert screen.scaling is not None
    assert screen.scaling.claim == "large has the higher error at 1,000 images, small at 100,000"
