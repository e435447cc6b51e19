"""Decisions from fitted laws: where to stop, what an advantage is worth, how to split a budget, which
runs to make next.

from analysis import diminishing_returns, fit
curve = fit(runs.finetune_images, runs.miou, cluster=runs.seed)
print(diminishing_returns(curve, price=1e-5).summary())
"""

from analysis.decisions.budget import BestSplit, best_split
from analysis.decisions.cost import Cost
from analysis.decisions.exchange import ExchangeRate, SpeedUp, exchange_rate, speed_up
from analysis.decisions.exponent import ComputeOptimalExponent, compute_optimal_exponent
from analysis.decisions.response import Response, combine_additive
from analysis.decisions.returns import DiminishingReturns, StoppingPoint, diminishing_returns
from analysis.decisions.suggest import SuggestedRuns, suggest_runs

__all__ = [
    "BestSplit",
    "ComputeOptimalExponent",
    "Cost",
    "DiminishingReturns",
    "ExchangeRate",
    "Response",
    "SpeedUp",
    "StoppingPoint",
    "SuggestedRuns",
    "best_split",
    "combine_additive",
    "compute_optimal_exponent",
    "diminishing_returns",
    "exchange_rate",
    "speed_up",
    "suggest_runs",
]
