"""Error rate of p and coverage of intervals of `analysis.correlation`, beside tests that count
every run as independent.

What is estimated: sizes and label counts stay as they are and seeds are drawn anew, so the truth is
the same number over the same grid with very many seeds (10,000, simulated once for each setting).
Rejections are errors where the slope and the gain are 0 (given the size: where the slope is), and
for the difference, whose truth is 0 throughout; else they are power.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, norm, pearsonr, spearmanr

from analysis.correlation import compare_correlations
from analysis.correlation.clusters import cluster_labels
from analysis.correlation.covariates import covariates_of
from analysis.correlation.estimates import METHODS, correlation_given, ranks, ranks_inside
from analysis.correlation.overlapping import williams, zou_interval
from analysis.correlation.pairs_of_runs import pair_choices
from analysis.correlation.row import Sample, estimate_row
from analysis.significance.cluster_resampling import t_interval
from benchmarks.statistics.grids import simulate_grid

LABELS = (250, 1000, 4000)
MANY = 10_000
SETTINGS = ((3, 0.0, 0.0), (3, 0.03, 0.0), (3, 0.03, -2.0), (5, 0.0, 0.0), (5, 0.03, -2.0))  # seeds, gain, slope
X, Y = "val_mim_loss", "miou"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One estimate in one simulated study."""

    low: float
    high: float
    p: float
    naive_low: float
    naive_high: float
    naive_p: float


