"""How much do a stage's numbers change with its number format, bf16 in place of float32, compared with
how much they change with the seed?

The same pre-trainings and fine-tunings, seed by seed, in both formats on this CPU. Under `precision:
auto` the two have one id, so a difference beyond the spread of seeds would be a fault.

python -m benchmarks.precision                    generated images, some minutes on one core
python -m benchmarks.precision --seeds 10
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.fitting.tables import show
from benchmarks.generated_data import data_of
from trials import StageSpec, get_recipe, run_stage, stage_id
from trials.spec import DataSpec

ENCODER, IMAGE_PX, SOURCE = "pico/8@32", 32, "leaves"
FORMATS = ("fp32", "bf16")
OBJECTIVES = {"pretrain": "simmim", "finetune": "segmentation"}
SCORES = {"val_mim_loss": "held-out MIM loss", "miou": "mIoU"}


def train(kind: str, data: DataSpec, root: Path, *, precision: str, seed: int, steps: int, parent: str | None) -> tuple[str, dict[str, float]]:
    """Train one stage; returns its id and what it measured."""
    recipe = get_recipe(kind, "compact", {"learning_rate": 0.003, "batch_images": 16, "precision": precision})
    spec = StageSpec(
        kind=kind,
        objective=OBJECTIVES[kind],
        encoder=ENCODER,
        data=data,
        recipe=recipe,
        steps=steps,
        eval_points=1,
        seed=seed,
        parent=parent,
    )
    result = run_stage(spec, root / "stages" / stage_id(spec), root / "store")
    return stage_id(spec), result["metrics"]


def measure(seeds: int, passes: int, labels: int) -> dict[str, dict[str, np.ndarray]]:
    """Each score of each format, (seeds,) values."""
    found: dict[str, dict[str, list[float]]] = {score: {one: [] for one in FORMATS} for score in SCORES}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for seed in range(seeds):
            images = data_of(SOURCE, "pretrain", root, image_px=IMAGE_PX, images=500, heldout_images=128, seed=seed)
            labelled = data_of(SOURCE, "finetune", root, image_px=IMAGE_PX, images=labels, heldout_images=200, seed=seed)
            for precision in FORMATS:
                parent, first = train("pretrain", images, root, precision=precision, seed=seed, steps=passes // 16, parent=None)
                _, last = train("finetune", labelled, root, precision=precision, seed=seed, steps=math.ceil(10 * labels / 16), parent=parent)
                for score, values in found.items():
                    values[precision].append((first | last)[score])
            print(f"seed {seed}: " + ", ".join(f"{score} {v['fp32'][-1]:.4f} and {v['bf16'][-1]:.4f}" for score, v in found.items()), flush=True)
    return {score: {one: np.array(values) for one, values in by_format.items()} for score, by_format in found.items()}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description="bf16 against float32, beside the spread of seeds.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--passes", type=int, default=6_000, help="image passes of a pre-training")
    parser.add_argument("--labels", type=int, default=60)
    options = parser.parse_args(arguments)
    rows = []
    for score, values in measure(options.seeds, options.passes, options.labels).items():
        differences = values["bf16"] - values["fp32"]
        n, spread = len(differences), float(values["fp32"].std(ddof=1))
        half = float(stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n))
        rows.append(
            [
                SCORES[score],
                *(f"{values[one].mean():.4f}" for one in FORMATS),
                f"{spread:.4f}",
                f"{differences.mean():+.4f} ({differences.mean() - half:+.4f} to {differences.mean() + half:+.4f})",
                f"{np.abs(differences).max():.4f}",
                f"{abs(differences.mean()) / spread:.2f}",
            ]
        )
    print(f"\n{options.seeds} seeds, {ENCODER} on {SOURCE}, {options.passes:,} image passes of pre-training, {options.labels} labels, one CPU core\n")
    show(
        [
            "score",
            "float32, mean",
            "bf16, mean",
            "spread of seeds (sd)",
            "bf16 - float32 of one seed, mean (95% interval)",
            "largest",
            "mean / spread",
        ],
        rows,
    )


if __name__ == "__main__":
    main()
