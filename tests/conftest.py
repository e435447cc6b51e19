"""Fixtures of all tests: where the data are.

Tests read what is in the repository: `tests/data` and `analysis/published`. The one exception is
`real_data`, whose images are too large to ship.
"""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


# no test asserts a time, so neither does Hypothesis
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with unpacked real images, named by SCALING_REAL_DATA; skips a test where it is not."""
    folder = os.environ.get("SCALING_REAL_DATA")
    if not folder or not (Path(folder) / "oxford-iiit-pet").is_dir():
        pytest.skip("SCALING_REAL_DATA does not name a folder with unpacked images: oxford-iiit-pet and others, as docs/grid.md lists them")
    return Path(folder)


@pytest.fixture(scope="session")
def public_data() -> Path:
    """Folder with measurements of public studies; its README names their sources."""
    return Path(__file__).parent / "data"
