"""Images that are measured again and again while a stage trains, always the same crops of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trials.data.augmentation import Crops
from trials.data.pictures import Pictures
from trials.errors import first_cause
from trials.training.recording import free_memory, recorded

EVAL_BATCH = 256
MOST_PARTS = 16
"""Batches of a call that is captured: with more, the device has work enough between two starts."""


class FixedImages:
    """Some of a stage's images, with what is taken of each.

    Where all images are in a GPU's memory, positions and crops are kept there too, so that taking
    them waits for nothing and can be captured.
    """

    def __init__(self, pictures: Pictures, positions: Tensor, crops: Crops, *, nearest: bool = False) -> None:
        """
        Args:
            positions: (N,) among the pictures.
            crops: of each.
            nearest: as in `Pictures.images`.
        """
        self._pictures, self._nearest = pictures, nearest
        self.positions = positions
        self._there, self._crops = positions, crops
        if pictures.resident and pictures.device.type == "cuda":
            self._there = positions.to(pictures.device)
            self._crops = Crops(crops.values.to(pictures.device), crops.largest)

    def __len__(self) -> int:
        return len(self.positions)

    def parts(self) -> list[slice]:
        """All of them in evaluation batches."""
        return [slice(start, min(start + EVAL_BATCH, len(self))) for start in range(0, len(self), EVAL_BATCH)]

    def images(self, rows: slice | Tensor) -> Tensor:
        """(B, S, S, 3) uint8 of those rows."""
        return self._pictures.images(self._there[rows], self._crops[rows], nearest=self._nearest)


class RepeatedCalls:
    """Calls that are made again and again, of which nothing changes but the model's weights, such as
    the losses of held-out images.

    Where the steps of a stage are captured, so are these: each call runs as it is at first, is
    captured at its second time, and replayed from then on.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._allowed = False
        self._known: dict[str, Callable[[], Tensor] | None] = {}
        self.failed: dict[str, str] = {}
        """Why a call could not be captured, by its name."""

    def allow(self) -> None:
        """Capture calls from now on."""
        self._allowed = True

    def release(self) -> None:
        """Let go of what was captured, and capture no more."""
        self._allowed = False
        self._known.clear()

    def __call__(self, name: str, body: Callable[[], Tensor], *, parts: int) -> Tensor:
        """What `body` gives. The next call of that name overwrites it.

        Args:
            body: reads nothing that changes from call to call but tensors that stay where they are.
            parts: batches that it takes; a call of more than `MOST_PARTS` is never captured.
        """
        if not self._allowed or parts > MOST_PARTS or name in self.failed:
            return body()
        if name not in self._known:  # the first time: what is made once is made now
            self._known[name] = None
            return body()
        replay = self._known[name]
        if replay is None:
            try:
                replay = self._known[name] = self._captured(body)
            except Exception as error:  # the call itself has no fault: it ran before
                self.failed[name] = first_cause(error)
        if replay is None:
            free_memory(self._device)
            return body()
        return replay()

    def _captured(self, body: Callable[[], Tensor]) -> Callable[[], Tensor]:
        if self._device.type != "cuda":
            return body
        graph = torch.cuda.CUDAGraph()
        with recorded(graph, self._device):
            result = body()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay
