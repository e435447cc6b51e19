import dataclasses
import json
import math

import numpy as np
import pytest

from analysis import AnalysisError, Fit, fit
from analysis.decisions import exchange_rate, speed_up

LABELS = np.geomspace(100.0, 6400.0, 7)
SCRATCH, PRETRAINED = (0.80, -2.0, 0.40), (0.80, -0.9, 0.33)


def score(params: tuple[float, float, float], x: np.ndarray) -> np.ndarray:
    return params[0] + params[1] * x ** -params[2]


def labels_for(params: tuple[float, float, float], y: float) -> float:
    return float(((y - params[0]) / params[1]) ** (-1.0 / params[2]))


def curve(params: tuple[float, float, float], *, seed: int | None = None, noise: float = 0.004) -> Fit:
    y = score(params, LABELS)
    return fit(LABELS, y if seed is None else y + noise * np.random.default_rng(seed).standard_normal(len(y)), loss="squared")


def clustered(params: tuple[float, float, float], luck: np.ndarray, random: np.random.Generator) -> Fit:
    x = LABELS[::2]
    y = score(params, x) + luck[:, None] + 0.004 * random.standard_normal((len(luck), len(x)))
    return fit(np.tile(x, len(luck)), y.ravel(), loss="squared", cluster=np.repeat(np.arange(len(luck)), len(x)))


def test_labels_saved_follow_from_both_curves() -> None:
    rate = exchange_rate(curve(PRETRAINED), curve(SCRATCH), 400.0)
    there = labels_for(SCRATCH, float(score(PRETRAINED, np.array([400.0]))[0]))
    assert rate.matched_x == pytest.approx(there, rel=1e-5)
    assert rate.extra == pytest.approx(there - 400.0, rel=1e-4)
    assert rate.ratio == pytest.approx(there / 400.0, rel=1e-5)
    assert (rate.status, rate.extrapolated, rate.better) == ("found", False, "higher")


def test_a_curve_is_worth_itself_and_a_loss_is_exchanged_like_a_score() -> None:
    noisy = curve(SCRATCH, seed=1)
    same = exchange_rate(noisy, noisy, 500.0)
    assert same.ratio == pytest.approx(1.0, rel=1e-6)
    assert same.interval is not None
    assert same.interval[0] < 500.0 < same.interval[1]
    assert "does not exclude that it is worth nothing" in same.sentence()
    errors = [fit(LABELS, 1.0 - score(params, LABELS), loss="squared") for params in (PRETRAINED, SCRATCH)]
    rate = exchange_rate(errors[0], errors[1], 400.0)
    assert rate.better == "lower"
    assert rate.ratio == pytest.approx(exchange_rate(curve(PRETRAINED), curve(SCRATCH), 400.0).ratio, rel=1e-4)


def test_a_ceiling_below_is_never_made_up_for() -> None:
    low_ceiling = curve((0.60, -2.0, 0.5), seed=2, noise=0.001)
    rate = exchange_rate(curve(PRETRAINED, seed=3, noise=0.001), low_ceiling, 6400.0)
    assert rate.status == "never"
    assert math.isinf(rate.matched_x)
    assert rate.interval is not None
    assert math.isinf(rate.interval[1])
    assert "which no x without it gives, for that curve levels off before" in rate.sentence()
    written = json.loads(rate.to_json())
    assert (written["matched_x"], written["status"]) == (None, "never")


def test_an_advantage_that_harms_is_worth_less_than_nothing() -> None:
    rate = exchange_rate(curve(SCRATCH), curve(PRETRAINED), 400.0)
    assert rate.extra < 0
    assert rate.ratio < 1
    worse = fit(LABELS, score((-3.0, -0.9, 0.3), LABELS), loss="squared")
    limited = fit(LABELS, 0.2 + 0.6 / (1.0 + (LABELS / 500.0) ** -2.0), law="mmf", loss="squared")
    harmed = exchange_rate(worse, limited, 400.0)
    assert harmed.status == "below"
    assert "worse than the curve without it at any x: it harms" in harmed.sentence()


