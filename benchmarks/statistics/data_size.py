"""Do more data help, does their value grow, where do they stop paying: error rates and coverage on
the layout of the 63 published runs.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import pandas as pd
from scipy.stats import t as student

from analysis.data_size import data_interaction, more_data_effects, saturation
from analysis.overfitting import split_by_overfitting

PARAMETERS = {"49M": 48.96e6, "87M": 86.89e6, "195M": 195.20e6, "655M": 655.21e6, "1.06B": 1060.98e6}
IMAGES = {"ImageNet-1K 10%": 128_117, "ImageNet-1K 20%": 256_233, "ImageNet-1K 50%": 640_584, "ImageNet-1K": 1_281_167, "ImageNet-22K": 14_197_122}
MARGIN = 0.001


@dataclass(frozen=True, kw_only=True)
class Truth:
    """How the simulated score comes about, as a share of 1."""

    data: float = 0.0
    """Per doubling of data."""
    curvature: float = 0.0
    """Per squared doubling from the mean."""
    interaction: float = 0.0
    """Per product of doublings of data and length, and of data and parameters."""
    series_sd: float = 0.0006
    """What the lengths of one pre-training series share."""
    run_sd: float = 0.0005
    """Of one run."""
    encoder_sd: float = 0.0
    """By how much an encoder's value of a doubling differs from the mean."""
    seeds: int = 1
    """Runs of each cell; each seed has its own pre-trainings, and a shift of 0.001 SD that all its
    runs share.
    """


def layout() -> pd.DataFrame:
    """The 63 settings, with the published losses."""
    with (files("analysis") / "published" / "data_scaling_runs.csv").open(encoding="utf-8") as stream:
        table = pd.read_csv(stream)
    return pd.DataFrame(
        {
            "encoder": table["model"],
            "encoder_params": table["params"].map(PARAMETERS),
            "pretrain_images": table["pretrain_dataset"].map(IMAGES),
            "pretrain_steps": table["iterations"].str[:-1].astype(int) * 1000,
            "val_mim_loss": table["val_loss"],
        }
    )


