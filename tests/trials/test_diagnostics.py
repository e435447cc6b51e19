"""Diagnostics: each number against an exact case or a slow independent formula, and a whole tiny
study measured.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trials.conftest import MakeSpec
from trials import InputError, build_encoder, open_store, run_stage, stage_id
from trials.data.subsets import subset
from trials.diagnose import main
from trials.diagnostics.attention import encode, place_distances_px, uniform_reach_px, weighted_distance
from trials.diagnostics.geometry import effective_rank, similarity_by_distance, variances
from trials.diagnostics.heldout import choose_heldout
from trials.diagnostics.probe import majority_classes, probe
from trials.diagnostics.similarity import central_patch, heat_map, linear_cka, outlined, similarity_to
from trials.diagnostics.study import diagnose
from trials.spec import StageSpec
from trials.stage_files import WEIGHTS, write_json


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_variances_agree_with_loops_and_add_up() -> None:
    tokens = drawn(5, 9, 3)
    array, said = tokens.numpy(), variances(tokens)
    assert said["within_image_variance"] == pytest.approx(np.mean([[array[i, :, d].var() for d in range(3)] for i in range(5)]))
    assert said["across_image_variance"] == pytest.approx(np.mean([np.var([array[i, :, d].mean() for i in range(5)]) for d in range(3)]))
    assert said["position_variance"] == pytest.approx(np.mean([np.var([array[:, p, d].mean() for p in range(9)]) for d in range(3)]))
    assert said["total_variance"] == pytest.approx(np.mean([array[..., d].var() for d in range(3)]))
    assert said["within_image_share"] + said["across_image_share"] == pytest.approx(1.0)
    assert said["position_share"] + said["content_share"] == pytest.approx(said["within_image_share"])
    assert variances(7 * tokens)["within_image_share"] == pytest.approx(said["within_image_share"])


def test_tokens_that_depend_on_image_or_place_alone_vary_there_and_nowhere_else() -> None:
    by_image, by_place = drawn(4, 1, 6).expand(4, 9, 6), drawn(1, 9, 6).expand(4, 9, 6)
    assert variances(by_image)["across_image_share"] == pytest.approx(1.0)
    assert variances(by_place)["position_share"] == pytest.approx(1.0)
    constant = variances(torch.ones(4, 9, 6))
    assert set(constant.values()) == {0.0}


def test_similarity_is_averaged_over_every_pair_at_a_distance() -> None:
    tokens = drawn(3, 9, 4)
    sums: dict[int, list[float]] = {}
    for image in tokens.numpy():
        for a in range(9):
            for b in range(a + 1, 9):
                distance = abs(a // 3 - b // 3) + abs(a % 3 - b % 3)
                sums.setdefault(distance, []).append(image[a] @ image[b] / np.linalg.norm(image[a]) / np.linalg.norm(image[b]))
    said = similarity_by_distance(tokens)
    assert [row["distance"] for row in said] == [1, 2, 3, 4]
    assert [row["pairs"] for row in said] == [len(sums[d]) // 3 for d in (1, 2, 3, 4)]
    assert [row["similarity"] for row in said] == pytest.approx([np.mean(sums[d]) for d in (1, 2, 3, 4)])
    assert [row["similarity"] for row in similarity_by_distance(torch.eye(9).expand(2, 9, 9))] == [0.0] * 4
    assert [row["similarity"] for row in similarity_by_distance(torch.ones(2, 9, 5))] == pytest.approx([1.0] * 4)


def test_effective_rank_counts_equal_directions_and_follows_its_formula() -> None:
    assert effective_rank(torch.ones(2, 9, 5)) == pytest.approx(1.0)
    assert effective_rank(torch.eye(9).expand(2, 9, 9)) == pytest.approx(9.0)
    assert effective_rank(torch.zeros(2, 9, 5)) == 0.0
    tokens = drawn(3, 4, 5)
    singular = np.linalg.svd(tokens.reshape(12, 5).numpy(), compute_uv=False)
    share = singular / singular.sum()
    assert effective_rank(tokens) == pytest.approx(np.exp(-(share * np.log(share)).sum()))


def test_attention_to_oneself_reaches_nowhere_and_uniform_attention_reaches_the_mean_distance() -> None:
    distances = place_distances_px(9, 4)
    assert distances[0, 8] == pytest.approx(4 * math.sqrt(8))
    assert weighted_distance(torch.eye(9).expand(2, 3, 9, 9), distances).tolist() == [0.0] * 3
    encoder = build_encoder("pico/4@16").eval()
    with torch.no_grad():
        for name, value in encoder.named_parameters():
            if "qkv" in name:
                value.zero_()  # equal queries and keys: every place weighs alike
    _, reach = encode(encoder, torch.randn(5, 3, 16, 16), batch=2)
    assert [layer["mean"] for layer in reach] == pytest.approx([uniform_reach_px(encoder)] * 4, rel=1e-6)
    assert uniform_reach_px(encoder) == pytest.approx(np.mean([[4 * math.dist(divmod(a, 4), divmod(b, 4)) for a in range(16)] for b in range(16)]))


def test_tokens_are_those_of_the_encoder_itself() -> None:
    encoder, images = build_encoder("pico/4@16").eval(), torch.randn(5, 3, 16, 16)
    tokens, _ = encode(encoder, images, batch=2)
    torch.testing.assert_close(tokens, encoder(images, cls=False).detach())


def test_cka_sees_through_rotation_scale_and_shift_and_follows_its_formula() -> None:
    tokens = drawn(6, 9, 5)
    rotation = torch.linalg.qr(drawn(5, 5, seed=1))[0]
    assert linear_cka(tokens, 3 * tokens @ rotation + 2) == pytest.approx(1.0)
    assert linear_cka(tokens, torch.ones(6, 9, 2)) == 0.0
    other = drawn(6, 9, 3, seed=2)
    x, y = tokens.reshape(54, 5).numpy(), other.reshape(54, 3).numpy()
    centre = np.eye(54) - 1 / 54
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre  # the kernel form, Kornblith et al. 2019, equations 2 and 3
    assert linear_cka(tokens, other) == pytest.approx((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()))


def test_a_probe_of_separable_tokens_is_always_right_and_its_floors_are_shares() -> None:
    classes = torch.from_numpy(np.random.default_rng(0).choice(3, size=(8, 16), p=[0.2, 0.7, 0.1]))
    tokens = drawn(8, 16, 6) * 0.01
    tokens[..., :3] += torch.eye(3, dtype=torch.float64)[classes]
    said = probe(tokens[:4], classes[:4], tokens[4:], classes[4:], classes=3)
    assert said["test_accuracy"] == said["train_accuracy"] == 1.0
    assert said["test_accuracy_se"] == 0.0
    assert said["floor"] == pytest.approx(float((classes[4:] == 1).double().mean()))
    fixed = classes[:1].expand(8, 16)  # the place gives the class
    assert probe(tokens[:4], fixed[:4], tokens[4:], fixed[4:], classes=3)["place_floor"] == 1.0


def test_a_probe_of_tokens_that_tell_nothing_is_at_the_floor_on_new_images() -> None:
    classes = torch.from_numpy(np.random.default_rng(1).choice(3, size=(60, 16), p=[0.2, 0.7, 0.1]))
    said = probe(torch.ones(30, 16, 4), classes[:30], torch.ones(30, 16, 4), classes[30:], classes=3)
    assert said["test_accuracy"] == pytest.approx(said["floor"])


def test_a_patch_has_the_class_most_of_its_pixels_have_and_a_tie_goes_to_the_lower() -> None:
    mask = torch.tensor([[[0, 0, 2, 2], [0, 1, 1, 2], [1, 1, 2, 0], [0, 0, 0, 2]]])
    assert majority_classes(mask, 2, 3).tolist() == [[0, 2, 0, 0]]


def test_heat_maps_have_one_scale_and_frame_the_query() -> None:
    tokens = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert central_patch(4) == 3
    picture = heat_map(similarity_to(tokens, 3).numpy(), patch_px=2)
    assert picture[::2, ::2].reshape(4, 3).tolist() == [[213, 94, 0], [0, 114, 178], [245, 245, 245], [213, 94, 0]]
    framed = outlined(np.full((12, 12, 3), 90, np.uint8), 4, patch_px=4)
    assert framed[4:8, 4:8].min() == 90
    assert framed[4, 4:8].min() == 255
    assert framed[3, 3:9].max() == 0


@pytest.fixture(scope="module")
def tiny_study(make_spec: MakeSpec, leaves_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-training, an intermediate stage on it and a fine-tuning on that, run; and a
    pre-training that never was.
    """
    root = tmp_path_factory.mktemp("study")
    pretrain = make_spec("pretrain", steps=40, train_images=40, learning_rate=3e-3)
    middle = make_spec("intermediate", parent=stage_id(pretrain))
    chain = [pretrain, middle, make_spec("finetune", parent=stage_id(middle)), make_spec("pretrain", seed=1)]
    for spec in chain[:3]:
        run_stage(spec, root / "stages" / stage_id(spec), leaves_store)
    write_json(root / "plan.json", {"stages": [{"id": stage_id(spec), "spec": spec.to_dict()} for spec in chain]})
    return root


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "diagnostics.json").read_text())


