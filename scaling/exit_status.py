"""What the exit status of a launch says."""

from __future__ import annotations

COMPLETE, INCOMPLETE, WRONG, INTERRUPTED = 0, 1, 2, 130