def test_a_speed_up_is_the_ratio_of_x_for_one_y() -> None:
    a, b = curve(PRETRAINED), curve(SCRATCH)
    fast = speed_up(a, b, at_y=0.65)
    assert fast.ratio == pytest.approx(labels_for(SCRATCH, 0.65) / labels_for(PRETRAINED, 0.65), rel=1e-5)
    assert fast.ratio * speed_up(b, a, at_y=0.65).ratio == pytest.approx(1.0, rel=1e-5)
    assert speed_up(a, b, at_x=400.0).ratio == pytest.approx(exchange_rate(a, b, 400.0).ratio)


def test_swapping_arms_inverts_the_interval() -> None:
    a, b = curve(PRETRAINED, seed=4), curve(SCRATCH, seed=5)
    one, other = speed_up(a, b, at_y=0.6).interval, speed_up(b, a, at_y=0.6).interval
    assert one is not None
    assert other is not None
    assert one == pytest.approx((1 / other[1], 1 / other[0]), rel=1e-6)


def test_a_y_beyond_an_arm_gives_a_bound_on_one_side_alone() -> None:
    short = curve((0.60, -2.0, 0.5), seed=2, noise=0.001)
    fast = speed_up(curve(PRETRAINED, seed=3, noise=0.001), short, at_y=0.7)
    assert (fast.status, fast.ratio) == ("b never", math.inf)
    assert fast.interval is not None
    assert fast.interval[0] > 1.0
    assert math.isinf(fast.interval[1])
    neither = speed_up(short, short, at_y=0.99)
    assert (neither.status, neither.interval) == ("neither", None)
    assert "reached by neither arm" in neither.sentence()


def test_pairing_takes_out_the_luck_that_both_curves_share() -> None:
    random = np.random.default_rng(0)
    luck = 0.02 * random.standard_normal(8)
    arms = clustered(PRETRAINED, luck, random), clustered(SCRATCH, luck, random)
    widths = [np.diff(np.log(exchange_rate(*arms, 400.0, paired=paired).interval or ()))[0] for paired in (False, True)]
    assert widths[1] < 0.5 * widths[0]
    widths = [np.diff(np.log(speed_up(*arms, at_y=0.65, paired=paired).interval or ()))[0] for paired in (False, True)]
    assert widths[1] < 0.5 * widths[0]


@pytest.mark.parametrize(("shared", "paired"), [(True, True), (False, False)])
def test_intervals_cover_the_labels_saved_and_the_speed_up(shared: bool, paired: bool) -> None:
    random = np.random.default_rng(1)
    truths = labels_for(SCRATCH, float(score(PRETRAINED, np.array([400.0]))[0])), labels_for(SCRATCH, 0.65) / labels_for(PRETRAINED, 0.65)
    held = np.zeros(2)
    for _ in range(60):
        luck = 0.01 * random.standard_normal((2, 6))
        a, b = clustered(PRETRAINED, luck[0], random), clustered(SCRATCH, luck[0 if shared else 1], random)
        intervals = exchange_rate(a, b, 400.0, paired=paired).interval, speed_up(a, b, at_y=0.65, paired=paired).interval
        held += [interval is not None and interval[0] <= truth <= interval[1] for interval, truth in zip(intervals, truths, strict=True)]
    assert np.all(held / 60 >= 0.82), held / 60  # two standard errors below 90%
    assert paired is False or np.all(held / 60 <= 0.98), held / 60


def named(truth, names: list[str], *, order: list[int] | None = None, seed: int = 0, luck_sd: float = 0.02, noise: float = 0.004) -> Fit:
    """Four numbers of labels for each seed; the luck of a seed hangs on its name alone."""
    x = LABELS[::2]
    random = np.random.default_rng(seed)
    runs = {name: truth(x) + luck_sd * np.random.default_rng(int(name[1:])).standard_normal() + noise * random.standard_normal(4) for name in names}
    ordered = [names[place] for place in order] if order else names
    return fit(np.tile(x, len(names)), np.concatenate([runs[name] for name in ordered]), loss="squared", cluster=np.repeat(ordered, 4))


