"""From a grid to a plan to trained stages, with Ray Tune: `python -m scaling.launch`.

The public names are listed in `__init__.pyi` and imported on first use: `python -m scaling.status`
must not wait for torch.
"""

from __future__ import annotations

import lazy_loader

from scaling.neighbours import check_neighbours

check_neighbours()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
