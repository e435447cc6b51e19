"""Power and numbers of seeds, by the noncentral t, for paired and for independent seeds."""

from __future__ import annotations

import math
from typing import Literal

from analysis.errors import AnalysisError
from analysis.fitting.inputs import checked_level
from analysis.significance.noncentral import noncentral_t_below
from analysis.student import t_quantile

Design = Literal["paired", "independent"]
MOST_SEEDS = 1_000_000.0


def power_of(effect: float, *, sd: float, seeds: float, level: float = 0.95, design: Design = "paired", tests: int = 1) -> float:
    """Probability that a two-sided t test at 1 - level finds `effect` with so many seeds (in each
    group).

    Args:
        effect: true mean difference, in the unit of `sd`; its sign does not matter.
        sd: 'paired': standard deviation over seeds of the differences between treatment and baseline;
            'independent': of single runs within a group.
        seeds: at least 2; need not be whole.
        level: nominal coverage; the test is at 1 - level, or (1 - level) / tests with several tests
            (Bonferroni, which Holm's first step equals).

    Equals statsmodels' TTestPower and TTestIndPower, whose solver for the number of seeds stops
    near 1e-6 and which rest on SciPy's noncentral t (see `noncentral`). Cohen 1988, Statistical
    Power Analysis, chapter 2. Raises AnalysisError.
    """
    _checked(effect=effect, sd=sd, level=level, design=design, tests=tests)
    if not 2 <= seeds <= MOST_SEEDS:
        raise AnalysisError(f"seeds is {seeds:g}: a spread over seeds needs at least 2, and {MOST_SEEDS:,.0f} are the most.")
    return _power(abs(effect) / sd, seeds, level, design, tests)


def seeds_needed(effect: float, *, sd: float, power: float = 0.8, level: float = 0.95, design: Design = "paired", tests: int = 1) -> int:
    """The fewest seeds (in each group), at least 2, that find `effect` with probability `power`.

    Arguments as in `power_of`.

    Raises AnalysisError, also where more than a million would be needed.
    """
    return max(2, math.ceil(fractional_seeds(effect, sd=sd, power=power, level=level, design=design, tests=tests) - 1e-9))


def fractional_seeds(effect: float, *, sd: float, power: float = 0.8, level: float = 0.95, design: Design = "paired", tests: int = 1) -> float:
    """`seeds_needed` before rounding up; 2 where two seeds already suffice."""
    from scipy.optimize import brentq

    _checked(effect=effect, sd=sd, level=level, design=design, tests=tests, power=power)
    if effect == 0.0:
        raise AnalysisError("effect is 0: no number of seeds shows an effect that is not there; state the smallest one that would matter.")
    size = abs(effect) / sd
    if _power(size, 2.0, level, design, tests) >= power:
        return 2.0
    high = 4.0
    while _power(size, high, level, design, tests) < power:
        high *= 2.0
        if high > MOST_SEEDS:
            raise AnalysisError(f"an effect of {size:.2g} standard deviations needs more than a million seeds: state a larger effect.")
    return float(brentq(lambda seeds: _power(size, seeds, level, design, tests) - power, high / 2.0, high, xtol=1e-10))


def smallest_effect(seeds: float, *, sd: float, power: float = 0.8, level: float = 0.95, design: Design = "paired", tests: int = 1) -> float:
    """The smallest effect that so many seeds (in each group) find with probability `power`.

    In the unit of `sd`; arguments as in `power_of`.
    """
    from scipy.optimize import brentq

    _checked(effect=0.0, sd=sd, level=level, design=design, tests=tests, power=power)
    if not 2 <= seeds <= MOST_SEEDS:
        raise AnalysisError(f"seeds is {seeds:g}: a spread over seeds needs at least 2, and {MOST_SEEDS:,.0f} are the most.")
    high = 1.0
    while _power(high, seeds, level, design, tests) < power:
        high *= 2.0
    return sd * float(brentq(lambda size: _power(size, seeds, level, design, tests) - power, 0.0, high, xtol=1e-12))


def _power(size: float, seeds: float, level: float, design: Design, tests: int) -> float:
    """Power; `size` is the effect in standard deviations."""
    df = seeds - 1.0 if design == "paired" else 2.0 * (seeds - 1.0)
    noncentrality = size * math.sqrt(seeds if design == "paired" else seeds / 2.0)
    critical = t_quantile(1.0 - (1.0 - level) / tests, df)
    return noncentral_t_below(-critical, df, noncentrality) + noncentral_t_below(-critical, df, -noncentrality)


def _checked(*, effect: float, sd: float, level: float, design: str, tests: int, power: float = 0.8) -> None:
    checked_level(level)
    if not math.isfinite(effect):
        raise AnalysisError(f"effect is {effect:g}: state a finite difference, in the unit of the outcome.")
    if not (sd > 0.0 and math.isfinite(sd)):
        raise AnalysisError(f"sd is {sd:g}: give a standard deviation above zero; without spread any effect shows at once.")
    if design not in ("paired", "independent"):
        raise AnalysisError(f"design is '{design}': choose 'paired' (treatment and baseline share seeds) or 'independent'.")
    if not (tests >= 1 and int(tests) == tests):
        raise AnalysisError(f"tests is {tests}: give the number of tests in the family, 1 or more.")
    if not 1.0 - level < power < 1.0:
        raise AnalysisError(f"power is {power:g}: choose a probability between {1.0 - level:.2g} and 1.")
