"""What is trained: the models that are compared, each with our recipe for it, and how many images a
batch and on disk.
"""

from __future__ import annotations

from dataclasses import dataclass

from trials.models.encoders import EncoderName, parse_encoder
from trials.models.masking import mask_unit_px, masked_count
from trials.recipes.fields import PretrainRecipe
from trials.recipes.named import get_recipe


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One pre-training by SimMIM; all contenders mask alike and predict raw pixels."""

    name: str
    """What the command line calls it."""
    title: str
    encoder: str
    recipe_name: str
    batch_on: dict[str, int]
    """Images a batch, by type of device."""
    images_on: dict[str, int]
    """Images on disk, by type of device: enough that no batch repeats itself soon."""
    target_ratio_on: dict[str, float]
    """How many times as fast as the usual loop, by type of device; none where there is no target."""
    target_images_per_s: float | None = None
    """On one H200, of all stages that share it."""
    target_utilisation: float | None = None
    """On one H200."""

    @property
    def of(self) -> EncoderName:
        return parse_encoder(self.encoder)

    @property
    def is_swin(self) -> bool:
        return self.of.family.name == "swinv2"

    def recipe(self, *, batch_images: int, precision: str = "auto") -> PretrainRecipe:
        """Ours, but that it predicts raw pixels, as the rivals do."""
        found = get_recipe("pretrain", self.recipe_name, {"batch_images": batch_images, "precision": precision, "target": "pixels"})
        assert isinstance(found, PretrainRecipe)
        return found

    @property
    def mask_px(self) -> int:
        """Side of a masked square."""
        return mask_unit_px(self.recipe(batch_images=1), self.of.stride_px)

    @property
    def mask_share(self) -> float:
        """Share of the image that is masked, after rounding to whole squares."""
        recipe, units = self.recipe(batch_images=1), (self.of.image_px // self.mask_px) ** 2
        return masked_count(units, recipe.mask_ratio, recipe.mask_rounding) / units


WORKLOADS = {
    one.name: one
    for one in (
        Workload(
            name="viny",
            title="ViNy, 128 px",
            encoder="viny/16@128",
            recipe_name="ucl-paper",
            batch_on={"cpu": 64, "cuda": 64},
            images_on={"cpu": 2048, "cuda": 8192},
            target_ratio_on={"cpu": 3.0, "cuda": 10.0},
            target_images_per_s=50_000,
        ),
        Workload(
            name="vit-s",
            title="ViT-S/16, 224 px",
            encoder="small/16@224",
            recipe_name="simmim-vit",
            batch_on={"cpu": 8, "cuda": 256},
            images_on={"cpu": 512, "cuda": 4096},
            target_ratio_on={},
        ),
        Workload(
            name="swinv2-b",
            title="SwinV2-B, 192 px",
            encoder="swinv2-b",
            recipe_name="simmim-swinv2",
            batch_on={"cpu": 2, "cuda": 128},
            images_on={"cpu": 256, "cuda": 4096},
            target_ratio_on={},
            target_utilisation=0.35,
        ),
        Workload(
            name="vit-b",
            title="ViT-B/16, 224 px",
            encoder="base/16@224",
            recipe_name="simmim-vit",
            batch_on={"cpu": 4, "cuda": 256},
            images_on={"cpu": 256, "cuda": 4096},
            target_ratio_on={},
            target_utilisation=0.40,
        ),
        Workload(  # not a model that anybody compares: the benchmark's own test runs it
            name="pico",
            title="pico, 32 px",
            encoder="pico/8@32",
            recipe_name="ucl-paper",
            batch_on={"cpu": 8, "cuda": 8},
            images_on={"cpu": 32, "cuda": 32},
            target_ratio_on={},
        ),
        Workload(
            name="swinv2-pico",
            title="SwinV2 pico, 64 px",
            encoder="swinv2-pico@64",
            recipe_name="simmim-swinv2",
            batch_on={"cpu": 4, "cuda": 4},
            images_on={"cpu": 16, "cuda": 16},
            target_ratio_on={},
        ),
    )
}
COMPARED = ("viny", "vit-s", "swinv2-b")
"""What `--all` runs; on a GPU ViT-B/16 too, which has a target there."""
