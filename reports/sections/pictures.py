"""What the models see and predict: each series' best, median and worst image, the same images for
every series, and reconstructions of held-out and of training images.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reports.class_pictures import class_gallery, ranked_class_gallery
from reports.evidence import Evidence
from reports.page import PictureBlock, Section
from reports.pictures import gallery, ranked_gallery
from reports.registry import SectionKind, register
from reports.sections.reconstructions import reconstruction_blocks
from reports.series import series_phrase
from reports.theme import count

COLOURS = "Orange is the object, dark the background, light its border."


def with_pictures(evidence: Evidence, section: Section) -> Section:
    """The section with predictions at the largest fine-tuning size and reconstructions; without any
    picture one paragraph, so that it stands among what is not shown.
    """
    stages = _finetuned(evidence)
    of = f"after fine-tuning on {count(evidence.sizes[-1])} labelled images, one model for each series (its lowest seed)"
    blocks = _classified(stages, of) or _segmented(stages, of)
    blocks += reconstruction_blocks(evidence)
    shown = tuple(block for block in blocks if block.pictures.rows)
    lacking = [(block.heading, block.pictures.missing) for block in blocks if not block.pictures.rows and block.pictures.missing]
    said = dict.fromkeys(f"{heading}: {text[0].lower()}{text[1:]}" if shown else text for heading, text in lacking)
    return replace(section, galleries=shown, paragraphs=tuple(said))


def _segmented(stages: list[tuple[str, Path]], of: str) -> list[PictureBlock]:
    """The galleries of a prediction for each pixel, or what is said where no picture was kept."""
    blocks = []
    ranked, same = ranked_gallery(stages), gallery(stages, shared=("image", "truth"), own="prediction")
    if not same.rows:
        return [PictureBlock(heading="Predictions on the same images", subtitle=f"Predictions {of}.", pictures=same)]
    if ranked.rows:
        blocks.append(
            PictureBlock(
                heading="Best, median and worst segmentation",
                subtitle=f"Image, truth and prediction {of}. All test images were ranked by each image's own mIoU, the mean over the classes it "
                f"has; none is picked by hand, and the images differ from series to series. {COLOURS}",
                pictures=ranked,
            )
        )
    blocks.append(
        PictureBlock(
            heading="Segmentations of the same images",
            subtitle=f"Predictions {of}. The test images are evenly spaced through the test set, not chosen by their outcome. {COLOURS} "
            "Hover for each image's own score.",
            pictures=same,
            folded=bool(ranked.rows),
        )
    )
    return blocks


def _classified(stages: list[tuple[str, Path]], of: str) -> list[PictureBlock]:
    """The galleries of a classification; none where the pictures are of something else."""
    ranked, same = ranked_class_gallery(stages), class_gallery(stages)
    if not same.rows:
        return []
    below = "Under each: its class, the predicted class, and in brackets the probability of its class."
    blocks = []
    if ranked.rows:
        subtitle = (
            f"Test images {of}, ranked by the probability of their class; none is picked by hand, and they differ from series to series. {below}"
        )
        blocks.append(PictureBlock(heading="Best, median and worst classification", subtitle=subtitle, pictures=ranked))
    subtitle = f"Test images {of}, evenly spaced through the test set and not chosen by their outcome. {below}"
    return [*blocks, PictureBlock(heading="Classifications of the same images", subtitle=subtitle, pictures=same, folded=bool(ranked.rows))]


def _finetuned(evidence: Evidence) -> list[tuple[str, Path]]:
    """A row label and a stage's folder for each panel and series, at the largest number of labels."""
    # The lowest seed of each series: a choice that looks at no outcome.
    runs = evidence.runs.loc[evidence.runs["finetune_images"] == evidence.sizes[-1]].sort_values("seed", kind="stable")
    finetuned: list[tuple[str, Path]] = []
    for panel in evidence.panels:
        for series in evidence.series_names:
            there = runs.loc[(runs["panel"] == panel) & (runs["series"] == series)]
            if len(there):
                label = series_phrase(series) + (f"; {panel}" if panel else "")
                finetuned.append((label, evidence.study.folder / "stages" / str(there["run_id"].iloc[0])))
    return finetuned


register(SectionKind(name="pictures", heading="Example pictures", place=70, finish=with_pictures))
