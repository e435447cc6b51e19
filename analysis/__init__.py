"""Laws, tests and intervals from a table of runs. Needs neither torch nor Ray: a CSV and a laptop
are enough.

from analysis import choose_law, fit, load_runs, pretraining_effects
runs = load_runs("runs/diminishing_returns")            # or "my_results.csv"
print(fit(runs.finetune_images, runs.miou, cluster=runs.seed).summary())
print(choose_law(images, error).predict(1e6, "new run").to_frame())
print("\\n".join(pretraining_effects(runs).sentences()))

The public names are listed in `__init__.pyi` and imported on first use: fitting a law needs numpy
alone, and does not wait for pandas.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
