"""The first screen: what it says, that it fits, and that shuffled scores name nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser

from analysis import load_runs, main_effects
from reports.charts.first_screen import apart
from reports.first_screen.bands import without_bands_as_wide_as_the_plot
from reports.first_screen.groups import SCRATCH_NAME
from reports.first_screen.levels import level_name, sentence_of
from reports.first_screen.moved import moved_figure, seed_effects
from reports.first_screen.scaling import claim_of, scaling_figure, scaling_of
from reports.report import build_report, compose
from reports.report_data import read_study
from reports.score import score_of
from reports.theme import are_ordered, specification
from tests.reports.visit import Visit

STUDIES = Path(__file__).resolve().parents[2] / "studies"
OPEN_WORDS = "() => document.body.innerText.split(/\\s+/).filter(Boolean).length"
HEIGHT = "() => document.documentElement.scrollHeight"
PLOT = """() => {
  const box = document.querySelector("#scaling-plot svg").getBoundingClientRect(), strip = document.querySelector("#strip").getBoundingClientRect();
  const before = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode;
    if (document.querySelector("#scaling-plot").compareDocumentPosition(node) & Node.DOCUMENT_POSITION_PRECEDING) {
      if (node.parentElement.checkVisibility() && !node.parentElement.closest(".skip, script, style, noscript")) before.push(node.data);
    }
  }
  const words = before.join(" ").split(/\\s+/).filter(Boolean).length;
  return {top: box.top, bottom: box.bottom, width: box.width, strip: strip.bottom, words};
}"""


def runs_of(study: Path) -> pd.DataFrame:
    return load_runs(study)


@pytest.fixture(scope="module")
def small_page(full_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like the quickstart: two pre-training sizes and scratch, with and without a stage, four
    numbers of labels, three seeds, pictures.
    """
    return build_report(full_study, tmp_path_factory.mktemp("screen") / "report.html")


@pytest.mark.parametrize(("width", "height", "words"), [(1440, 900, 110), (390, 844, 110)])
def test_the_scaling_plot_stands_on_the_first_screen(small_page: Path, browser: Browser, width: int, height: int, words: int) -> None:
    opened = Visit.to(small_page, browser)
    opened.page.set_viewport_size({"width": width, "height": height})
    opened.page.wait_for_function(f"() => document.querySelector('#scaling-plot svg').getBoundingClientRect().width <= {width}")
    found = opened.ask(PLOT)
    opened.page.context.close()
    assert 0 < found["top"] < 0.6 * height
    if width == 1440:
        assert found["bottom"] < height
        assert found["strip"] < height + 60  # a machine with wider fonts may break one line more
    assert found["width"] > 300
    assert found["words"] < words


def test_the_page_is_short_until_something_is_opened(small_page: Path, browser: Browser) -> None:
    opened = Visit.to(small_page, browser)
    height, words = opened.ask(HEIGHT), opened.ask(OPEN_WORDS)
    cards = opened.ask("() => [...document.querySelectorAll('details')].map((one) => { one.open = one.classList.contains('fold'); })")
    lines = opened.ask("() => [...document.querySelectorAll('.statement > summary')].map((one) => one.getBoundingClientRect().height)")
    opened.page.context.close()
    assert height < 9000
    assert words < 2500
    assert cards
    assert len(lines) > 5
    assert np.median(lines) < 60  # a headline and a line of numbers


def test_a_phone_gets_a_chart_of_its_own_and_a_wide_page_the_wide_one_again(small_page: Path, browser: Browser) -> None:
    opened = Visit.to(small_page, browser)
    inner = "() => document.querySelector('#scaling-plot svg').viewBox.baseVal.width"
    wide = opened.ask(inner)
    opened.page.set_viewport_size({"width": 390, "height": 844})
    opened.page.wait_for_function(f"() => document.querySelector('#scaling-plot svg').viewBox.baseVal.width < {wide / 1.5}")
    assert opened.ask("() => document.querySelector('#scaling-plot svg').getBoundingClientRect().width") <= 358
    opened.page.set_viewport_size({"width": 1440, "height": 900})
    opened.page.wait_for_function(f"() => document.querySelector('#scaling-plot svg').viewBox.baseVal.width === {wide}")
    assert opened.complaints == []
    opened.page.context.close()


