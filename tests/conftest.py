"""Fixtures of all tests: where the data are.

Tests read what is in the repository: `tests/data` and `analysis/published`. The one exception is
`real_data`, whose images are too large to ship.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


# no test asserts a time, so neither does Hypothesis
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")


def pytest_configure(config: pytest.Config) -> None:
    """pytest-xdist would put files with the fewest tests last, and those are the longest here."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process ends with a long one while others wait."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -min(slow[item.path], 1))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with unpacked real images, named by SCALING_REAL_DATA; skips a test where it is not."""
    folder = os.environ.get("SCALING_REAL_DATA")
    if not folder or not (Path(folder) / "oxford-iiit-pet").is_dir():
        pytest.skip("SCALING_REAL_DATA does not name a folder with unpacked images: oxford-iiit-pet and others, as docs/data.md lists them")
    return Path(folder)


@pytest.fixture(scope="session")
def public_data() -> Path:
    """Folder with measurements of public studies; its README names their sources."""
    return Path(__file__).parent / "data"


@pytest.fixture
def figures_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgets the figures and sections that a test registers, so that no later page shows them."""
    from reports import registry

    registry.figure_kinds()  # the project's own stay
    monkeypatch.setattr(registry, "_figures", dict(registry._figures))
    monkeypatch.setattr(registry, "_sections", dict(registry._sections))
    monkeypatch.setattr(registry, "_loaded", [])
