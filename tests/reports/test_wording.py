"""Phrases on the page that claim something of the whole table hold for the whole table."""

from __future__ import annotations

import pandas as pd

from reports.wording import measured_on, sets_of_test_images


def test_runs_are_scored_on_the_same_images_only_if_source_number_and_split_agree() -> None:
    runs = pd.DataFrame({"finetune_source": "oxford-iiit-pet", "finetune_recipe": "compact", "test_images": [1000, 1000]})
    assert measured_on(runs) == ", scored on the same 1,000 test images"
    recipes = ["ucl-released", "ucl-released+split=ucl-code"]
    assert measured_on(runs.assign(finetune_recipe=recipes)) == ", scored on 2 different sets of 1,000 test images"
    equal = ["ucl-released+split=ucl-code", "ucl-released+split=ucl-code+mixup=0.2"]
    assert measured_on(runs.assign(finetune_recipe=equal)) == ", scored on the same 1,000 test images"
    assert measured_on(runs.assign(finetune_source=["oxford-iiit-pet", "ade20k"])) == ", scored on 2 different sets of 1,000 test images"
    assert measured_on(runs.assign(test_images=[1000, 200])) == ""
    assert measured_on(runs[["finetune_recipe"]]) == ""


def test_a_run_without_its_number_of_test_images_is_no_other_set() -> None:
    runs = pd.DataFrame({"finetune_source": "oxford-iiit-pet", "finetune_recipe": "compact", "test_images": [196.0, None, 196.0]})
    assert measured_on(runs) == ", scored on the same 196 test images"
    assert measured_on(runs.iloc[1:]) == ", scored on the same 196 test images"
    assert measured_on(runs.iloc[1:2]) == ""
    assert sets_of_test_images(runs) == 1
