"""One stage at a time: data, models, recipes, training and metrics. Imports no Ray, so a stage runs
with no cluster.

The public names are listed in `__init__.pyi` and imported on first use, so that decoding images does
not wait for torch.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
