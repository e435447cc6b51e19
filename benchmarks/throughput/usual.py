"""The usual loop, as in the first paper's code: vit-pytorch's ViT and SimMIM, ImageFolder,
DataLoader, torchvision's transforms, AdamW.

vit-pytorch 1.26.11 keeps positions as a matrix, but its SimMIM still slices them as if a batch
dimension came first, as it did when the paper was written: they are given that dimension back here,
and then its SimMIM runs as it is.

vit-pytorch has no SwinV2. There the loop trains torchvision's, with the masking and the head of
Microsoft's SimMIM around it. torchvision pads the last stage's 6 x 6 tokens to its 12 x 12 window;
Microsoft's code does not.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2

from benchmarks.throughput.loops import Rival
from benchmarks.throughput.models import Workload

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MERGED = 2  # a Swin's tokens are joined by twos along each side between stages


def usual_images(files: Path, side: int) -> ImageFolder:
    """The files with torchvision's transforms."""
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(side, scale=(0.67, 1.0), ratio=(3 / 4, 4 / 3)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, DEVIATION),
        ]
    )
    return ImageFolder(str(files), transform)


def build(workload: Workload, files: Path, device: torch.device) -> Rival:
    """The loop for that model."""
    recipe = workload.recipe(batch_images=1)
    model = (_swin(workload) if workload.is_swin else _vit(workload)).to(device)
    return Rival(
        model=model,
        dataset=usual_images(files, workload.of.image_px),
        loss=lambda module, images: module(images),
        to_device=lambda batch, to: batch[0].to(to, non_blocking=True),
        optimiser=torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay),
        pin_memory=True,
    )


def _vit(workload: Workload) -> nn.Module:
    from vit_pytorch import ViT
    from vit_pytorch.simmim import SimMIM

    of = workload.of
    encoder = ViT(
        image_size=of.image_px,
        patch_size=of.embed_px,
        num_classes=2,
        dim=of.size.dim,
        depth=of.size.depth,
        heads=of.size.heads,
        dim_head=of.size.head_dim,
        mlp_dim=of.size.mlp_dim,
    )
    encoder.pos_embedding = nn.Parameter(encoder.pos_embedding.detach()[None])
    return SimMIM(encoder=encoder, masking_ratio=workload.mask_share)


def _swin(workload: Workload) -> nn.Module:
    of = workload.of
    window = of.image_px // 16
    swin = SwinTransformer(
        patch_size=[of.embed_px, of.embed_px],
        embed_dim=of.size.channels,
        depths=list(of.size.depths),
        num_heads=[of.size.channels * MERGED**stage // of.size.head_dim for stage in range(len(of.size.depths))],
        window_size=[window, window],
        stochastic_depth_prob=0.0,
        block=SwinTransformerBlockV2,
        downsample_layer=PatchMergingV2,
    )
    return SwinSimMIM(swin, workload)


class SwinSimMIM(nn.Module):
    """Microsoft's SimMIM around torchvision's SwinV2, masks drawn in the batch as vit-pytorch's
    SimMIM draws them.
    """

    def __init__(self, swin: SwinTransformer, workload: Workload) -> None:
        super().__init__()
        of = workload.of
        self.swin, self.patch_px, self.unit_px = swin, of.embed_px, workload.mask_px
        self.units = of.image_px // self.unit_px
        self.masked = round(workload.mask_share * self.units**2)
        self.mask_token = nn.Parameter(torch.zeros(of.size.channels))
        width = of.size.channels * MERGED ** (len(of.size.depths) - 1)
        self.head = nn.Sequential(nn.Conv2d(width, of.stride_px**2 * 3, 1), nn.PixelShuffle(of.stride_px))

    def forward(self, images: Tensor) -> Tensor:
        chosen = torch.rand(len(images), self.units**2, device=images.device).topk(self.masked).indices
        units = torch.zeros(len(images), self.units**2, device=images.device).scatter_(1, chosen, 1.0)
        units = units.view(-1, 1, self.units, self.units)
        hidden = F.interpolate(units, scale_factor=self.unit_px / self.patch_px, mode="nearest").permute(0, 2, 3, 1)
        tokens = self.swin.features[0](images)
        tokens = tokens * (1 - hidden) + self.mask_token * hidden
        for layer in list(self.swin.features)[1:]:
            tokens = layer(tokens)
        said = self.head(self.swin.norm(tokens).permute(0, 3, 1, 2))
        weights = F.interpolate(units, scale_factor=self.unit_px, mode="nearest")
        return (F.l1_loss(images, said, reduction="none") * weights).sum() / weights.sum() / 3


def work_of_loading(dataset: ImageFolder, *, images: int) -> tuple[float, float]:
    """Milliseconds of one core that an image takes to be decoded, and to be transformed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a loading process
    paths = [path for path, _ in dataset.samples[:images]]
    assert dataset.transform is not None
    started = time.perf_counter()
    pictures = [dataset.loader(path) for path in paths]
    decoded = time.perf_counter()
    for picture in pictures:
        dataset.transform(picture)
    ended = time.perf_counter()
    torch.set_num_threads(threads)
    return 1e3 * (decoded - started) / len(paths), 1e3 * (ended - decoded) / len(paths)
