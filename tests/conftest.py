"""What all tests share: where the real images are, and a small generated store."""

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
    """Folder with the unpacked real images; tests that need it skip where it is absent."""
    folder = os.environ.get("SCALING_REAL_DATA")
    if not folder or not (Path(folder) / "oxford-iiit-pet").is_dir():
        pytest.skip("SCALING_REAL_DATA does not name a folder with the real images (shared/data, unpacked)")
    return Path(folder)


@pytest.fixture(scope="session")
def published() -> Path:
    """Folder with the published numbers; tests that need it skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "published"
    if not folder.is_dir():
        pytest.skip("the folder with the published numbers is not beside this checkout")
    return folder