def scratch(x: np.ndarray) -> np.ndarray:
    return score(SCRATCH, x)


def pretrained(x: np.ndarray) -> np.ndarray:
    return score(PRETRAINED, x)


def test_curves_of_the_same_seeds_are_paired_unless_told_otherwise_whatever_their_order() -> None:
    names = [f"s{number}" for number in range(6)]
    a, b = named(pretrained, names, seed=1), named(scratch, names, seed=2)
    other = named(scratch, names, seed=2, order=[3, 1, 5, 0, 2, 4])
    default, apart = exchange_rate(a, b, 400.0), exchange_rate(a, b, 400.0, paired=False)
    assert default.paired
    assert default.interval == exchange_rate(a, b, 400.0, paired=True).interval
    assert exchange_rate(a, other, 400.0).interval == pytest.approx(default.interval, rel=1e-6)
    assert speed_up(a, b, at_y=0.65).interval == speed_up(a, b, at_y=0.65, paired=True).interval
    assert speed_up(a, other, at_y=0.65).interval == pytest.approx(speed_up(a, b, at_y=0.65).interval, rel=1e-6)
    assert default.interval is not None
    assert apart.interval is not None
    assert default.interval[1] / default.interval[0] < apart.interval[1] / apart.interval[0]
    strangers = named(scratch, [f"s{number}" for number in range(10, 16)], seed=2)
    assert not exchange_rate(a, strangers, 400.0).paired
    assert "independent" in exchange_rate(a, strangers, 400.0).method
    assert not exchange_rate(curve(PRETRAINED, seed=1), curve(SCRATCH, seed=2), 400.0).paired


def test_where_a_law_is_wrong_the_interval_still_holds_the_truth() -> None:
    def waved(x: np.ndarray) -> np.ndarray:
        return scratch(x) + 0.01 * np.sin(2.2 * np.log(x))

    x = np.geomspace(100.0, 50_000.0, 400_001)
    truth = float(x[np.argmax(waved(x) >= float(pretrained(np.array([400.0]))[0]))])
    random, at = np.random.default_rng(0), np.geomspace(100.0, 6400.0, 5)
    held = np.zeros(2)
    for _ in range(40):
        luck = 0.01 * random.standard_normal((5, 1))
        a, b = (
            fit(np.tile(at, 5), (law(at) + luck + 0.004 * random.standard_normal((5, 5))).ravel(), loss="squared", cluster=np.repeat(np.arange(5), 5))
            for law in (pretrained, waved)
        )
        believed = [dataclasses.replace(one, cluster=None) for one in (a, b)]
        for place, interval in enumerate((exchange_rate(a, b, 400.0).interval, exchange_rate(*believed, 400.0, paired=True).interval)):
            held[place] += interval is not None and interval[0] <= truth <= interval[1]
    assert held[0] / 40 >= 0.8
    assert held[1] / 40 < 0.6


def test_an_interval_holds_its_own_answer() -> None:
    rate = exchange_rate(named(pretrained, ["s1", "s2", "s3", "s4"], seed=5), named(scratch, ["s1", "s2", "s3", "s4"], seed=6), 400.0)
    assert rate.interval is not None
    assert rate.interval[0] <= rate.matched_x <= rate.interval[1]
    assert rate.method.endswith("of the curves corrected by the means at the measured x, and extended to hold the answer of the laws")


