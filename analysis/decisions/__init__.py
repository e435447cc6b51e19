"""Decisions from fitted laws: where to stop, what an advantage is worth, how to split a budget, which
runs to make next.

from analysis import diminishing_returns, fit
curve = fit(runs.finetune_images, runs.miou, cluster=runs.seed)
print(diminishing_returns(curve, price=1e-5).summary())
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