class Simulation:
    """Draws scores for a layout whose settings stay the same."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        one = layout()
        self.runs = pd.concat([one.assign(seed=seed) for seed in range(truth.seeds)], ignore_index=True)
        names = ("pretrain_images", "pretrain_steps", "encoder_params")
        self.data, self.length, self.params = (np.log2(self.runs[name]).to_numpy() - np.log2(self.runs[name]).mean() for name in names)
        self.encoder = pd.factorize(self.runs["encoder"])[0]
        self.series = self.runs.groupby(["encoder", "pretrain_images", "seed"]).ngroup().to_numpy()
        self.mean = (
            0.84 + 0.003 * self.length - 0.0008 * self.length**2 + 0.004 * self.params + truth.data * self.data + truth.curvature * self.data**2
        ) + truth.interaction * self.data * (self.length + self.params)

    def draw(self, random: np.random.Generator) -> pd.DataFrame:
        """One table of runs."""
        n, truth = len(self.runs), self.truth
        noise = truth.series_sd * random.standard_normal(n)[self.series] + truth.run_sd * random.standard_normal(n)
        if truth.seeds > 1:
            noise = noise + 0.001 * random.standard_normal(truth.seeds)[self.runs["seed"].to_numpy()]
        own = truth.encoder_sd * random.standard_normal(5)[self.encoder] * self.data
        return self.runs.assign(miou=self.mean + own + noise)


def run(*, simulations: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    gc.freeze()  # statsmodels' multipletests collects garbage at every call, which takes longer than the test
    interactions(random, simulations)
    points(random, simulations)
    steps(random, simulations)


def steps(random: np.random.Generator, simulations: int) -> None:
    """`more_data_effects`: cells, pooled rows, equivalence, regimes."""
    print("### Each data size against another: `more_data_effects`, error rate at 5% and coverage at 95%\n")
    print(
        "| simulated | cells | over encoders | cells taken for independent | over seeds | equivalence at its margin | falling / overfitting "
        "/ difference | naive |"
    )
    print("|---|---|---|---|---|---|---|---|")
    kinds = {
        "no effect, single runs: error rate": Truth(),
        "encoders differ, single runs: error rate": Truth(encoder_sd=0.0005),
        "data help and saturate, single runs: coverage": Truth(data=0.002, curvature=-0.0004),
        "no effect, 3 seeds: error rate": Truth(seeds=3),
        "data help and saturate, 3 seeds: coverage": Truth(seeds=3, data=0.002, curvature=-0.0004),
    }
    for name, truth in kinds.items():
        simulation, sums = Simulation(truth), []
        # seeds need one call of paired_effects for each pair of sizes, so fewer studies are drawn;
        # each gives many cells
        for _ in range(simulations if truth.seeds == 1 else max(50, simulations // 10)):
            sums.append(_step_hits(simulation, simulation.draw(random), coverage="coverage" in name))
        drawn = np.array(sums)
        known = np.isfinite(drawn)
        shares = 100.0 * np.where(known, drawn, 0.0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
        said = ["" if np.isnan(one) else f"{one:.1f}%" for one in shares]
        print(f"| {name} | {said[0]} | {said[1]} | {said[2]} | {said[3]} | {said[4]} | {said[5]} / {said[6]} / {said[7]} | {said[8]} |", flush=True)
    print(
        "\nCells: each of 81 comparisons, one seed judged by the estimated SD of a run. Over encoders: Student's t over 2 to 5 encoders; "
        "naive takes all cells for "
        "independent. Equivalence is at a true difference of the margin. Rows of 3 seeds are of a tenth as many studies."
    )


def _step_hits(simulation: Simulation, runs: pd.DataFrame, *, coverage: bool) -> np.ndarray:
    truth = simulation.truth
    split = split_by_overfitting(runs)
    found = more_data_effects(runs, split=split, margin=MARGIN)
    places = zip(runs["encoder"], runs["pretrain_steps"], runs["pretrain_images"], strict=True)
    place = dict(zip(places, simulation.mean, strict=True))
    true = found.table.apply(
        lambda row: place[row["encoder"], row["length"], row["larger"]] - place[row["encoder"], row["length"], row["smaller"]], axis=1
    )
    table, pooled = found.table.assign(true=true), found.pooled[found.pooled["length"] == "all"]

    def share(low: pd.Series, high: pd.Series, value: pd.Series | float) -> float:
        inside = ((low <= value) & (value <= high))[low.notna()]
        return float(inside.mean() if coverage else 1.0 - inside.mean()) if len(inside) else np.nan

    of_pair = {key: cells.groupby("encoder")["true"].mean().mean() for key, cells in table.groupby(["smaller", "larger"])}
    result = [share(table["low"], table["high"], table["true"])]
    naive = []
    for _, cells in table.groupby(["smaller", "larger"]):
        mean, error = cells["difference"].mean(), cells["difference"].std() / len(cells) ** 0.5
        hit = abs(mean - cells["true"].mean()) <= student.ppf(0.975, len(cells) - 1) * error
        naive.append(float(hit if coverage else not hit))
    for unit in ("encoder", "seed"):
        rows = pooled[pooled["unit"] == unit]
        wanted = pd.Series([of_pair[key] for key in zip(rows["smaller"], rows["larger"], strict=True)], index=rows.index, dtype=float)
        result.append(share(rows["low"], rows["high"], wanted))
        if unit == "encoder":
            result.append(float(np.mean(naive)))
    edge = np.nan
    if not coverage and truth.seeds == 1:  # the last pair shifted so that its truth is the margin
        shifted = runs.assign(miou=runs["miou"] + MARGIN * (runs["pretrain_images"] == 14_197_122))
        rows = more_data_effects(shifted, margin=MARGIN).pooled
        edge = float((rows.loc[(rows["length"] == "all") & (rows["smaller"] == 1_281_167), "p_equivalent"] < 0.05).mean())
    regimes = found.regimes[found.regimes["measure"] == "step"].set_index("regime")
    nexts = table[table["is_next"]]
    level = nexts.groupby(["label", "encoder"])["true"].mean()
    wanted_gap = (level["overfitting"] - level["falling"]).dropna().mean()
    values = {"falling": level["falling"].mean(), "overfitting": level["overfitting"].mean(), "difference": wanted_gap}
    inside = [float(regimes.loc[name, "low"] <= value <= regimes.loc[name, "high"]) for name, value in values.items()]
    groups = [nexts.loc[nexts["label"] == name, "difference"] - nexts.loc[nexts["label"] == name, "true"] for name in ("overfitting", "falling")]
    error = sum(one.var() / len(one) for one in groups) ** 0.5
    plain = float(abs(groups[0].mean() - groups[1].mean()) <= student.ppf(0.975, len(nexts) - 2) * error)
    rest = [*inside, plain] if coverage else [1.0 - one for one in (*inside, plain)]
    return np.array([*result, edge, *rest])


def interactions(random: np.random.Generator, simulations: int) -> None:
    """`data_interaction`: terms and joint tests."""
    print("### Does the value of more data grow: `data_interaction`\n")
    print(
        "| simulated | data | data x length | data x params | data x length x params | naive OLS, the same | joint, all with data | by HTZ "
        "| naive F |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    kinds = {
        "none, single runs: error rate": Truth(data=0.001, curvature=-0.0003),
        "none, strong series effects: error rate": Truth(data=0.001, curvature=-0.0003, series_sd=0.0015),
        "none, 3 seeds: error rate": Truth(data=0.001, curvature=-0.0003, seeds=3),
        "0.0003 each, single runs: coverage": Truth(data=0.001, curvature=-0.0003, interaction=0.0003),
        "none, encoders differ: error rate": Truth(data=0.001, curvature=-0.0003, encoder_sd=0.0005),
        "none, encoders differ, clustered on encoders: error rate": Truth(data=0.001, curvature=-0.0003, encoder_sd=0.0005),
    }
    names = ("data", "data x length", "data x params", "data x length x params")
    for name, truth in kinds.items():
        simulation, hits = Simulation(truth), []
        true = {"data": truth.data, "data x length": truth.interaction, "data x params": truth.interaction, "data x length x params": 0.0}
        for _ in range(simulations):
            found = data_interaction(simulation.draw(random), cluster="encoder" if "clustered on" in name else "series")
            table, joint = found.table.set_index("term"), found.joint.set_index("test").loc["all interactions with data"]
            clustered = [table.loc[one, "low"] <= true[one] <= table.loc[one, "high"] for one in names]
            naive = [table.loc[one, "naive_low"] <= true[one] <= table.loc[one, "naive_high"] for one in names]
            hits.append([*clustered, *naive, joint["p"] >= 0.05, joint["htz_p"] >= 0.05, joint["naive_p"] >= 0.05])
        shares = 100.0 * np.array(hits, dtype=float).mean(axis=0)
        shares = shares if "coverage" in name else 100.0 - shares
        said = [f"{one:.1f}%" for one in shares]
        if truth.interaction:
            said[8:] = ["", "", ""]
        print(f"| {name} | {' | '.join(said[:4])} | {' / '.join(said[4:8])} | {said[8]} | {said[9]} | {said[10]} |", flush=True)
    print(f"\n+- {200 * (0.05 * 0.95 / simulations) ** 0.5:.1f} points. Clusters are the 21 series.\n", flush=True)


def points(random: np.random.Generator, simulations: int) -> None:
    """`saturation`: sets and trends."""
    print("### Where data stop paying: `saturation`\n")
    print(
        "| simulated | margin | the set holds the true size | the point estimate is right | sizes left in the set | trend with length, p < "
        "5% | with params |"
    )
    print("|---|---|---|---|---|---|---|")
    kinds = {
        "the same point everywhere, single runs": (Truth(data=0.002, curvature=-0.0005), 0.002, None),
        "the same, the SD of a run stated": (Truth(data=0.002, curvature=-0.0005), 0.002, (0.0006**2 + 0.0005**2) ** 0.5),
        "the same, 3 seeds": (Truth(data=0.002, curvature=-0.0005, seeds=3), 0.002, None),
        "no effect at all, single runs": (Truth(), 0.001, None),
        "the point moves, single runs": (Truth(data=0.002, curvature=-0.0005, interaction=0.0005), 0.002, None),
    }
    for name, (truth, margin, sd) in kinds.items():
        simulation, hits = Simulation(truth), []
        exact = saturation(simulation.runs.assign(miou=simulation.mean), margin=margin, run_sd=1e-9).table["saturates_at"].to_numpy()
        for _ in range(simulations):
            found = saturation(simulation.draw(random), margin=margin, run_sd=sd)
            held = [float(value in sizes) for value, sizes in zip(exact, found.table["sizes"], strict=True)]
            of = {one: found.trends.loc[found.trends["trend"] == one, "p"] for one in ("length", "params")}
            p = [float(of["length"].iloc[0] < 0.05), float(of["params"].iloc[-1] < 0.05)]
            hits.append([np.mean(held), np.mean(found.table["saturates_at"] == exact), found.table["sizes"].map(len).mean(), *p])
        held, right, left, along, across = np.array(hits).mean(axis=0)
        print(f"| {name} | {margin} | {100 * held:.1f}% | {100 * right:.1f}% | {left:.1f} | {100 * along:.1f}% | {100 * across:.1f}% |", flush=True)
    print(
        "\nTrends with length are over all sizes, those with parameters over the two that all encoders have. Sets are built to hold the "
        "truth in at least 95%; permutation tests of so few, tied points err "
        "in less than 5%.\n",
        flush=True,
    )