def test_a_sentence_says_first_that_a_rate_is_not_identified_and_ends_with_its_cautions() -> None:
    random = np.random.default_rng(3)
    flat = [fit(LABELS, 0.6 + 0.02 * random.standard_normal(len(LABELS)) + 1e-4 * np.log(LABELS), loss="squared") for _ in range(2)]
    rate = exchange_rate(*flat, 800.0, better="higher")
    assert rate.not_identified
    assert rate.sentence().startswith("Not identified: ")
    assert rate.cautions
    assert all(f"Caution: {caution.rstrip('.')}." in rate.sentence() for caution in rate.cautions)
    assert "with_fit" not in rate.sentence()
    sure = exchange_rate(curve(PRETRAINED, seed=6), curve(SCRATCH, seed=7), 400.0)
    assert sure.not_identified == ""
    assert sure.sentence().startswith("x = 400")


def test_a_law_that_misses_repeated_means_is_cautioned() -> None:
    random = np.random.default_rng(4)
    x = np.tile(np.geomspace(100.0, 6400.0, 7), 3)
    wrong = fit(x, 0.45 + 0.33 / (1.0 + (x / 700.0) ** -3.0) + 0.003 * random.standard_normal(len(x)), loss="squared")
    right = fit(x, pretrained(x) + 0.003 * random.standard_normal(len(x)), loss="squared")
    said = exchange_rate(right, wrong, 400.0).sentence()
    assert "Caution: the curve without it misses the means at repeated x (p < 0.001), so the interval is too narrow." in said


def test_a_fit_keeps_the_names_of_its_clusters_in_json_and_files_without_them_are_read() -> None:
    one = named(scratch, ["s1", "s2", "s3"], seed=1)
    assert one.cluster is not None
    assert one.cluster[:4] == ("s1",) * 4
    assert Fit.from_json(one.to_json()).cluster == one.cluster
    older = json.loads(one.to_json())
    del older["cluster"]
    assert Fit.from_json(json.dumps(older)).cluster is None


def test_a_figure_gets_the_exchange_over_all_measured_x() -> None:
    table = exchange_rate(curve(PRETRAINED, seed=6), curve(SCRATCH, seed=7), 400.0).plot_data(points=5)
    assert list(table) == ["x", "y", "matched_x", "low", "high", "extra", "ratio", "status", "extrapolated"]
    assert ((table["low"] < table["matched_x"]) & (table["matched_x"] < table["high"])).all()


def test_wrong_fits_and_settings_are_refused_in_a_sentence() -> None:
    a, b = curve(PRETRAINED, seed=1), curve(SCRATCH, seed=2)
    falling = fit(LABELS, 1.0 - score(SCRATCH, LABELS), loss="squared")
    other_level = fit(LABELS, np.array(b.y), loss="squared", level=0.9)
    random = np.random.default_rng(3)
    five, six = (clustered(SCRATCH, 0.01 * random.standard_normal(count), random) for count in (5, 6))
    for call, message in (
        (lambda: exchange_rate(a, falling, 400.0), "y rises with x in with_fit and falls in without_fit: give both the same measure"),
        (lambda: exchange_rate(a, other_level, 400.0), r"with_fit have level 0\.95 and those of without_fit 0\.9: fit both with one level"),
        (lambda: exchange_rate(a, b, -1.0), "at_x is -1: give an x above zero"),
        (lambda: exchange_rate(a, "b", 1.0), r"without_fit is a str; this needs what analysis.fit returns, such as fit\(table"),  # type: ignore[arg-type]
        (lambda: exchange_rate(a, {"b": a}, 1.0), r"without_fit holds the fits of several groups: take one, such as fits\['b'\]"),  # type: ignore[arg-type]
        (lambda: exchange_rate(a, b, 400.0, paired=True), "paired=True needs both curves fitted with cluster="),
        (lambda: exchange_rate(five, six, 400.0, paired=True), "same clusters in both curves, in the same order, and they have 6 and 5|5 and 6"),
        (lambda: speed_up(a, b), "give exactly one of at_y"),
        (lambda: speed_up(a, b, at_y=math.inf), "at_y is inf: give a finite value of y"),
    ):
        with pytest.raises(AnalysisError, match=message):
            call()
