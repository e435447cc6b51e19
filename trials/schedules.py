"""Learning-rate schedules: pure functions of the step, as a factor of the base rate."""

from __future__ import annotations

import math
from collections.abc import Sequence


def multi_step(step: int, *, steps: int, milestones: Sequence[float], gamma: float) -> float:
    """`gamma` to the power of the milestones passed; milestones are fractions of the whole length, so they scale with it."""
    passed = sum(step >= math.ceil(round(milestone * steps, 9)) for milestone in milestones)
    return gamma**passed


def cosine(step: int, *, steps: int, warmup: float, final: float = 0.0) -> float:
    """Linear warm-up over the first `warmup` share of the steps, then half a cosine from 1 down to `final`."""
    warmup_steps = math.ceil(round(warmup * steps, 9))
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))