def test_a_study_is_measured_once_and_again_only_for_other_settings(
    tiny_study: Path, leaves_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    shutil.copytree(tiny_study, study)
    state = torch.random.get_rng_state()
    assert main([str(study), "--store", str(leaves_store), "--images", "12"]) == 0
    assert torch.equal(torch.random.get_rng_state(), state)
    pretrained, classified = (read(next(study.glob(f"stages/{kind}-*/"))) for kind in ("pretrain", "intermediate"))
    assert sorted(path.parent.name.split("-")[0] for path in study.glob("stages/*/diagnostics.json")) == ["intermediate", "pretrain"]
    assert (pretrained["cka"]["parent"], 0 < classified["cka"]["parent"] <= 1) == (None, True)
    assert pretrained["random"] == classified["random"]  # one seed, one start
    assert pretrained["random"]["measures"] != pretrained["measures"]
    assert 0 < pretrained["probe"]["test_accuracy"] <= 1
    assert pretrained["settings"]["data"]["probe_split"] == "finetune-train-0"
    index = json.loads(next(study.glob("stages/pretrain-*/diagnostics/index.json")).read_text())
    assert (index["columns"], len(index["items"])) == (["image", "similarity", "untrained encoder"], 5)
    capsys.readouterr()
    first = {path: path.read_bytes() for path in study.glob("stages/*/diagnostics*") if path.is_file()}
    assert main([str(study), "--store", str(leaves_store), "--images", "12"]) == 0
    assert capsys.readouterr().out.count("there already") == 2
    for path in first:
        path.unlink()
    diagnose(study, leaves_store, images=12)
    assert {path: path.read_bytes() for path in first} == first  # deterministic
    assert diagnose(study, leaves_store, images=8) == []
    assert read(next(study.glob("stages/pretrain-*")))["settings"]["images"] == 8


def test_altered_weights_are_named_and_the_rest_is_measured(tiny_study: Path, leaves_store: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(tiny_study, study)
    weights = next(study.glob("stages/intermediate-*")) / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-4] + b"oops")
    (problem,) = diagnose(study, leaves_store, images=8)
    assert "is not what intermediate-" in problem
    assert len(list(study.glob("stages/pretrain-*/diagnostics.json"))) == 1