def run(*, simulations: int, seed: int) -> None:
    print("| seeds | gain | slope | number | truth | coverage | rejected | naive coverage | naive rejected | no interval |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    covered, errors = [], []
    for number, (seeds, gain, slope) in enumerate(SETTINGS):
        random = np.random.default_rng([seed, number])
        truth = truths(_study(random, MANY, gain, slope))
        found: dict[str, list[Seen]] = {name: [] for name in truth}
        for _ in range(simulations):
            for name, seen in measured(_study(random, seeds, gain, slope)).items():
                found[name].append(seen)
        for name, seen in found.items():
            ends = np.array([(one.low, one.high, one.p, one.naive_low, one.naive_high, one.naive_p) for one in seen])
            given = np.isfinite(ends[:, 0])
            held = float(np.mean((ends[given, 0] <= truth[name]) & (truth[name] <= ends[given, 1])))
            naive = float(np.mean((ends[:, 3] <= truth[name]) & (truth[name] <= ends[:, 4])))
            rejected, naively = float(np.mean(ends[:, 2] <= 0.05)), float(np.mean(ends[:, 5] <= 0.05))
            null = "difference" in name or (slope == 0.0 and (gain == 0.0 or "given" in name))
            covered.append(held)
            errors += [rejected] if null else []
            cells = (f"{held:.3f}", f"{rejected:.3f}{'' if null else ' (power)'}", f"{naive:.3f}", f"{naively:.3f}", f"{1.0 - given.mean():.1%}")
            print(f"| {seeds} | {gain:g} | {slope:g} | {name} | {truth[name]:.3f} | {' | '.join(cells)} |", flush=True)
    for slope in (0.0, -0.75):
        for name, (truth_of_it, seen) in single_runs(np.random.default_rng([seed, 99]), simulations, slope).items():
            held, rejected, naive, naively = (float(np.mean(column)) for column in seen.T)
            covered.append(held)
            errors += [rejected] if slope == 0.0 else []
            cells = f"{held:.3f} | {rejected:.3f}{'' if slope == 0.0 else ' (power)'} | {naive:.3f} | {naively:.3f} | 0.0%"
            print(f"| single | | {slope:g} | {name} | {truth_of_it:.3f} | {cells} |", flush=True)
    held_well = np.mean((np.array(covered) >= 0.93) & (np.array(covered) <= 0.97))
    erred_well = np.mean((np.array(errors) >= 0.04) & (np.array(errors) <= 0.06))
    print(
        f"\nCoverage lies between {min(covered):.3f} and {max(covered):.3f} ({held_well:.0%} of {len(covered)} intervals in 0.93-0.97; "
        f"two standard errors are {2.0 * np.sqrt(0.95 * 0.05 / simulations):.3f}), error rates between {min(errors):.3f} and {max(errors):.3f} "
        f"({erred_well:.0%} of {len(errors)} in 0.04-0.06). Naive: every run counted. Rejections are errors but where marked as power."
    )


def _study(random: np.random.Generator, seeds: int, gain: float, slope: float) -> pd.DataFrame:
    """The pre-trained runs. The training loss goes with the score as the validation loss does, so
    that the truth of their difference is 0.
    """
    runs = simulate_grid(random, seeds=seeds, labels=LABELS, pretraining_gain=gain, loss_slope=slope)
    runs = runs[runs["pretrain_images"] > 0].reset_index(drop=True)
    share = np.log1p(runs["pretrain_images"] / 10_000) / np.log1p(20)
    deviation = runs["train_mim_loss"] - 0.40 - 0.02 * share
    return runs.assign(train_mim_loss=0.40 - 0.02 * share + deviation, miou=runs["miou"] + slope * deviation)


def truths(runs: pd.DataFrame) -> dict[str, float]:
    """The numbers of a study with very many seeds."""
    one = runs[runs["finetune_images"] == LABELS[1]]
    x, y = one[X].to_numpy(), one[Y].to_numpy()
    design = covariates_of(one, ["pretrain_images"])
    assert design is not None
    group = pd.factorize(runs["finetune_images"])[0].astype(np.int64)
    dummies = np.eye(len(LABELS))[group]
    all_x, all_y = runs[X].to_numpy(), runs[Y].to_numpy()
    tau = float(np.mean([kendalltau(all_x[group == place], all_y[group == place]).statistic for place in range(len(LABELS))]))
    return {
        "pearson, 1,000 labels": float(np.corrcoef(x, y)[0, 1]),
        "spearman, 1,000 labels": float(np.corrcoef(ranks(x), ranks(y))[0, 1]),
        "kendall, 1,000 labels": float(kendalltau(x, y).statistic),
        "pearson, all runs": float(np.corrcoef(all_x, all_y)[0, 1]),
        "pearson, label means removed": correlation_given("pearson", all_x, all_y, dummies),
        "spearman, label means removed": correlation_given("pearson", ranks_inside(all_x, group), ranks_inside(all_y, group), dummies),
        "kendall, inside label counts": tau,
        "pearson given size, 1,000 labels": correlation_given("pearson", x, y, design.design["pearson"]),
        "spearman given size, 1,000 labels": correlation_given("spearman", x, y, design.design["spearman"]),
        "difference from training loss": 0.0,
        "ranking accuracy inside label counts": 0.5 - tau / 2.0,
    }


def measured(runs: pd.DataFrame) -> dict[str, Seen]:
    """The same numbers of a small study, with intervals and p."""
    one = runs[runs["finetune_images"] == LABELS[1]].reset_index(drop=True)
    group = pd.factorize(runs["finetune_images"])[0].astype(np.int64)
    plain, pooled = _sample(one), _sample(runs)
    grouped = replace(pooled, strata=group, levels=runs[["finetune_images"]])
    found = {f"{method}, 1,000 labels": _seen(plain, method, _naive(method, plain.x, plain.y, 0)) for method in METHODS}
    found["pearson, all runs"] = _seen(pooled, "pearson", _naive("pearson", pooled.x, pooled.y, 0))
    centred = [values - (np.bincount(group, values) / np.bincount(group))[group] for values in (pooled.x, pooled.y)]
    inside = {"pearson": "pearson, label means removed", "spearman": "spearman, label means removed", "kendall": "kendall, inside label counts"}
    for method, name in inside.items():
        found[name] = _seen(grouped, method, _naive(method, *centred, len(LABELS) - 1))
    covariates = covariates_of(one, ["pretrain_images"])
    assert covariates is not None
    for method in ("pearson", "spearman"):
        r = correlation_given(method, plain.x, plain.y, covariates.design[method])
        found[f"{method} given size, 1,000 labels"] = _seen(replace(plain, covariates=covariates), method, _fisher(r, len(one), 1))
    both = compare_correlations(one, x=("train_mim_loss", X))
    naive_low, naive_high = zou_interval(*both.r, both.between, both.n, level=0.95)
    found["difference from training loss"] = Seen(
        low=both.low, high=both.high, p=both.p, naive_low=naive_low, naive_high=naive_high, naive_p=williams(*both.r, both.between, both.n)[1]
    )
    found["ranking accuracy inside label counts"] = _accuracy(pooled, group, found[inside["kendall"]].p)
    return found


def single_runs(random: np.random.Generator, simulations: int, slope: float) -> dict[str, tuple[float, np.ndarray]]:
    """20 pre-trainings of one run each, no two of one size, given log size: p exchanges what the
    size leaves of the losses.

    Truth, and for each simulation whether the interval held it, p <= 0.05, and both for Fisher's z
    (which is right here for Pearson).
    """
    found = {}
    for method, rho in (("pearson", slope / np.hypot(1.0, slope)), ("spearman", np.nan)):
        kept = []
        large = _singles(random, 200_000, slope)
        truth = rho if method == "pearson" else _given_size(method, large)
        for _ in range(simulations):
            runs = _singles(random, 20, slope)
            row = estimate_row(replace(_sample(runs), covariates=covariates_of(runs, ["pretrain_images"])), method, level=0.95, seed=0)
            low, high, p = _fisher(_given_size(method, runs), 20, 1)
            kept.append((row["low"] <= truth <= row["high"], row["p"] <= 0.05, low <= truth <= high, p <= 0.05))  # type: ignore[operator]
        found[f"{method} given size, 20 single runs"] = (float(truth), np.array(kept, dtype=float))
    return found


def _singles(random: np.random.Generator, count: int, slope: float) -> pd.DataFrame:
    decades = random.uniform(3.0, 6.0, count)
    deviation, noise = random.standard_normal((2, count))
    columns = {"pretrain_images": 10.0**decades, X: deviation - decades, Y: decades + slope * deviation + noise}
    return pd.DataFrame(columns).assign(pretrain_id=[f"p{one}" for one in range(count)], seed=0)


def _given_size(method: str, runs: pd.DataFrame) -> float:
    covariates = covariates_of(runs, ["pretrain_images"])
    assert covariates is not None
    return correlation_given(method, runs[X].to_numpy(), runs[Y].to_numpy(), covariates.design[method])


def _sample(runs: pd.DataFrame) -> Sample:
    cluster, ids = cluster_labels(runs, "pretrain_id")
    seeds = pd.factorize(runs["seed"])[0].astype(np.int64)
    return Sample(x=runs[X].to_numpy(), y=runs[Y].to_numpy(), cluster=cluster, ids=ids, seed=seeds, covariates=None)


def _seen(sample: Sample, method: str, naive: tuple[float, float, float]) -> Seen:
    row = estimate_row(sample, method, level=0.95, seed=0)
    low, high, p = (float(row[name]) for name in ("low", "high", "p"))  # type: ignore[arg-type]
    return Seen(low=low, high=high, p=p, naive_low=naive[0], naive_high=naive[1], naive_p=naive[2])


def _naive(method: str, x: np.ndarray, y: np.ndarray, held: int) -> tuple[float, float, float]:
    """SciPy's p and an interval on Fisher's z that counts every run (for tau with the variance of
    Fieller, Hartley and Pearson 1957).
    """
    if method == "kendall":
        tau, p = kendalltau(x, y)
        half = norm.ppf(0.975) * np.sqrt(0.437 / (len(x) - 4))
        return float(np.tanh(np.arctanh(tau) - half)), float(np.tanh(np.arctanh(tau) + half)), float(p)
    r, p = {"pearson": pearsonr, "spearman": spearmanr}[method](x, y)
    low, high, _ = _fisher(float(r), len(x), held)
    return low, high, float(p)


def _fisher(r: float, n: int, held: int) -> tuple[float, float, float]:
    error = 1.0 / np.sqrt(n - 3 - held)
    z = np.arctanh(r)
    half = norm.ppf(0.975) * error
    return float(np.tanh(z - half)), float(np.tanh(z + half)), float(2.0 * norm.sf(abs(z) / error))


def _accuracy(sample: Sample, group: np.ndarray, p: float) -> Seen:
    """Beside it, every pair counted as independent (a binomial)."""
    choices = pair_choices(-sample.x, sample.y, cluster=sample.cluster, pretraining=sample.cluster, group=group)
    low, high, _ = t_interval(choices.accuracy, level=0.95)
    share, error = float(choices.accuracy[0]), 0.5 / np.sqrt(choices.pairs)
    half = norm.ppf(0.975) * error
    naive_p = float(2.0 * norm.sf(abs(share - 0.5) / error))
    return Seen(low=low, high=high, p=p, naive_low=share - half, naive_high=share + half, naive_p=naive_p)
