"""Do verdicts name the true cause, and how often is one wrong? Worlds in which the truth is known.

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
from analysis.claims.claim_table import ClaimTable
from analysis.claims.finding import Finding, Question
from analysis.claims.proxy import LOSS
from analysis.claims.rules import for_one
from analysis.claims.varied import finding_of_axis
from analysis.correlation.equal_settings import at_equal_settings
from analysis.errors import AnalysisError

IMAGES, LENGTHS, MODELS, LABELS = (500, 2000, 20_000), (100_000, 512_000), ("pico/8@64", "nano/8@64"), (60, 120, 240, 480)
AT_IMAGES = np.log(np.array(IMAGES) / IMAGES[0]) / np.log(IMAGES[-1] / IMAGES[0])
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
POWER_AT = 0.022
NEXT_TO_NOTHING = 0.1 * SEED_SD
WORLDS = {
    "length only": World(length=EFFECT, cause="pretrain_length"),
    "model only": World(model=EFFECT, cause="encoder"),
    "data only": World(images=EFFECT, cause="pretrain_images"),
    "pre-training only": World(pretraining=EFFECT, cause="pretraining"),
    "overfitting": World(length=EFFECT, overfitting=EFFECT, cause="pretrain_images"),
    "Simpson": World(model=EFFECT, proxy=0.9, cause="encoder"),
    "null": World(),
    "negligible": World(length=NEXT_TO_NOTHING, images=NEXT_TO_NOTHING, model=NEXT_TO_NOTHING, pretraining=NEXT_TO_NOTHING),
}
POWER_WORLDS = {
    f"{name} {POWER_AT:+g}": World(**{field: POWER_AT}, cause=cause)
    for name, field, cause in (
        ("pre-training", "pretraining", "pretraining"),
        ("length", "length", "pretrain_length"),
        ("model", "model", "encoder"),
        ("images", "images", "pretrain_images"),
    )
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
        at_images = AT_IMAGES[IMAGES.index(images)] if kind else 0.0
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
    """Print how often verdicts are wrong and the cause is named, in every world."""
    studies = max(20, 3 * simulations // 20)
    random = np.random.default_rng([seed, 0])
    designs = list(itertools.product((3, 5, 8), (0.0, 0.1)))
    print(f"{studies} studies a row; effect {EFFECT:g} mIoU, two standard deviations of a run.")
    print("Wrong: of the primary claims (main effects, the loss as predictor), any with the wrong sign, one where nothing is, or one called")
    print("negligible that is not. First: the cause is the largest main effect but that of labels. Decided: its claim has the right verdict.\n")
    print("| world | seeds | lost | studies with a wrong verdict | cause first | cause decided | interval holds the truth |")
    print("|---|---|---|---|---|---|---|")
    for name, world in WORLDS.items():
        if name == "pre-training only":  # its power is below
            continue
        for seeds, missing in designs:
            print(row_of(random, name, world, seeds=seeds, missing=missing, studies=studies), flush=True)
    print(f"\nPower for {POWER_AT:+g} mIoU with 3 seeds:\n")
    print("| world | seeds | lost | studies with a wrong verdict | cause first | cause decided | interval holds the truth |")
    print("|---|---|---|---|---|---|---|")
    for name, world in POWER_WORLDS.items():
        print(row_of(random, name, world, seeds=3, missing=0.0, studies=studies), flush=True)
    whole = max(5, studies // 30)
    print(f"\nEvery claim that is asked of a study, {whole} studies of 3 seeds a row:\n")
    print("| world | studies with a wrong primary verdict | studies in which a secondary claim on pre-training is decided though nothing is there |")
    print("|---|---|---|")
    for name, world in WORLDS.items():
        print(whole_row(random, name, world, studies=whole), flush=True)


def primary_of(study: ClaimTable) -> list[Finding]:
    """The primary claims of a table: every main effect, and the loss as a predictor at equal settings.

    As `findings` decides them, without what it computes for its sentences: interactions, checks and
    other correlations. A test holds the two equal.
    """
    effects = main_effects(study.table, outcome=study.outcome, level=study.level, interactions=False)
    made = [finding_of_axis(study, effects, row) for _, row in effects.table.iterrows()]
    try:
        equal = at_equal_settings(study.table, x=LOSS, y=study.outcome, level=study.level, only_equal=True).equal
    except AnalysisError:
        return made
    r, p = float(equal["r"]), float(equal["p"])
    said = {"topic": "", "claim": "", "source": "", "sentence": "", "n": "", "estimate": None}
    return [*made, Finding(identity="loss-predicts-score", verdict=for_one(r, p, -study.better), p=p, p_adjusted=np.nan, family="primary", **said)]


PRIMARY = (Question("Primary claims", primary_of),)


def truth_of(world: World, axis: str) -> float:
    """The effect that `main_effects` should estimate for an axis."""
    harm = 2 * world.overfitting  # to one of the six kinds of pre-training
    return {
        "pretraining": world.pretraining + world.length / 2 + world.images * float(AT_IMAGES.mean()) - harm / 6,
        "encoder": world.model,
        "pretrain_images": world.images + harm / 2,
        "pretrain_length": world.length - harm / 3,
    }[axis]


def is_wrong(one: Finding, world: World) -> bool:
    """Whether the verdict on a primary claim is wrong."""
    if one.identity == "loss-predicts-score":
        return one.verdict not in ("open", "supported" if world.proxy < 0 else "refuted" if world.proxy > 0 else "open")
    truth = truth_of(world, axis_of(one))
    if one.verdict == "negligible":
        return abs(truth) > one.margin
    return one.verdict != "open" and truth <= 0.0 if one.verdict != "refuted" else truth >= 0.0


def axis_of(one: Finding) -> str:
    """The axis of a main effect."""
    return "pretraining" if one.identity.startswith("pretraining") else one.identity.removeprefix("varied-").replace("-", "_")


def row_of(random: np.random.Generator, name: str, world: World, *, seeds: int, missing: float, studies: int) -> str:
    """One row of the table on primary claims."""
    wrong = first = decided = held = intervals = 0
    for _ in range(studies):
        found = findings(simulate_world(random, world, seeds=seeds, missing=missing), questions=PRIMARY)
        effects = [one for one in found.primary if one.identity != "loss-predicts-score"]
        wrong += any(is_wrong(one, world) for one in found.primary)
        first += axis_of(effects[0]) == world.cause
        decided += any(axis_of(one) == world.cause and one.verdict == "supported" for one in effects)
        for one in effects:
            assert one.estimate is not None
            held += one.estimate.low <= truth_of(world, axis_of(one)) <= one.estimate.high
            intervals += 1
    cause = f"{100 * first / studies:.0f}% | {100 * decided / studies:.0f}%" if world.cause else "- | -"
    return f"| {name} | {seeds} | {missing:.0%} | {100 * wrong / studies:.1f}% | {cause} | {100 * held / intervals:.1f}% |"


NULL_EVERYWHERE = ("returns-shrink-pretrain", "last-doubling-pretrain", "gain-shrinks-with-labels", "loss-beats-chance")
"""Secondary claims about which nothing is there in every world but those that change the images."""


def whole_row(random: np.random.Generator, name: str, world: World, *, studies: int) -> str:
    """One row of the table on all claims that `findings` asks."""
    wrong = secondary = 0
    none = not (world.images or world.overfitting or world.proxy)
    for _ in range(studies):
        found = findings(simulate_world(random, world))
        wrong += any(is_wrong(one, world) for one in found.primary)
        secondary += any(one.verdict in ("supported", "refuted") and one.identity in NULL_EVERYWHERE for one in found)
    return f"| {name} | {100 * wrong / studies:.1f}% | {f'{100 * secondary / studies:.1f}%' if none else '-'} |"