def test_the_first_screen_holds_the_answer(full_study: Path) -> None:
    page = compose(read_study(full_study))
    screen = page.screen
    assert screen is not None
    assert screen.sentence == sentence_of(main_effects(runs_of(full_study)))
    assert len(screen.sentence.split()) <= 25
    assert screen.scaling is not None
    assert screen.moved is not None
    assert len(screen.scaling.claim.split()) < 14
    assert len(screen.verdicts) == 3
    assert all(one.headline and one.detail for one in screen.verdicts)
    assert sum(number for _, number in screen.counts) >= 8
    assert screen.share_done == 1.0
    assert [fact.term for fact in screen.strip][:1] == ["72"]
    assert {address for _, address in screen.links} == {"#runs", "#provenance", "#claims"}


def test_scores_that_are_shuffled_name_nothing(full_study: Path) -> None:
    runs = runs_of(full_study)
    named = 0
    for seed in range(10):
        shuffled = runs.assign(miou=np.random.default_rng(seed).permutation(runs["miou"].to_numpy()))
        effects = main_effects(shuffled)
        sentence = sentence_of(effects)
        found = bool((effects.table["p_holm"] < 0.05).any())
        named += found
        one_alone = bool((effects.table["p"] < 0.05).any())  # which the figure below draws clear of zero
        rest = " after correction over 4 settings; 5 seeds would tell 0." if one_alone else "; the data allow effects up to 0."
        assert found or sentence.startswith(f"Nothing moved mIoU by more than 3 seeds can tell from zero{rest}")
        assert sentence.startswith("Nothing") != found
        assert len(sentence.split()) <= 25
    assert named <= 2  # of ten tables at an error rate of 5%


@pytest.mark.parametrize("study", sorted(STUDIES.glob("*/runs.csv")), ids=lambda path: path.parent.name)
def test_the_sentence_calls_no_effect_a_change_that_may_be_zero(study: Path) -> None:
    effects = main_effects(load_runs(study))
    sentence = sentence_of(effects)
    assert len(sentence.split()) <= 25
    if not sentence.startswith("Nothing"):  # shortened, not cut off
        assert ("changed it by" in sentence) == ("changed it by" in effects.headline())
    undecided = {f"{row['effect']:+z.3f}" for _, row in effects.table.iterrows() if not row["p_holm"] < 0.05}
    for clause in sentence.rstrip(".").split("; "):
        if "changed it by" in clause:
            assert any(number in clause.replace("−", "-") for number in undecided)
            assert clause.endswith(("tell from zero", "which may be zero"))


def test_a_band_as_wide_as_the_plot_is_left_out_and_named(write: Callable[..., Path], tmp_path: Path) -> None:
    curves = pd.DataFrame({"group": ["a", "a", "b", "b"], "low": [-9.0, 0.1, 0.4, 0.5], "high": [9.0, 0.9, 0.6, 0.7], "extrapolated": False})
    drawn, hidden = without_bands_as_wide_as_the_plot(curves, (0.0, 1.0))
    assert hidden == ["a"]
    assert drawn["low"].isna().tolist() == [True, True, False, False]
    assert drawn.loc[2:, ["low", "high"]].equals(curves.loc[2:, ["low", "high"]])

    runs = runs_of(write(tmp_path / "two", intermediates=("none",)))
    few = sorted(runs["finetune_images"].unique())[:2]
    runs = runs[(runs["seed"] < 2) & runs["finetune_images"].isin(few)].assign(miou=lambda table: table["miou"] + 0.2 * table["seed"])
    figure = scaling_figure(runs, main_effects(runs), score_of(runs))
    assert figure is not None
    assert "Intervals as wide as the plot are not drawn: " in figure.subtitle


def test_one_law_a_level_of_the_axis_that_matters_most_and_scratch_beside_them(write: Callable[..., Path], tmp_path: Path) -> None:
    study = write(tmp_path / "lengths", lengths=("20 epochs", "100 epochs"), intermediates=("none",))
    runs = runs_of(study)
    runs["miou"] += np.where(runs["pretrain_length"] == "100 epochs", 0.1, 0.0)
    effects = main_effects(runs)
    found = scaling_of(runs, effects, score_of(runs))
    assert found is not None
    assert found.group is not None
    assert found.group.column == "pretrain_length"
    assert list(found.ends["group"]) == ["20 epochs", "100 epochs", SCRATCH_NAME]
    assert found.shade is not None
    assert found.shade.column == "pretrain_images"
    assert claim_of(found, effects, score_of(runs)) == "Longer pre-training raises mIoU at every number of labels"
    # the dots of one size stand side by side, none on another's place
    places = found.points.groupby("x")["place"].nunique()
    assert (places == 3).all()
    # and so near to their size that they are seen to belong to the line there
    measured = np.log(found.points["x"].max() / found.points["x"].min())
    assert np.abs(np.log(found.points["place"] / found.points["x"])).max() < 0.02 * measured


