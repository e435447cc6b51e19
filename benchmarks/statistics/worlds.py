"""Does `main_effects` name the true cause, and does no proxy claim hide it?

Worlds in which one axis at a time moves the score.

Each study varies pre-training images (500, 2,000, 20,000), length (100k, 512k image passes), model
(two sizes) and labels (60 to 480), with runs from scratch, and shares as a real grid does: a
pre-training belongs to its settings and one seed. The validation loss falls with length, images and
model in every world, so it is a clock of them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import findings, main_effects
from analysis.claims import overfitting, proxy

IMAGES, LENGTHS, MODELS, LABELS = (500, 2000, 20_000), (100_000, 512_000), ("pico/8@64", "nano/8@64"), (60, 120, 240, 480)
SEED_SD = 0.008
"""Standard deviation of one run, of which the sharing takes its part."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What moves the score: the change from the lowest to the highest level of each axis."""

    length: float = 0.0
    images: float = 0.0
    model: float = 0.0
    pretraining: float = 0.0
    labels: float = 0.03
    proxy: float = 0.0
    """Correlation of what a pre-training alone has in its loss with what it has in its score; below
    zero, the loss predicts the score at equal settings.
    """
    overfitting: float = 0.0
    """By how much the loss of the fewest images is higher after the longer training; their score is
    lower by twice as much.
    """
    cause: str = ""
    """The axis that `main_effects` should name first; empty where nothing but labels matters."""


EFFECT = 2 * SEED_SD
WORLDS = {
    "length only": World(length=EFFECT, cause="pretrain_length"),
    "model only": World(model=EFFECT, cause="encoder"),
    "data only": World(images=EFFECT, cause="pretrain_images"),
    "pre-training only": World(pretraining=EFFECT, cause="pretraining"),
    "null": World(),
}
PROXY_WORLDS = {
    **WORLDS,
    "overfitting: longer training on 500 images raises the loss and lowers the score": World(length=EFFECT, overfitting=EFFECT),
    "overfitting, and the loss predicts at equal settings": World(length=EFFECT, overfitting=EFFECT, proxy=-0.9),
    "loss predicts at equal settings": World(proxy=-0.9),
    "Simpson: larger models have lower losses and higher scores, within a model lower losses mean lower scores": World(model=EFFECT, proxy=0.9),
    "Simpson: longer training lowers the loss and the score, larger models raise it": World(model=2 * EFFECT, length=-EFFECT),
}
LOSS_SD = 0.001
"""Standard deviation of the loss between pre-trainings of equal settings, and of what a seed adds."""


def simulate_world(random: np.random.Generator, world: World, *, seeds: int = 3, missing: float = 0.0) -> pd.DataFrame:
    """A runs table of one study; `missing` is the share of runs that were lost, at random."""
    of_seed = 0.4 * SEED_SD * random.standard_normal(seeds)
    of_subset = 0.3 * SEED_SD * random.standard_normal((seeds, len(LABELS)))
    rows = []
    of_losses = random.spawn(1)[0]  # a stream of its own: scores do not depend on it
    loss_of_seed = LOSS_SD * of_losses.standard_normal(seeds)
    kinds = [None, *itertools.product(IMAGES, LENGTHS)]
    for seed, model, kind in itertools.product(range(seeds), MODELS, kinds):
        quality = random.standard_normal() if kind else 0.0
        own = 0.5 * SEED_SD * quality
        own_loss = LOSS_SD * (world.proxy * quality + (1.0 - world.proxy**2) ** 0.5 * of_losses.standard_normal()) + loss_of_seed[seed]
        images, length = kind or (0, 0)
        at_images = np.log(images / IMAGES[0]) / np.log(IMAGES[-1] / IMAGES[0]) if kind else 0.0
        at_length = float(length == LENGTHS[-1])
        at_model = float(model == MODELS[-1])
        harm = world.overfitting * float(images == IMAGES[0] and length == LENGTHS[-1])
        of_length = harm or -0.04 * at_length  # of the loss
        shift = world.model * at_model - 2 * harm + (world.pretraining + world.length * at_length + world.images * at_images if kind else 0.0)
        for place, labels in enumerate(LABELS):
            score = 0.42 + shift + world.labels * place / (len(LABELS) - 1) + of_seed[seed] + of_subset[seed, place] + own
            rows.append(
                {
                    "seed": seed,
                    "encoder": model,
                    "encoder_params": 1e5 * 4**at_model,
                    "pretrain_id": f"{model}-{images}-{length}-{seed}" if kind else None,
                    "pretrain_source": "simulated" if kind else None,
                    "pretrain_images": images,
                    "pretrain_length": f"{length} images" if kind else None,
                    "pretrain_image_passes": length,
                    "pretrain_steps": length // 128,
                    "intermediate": "none",
                    "finetune_images": labels,
                    "val_mim_loss": 0.41 + of_length - 0.003 * at_images - 0.01 * at_model + own_loss if kind else np.nan,
                    "miou": score + 0.7 * SEED_SD * random.standard_normal(),
                }
            )
    table = pd.DataFrame(rows)
    return table.loc[random.random(len(table)) >= missing].reset_index(drop=True)


