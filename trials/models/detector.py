"""Faster R-CNN (Ren et al. 2015) and Mask R-CNN (He et al. 2017, arXiv 1703.06870), torchvision's,
over a feature pyramid of any encoder.

Regions are sampled at random in training. Each image draws from generators of its own, so that a
resumed stage and the parts of a batch see the same draws.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.models.encoder import Encoder
from trials.models.pyramids import Pyramid

ANCHOR_RATIOS = (0.5, 1.0, 2.0)
BOX_CELLS, MASK_CELLS = 7, 14
USUAL_ANCHOR_SCALE = 8
CANONICAL_PX = 224
"""Side of the objects that are read from the level of 16 px, where anchors have the usual scale."""
POSITIVE_SHARE = 0.25

Targets = list[dict[str, Tensor]]
"""Of each image `boxes` (K, 4) left, top, right, bottom, `labels` (K,) from 1 on, and, where masks are
learned, `masks` (K, S, S) uint8.
"""


class RegionSampler:
    """Draws positive and negative regions of each image, as torchvision's
    BalancedPositiveNegativeSampler, from a generator of the image.
    """

    def __init__(self, regions: int, positive_share: float) -> None:
        """
        Args:
            regions: drawn for each image, at most.
        """
        self._regions, self._positive_share = regions, positive_share
        self.generators: list[torch.Generator] = []
        """On the CPU, one for each image of the next batch."""

    def __call__(self, matched: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """(N,) of each image, above 0 for a region with an object, 0 for one without, -1 for one that
        does not count -> (N,) uint8 of each image, 1 where it is drawn: positives, then negatives.
        """
        chosen: tuple[list[Tensor], list[Tensor]] = ([], [])
        for of, generator in zip(matched, self.generators, strict=True):
            places = torch.where(of >= 1)[0], torch.where(of == 0)[0]
            positives = min(len(places[0]), int(self._regions * self._positive_share))
            for found, count, into in zip(places, (positives, self._regions - positives), chosen, strict=True):
                drawn = torch.randperm(len(found), generator=generator)[:count].to(found.device)
                into.append(torch.zeros_like(of, dtype=torch.uint8).index_fill_(0, found[drawn], 1))
        return chosen


class Detector(nn.Module):
    """Finds the boxes of objects, and their masks where it has a mask branch."""

    def __init__(self, encoder: Encoder, *, classes: int, width: int, anchor_scale: float, regions: int, masks: bool) -> None:
        """
        Args:
            classes: of objects, without the background.
            width: channels of the pyramid and the heads; 256 in both papers.
            anchor_scale: side of an anchor over the stride of its level; 8 in torchvision.
            regions: that the box head learns from in each image; 512 in torchvision.
            masks: whether there is a mask branch.
        """
        super().__init__()
        self.encoder = encoder
        self.image_px = encoder.image_px
        self.pyramid = Pyramid(encoder, width=width)
        self._width, self._regions, self.has_masks = width, regions, masks
        self.proposals, self.heads = _torchvision_parts(
            self.pyramid.strides, classes=classes + 1, width=width, anchor_scale=anchor_scale, regions=regions, masks=masks
        )
        self._samplers = (self.proposals.fg_bg_sampler, self.heads.fg_bg_sampler)

    def _features(self, images: Tensor) -> dict[str, Tensor]:
        # float32, since coordinates of boxes and anchors take the type of the maps
        return {str(number): one.float() for number, one in enumerate(self.pyramid(self.encoder.feature_maps(images)))}

    def _sizes(self, images: Tensor) -> list[tuple[int, int]]:
        return [(self.image_px, self.image_px)] * len(images)

    def losses(self, images: Tensor, targets: Targets, generators: tuple[list[torch.Generator], list[torch.Generator]]) -> dict[str, Tensor]:
        """The losses of (B, 3, S, S) normalised images, float32 scalars by name: objectness and boxes
        of the proposals; classes, boxes and masks of the heads.

        Args:
            generators: for each image one that draws anchors, and one that draws regions.
        """
        from torchvision.models.detection.image_list import ImageList

        for sampler, of in zip(self._samplers, generators, strict=True):
            sampler.generators = of
        features, sizes = self._features(images), self._sizes(images)
        regions, first = self.proposals(ImageList(images, sizes), features, targets)
        _, second = self.heads(features, regions, sizes, targets)
        return {**first, **second}

    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        """Detects objects in (B, 3, S, S) normalised images, in evaluation only.

        Of each image: `boxes` (n, 4) in pixels of the input, `labels` (n,) from 1 on, `scores` (n,),
        and `masks` (n, 1, 28, 28) of probabilities within the boxes.
        """
        from torchvision.models.detection.image_list import ImageList

        assert not self.training, "a detector in training has losses"
        features, sizes = self._features(images), self._sizes(images)
        regions, _ = self.proposals(ImageList(images, sizes), features)
        found: list[dict[str, Tensor]] = self.heads(features, regions, sizes)[0]
        return found

    def example_loss(self, images: Tensor) -> Tensor:
        """A loss with the arithmetic of `losses` and no search for regions, which cannot be counted
        without data: as many regions as are drawn, a quarter of them with a mask.
        """
        features = list(self._features(images).values())
        total = sum((one.square().mean() for outputs in self.proposals.head(features) for one in outputs), torch.zeros((), device=images.device))
        count = self._regions * len(images)
        pooled = F.adaptive_avg_pool2d(features[0], BOX_CELLS).mean(dim=0).expand(count, -1, -1, -1)
        total = total + sum(one.square().mean() for one in self.heads.box_predictor(self.heads.box_head(pooled)))
        if self.has_masks:
            pooled = F.adaptive_avg_pool2d(features[0], MASK_CELLS).mean(dim=0).expand(max(1, int(count * POSITIVE_SHARE)), -1, -1, -1)
            total = total + self.heads.mask_predictor(self.heads.mask_head(pooled)).square().mean()
        return torch.as_tensor(total)


def _torchvision_parts(strides: list[int], *, classes: int, width: int, anchor_scale: float, regions: int, masks: bool) -> tuple[Any, Any]:
    """torchvision's region proposal network and heads, with its defaults for all else."""
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import MaskRCNN, MaskRCNNHeads, MaskRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign

    levels = [str(number) for number in range(len(strides) - 1)]
    canonical = round(CANONICAL_PX * anchor_scale / USUAL_ANCHOR_SCALE)

    def pool(cells: int) -> Any:
        return MultiScaleRoIAlign(levels, cells, sampling_ratio=2, canonical_scale=canonical)

    with torch.device("cpu"):  # anchors are no parameters, and move to where they are used
        sizes = tuple((anchor_scale * stride,) for stride in strides)
        anchors = AnchorGenerator(sizes, (ANCHOR_RATIOS,) * len(sizes))
    backbone = nn.Identity()
    backbone.out_channels = width  # type: ignore[assignment]
    settings: dict[str, Any] = {
        "rpn_anchor_generator": anchors,
        "box_roi_pool": pool(BOX_CELLS),
        "box_head": TwoMLPHead(width * BOX_CELLS**2, 4 * width),
        "box_predictor": FastRCNNPredictor(4 * width, classes),
        "box_batch_size_per_image": regions,
        "box_positive_fraction": POSITIVE_SHARE,
    }
    if masks:
        settings |= {
            "mask_roi_pool": pool(MASK_CELLS),
            "mask_head": MaskRCNNHeads(width, (width,) * 4, 1),
            "mask_predictor": MaskRCNNPredictor(width, width, classes),
        }
    whole = (MaskRCNN if masks else FasterRCNN)(backbone, None, **settings)
    for part in (whole.rpn, whole.roi_heads):
        part.fg_bg_sampler = RegionSampler(part.fg_bg_sampler.batch_size_per_image, part.fg_bg_sampler.positive_fraction)
    # under autocast the heads answer in bf16, in which neither boxes nor scores are precise enough
    for head in (whole.rpn.head, whole.roi_heads.box_predictor, *([whole.roi_heads.mask_predictor] if masks else [])):
        head.register_forward_hook(_in_float32)
    return whole.rpn, whole.roi_heads


def _in_float32(_module: nn.Module, _inputs: Any, outputs: Any) -> Any:
    """The outputs of a module, in nested tuples and lists, in float32."""
    if isinstance(outputs, Tensor):
        return outputs.float()
    return type(outputs)(_in_float32(_module, None, one) for one in outputs)