def of_models(write: Callable[..., Path], folder: Path, names: Sequence[str], **settings: object) -> pd.DataFrame:
    """A study of these models, each better than the one before, with and without pre-training."""
    runs = runs_of(write(folder, intermediates=("none",), **settings))
    parts = [
        runs.assign(encoder=name, encoder_params=10**6 * 2**place, miou=runs["miou"] + 0.2 * place, run_id=runs["run_id"] + f"-{place}")
        for place, name in enumerate(names)
    ]
    return pd.concat(parts, ignore_index=True)


def test_each_model_has_a_line_from_scratch_of_its_own(write: Callable[..., Path], tmp_path: Path) -> None:
    runs = of_models(write, tmp_path / "models", ["micro/8@64", "timm:resnet18@64"])
    runs["miou"] -= np.where((runs["pretrain_images"] == 0) & (runs["encoder"] == "micro/8@64"), 0.05, 0.0)
    effects = main_effects(runs)
    found = scaling_of(runs, effects, score_of(runs))
    assert found is not None
    own = {"micro/8@64 from scratch", "timm:resnet18@64 from scratch"}
    assert set(found.colours) == {"micro/8@64", "timm:resnet18@64"} | own
    assert found.colours["micro/8@64 from scratch"] == found.colours["micro/8@64"]
    # each line is of the runs of its own model alone
    scratch = runs[(runs["pretrain_images"] == 0) & (runs["finetune_images"] == 3000)]
    ends = found.curves[(found.curves["x"] == 3000) & ~found.curves["extrapolated"].astype(bool)].set_index("group")["mean"]
    for name, part in scratch.groupby("encoder"):
        assert ends[f"{name} from scratch"] == pytest.approx(part["miou"].mean(), abs=0.02)
    assert set(found.ends["name"]) == {"micro/8@64", "timm:resnet18@64", "micro/8@64 scratch", "timm:resnet18@64 scratch"}
    figure = scaling_figure(runs, effects, score_of(runs))
    assert figure is not None
    assert "Dotted, hollow: from scratch." in figure.subtitle
    assert "together" not in figure.subtitle
    dashes = str(specification(figure.panels[0].chart))
    assert dashes.count("'strokeDash': [1.5, 3]") == 1
    assert dashes.count("'filled': False") == 1
    alone = scaling_figure(runs[runs["encoder"] == "micro/8@64"].reset_index(drop=True), None, score_of(runs))
    assert alone is not None
    assert "hollow" not in alone.subtitle


def test_lines_over_several_models_say_so(write: Callable[..., Path], tmp_path: Path) -> None:
    """The distance to a line over all models is no gain from pre-training."""
    many = of_models(write, tmp_path / "many", ["micro/8@64", "timm:resnet18@64", "swinv2-tiny/4@64", "torchvision:resnet18@64", "nano/8@64"])
    figure = scaling_figure(many, main_effects(many), score_of(many))
    assert figure is not None
    assert "The line from scratch is over every model together." in figure.subtitle
    lengths = of_models(write, tmp_path / "lengths", ["micro/8@64", "milli/8@64"], lengths=("20 epochs", "100 epochs"))
    lengths["miou"] += np.where(lengths["pretrain_length"] == "100 epochs", 0.5, 0.0)
    found, figure = scaling_of(lengths, main_effects(lengths), score_of(lengths)), scaling_figure(lengths, main_effects(lengths), score_of(lengths))
    assert found is not None
    assert figure is not None
    assert found.group is not None
    assert found.group.column == "pretrain_length"
    assert " Each line is over all models together." in figure.subtitle


