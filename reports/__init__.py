"""Charts and the one-file HTML report of a study. All statistics come from `analysis`.

    from reports import build_report
    build_report("runs/quickstart")                 # writes runs/quickstart/report.html

    from reports import build_published
    build_published("diminishing-returns")          # writes diminishing-returns.html

Each chart is a function from a finished table to an Altair chart, for use on its own as well. The
public names are listed in `__init__.pyi` and imported when they are first used.
"""

from __future__ import annotations

import lazy_loader

from reports.neighbours import check_neighbours

check_neighbours()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
