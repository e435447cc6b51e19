"""transformers' ViT and SwinV2 for masked image modelling, in the loop of its example
`run_mim_no_trainer.py`.

The example's transforms, its mask for each image drawn by NumPy in the loading process, its way of
collating, its two groups of parameters and a linear schedule. Its other example, `run_mim.py`,
hands the same to the Trainer, whose defaults (fused AdamW, pinned memory) are taken here because
they are faster, while the Trainer's clipping of gradients is left out. Images come from JPEG files
through torchvision's ImageFolder, in place of the `datasets` package, which decodes with Pillow
too. No stochastic depth, as in ours.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.throughput.loops import ENDLESS, Rival
from benchmarks.throughput.models import Workload

UNDECAYED = ("bias", "LayerNorm.weight")
HALF = (0.5, 0.5, 0.5)  # the default of ViT's image processor


class MaskGenerator:
    """A mask of whole squares, as the model takes it: one number for each of its patches."""

    def __init__(self, *, image_px: int, unit_px: int, patch_px: int, share: float) -> None:
        self.side, self.scale = image_px // unit_px, unit_px // patch_px
        self.masked = round(share * self.side**2)

    def __call__(self) -> Tensor:
        mask = np.zeros(self.side**2, dtype=int)
        mask[np.random.permutation(self.side**2)[: self.masked]] = 1  # noqa: NPY002  as the example does
        grid = mask.reshape(self.side, self.side).repeat(self.scale, axis=0).repeat(self.scale, axis=1)
        return torch.tensor(grid.flatten())


class Examples(ImageFolder):
    """An image and its mask."""

    def __init__(self, files: Path, transform: Callable[[Any], Tensor], mask: MaskGenerator) -> None:
        super().__init__(str(files), transform)
        self.draw_mask = mask

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"pixel_values": super().__getitem__(index)[0], "mask": self.draw_mask()}


def collate(examples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """A batch under the names that the models take."""
    return {"pixel_values": torch.stack([one["pixel_values"] for one in examples]), "bool_masked_pos": torch.stack([one["mask"] for one in examples])}


def build(workload: Workload, files: Path, device: torch.device) -> Rival:
    """The example's loop for that model."""
    of, recipe = workload.of, workload.recipe(batch_images=1)
    transform = transforms.Compose(
        [
            transforms.Lambda(_as_rgb),
            transforms.RandomResizedCrop(of.image_px, scale=(0.67, 1.0), ratio=(3 / 4, 4 / 3)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(HALF, HALF),
        ]
    )
    model = _model(workload).to(device)
    kept: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (free if any(one in name for one in UNDECAYED) else kept).append(parameter)
    groups = [{"params": kept, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    mask = MaskGenerator(image_px=of.image_px, unit_px=workload.mask_px, patch_px=of.embed_px, share=workload.mask_share)
    return Rival(
        model=model,
        dataset=Examples(files, transform, mask),
        loss=lambda module, batch: module(**batch).loss,
        to_device=lambda batch, to: {name: value.to(to, non_blocking=True) for name, value in batch.items()},
        optimiser=optimiser,
        pin_memory=True,
        collate=collate,
        scheduler=torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=ENDLESS),
    )


def _as_rgb(image: Any) -> Any:
    return image.convert("RGB") if image.mode != "RGB" else image


def _model(workload: Workload) -> nn.Module:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ[name] = "1"  # nothing is fetched, so nothing need be asked
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

    of, size = workload.of, workload.of.size
    if workload.is_swin:
        swin = transformers.Swinv2Config(
            image_size=of.image_px,
            patch_size=of.embed_px,
            embed_dim=size.channels,
            depths=list(size.depths),
            num_heads=[size.channels * 2**stage // size.head_dim for stage in range(len(size.depths))],
            window_size=of.image_px // 16,
            encoder_stride=of.stride_px,
            drop_path_rate=0.0,
        )
        return transformers.Swinv2ForMaskedImageModeling(swin).train()
    config = transformers.ViTConfig(
        hidden_size=size.dim,
        num_hidden_layers=size.depth,
        num_attention_heads=size.heads,
        intermediate_size=size.mlp_dim,
        image_size=of.image_px,
        patch_size=of.embed_px,
        encoder_stride=of.embed_px,
        qkv_bias=False,
    )
    config.head_dim = size.head_dim  # ViNy's heads are wider than width / heads, which its attention asks the configuration for
    return transformers.ViTForMaskedImageModeling(config).train()
