"""How often a curve that never rises is called overfitting, and whether slopes and correlations by
phase hold their level and coverage.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.overfitting import change_point, phase_relations, split_by_overfitting
from analysis.overfitting.split import FALLING, OVERFITTING

SLOPE = -1.0  # score per unit of loss, as in the 63 published runs
LENGTHS = (125_000, 250_000, 500_000)


def run(*, simulations: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    curves(random, simulations)
    series_rule(random, simulations)
    relations(random, simulations)


def curves(random: np.random.Generator, simulations: int) -> None:
    """One learning curve: `change_point`."""
    shapes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "flat": lambda t: 0.0 * t,
        "falls as exp(-8 t), then flat": lambda t: 30.0 * np.exp(-8.0 * t),
        "falls as a power, t^-0.5": lambda t: 5.0 * (t + 0.02) ** -0.5,
        "falls by half the noise": lambda t: -0.5 * t,
        "rises by 1 SD over the second half": lambda t: 30.0 * np.exp(-8.0 * t) + 2.0 * np.maximum(0.0, t - 0.5),
        "rises by 3 SD over the second half": lambda t: 30.0 * np.exp(-8.0 * t) + 6.0 * np.maximum(0.0, t - 0.5),
        "rises by 6 SD over the second half": lambda t: 30.0 * np.exp(-8.0 * t) + 12.0 * np.maximum(0.0, t - 0.5),
    }
    print("### One training's curve: share called overfitting at 5%, `change_point`\n")
    print("Noise is normal but for the last three columns (n = 30): Student's t on 4, and autocorrelation 0.5 unknown to the rule and given to it.\n")
    print("| true curve | n = 8 | n = 15 | n = 30 | n = 100 | n = 30, 'last above least' | t(4) | AR 0.5, unknown | AR 0.5, given |")
    print("|---|---|---|---|---|---|---|---|---|")
    worst = 0.0
    for name, shape in shapes.items():
        cells = []
        for n in (8, 15, 30, 100):
            mean = shape(np.linspace(0.0, 1.0, n))
            noisy = mean + random.standard_normal((simulations, n))
            cells.append(called(noisy))
            if n == 30:
                naive = float(np.mean(noisy[:, -1] > noisy.min(axis=1)))
        mean = shape(np.linspace(0.0, 1.0, 30))
        if "rises" not in name:
            worst = max(worst, *cells)
        cells += [naive, called(mean + random.standard_t(4, (simulations, 30)) / 2.0**0.5)]
        correlated = random.standard_normal((simulations, 30))
        for index in range(1, 30):
            correlated[:, index] = 0.5 * correlated[:, index - 1] + 0.75**0.5 * correlated[:, index]
        cells += [called(mean + correlated), called(mean + correlated, autocorrelation=0.5)]
        print(f"| {name} | " + " | ".join(f"{100 * cell:.1f}%" for cell in cells) + " |")
    print(f"\nUnder independent normal noise a curve that never rises was called overfitting in at most {100 * worst:.1f}%.\n", flush=True)


def called(losses: np.ndarray, *, autocorrelation: float = 0.0) -> float:
    steps = np.arange(losses.shape[1], dtype=float)
    return float(np.mean([change_point(steps, one, autocorrelation=autocorrelation).overfitting for one in losses]))


def series_rule(random: np.random.Generator, simulations: int) -> None:
    """Series over several lengths: `split_by_overfitting` as findings call it, beside 'falling'."""
    print("### Share of settings called overfitting, 7 settings of 3 (5) seeds: `split_by_overfitting`\n")
    print("Noise of one loss has SD 1 beside a shift that a seed's runs share. 'Falling' allows for no noise.\n")
    print("| true loss over the lengths | overfits | default, 3 seeds | default, 5 seeds | 'falling', 3 seeds |")
    print("|---|---|---|---|---|")
    worlds: dict[str, tuple[tuple[float, ...], bool, float]] = {
        "flat, 2 lengths": ((0, 0), False, 0.0),
        "flat, 3 lengths": ((0, 0, 0), False, 0.0),
        "flat, 5 lengths": ((0, 0, 0, 0, 0), False, 0.0),
        "falls by half an SD (.0005 at a noise of .001)": ((1, 0.5, 0), False, 0.0),
        "falls by 1 SD (.0005 at a noise of .0005)": ((2, 1, 0), False, 0.0),
        "falls by 1 SD, a tenth of the runs lost": ((2, 1, 0), False, 0.1),
        "flat, a tenth of the runs lost": ((0, 0, 0), False, 0.1),
        "falls, then rises by 2 SD": ((3, 0, 2), True, 0.0),
        "falls, then rises by 3 SD": ((3, 0, 3), True, 0.0),
        "falls, then rises by 4 SD": ((3, 0, 4), True, 0.0),
        "falls, then rises by 6 SD": ((3, 0, 6), True, 0.0),
        "rises by 3 SD from the start": ((0, 1.5, 3), True, 0.0),
    }
    count = max(50, simulations // 10)
    worst = 0.0
    for name, (mean, overfits, lost) in worlds.items():
        asked = ((3, None), (5, None), (3, "falling"))
        shares = [called_series(random, mean, seeds=seeds, lost=lost, rule=rule, count=count) for seeds, rule in asked]
        if not overfits:
            worst = max(worst, *shares[:2])
        print(f"| {name} | {'yes' if overfits else 'no'} | " + " | ".join(f"{100 * share:.1f}%" for share in shares) + " |", flush=True)
    print(f"\nOver {7 * count:,} settings in {count} studies a row. Of settings whose loss never rises the default rule called at most ", end="")
    print(f"{100 * worst:.1f}% overfitting (asked: at most 3%; nominal: 2.5%).\n", flush=True)


def called_series(random: np.random.Generator, mean: tuple[float, ...], *, seeds: int, lost: float, rule: str | None, count: int) -> float:
    """Share of series called overfitting."""
    shares = []
    lengths = [125_000 * 2**place for place in range(len(mean))]
    trainings = 7 * seeds
    for _ in range(count):
        rows = pd.DataFrame([(one, one % seeds, length) for one in range(trainings) for length in lengths], columns=["one", "seed", "pretrain_steps"])
        shift = 3.0 * random.standard_normal(trainings)[rows["one"]]
        rows["val_mim_loss"] = np.tile(mean, trainings) + shift + random.standard_normal(len(rows))
        rows["pretrain_images"] = rows["one"] // seeds
        rows = rows[random.random(len(rows)) >= lost].reset_index(drop=True)
        shares.append(float((split_by_overfitting(rows, rule=rule).series["label"] == OVERFITTING).mean()))
    return float(np.mean(shares))


def simulated(random: np.random.Generator, *, seeds: int, labels: int, gap: float, noisier: float = 1.0, encoder_sd: float = 0.0) -> pd.DataFrame:
    """21 settings of 3 lengths, 12 falling and 9 overfitting: the score is linear in the loss in
    each phase, plus what a setting's, a pre-training series', a label subset's and one run's own.
    """
    setting = np.arange(21)
    over = setting >= 12
    level = np.where(over, 0.485, 0.465) + 0.008 * random.standard_normal(21)
    own = 0.003 * random.standard_normal(21) + encoder_sd * random.standard_normal(5)[setting % 5]
    subset = 0.004 * random.standard_normal((seeds, labels))
    shape = (21, seeds, 3, labels)
    step = np.where(over[:, None], np.array([0.0, 0.007, 0.012]), np.array([0.0, -0.005, -0.009]))
    loss = level[:, None, None] + step[:, None, :] + 0.0005 * random.standard_normal((21, seeds, 3))
    trunk = 0.001 * random.standard_normal((21, seeds))
    scale = np.where(over, noisier, 1.0)[:, None, None, None]
    error = own[:, None, None, None] + trunk[:, :, None, None] + 0.001 * random.standard_normal(shape)
    slope = np.where(over, SLOPE + gap, SLOPE)[:, None, None]
    score = (slope * (loss - 0.47))[..., None] + scale * error + subset[None, :, None, :] + 0.05 * np.arange(labels)
    places = [axis.ravel() for axis in np.indices(shape)]
    return pd.DataFrame(
        {
            "encoder": np.char.add("e", (places[0] % 5).astype(str)),
            "pretrain_images": 1000 * (places[0] // 5 + 1),
            "seed": places[1],
            "pretrain_steps": np.array(LENGTHS)[places[2]],
            "finetune_images": 100 * (places[3] + 1),
            "val_mim_loss": np.broadcast_to(loss[..., None], shape).ravel(),
            "miou": score.ravel(),
        }
    )


def true_correlation(*, over: bool, slope: float, noise: float) -> float:
    """Pearson's r of the population that a phase of `simulated` draws its series from."""
    steps = np.array([0.0, 0.007, 0.012] if over else [0.0, -0.005, -0.009])
    x = 0.008**2 + steps.var() + 0.0005**2
    return float(slope * np.sqrt(x) / np.sqrt(slope**2 * x + noise**2 * (0.003**2 + 2 * 0.001**2)))


