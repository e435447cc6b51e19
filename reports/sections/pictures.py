"""Section 6: what the models see and predict, on the same held-out images for every arm."""

from __future__ import annotations

from pathlib import Path

from reports.arms import in_words
from reports.evidence import Evidence
from reports.page import PictureBlock, Section
from reports.pictures import gallery
from reports.theme import count


def picture_section(evidence: Evidence) -> Section:
    """Predictions at the largest fine-tuning size, and reconstructions of each pre-training size."""
    stages = evidence.study.folder / "stages"
    largest = evidence.sizes[-1]
    # The lowest seed of each arm: a choice that looks at no outcome.
    runs = evidence.runs.loc[evidence.runs["finetune_images"] == largest].sort_values("seed", kind="stable")
    finetuned: list[tuple[str, Path]] = []
    for panel in evidence.panels:
        for arm in evidence.arms:
            there = runs.loc[(runs["panel"] == panel) & (runs["arm"] == arm)]
            if len(there):
                label = in_words(arm) + (f"; {panel}" if panel else "")
                finetuned.append((label, stages / str(there["run_id"].iloc[0])))
    segmentations = PictureBlock(
        heading="Segmentations",
        subtitle=f"Predictions after fine-tuning on {count(largest)} labelled images, one model for each arm (its lowest seed). The test "
        "images are evenly spaced through the test set, not chosen by their outcome. Hover for each image's own score.",
        pictures=gallery(finetuned, shared=("image", "truth"), own="prediction"),
    )
    blocks = [segmentations]
    trained = evidence.runs.loc[evidence.runs["pretrain_id"].notna() & (evidence.runs["pretrain_images"] > 0)].sort_values("seed", kind="stable")
    first = trained.drop_duplicates("arm").set_index("arm")["pretrain_id"]
    pretrained = [(in_words(arm), stages / str(first[arm])) for arm in evidence.arms if arm in first.index]
    if pretrained:
        blocks.append(
            PictureBlock(
                heading="Reconstructions",
                subtitle="What masked image modelling fills in, one pre-training for each arm, with the same held-out images and masks.",
                pictures=gallery(pretrained, shared=("image", "masked"), own="reconstruction"),
            )
        )
    return Section(identity="pictures", heading="Example pictures", galleries=tuple(blocks))