def test_the_dots_from_scratch_have_the_model_that_they_had(write: Callable[..., Path], tmp_path: Path) -> None:
    runs = runs_of(write(tmp_path / "lengths", lengths=("20 epochs", "100 epochs"), intermediates=("none",)))
    runs = runs[runs["pretrain_images"].isin([0, runs["pretrain_images"].max()])].reset_index(drop=True)
    runs["miou"] += np.where(runs["pretrain_length"] == "100 epochs", 0.1, 0.0)
    other = runs.assign(encoder="small/8@64", encoder_params=11_000_000, miou=runs["miou"] + 0.01, run_id=runs["run_id"] + "-other")
    runs = pd.concat([runs, other], ignore_index=True)
    figure = scaling_figure(runs, main_effects(runs), score_of(runs))
    assert figure is not None
    dots = [" ".join(cell.text for cell in row) for row in figure.tables[0].rows]
    scratch = [row for row in dots if "from scratch" in row]
    assert scratch
    assert all(("small/8@64" in row) == ("-other" in row) for row in scratch)


def test_many_levels_get_some_laws_and_all_dots(write: Callable[..., Path], tmp_path: Path) -> None:
    study = write(tmp_path / "sizes", pretrain_sizes=(0, 500, 1000, 2000, 4000, 8000, 16000, 32000), intermediates=("none",))
    runs = runs_of(study)
    runs["miou"] += 0.03 * np.log10(1 + runs["pretrain_images"])
    found = scaling_of(runs, main_effects(runs), score_of(runs))
    assert found is not None
    assert len(found.ends) == 5
    assert {"500 images", "32,000 images", SCRATCH_NAME} <= set(found.ends["group"])
    assert len(found.points) == len(runs)


def test_a_study_without_two_numbers_of_labels_is_drawn_by_what_has_sizes(write: Callable[..., Path], tmp_path: Path) -> None:
    runs = runs_of(write(tmp_path / "one", finetune_sizes=(300,), pretrain_sizes=(500, 2000, 8000), intermediates=("none",)))
    found = scaling_of(runs, main_effects(runs), score_of(runs))
    assert found is not None
    assert found.x == "pretrain_images"
    same = runs.loc[runs["pretrain_images"] == 500]
    assert scaling_of(same, None, score_of(same)) is None


def test_the_effect_of_each_seed_averages_to_the_effect(full_study: Path) -> None:
    runs = runs_of(full_study)
    effects = main_effects(runs)
    seeds = seed_effects(effects, runs, score_of(runs))
    means = seeds.groupby("axis")["effect"].mean()
    for row in effects.table.to_dict("records"):
        assert means[row["axis"]] == pytest.approx(row["effect"], abs=1e-9)
    figure = moved_figure(effects, runs, score_of(runs))
    assert figure is not None
    spec = specification(figure.panels[0].chart)
    assert spec["width"] == 160
    drawn = [row for rows in spec["datasets"].values() for row in rows if "value" in row]
    assert {row["name"] for row in drawn} >= {"Labels", "Pre-training", "Intermediate stage"}


def test_labels_at_line_ends_keep_their_distance_and_their_order() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        wanted = rng.uniform(0, 300, size=5)
        placed = np.array(apart(list(wanted), gap=40, low=10, high=300))
        order = np.argsort(wanted)
        assert (np.diff(placed[order]) > 39.9).all()
        assert placed.min() >= 9.9
        assert placed.max() <= 300.1


@pytest.mark.parametrize(
    ("axis", "level", "short", "text"),
    [
        ("pretrain_length", "512000 images", False, "512,000 image passes"),
        ("pretrain_length", "512000 images", True, "512k passes"),
        ("pretrain_images", 20000, True, "20k images"),
        ("intermediate", "classification", False, "with classification"),
        ("encoder", "milli/8@64", False, "milli/8@64"),
    ],
)
def test_a_level_is_named_in_few_words(axis: str, level: object, short: bool, text: str) -> None:
    assert level_name(axis, level, short=short) == text


@pytest.mark.parametrize(
    ("labels", "ordered"),
    [
        (["500", "2,000"], True),
        (["2,000, 20 epochs", "20,000, 20 epochs"], True),
        (["2,000, simmim", "2,000, mae"], False),
        (["20,000", "500"], False),
        (["SwinV2-S", "SwinV2-B"], False),
    ],
)
def test_only_sizes_in_order_get_the_one_hue(labels: list[str], ordered: bool) -> None:
    assert are_ordered(labels) == ordered
