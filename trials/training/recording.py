"""Recording work of a GPU in a CUDA graph: on which stream, and what is put right when it fails."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

_streams: dict[torch.device, torch.cuda.Stream] = {}


def recording_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream of this process that everything is recorded on, and warmed up on before.

    One for all stages of a process: torch keeps a workspace for matrix products, 32 MiB on an H100,
    for each stream on which a product ever ran.
    """
    if device not in _streams:
        _streams[device] = torch.cuda.Stream(device)
    return _streams[device]


@contextlib.contextmanager
def recorded(graph: torch.cuda.CUDAGraph, device: torch.device) -> Iterator[None]:
    """Records what runs within it, and restores the current stream, which torch does not where it
    cannot end the recording.
    """
    before = torch.cuda.current_stream(device)
    try:
        with torch.cuda.graph(graph, stream=recording_stream(device)):
            yield
    finally:
        torch.cuda.set_stream(before)


def free_memory(device: torch.device) -> None:
    """Gives memory that nothing uses back to the GPU, where it can be: after an error of the GPU, or
    where torch up to 2.11 counts a recording that failed as under way, asking would be an error too.
    """
    if device.type == "cuda":
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()