def run(*, simulations: int, seed: int) -> None:
    """Print, for each world, number of seeds and share of runs lost, how often the cause is named."""
    studies = max(20, simulations // 10)
    random = np.random.default_rng([seed, 0])
    print(f"{studies} studies a row; effect {EFFECT:g} mIoU, two standard deviations of a run.\n")
    print("| world | seeds | lost | cause first | cause found | a null axis found | interval holds the truth | studies with a wrong axis |")
    print("|---|---|---|---|---|---|---|---|")
    for name, world in WORLDS.items():
        for seeds, missing in itertools.product((3, 5, 8), (0.0, 0.1)):
            print(row_of(random, name, world, seeds=seeds, missing=missing, studies=studies), flush=True)
    proxies(random, studies)


def proxies(random: np.random.Generator, studies: int) -> None:
    """Print how the proxy claims fare: wrong verdicts, power, and whether the cause is named."""
    print("\nProxy claims; wrong: of all claims, any verdict that is not open where the loss says nothing, or the opposite one where it does.\n")
    print("| world | seeds | lost | studies with a wrong verdict | 'loss predicts' decided rightly | one axis named | the cause named |")
    print("|---|---|---|---|---|---|---|")
    for name, world in PROXY_WORLDS.items():
        for seeds, missing in itertools.product((3, 5, 8), (0.0, 0.1)):
            print(proxy_row(random, name, world, seeds=seeds, missing=missing, studies=studies), flush=True)


SLOPES = "overfitting-changes-slope"
"""The claim that is true in none of these worlds: at equal settings all series have one slope."""
PROXY_AXES = {"pretrain_length": "pre-training length", "encoder": "model size", "pretrain_images": "pre-training images"}


def proxy_row(random: np.random.Generator, name: str, world: World, *, seeds: int, missing: float, studies: int) -> str:
    """One row of the table on proxy claims."""
    counts = np.array([proxy_verdicts(random, world, seeds=seeds, missing=missing) for _ in range(studies)], dtype=float)
    wrong, right, named, cause = 100.0 * counts.mean(axis=0)
    hit = f"{cause:.0f}%" if world.cause in PROXY_AXES else "-"
    return f"| {name} | {seeds} | {missing:.0%} | {wrong:.1f}% | {f'{right:.0f}%' if world.proxy else '-'} | {named:.0f}% | {hit} |"


def proxy_verdicts(random: np.random.Generator, world: World, *, seeds: int, missing: float) -> tuple[bool, bool, bool, bool]:
    """Whether a verdict is wrong, 'loss predicts' right, an axis named, and the cause named."""
    study = simulate_world(random, world, seeds=seeds, missing=missing)
    found = findings(study, questions=(*proxy.QUESTIONS, *overfitting.QUESTIONS))
    truth = "supported" if world.proxy < 0 else "refuted" if world.proxy > 0 else "open"
    wrong = any(one.verdict not in ("open", "open" if one.identity == SLOPES else truth) for one in found)
    sentence = found["loss-predicts-score"].sentence
    named = "alone" in sentence
    hit = f"between the levels of {PROXY_AXES.get(world.cause, '?')} alone" in sentence
    return wrong, found["loss-predicts-score"].verdict == truth, named, hit


def row_of(random: np.random.Generator, name: str, world: World, *, seeds: int, missing: float, studies: int) -> str:
    """One row of the table."""
    first = found = null = nulls = held = intervals = wrong = 0
    for _ in range(studies):
        effects = main_effects(simulate_world(random, world, seeds=seeds, missing=missing))
        table = effects.table[effects.table["axis"] != "finetune_images"]
        first += bool(table["axis"].iloc[0] == world.cause)
        truths = {axis: truth_of(world, axis) for axis in table["axis"]}
        sure = table["p_holm"] < 0.05
        found += bool((sure & (table["axis"] == world.cause)).any())
        is_null = table["axis"].map(truths) == 0.0
        null += int((table.loc[is_null, "p"] < 0.05).sum())
        nulls += int(is_null.sum())
        wrong += bool((sure & is_null).any())
        truth = table["axis"].map(truths)
        held += int(((table["low"] <= truth) & (truth <= table["high"])).sum())
        intervals += len(table)
    cause = f"{100 * first / studies:.0f}% | {100 * found / studies:.0f}%" if world.cause else "- | -"
    return (
        f"| {name} | {seeds} | {missing:.0%} | {cause} | {100 * null / nulls:.1f}% | {100 * held / intervals:.1f}% | {100 * wrong / studies:.1f}% |"
    )


def truth_of(world: World, axis: str) -> float:
    """The effect that `main_effects` should estimate for an axis."""
    at_images = np.log(np.array(IMAGES) / IMAGES[0]) / np.log(IMAGES[-1] / IMAGES[0])
    mean_pretrained = world.pretraining + world.length / 2 + world.images * float(at_images.mean())
    return {"pretraining": mean_pretrained, "encoder": world.model, "pretrain_images": world.images, "pretrain_length": world.length}[axis]