def relations(random: np.random.Generator, simulations: int) -> None:
    """Slopes, correlations and their difference by phase."""
    print("### Slopes and correlations by phase: 12 falling and 9 overfitting series, `phase_relations`\n")
    print(
        "| runs | coverage of slope: falling | overfitting | naive OLS | of r: falling | overfitting | of the difference | naive | "
        "type-I of the difference | naive |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    settings = {
        "single runs": {"seeds": 1, "labels": 1, "gap": 0.0},
        "single runs, slopes differ by 0.7": {"seeds": 1, "labels": 1, "gap": 0.7},
        "single runs, overfitting twice as noisy": {"seeds": 1, "labels": 1, "gap": 0.0, "noisier": 2.0},
        "3 seeds, 2 numbers of labels": {"seeds": 3, "labels": 2, "gap": 0.0},
        "single runs, encoders differ (not adjusted for)": {"seeds": 1, "labels": 1, "gap": 0.0, "encoder_sd": 0.003},
    }
    for name, kind in settings.items():
        hits = []
        gap, noisier = float(kind["gap"]), float(kind.get("noisier", 1.0))
        for _ in range(simulations):
            runs = simulated(random, **kind)  # type: ignore[arg-type]
            table = phase_relations(runs, split_by_overfitting(runs)).table.set_index("phase")
            fall, rise, difference = (table.loc[one] for one in (FALLING, OVERFITTING, "difference"))
            truth = [true_correlation(over=False, slope=SLOPE, noise=1.0), true_correlation(over=True, slope=SLOPE + gap, noise=noisier)]
            hits.append(
                (
                    fall["low"] <= SLOPE <= fall["high"],
                    rise["low"] <= SLOPE + gap <= rise["high"],
                    fall["naive_low"] <= SLOPE <= fall["naive_high"],
                    fall["r_low"] <= truth[0] <= fall["r_high"] if kind["labels"] == 1 and not kind.get("encoder_sd") else np.nan,
                    rise["r_low"] <= truth[1] <= rise["r_high"] if kind["labels"] == 1 and not kind.get("encoder_sd") else np.nan,
                    difference["low"] <= gap <= difference["high"],
                    difference["naive_low"] <= gap <= difference["naive_high"],
                    difference["p"] < 0.05 if gap == 0.0 else np.nan,
                    difference["naive_p"] < 0.05 if gap == 0.0 else np.nan,
                )
            )
        shares = 100.0 * np.array(hits, dtype=float).mean(axis=0)
        print(f"| {name} | " + " | ".join("" if np.isnan(one) else f"{one:.1f}%" for one in shares) + " |", flush=True)
    print(f"\n+- {200 * (0.05 * 0.95 / simulations) ** 0.5:.1f} points. Clusters are settings; naive takes each run for independent.")
