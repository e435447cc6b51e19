"""How fast does SimMIM's held-out loss fall, with and without LayerNorm around the patch embedding,
and from two starts of the positions?

Same images, steps, seed and order for all four.

python -m benchmarks.pretraining                                  generated images
python -m benchmarks.pretraining --source imagenet --data data    real ones
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import tempfile
from pathlib import Path

from benchmarks.generated_data import data_of
from trials import StageSpec, get_recipe, run_stage, stage_id
from trials.models.vit import VIT_SIZES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="leaves")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--encoder", default="pico/8@64")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--passes", type=int, default=24_000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3)
    options = parser.parse_args()
    image_px = int(options.encoder.partition("@")[2])
    data = data_of(options.source, "pretrain", options.data, image_px=image_px, images=options.images, heldout_images=512)
    size, _, rest = options.encoder.partition("/")
    VIT_SIZES["normed"] = dataclasses.replace(VIT_SIZES[size], patch_norms=True)
    print("| patch embedding | positions start as | held-out MIM loss at 0, 1/4, 1/2, 3/4 and all of the steps | images/s |\n|---|---|---|---|")
    arms = [("LayerNorm, linear, LayerNorm", f"normed/{rest}"), ("linear", options.encoder)]
    for (words, encoder), positions in itertools.product(arms, ("normal", "sincos")):
        recipe = get_recipe("pretrain", "compact", {"positions": positions, "batch_images": options.batch, "learning_rate": options.rate})
        spec = StageSpec(
            kind="pretrain",
            objective="simmim",
            encoder=encoder,
            data=data,
            recipe=recipe,
            steps=options.passes // options.batch,
            eval_points=4,
            seed=0,
            parent=None,
        )
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root) / stage_id(spec)
            run_stage(spec, folder, options.data / "store")
            lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
            rate = json.loads((folder / "provenance.json").read_text())["images_per_s"]
        losses = [line["val_mim_loss"] for line in lines if "val_mim_loss" in line]
        print(f"| {words} | {positions} | {', '.join(f'{loss:.4f}' for loss in losses)} | {rate:.0f} |", flush=True)


if __name__ == "__main__":
    main()
