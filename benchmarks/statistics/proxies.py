"""Does the loss predict the score at equal settings, or is it a clock of what was varied? The worlds
of `benchmarks.statistics.worlds`, asked for the claims about the loss.
"""

from __future__ import annotations

import itertools

import numpy as np

from analysis import findings
from analysis.claims import overfitting, proxy
from benchmarks.statistics.worlds import PROXY_WORLDS, World, simulate_world


def run(*, simulations: int, seed: int) -> None:
    """Print how the proxy claims fare: wrong verdicts, power, and whether the cause is named."""
    studies = max(20, simulations // 10)
    random = np.random.default_rng([seed, 1])
    print(f"{studies} studies a row. Wrong: of all claims about the loss, any verdict that is not open where the loss says nothing,")
    print("or the opposite one where it does.\n")
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
