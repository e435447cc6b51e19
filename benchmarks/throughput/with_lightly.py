"""lightly's transform and masked vision transformer, in the loop of its example
`examples/pytorch/simmim.py`.

The SimMIM module is written as that example writes it, on lightly's own parts and torchvision's
ViT; MAETransform is the transform it uses (bicubic), with crops as large as everybody's.
torchvision's attention has heads of width / heads, so its ViNy is a smaller model than ours: the
table says by how much. The example's optimiser is AdamW as it comes, without pinned memory. lightly
has no SwinV2.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.datasets import ImageFolder
from torchvision.models.vision_transformer import VisionTransformer

from benchmarks.throughput.loops import Rival
from benchmarks.throughput.models import Workload


class SimMIM(nn.Module):
    """As in the example."""

    def __init__(self, vit: VisionTransformer, mask_share: float) -> None:
        from lightly.models import utils
        from lightly.models.modules.masked_vision_transformer_torchvision import MaskedVisionTransformerTorchvision

        super().__init__()
        self.utils = utils
        self.mask_share, self.patch_px, self.sequence_length = mask_share, vit.patch_size, vit.seq_length
        self.backbone = MaskedVisionTransformerTorchvision(vit=vit)
        self.decoder = nn.Linear(vit.hidden_dim, vit.patch_size**2 * 3)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        _, hidden = self.utils.random_token_mask(size=(len(images), self.sequence_length), mask_ratio=self.mask_share, device=images.device)
        encoded = self.backbone.encode(images=images, idx_mask=hidden)
        said = self.decoder(self.utils.get_at_index(encoded, hidden))
        # there is no patch for the class token
        return said, self.utils.get_at_index(self.utils.patchify(images, self.patch_px), hidden - 1)


def build(workload: Workload, files: Path, device: torch.device) -> Rival:
    """The example's loop for that model, a ViT."""
    from lightly.transforms.mae_transform import MAETransform

    of = workload.of
    vit = VisionTransformer(
        image_size=of.image_px,
        patch_size=of.embed_px,
        num_layers=of.size.depth,
        num_heads=of.size.heads,
        hidden_dim=of.size.dim,
        mlp_dim=of.size.mlp_dim,
    )
    model = SimMIM(vit, workload.mask_share).to(device)
    criterion = nn.L1Loss()
    return Rival(
        model=model,
        dataset=ImageFolder(str(files), MAETransform(input_size=of.image_px, min_scale=0.67)),
        loss=lambda module, images: criterion(*module(images)),
        to_device=lambda batch, to: batch[0][0].to(to),
        optimiser=torch.optim.AdamW(model.parameters(), lr=1.5e-4),
        pin_memory=False,
    )
