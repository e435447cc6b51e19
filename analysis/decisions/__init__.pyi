"""The public names of `analysis.decisions`, each imported when it is first used."""

from .budget import BestSplit as BestSplit
from .budget import best_split as best_split
from .cost import Cost as Cost
from .exchange import ExchangeRate as ExchangeRate
from .exchange import SpeedUp as SpeedUp
from .exchange import exchange_rate as exchange_rate
from .exchange import speed_up as speed_up
from .exponent import ComputeOptimalExponent as ComputeOptimalExponent
from .exponent import compute_optimal_exponent as compute_optimal_exponent
from .response import Response as Response
from .response import combine_additive as combine_additive
from .returns import DiminishingReturns as DiminishingReturns
from .returns import StoppingPoint as StoppingPoint
from .returns import diminishing_returns as diminishing_returns
from .rounds import run_in_rounds as run_in_rounds
from .suggest import SuggestedRuns as SuggestedRuns
from .suggest import suggest_runs as suggest_runs
