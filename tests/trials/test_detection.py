"""Detection and instance segmentation: scores are those of pycocotools, targets those of the crop, and
both tasks train on encoders with one map and with several.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from tests.trials.conftest import changed
from tests.trials.cut_off import Killed, folder_of, killed_in_step, lines, run
from trials import InputError
from trials.cost.costs import stage_cost
from trials.data.augmentation import Crops, draw_crops
from trials.data.instances import Instances, encode_runs, instances_of_masks
from trials.data.leaves import PATTERNS
from trials.data.pictures import open_pictures
from trials.data.sources import split_name
from trials.data.store import describe_split
from trials.models.detector import RegionSampler
from trials.models.encoders import build_encoder
from trials.models.pyramids import Pyramid, level_strides
from trials.objectives.average_precision import Detections, average_precision, encode_masks, results_of, truth_of
from trials.objectives.detection import CLASSES_FILE, Detection, InstanceSegmentation
from trials.objectives.detection_targets import crop_targets, draw_zooms, zoom_out
from trials.objectives.objective import Setting, check_data
from trials.prepare import prepare_split
from trials.recipes.named import get_recipe
from trials.spec import DataSpec, StageSpec, stage_id
from trials.training.precision import choose_compute
from trials.training.seeding import generator

SIDE = 64
SMALL = {"batch_images": 4, "precision": "fp32", "detector_width": 16, "anchor_scale": 4.0, "regions": 16, "zoom_out": 0.5}
ENCODERS = ["pico/16@64", "swinv2-pico@64"]
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools' decoding


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("objects")
    for part in ("train", "heldout"):
        prepare_split("leaves-objects", root, root, split_name("leaves-objects", "finetune", part), SIDE, images=12)
    return root


@pytest.fixture(scope="module")
def spec(store: Path) -> StageSpec:
    """Four steps; fp32, so that every CPU gives the same bits."""
    splits = {part: split_name("leaves-objects", "finetune", part) for part in ("train", "heldout")}
    data = DataSpec(
        source="leaves-objects",
        image_px=SIDE,
        train_split=splits["train"],
        train_fingerprint=describe_split("leaves-objects", store, splits["train"]).fingerprint,
        train_images=12,
        sampling="uniform",
        heldout_split=splits["heldout"],
        heldout_fingerprint=describe_split("leaves-objects", store, splits["heldout"]).fingerprint,
        heldout_images=8,
    )
    return StageSpec(
        kind="finetune",
        objective="instance-segmentation",
        encoder=ENCODERS[0],
        data=data,
        recipe=get_recipe("finetune", "compact", SMALL),
        steps=4,
        eval_points=1,
        seed=0,
        parent=None,
    )


def setting_of(spec: StageSpec, store: Path) -> Setting:
    compute = choose_compute("fp32", gpus=0)
    train, heldout = open_pictures(spec.data, store, seed=spec.seed, compute=compute)
    return Setting(spec=spec, compute=compute, train=train, heldout=heldout, parent_weights=None)


def squares(random: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    masks = np.zeros((count, height, width), dtype=bool)
    for one in masks:
        top, left = random.integers(0, height - 8), random.integers(0, width - 8)
        one[top : top + random.integers(4, 20), left : left + random.integers(4, 20)] = True
    return masks


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_average_precision_is_that_of_pycocotools_called_alone(tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(3)
    truths, sizes, found = [], [], []
    for image in range(12):
        height, width = 40 + image, 60 - image
        masks = squares(random, 4, height, width)
        made = instances_of_masks(list(masks), random.integers(0, 3, 4).tolist())
        truths.append(dataclasses.replace(made, crowds=np.array([image % 3 == 0, False, False, False])))
        sizes.append((height, width))
        guessed = np.concatenate([np.roll(masks, int(random.integers(0, 3)), axis=2), squares(random, 2, height, width)])
        boxes = instances_of_masks(list(guessed), [0] * 6).boxes
        classes = np.concatenate([np.where(random.random(4) < 0.8, made.classes, 0), [1, 2]])
        found.append(Detections(boxes=boxes, classes=classes, scores=random.random(6), masks=encode_masks(guessed)))
    ours = average_precision(truths, sizes, found, classes=4, kind=kind)  # type: ignore[arg-type]
    results = results_of(found, kind)  # type: ignore[arg-type]
    for one in results:
        if kind == "segm":
            one["segmentation"] = {"size": one["segmentation"]["size"], "counts": one["segmentation"]["counts"].decode()}
    for name, values in (("truth", truth_of(truths, sizes, 4)), ("results", results)):
        (tmp_path / f"{name}.json").write_text(json.dumps(values))
    theirs = COCO(str(tmp_path / "truth.json"))
    scored = COCOeval(theirs, theirs.loadRes(str(tmp_path / "results.json")), kind)
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert ours is not None
    assert [ours.ap, ours.ap50, ours.ap75] == scored.stats[:3].tolist()
    assert 0.05 < ours.ap < ours.ap50 < 1
    assert ours.of_class[3] is None  # no object of it
    assert np.mean([one for one in ours.of_class if one is not None]) == pytest.approx(ours.ap, abs=1e-12)


def test_perfect_detections_score_one_none_score_nothing_and_no_objects_have_no_score() -> None:
    masks = squares(np.random.default_rng(0), 3, 50, 50)
    truth = instances_of_masks(list(masks), [0, 1, 1])
    perfect = Detections(boxes=truth.boxes, classes=truth.classes, scores=np.array([0.9, 0.8, 0.7]), masks=encode_masks(masks))
    nothing = Detections(boxes=np.zeros((0, 4)), classes=np.zeros(0, dtype=int), scores=np.zeros(0))
    for kind in ("bbox", "segm"):
        full = average_precision([truth], [(50, 50)], [perfect], classes=2, kind=kind)  # type: ignore[arg-type]
        empty = average_precision([truth], [(50, 50)], [nothing], classes=2, kind=kind)  # type: ignore[arg-type]
        assert full is not None
        assert empty is not None
        assert (full.ap, full.ap50, full.of_class) == (pytest.approx(1), pytest.approx(1), (pytest.approx(1), pytest.approx(1)))
        assert (empty.ap, empty.of_class) == (0, (0, 0))
    crowd = dataclasses.replace(truth, crowds=np.ones(3, dtype=bool))
    assert average_precision([crowd], [(50, 50)], [perfect], classes=2, kind="bbox") is None


def test_the_targets_of_a_crop_are_what_it_shows(spec: StageSpec, store: Path) -> None:
    train, _ = open_pictures(spec.data, store, seed=0, compute=choose_compute("fp32", gpus=0))
    positions = torch.arange(len(train))
    crops = draw_crops(train.sizes, dataclasses.replace(spec.recipe, crop_scale_min=0.2), generator(0, "test"))
    shown = train.masks(positions, Crops(crops.values))
    assert crops.flips.any()
    for position, values in enumerate(crops.values.tolist()):
        found = crop_targets(train.instances(position), (SIDE, SIDE), values, SIDE, masks=True)
        drawn = torch.zeros(SIDE, SIDE, dtype=torch.long)
        for mask, label, box in zip(found["masks"].bool(), found["labels"], found["boxes"], strict=True):
            drawn[mask] = label  # objects do not overlap
            rows, columns = torch.where(mask)
            if len(rows):
                tight = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
                assert ((tight[:2] - box[:2]) > -1.01).all()
                assert ((box[2:] - tight[2:]) > -1.01).all()
        left_out = shown[position].long() != drawn
        assert left_out.float().mean() < 0.02  # slivers narrower than a pixel


def test_crowds_are_no_targets_and_a_mirrored_box_keeps_its_place() -> None:
    mask = np.zeros((20, 40), dtype=bool)
    mask[5:15, 10:20] = True
    objects = Instances(
        classes=np.array([2, 1]),
        boxes=np.array([[10.0, 5, 20, 15], [10.0, 5, 20, 15]]),
        crowds=np.array([False, True]),
        runs=(encode_runs(mask), encode_runs(mask)),
    )
    found = crop_targets(objects, (20, 40), [0, 0, 20, 40, 1], 40, masks=True)
    assert found["labels"].tolist() == [3]
    assert found["boxes"].tolist() == [[20, 10, 30, 30]]
    assert torch.equal(found["masks"][0].nonzero().aminmax(dim=0).min, torch.tensor([10, 20]))
    smaller, reduced = zoom_out(torch.ones(3, 40, 40), found, 0.5)
    assert smaller.sum() == pytest.approx(3 * 20 * 20)
    assert reduced["boxes"].tolist() == [[10, 5, 15, 15]]
    assert reduced["masks"].sum() == found["masks"].sum() / 4
    zooms = draw_zooms(4000, 0.1, generator(0, "zooms"))
    assert np.mean(np.array(zooms) == 1) == pytest.approx(1 / 1.9, abs=0.03)  # scales of .1 to 2
    assert min(zooms) == pytest.approx(0.1, abs=0.01)


def test_regions_are_drawn_as_torchvision_does_from_a_generator_of_each_image() -> None:
    matched = [torch.tensor([1.0] * 3 + [0.0] * 50 + [-1.0] * 9), torch.tensor([1.0] * 40 + [0.0] * 4)]
    ours, theirs = RegionSampler(16, 0.25), BalancedPositiveNegativeSampler(16, 0.25)
    ours.generators = [generator(0, "one"), generator(0, "two")]
    drawn = ours(matched)
    for mine, expected in zip(drawn, theirs(matched), strict=True):
        assert [int(one.sum()) for one in mine] == [int(one.sum()) for one in expected]
    ours.generators = [generator(0, "two")]
    assert torch.equal(ours(matched[1:])[0][0], drawn[0][1])


def test_pyramids_have_one_width_and_the_strides_they_say() -> None:
    assert [level_strides(stride) for stride in (4, 8, 16, 64)] == [*[[4, 8, 16, 32]] * 3, [16, 32, 64]]
    for name in ENCODERS:
        encoder = build_encoder(name)
        pyramid = Pyramid(encoder, width=16)
        maps = pyramid(encoder.feature_maps(torch.zeros(1, 3, SIDE, SIDE)))
        assert [tuple(one.shape) for one in maps[:-1]] == [(1, 16, SIDE // stride, SIDE // stride) for stride in pyramid.strides[:-1]]
        assert pyramid.strides == [4, 8, 16, 32, 64]


@pytest.mark.parametrize(
    ("encoder", "task"), [(ENCODERS[0], "detection"), (ENCODERS[0], "instance-segmentation"), (ENCODERS[1], "instance-segmentation")]
)
def test_a_killed_stage_goes_on_to_the_same_scores(encoder: str, task: str, spec: StageSpec, store: Path, tmp_path: Path) -> None:
    spec = changed(spec, encoder=encoder, objective=task)
    whole = run(spec, tmp_path / "whole", store)
    with killed_in_step(2), pytest.raises(Killed):
        run(spec, tmp_path / "killed", store)
    resumed = run(spec, tmp_path / "killed", store)
    assert resumed["metrics"] == whole["metrics"]
    assert lines(spec, tmp_path / "killed")[-1] == lines(spec, tmp_path / "whole")[-1]
    names = {f"{what}_ap{at}" for what in ("box", *(["mask"] if task != "detection" else [])) for at in ("", "50", "75")}
    assert names | {"test_images", "train_detection_loss"} <= set(whole["metrics"])
    assert all(np.isfinite(value) for value in whole["metrics"].values())
    folder = folder_of(spec, tmp_path / "whole")
    assert set(json.loads((folder / CLASSES_FILE).read_text())["box"]) == set(PATTERNS)
    assert len(json.loads((folder / "examples" / "index.json").read_text())["items"]) == 6


def test_losses_reach_every_weight_that_they_should_and_do_not_hang_on_parts(spec: StageSpec, store: Path) -> None:
    objective = InstanceSegmentation(setting_of(spec, store))
    loss = objective.loss(1)
    loss.backward()
    without = {name.split(".")[0] for name, one in objective.model.named_parameters() if one.grad is None}
    assert without <= {"encoder"}  # its CLS token
    assert torch.equal(objective.loss(1), loss)
    images, targets, rows = objective._taken(1, (1, 2))
    whole_images, whole_targets, _ = objective._taken(1, (0, 1))
    assert (list(rows), len(images)) == ([2, 3], 2)
    assert torch.equal(images, whole_images[2:])
    assert all(torch.equal(one["masks"], other["masks"]) for one, other in zip(targets, whole_targets[2:], strict=True))
    black = [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long), "masks": torch.zeros(0, SIDE, SIDE, dtype=torch.uint8)}] * 2
    draws = [generator(0, "a"), generator(0, "b")], [generator(0, "c"), generator(0, "d")]
    assert all(torch.isfinite(one) for one in objective.model.losses(images, black, draws).values())


def test_what_cannot_be_used_is_refused_in_one_sentence(spec: StageSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"leaves carries no boxes, so it cannot be used for detection; these do: coco, leaves-objects"):
        check_data(Detection, "leaves", has_masks=True, classes=8)
    with pytest.raises(InputError, match=r"coco:mine carries no instance masks, so it cannot be used for instance segmentation"):
        check_data(InstanceSegmentation, "coco:mine", has_masks=False, classes=1, has_boxes=True)
    with pytest.raises(InputError, match=r"output tokens of 12 px: detection needs a power of two"):
        Detection.check("pico/12@48", spec.recipe)
    monkeypatch.setitem(__import__("sys").modules, "pycocotools.mask", None)
    with pytest.raises(InputError, match=r"pycocotools .* is not installed: pip install 'scaling-law-laboratory\[detection\]'"):
        Detection.check("pico/16@64", spec.recipe)


def test_costs_are_counted_without_data_and_the_recipe_of_the_paper_is_whole(spec: StageSpec) -> None:
    boxes, masks = (stage_cost(changed(spec, objective=task)) for task in ("detection", "instance-segmentation"))
    assert 0 < boxes.train_flops_per_image < masks.train_flops_per_image
    recipe = get_recipe("finetune", "simmim-swinv2-coco")
    assert (recipe.detector_width, recipe.regions, recipe.anchor_scale, recipe.zoom_out) == (256, 512, 8, 0.1)  # type: ignore[attr-defined]
    assert stage_id(changed(spec, recipe=get_recipe("finetune", "compact"))) == stage_id(
        changed(spec, recipe=get_recipe("finetune", "compact", {"detector_width": 256, "zoom_out": 1.0}))
    )


def test_a_class_that_is_missed_scores_nothing_and_one_of_crowds_alone_has_no_score() -> None:
    masks = squares(np.random.default_rng(1), 3, 50, 50)
    truth = dataclasses.replace(instances_of_masks(list(masks), [0, 1, 2]), crowds=np.array([False, False, True]))
    first = Detections(boxes=truth.boxes[:1], classes=truth.classes[:1], scores=np.array([0.9]))
    nothing = Detections(boxes=np.zeros((0, 4)), classes=np.zeros(0, dtype=int), scores=np.zeros(0))
    for found, expected in ((first, (pytest.approx(1), 0.0, None)), (nothing, (0.0, 0.0, None))):
        scored = average_precision([truth], [(50, 50)], [found], classes=3, kind="bbox")
        assert scored is not None
        assert scored.of_class == expected


def test_what_is_seen_of_an_object_is_at_least_a_pixel_wide_and_a_pixel_high() -> None:
    boxes = np.array([[0.0, 0, 10, 1], [0, 0, 10, 0.9], [0, 0, 1, 10], [0, 0, 0.9, 10]])
    objects = Instances(classes=np.arange(4), boxes=boxes, crowds=np.zeros(4, dtype=bool), runs=())
    found = crop_targets(objects, (20, 20), [0, 0, 20, 20, 0], 20, masks=False)
    assert found["labels"].tolist() == [1, 3]
    larger = crop_targets(objects, (20, 20), [0, 0, 20, 20, 0], 40, masks=False)
    assert larger["labels"].tolist() == [1, 2, 3, 4]
    _, reduced = zoom_out(torch.ones(3, 40, 40), larger, 0.5)
    assert reduced["labels"].tolist() == [1, 3]
