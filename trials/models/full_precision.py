"""Sums that must not be taken in bf16, whatever the rest of a model computes in."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Within it, autocast changes nothing; on a device that has no autocast, such as 'meta', there
    is nothing to change.
    """
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()
