"""Grids: read into frozen objects, or refused in one sentence with file, line and the nearest valid
key.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scaling import load_grid
from trials import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", sorted((ROOT / "grids").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_grids_that_come_with_the_project_are_valid(path: Path) -> None:
    assert load_grid(path).study


def test_values_and_axes(grid_file: Path) -> None:
    grid = load_grid(grid_file, ["seeds=5", "pretrain.images=[0, 8, 24]", "pretrain.length=2 epochs", "resources.gpus=0.5"])
    assert grid.pretrain.images == (0, 8, 24)
    assert str(grid.pretrain.length[0]) == "2 epochs"
    assert grid.seeds == {"pretrain": 5, "intermediate": 5, "finetune": 5}
    assert grid.resources["finetune"].gpus == 0.5
    assert grid.intermediate is not None
    assert grid.intermediate.choice == ("none", "classification")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("  images: [0, 24]", "  imges: [0, 24]", r"grid\.yaml line 5: unknown key 'imges' in 'pretrain'; did you mean 'images'\?"),
        (
            "study: small",
            "recipe: compact\nstudy: small",
            r"line 1: 'recipe' stands at the top level, and belongs in 'pretrain', in 'intermediate' or in 'finetune'\.",
        ),
        ("  images: [0, 24]", "  task: mae\n  images: [0, 24]", r"grid\.yaml line 5: 'task' stands in 'pretrain', and belongs in 'finetune'\."),
        ("seeds: 2", "seeds: 2\nzip: {a: b: c}", r"not valid YAML \(.*\): put quotes around a value that holds a colon and a space\."),
        ("study: small", "studdy: small", r"grid\.yaml line 1: unknown key 'studdy' at the top level; did you mean 'study'\?"),
        (
            "encoder: pico/8@16",
            "encoder: piko/8@16",
            r"grid\.yaml line 2: Encoder 'piko/8@16': there is no size 'piko'; did you mean 'pico'\?",
        ),
        ("  length: 3 steps", "  length: 3 hours", r"grid\.yaml line 6: A training length must read like '100 epochs'"),
        (
            "batch_images: 8, precision: fp32}\nint",
            "batch_image: 8}\nint",
            r"grid\.yaml line 8: .*no recipe field 'batch_image'; did you mean",
        ),
        (
            "  source: leaves\n  task",
            "  source: leafs\n  task",
            r"grid\.yaml line 17: there is no data source 'leafs'; did you mean 'leaves'",
        ),
        ("  task: segmentation", "  task: depth", r"grid\.yaml line 18: there is no task 'depth'"),
        ("seeds: 2", "seeds: 0", r"grid\.yaml line 23: seeds must be a whole number of at least 1, not 0"),
        ("seeds: 2", "seeds: {pretrain: 4, finetune: 2}", r"no kind of stage can have more seeds than fine-tuning"),
        ("  images: [8, 16]", "  images: [8, 8]", r"grid\.yaml line 19: finetune\.images names a value twice"),
        ("  images: [8, 16]", "  images: []", r"finetune\.images is an empty list"),
        ("  images: [8, 16]", "  images: [8.5]", r"finetune\.images must be a whole number of at least 1, not 8\.5"),
        ("[none, classification]", "[none, detection]", r"there is no objective 'detection'"),
        ("gpus: 0}", "gpus: -1}", r"gpus must be 'auto' or a number from 0 to 1"),
        ("study: small", "study: a/b", r"a study's name names a folder"),
        ("seeds: 2", "seeds: {finetune: 2, first: -1}", r"seeds\.first must be a whole number of at least 0, not -1"),
        ("seeds: 2", "study: again", r"the key 'study' is given twice \(first on .*grid\.yaml line 1\)"),
        ("seeds: 2", "seeds: [2", r"grid\.yaml line 2\d: not valid YAML"),
        ("seeds: 2", "seeds:\n\tfinetune: 2", r"grid\.yaml line 2\d: not valid YAML \(found character .*\): write spaces where the line has a tab\."),
    ],
)
def test_a_mistake_is_named_with_its_line(grid_file: Path, old: str, new: str, sentence: str) -> None:
    text = grid_file.read_text()
    assert old in text
    grid_file.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=sentence) as raised:
        load_grid(grid_file)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("key", ["study", "encoder", "pretrain", "finetune"])
def test_a_missing_key_is_named(grid_file: Path, key: str) -> None:
    text = re.sub(rf"^{key}:.*\n(  .*\n)*", "", grid_file.read_text(), flags=re.MULTILINE)
    grid_file.write_text(text)
    with pytest.raises(InputError, match=f"the key '{key}' is missing"):
        load_grid(grid_file)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("seeds", r"write KEY=VALUE"),
        ("finetune.imges=[3]", r"--set finetune\.imges=\[3\]: unknown key 'imges' in 'finetune'; did you mean 'images'"),
        ("study.name=x", r"'study' holds a value, not keys"),
    ],
)
def test_a_wrong_setting_is_named(grid_file: Path, setting: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load_grid(grid_file, [setting])


def test_a_missing_grid_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml cannot be read: No such file or directory"):
        load_grid(tmp_path / "none.yaml")


def test_overriding_a_key_does_not_reach_through_a_yaml_alias(grid_file: Path) -> None:
    text = grid_file.read_text().replace("recipe: {name", "recipe: &same {name", 1)
    head, _, tail = text.rpartition("recipe: {name: compact, batch_images: 8, precision: fp32}")
    grid_file.write_text(head + "recipe: *same" + tail)
    grid = load_grid(grid_file, ["pretrain.recipe.learning_rate=0.5"])
    assert grid.pretrain.recipes[0].overrides["learning_rate"] == 0.5
    assert "learning_rate" not in grid.finetune.recipes[0].overrides


@pytest.mark.parametrize("line", ["study: 2020-99-99", "study: !!int abc", "study: &a {b: *a}", "? [1, 2]\n: 3", "encoder: " + "[" * 3000])
def test_what_yaml_itself_cannot_read_is_refused_in_a_sentence(grid_file: Path, line: str) -> None:
    grid_file.write_text(line + "\n" + grid_file.read_text().partition("\n")[2])
    with pytest.raises(InputError):
        load_grid(grid_file)


@pytest.mark.parametrize(
    "setting",
    [
        "seeds=10000000000000000000000000",
        "pretrain.recipe={name: compact, learning_rate: .inf}",
        "pretrain.recipe={name: compact, beta_1: 1}",
        "pretrain.recipe={1: 2}",
        "pretrain.recipe={batch_images: 1000000000000}",
        "pretrain.length=" + "9" * 400 + " steps",
        "encoder=pico/8@99999999999999999999992",
        "encoder=pico/08@16",
        "resources=3",
        "seeds=[1, 2]",
        "finetune=null",
        "pretrain=[1]",
    ],
)
def test_values_that_cannot_be_are_refused_in_one_sentence(grid_file: Path, setting: str) -> None:
    with pytest.raises(InputError) as raised:
        load_grid(grid_file, [setting])
    assert len(str(raised.value).splitlines()) == 1
