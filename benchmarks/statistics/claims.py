"""How often does `findings` decide a claim wrongly? Whole grids with known truth, every claim at
once.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from analysis import findings
from benchmarks.statistics.grids import Noise, simulate_grid

SHARE = 10  # one grid for every so many simulations asked for: a grid takes a second, with a dozen claims, a law and its bootstrap
NOTHING = 1e-9  # a margin that nothing is inside, so that verdicts are about signs alone
TRUE = {
    "pretraining-helps-everywhere": "supported",
    "pretraining-helps-on-average": "supported",
    "gain-shrinks-with-labels": "supported",
    "intermediate-hurts-everywhere": "supported",
    "intermediate-hurts-on-average": "supported",
    "classification-negates-pretraining": "refuted",
}


def run(*, simulations: int, seed: int) -> None:
    grids = max(10, simulations // SHARE)
    print(f"{grids} grids of 3 sizes and scratch, 6 label counts, 3 seeds a row; verdicts at 5% after all corrections.\n")
    print("Nothing has an effect, so every decision is wrong:\n")
    _null(grids, seed)
    print(
        "\nPre-training adds 0.06 at the fewest labels and half of that at the most, the stage takes 0.02 away; the right verdict is in brackets:\n"
    )
    _with_effects(grids, seed)


def _null(grids: int, seed: int) -> None:
    random = np.random.default_rng([seed, 0])
    wrong: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    topics: Counter[str] = Counter()
    anything = 0
    for _ in range(grids):
        found = findings(simulate_grid(random, noise=Noise()), margin=NOTHING)
        # Labels raise the score in every simulated grid, and the law of effective data is found from
        # them alone: neither is null here.
        null = [one for one in found if "finetune" not in one.identity and one.identity not in ("worth-in-labels", "floor")]
        asked.update(one.identity for one in null)
        decided = [one for one in null if one.verdict != "open"]
        wrong.update(one.identity for one in decided)
        topics.update({one.topic for one in decided})
        anything += bool(decided)
    print("| claim | decided |\n|---|---|")
    for name in asked:
        print(f"| {name} | {100 * wrong[name] / grids:.1f}% |")
    for name, count in topics.items():
        print(f"| any of topic: {name} | {100 * count / grids:.1f}% |")
    print(f"| any claim at all | {100 * anything / grids:.1f}% +-{200 * (anything / grids * (1 - anything / grids) / grids) ** 0.5:.1f} |")


def _with_effects(grids: int, seed: int) -> None:
    random = np.random.default_rng([seed, 1])
    print("| claim | seeds | right | wrong | open |\n|---|---|---|---|---|")
    for seeds in (3, 5):
        verdicts: Counter[tuple[str, str]] = Counter()
        for _ in range(grids):
            found = findings(simulate_grid(random, seeds=seeds, pretraining_gain=0.06, intermediate_effect=-0.02), margin=NOTHING)
            verdicts.update((one.identity, one.verdict) for one in found)
        for name, right in TRUE.items():
            share = {verdict: 100 * verdicts[name, verdict] / grids for verdict in ("supported", "refuted", "open")}
            wrong = share["refuted" if right == "supported" else "supported"]
            print(f"| {name} ({right}) | {seeds} | {share[right]:.0f}% | {wrong:.1f}% | {share['open']:.0f}% |")