def test_a_folder_without_a_plan_is_refused(tmp_path: Path, leaves_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--store", str(leaves_store)]) == 2
    assert "holds no plan.json that can be read, so it is no study folder: name one under runs/." in capsys.readouterr().err


def shared_data(make_spec: MakeSpec, train_images: int) -> list[StageSpec]:
    """An intermediate stage that trains on images of the fine-tuning's own training pool."""
    import dataclasses

    finetune, middle = make_spec("finetune"), make_spec("intermediate", train_images=train_images)
    data = dataclasses.replace(finetune.data, train_images=train_images)
    return [finetune, dataclasses.replace(middle, data=data)]


def test_the_probe_sees_no_image_that_a_stage_was_trained_on(make_spec: MakeSpec, leaves_store: Path) -> None:
    specs = shared_data(make_spec, 30)
    pool = open_store(leaves_store, "leaves", "finetune-train-0", 16)
    seen = [pool.images[int(one)] for one in subset(pool.labels[:30], images=30, seed=0, sampling="uniform")]
    chosen = choose_heldout(specs, leaves_store, image_px=16, images=40)
    assert chosen.probe_train is not None
    assert len(chosen.probe_train.images) == 10
    assert not {image.tobytes() for image in seen} & {image.tobytes() for image in chosen.probe_train.images}
    none_left = choose_heldout(shared_data(make_spec, 40), leaves_store, image_px=16, images=40)
    assert none_left.probe_train is None
    assert none_left.no_probe == "Stages of this study were trained on every training image of leaves, so none is left for a patch probe."


def test_without_masks_the_probe_is_left_out_and_other_files_are_refused(make_spec: MakeSpec, leaves_store: Path) -> None:
    import dataclasses

    only = make_spec("pretrain")
    assert choose_heldout([only], leaves_store, image_px=16, images=8).no_probe.endswith("so there is no patch probe.")
    other = dataclasses.replace(only, data=dataclasses.replace(only.data, heldout_fingerprint="another"))
    with pytest.raises(InputError, match="was made from other files than the study: name the one it was trained on with --store"):
        choose_heldout([other], leaves_store, image_px=16, images=8)


def test_a_file_that_another_source_holds_too_is_known_by_its_pixels(make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    """The held-out pictures, under another name, as the training set of a pre-training."""
    import dataclasses

    root = tmp_path / "store"
    shutil.copytree(leaves_store, root)
    shutil.copytree(root / "leaves@16" / "finetune-train-0", root / "imagenet+copy@16" / "train")
    finetune, pretrain = make_spec("finetune"), make_spec("pretrain")
    data = dataclasses.replace(pretrain.data, source="imagenet:copy", train_split="train", train_images=25)
    chosen = choose_heldout([finetune, dataclasses.replace(pretrain, data=data)], root, image_px=16, images=40)
    assert chosen.source["compared_with"] == ["imagenet:copy train"]
    assert chosen.source["probe_pool_images"] == 15
