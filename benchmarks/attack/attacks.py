"""All attacks."""

from __future__ import annotations

from benchmarks.attack import checkpoints, folders, grids, stores, tables

ATTACKS = (*grids.ATTACKS, *folders.ATTACKS, *tables.ATTACKS, *stores.ATTACKS, *checkpoints.ATTACKS)
