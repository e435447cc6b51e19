"""Ends a launch's process with its exit status, also where threads of Ray would crash it."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

_ray_restarted = False


def ray_was_restarted() -> None:
    """Note that this process has started Ray twice."""
    global _ray_restarted
    _ray_restarted = True


def leave(status: int) -> NoReturn:
    """End the process with this exit status.

    Where Ray was started twice in it, threads of the first one may still run while the interpreter
    takes itself down, and crash it (seen once: a launch that had finished, with status 139). All is
    written by then, so the process ends at once.
    """
    if _ray_restarted:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)
    sys.exit(status)
