"""Make the plan of a grid: the stages that every run needs, checked against the listings of the
data.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from scaling.grid.axes import USUAL_OBJECTIVE, Choice, GridCell
from scaling.grid.settings import Grid, StageGrid
from scaling.plan.plan import Plan, Stage
from scaling.plan.shared_trunks import share_trunks
from trials.data.pictures import FIXED_SUBSET_SEED
from trials.data.sources import refuse_files_of_generated, split_name
from trials.data.store import SplitInfo, describe_split, stored_px, without_skipped
from trials.errors import InputError
from trials.models.encoders import at_image_px, build_encoder, check_depth, count_parameters, encoder_image_px, parse_encoder
from trials.objectives.objective import OBJECTIVES, check_data
from trials.recipes.fields import FinetuneRecipe, Recipe, Storage, SupervisedRecipe
from trials.recipes.named import get_recipe
from trials.spec import DataSpec, StageSpec, digest, stage_id, without_place

Describe = Callable[[str, Path, str], SplitInfo]
"""Says what a split of a source holds, given the data folder; as `describe_split`."""
HELDOUT_IMAGES = 512  # for the held-out MIM loss, unless the grid says otherwise
ORDER = {"trunk": 0, "pretrain": 1, "intermediate": 2, "finetune": 3}


@lru_cache(maxsize=64)
def _encoder_params(name: str) -> int:
    with torch.device("meta"):
        return count_parameters(build_encoder(name))


def make_plan(grid: Grid, data: Path, *, skipping: Path | None = None, describe: Describe | None = None) -> Plan:
    """Plan a grid: which stages to train and which runs use them. Reads only listings of the data.

    Args:
        data: the folder of the data sets.
        skipping: root of image stores that were prepared without images that cannot be decoded;
            then those images do not count.
        describe: says what the splits hold, by default from their listings;
            `trials.data.published_counts.describe_or_assume` needs no data.

    Raises:
        InputError: data are missing, or a subset is larger than the data.
    """
    return _Planner(grid, data, skipping, describe or describe_split).plan()


class _Planner:
    """Plans one grid. What many runs share is looked up once."""

    def __init__(self, grid: Grid, data: Path, skipping: Path | None, describe: Describe) -> None:
        self.whole, self.grid, self.data, self.skipping, self.describe = grid, grid, data, skipping, describe
        self.specs: dict[str, StageSpec] = {}
        self.uses: dict[str, int] = {}
        self.splits: dict[tuple[str, str, str, int, int, int, Storage], tuple[SplitInfo, SplitInfo]] = {}
        self.recipes: dict[tuple[str, str, str, int], Recipe] = {}
        self.known: dict[tuple[Any, ...], tuple[StageSpec, str]] = {}

    def plan(self) -> Plan:
        runs: dict[str, dict[str, Any]] = {}
        for arm, grid in self.whole.arms or ((None, self.whole),):
            self.grid = grid
            for one, seed in itertools.product(grid.axes.combinations(), range(grid.seeds["finetune"])):
                run = self._run(one, grid.first_seed + seed) | ({"arm": arm} if arm else {})
                known = runs.get(run["run_id"])
                if known is not None:
                    # Two lengths that come to the same steps here, such as '10 epochs' and '20k
                    # images', are one run; so is what two arms share.
                    if arm and arm not in known["arm"].split(", "):
                        known["arm"] += f", {arm}"
                    continue
                for name in (run["pretrain_id"], run["intermediate_id"], run["run_id"]):
                    if name is not None:
                        self.uses[name] = self.uses.get(name, 0) + 1
                runs[run["run_id"]] = run
        # A stage that only an already known run would have needed is none of the plan's.
        specs = share_trunks({name: spec for name, spec in self.specs.items() if name in self.uses})
        for name in reversed(specs):  # a trunk is used by all runs of the stages that go on from it; longer trunks come after shorter ones
            trunk = specs[name].trunk
            if trunk is not None:
                self.uses[trunk] = self.uses.get(trunk, 0) + self.uses[name]
        stages = {
            name: Stage(id=name, spec=spec, runs=self.uses[name], trunk_image_passes=specs[spec.trunk].image_passes if spec.trunk else 0)
            for name, spec in sorted(specs.items(), key=lambda item: ORDER[item[1].kind])
        }
        for run in runs.values():
            run["trunk_id"] = self._trunk_id(run["pretrain_id"], specs)
        return Plan(study=self.whole.study, stages=stages, runs=list(runs.values()))

    @staticmethod
    def _trunk_id(pretrain_id: str | None, specs: dict[str, StageSpec]) -> str | None:
        """The first trunk of a pre-training, which is the same for all that share any part of it.
        Without a trunk it is the pre-training itself.
        """
        name = pretrain_id
        while name is not None and specs[name].trunk is not None:
            name = specs[name].trunk
        return name

    def _run(self, one: GridCell, seed: int) -> dict[str, Any]:
        grid, encoder = self.grid, parse_encoder(one.encoder).canonical
        parent: str | None = None
        pretrain = intermediate = None
        if one.pretrain is not None:
            pretrain, parent = self._stage("pretrain", grid.pretrain, encoder, one.pretrain, seed, None)
        pretrain_id, intermediate_id = parent, None
        if one.intermediate is not None:
            assert grid.intermediate is not None
            intermediate, intermediate_id = self._stage("intermediate", grid.intermediate, encoder, one.intermediate, seed, parent)
            parent = intermediate_id
        finetune, run_id = self._stage("finetune", grid.finetune, encoder, one.finetune, seed, parent)
        settings: dict[str, Any] = {
            "encoder": without_place(encoder),
            "encoder_params": _encoder_params(encoder),
            "pretrain_source": one.pretrain.source if one.pretrain else None,
            "pretrain_images": one.pretrain.images if one.pretrain else 0,
            "pretrain_recipe": one.pretrain.recipe if one.pretrain else None,
            "pretrain_length": str(one.pretrain.length) if one.pretrain else None,
            "pretrain_steps": pretrain.steps if pretrain else 0,
            "pretrain_image_passes": pretrain.image_passes if pretrain else 0,
            "intermediate": one.intermediate.objective if one.intermediate else "none",
            "intermediate_source": one.intermediate.source if one.intermediate else None,
            "intermediate_images": one.intermediate.images if one.intermediate else 0,
            "intermediate_steps": intermediate.steps if intermediate else 0,
            "finetune_source": one.finetune.source,
            "finetune_task": one.finetune.objective,
            "finetune_images": one.finetune.images,
            "finetune_recipe": one.finetune.recipe,
            "finetune_steps": finetune.steps,
        }
        # columns that came later stand in the hash only where the grid makes an axis of them
        later = {
            "pretrain_sampling": one.pretrain.sampling if one.pretrain else None,
            "intermediate_recipe": one.intermediate.recipe if one.intermediate else None,
        }
        axes = {name for name in later if len(grid.axes.values[name.replace("_", ".", 1)]) > 1}
        if one.pretrain is not None and (one.pretrain.objective != USUAL_OBJECTIVE or len(grid.axes.values["pretrain.objective"]) > 1):
            later["pretrain_objective"] = one.pretrain.objective
            axes.add("pretrain_objective")
        cell = digest(settings | {name: later[name] for name in axes})
        ids = {"trunk_id": None, "pretrain_id": pretrain_id, "intermediate_id": intermediate_id}
        return {"study": grid.study, "run_id": run_id, "cell_id": cell, "seed": seed} | ids | settings | later

    def _stage(self, kind: str, settings: StageGrid, encoder: str, choice: Choice, seed: int, parent: str | None) -> tuple[StageSpec, str]:
        own_seed = self.grid.first_seed + (seed - self.grid.first_seed) % self.grid.seeds[kind]
        key = (kind, id(settings), encoder, choice, own_seed, parent)
        if key in self.known:
            return self.known[key]
        recipe = self._recipe(kind, settings, encoder, choice)
        if settings.image_px is not None:
            encoder = at_image_px(encoder, settings.image_px)
        spec = StageSpec(
            kind=kind,
            objective=choice.objective,
            encoder=encoder,
            data=self._data(kind, settings, encoder, choice, recipe, own_seed),
            recipe=recipe,
            steps=choice.length.steps(
                subset_images=choice.images,
                batch_images=recipe.batch_images,
                short_last_batch=isinstance(recipe, SupervisedRecipe) and recipe.short_last_batch,
            ),
            eval_points=settings.eval_points,
            seed=own_seed,
            parent=parent,
        )
        name = stage_id(spec)
        self.specs[name] = spec
        self.known[key] = spec, name
        return spec, name

    def _recipe(self, kind: str, settings: StageGrid, encoder: str, choice: Choice) -> Recipe:
        key = (f"{kind} {choice.objective}", choice.recipe, encoder, id(settings))
        if key not in self.recipes:
            chosen = settings.recipe(choice.recipe)
            self.recipes[key] = get_recipe(kind, chosen.name, chosen.overrides)
            recipe = self.recipes[key]
            try:
                OBJECTIVES[choice.objective].check(encoder, recipe)
                check_depth(encoder, recipe.stochastic_depth)
            except InputError as error:
                raise InputError(f"{self._where(f'{kind}.recipe')}: {error}") from None
        return self.recipes[key]

    def _data(self, kind: str, settings: StageGrid, encoder: str, choice: Choice, recipe: Recipe, seed: int) -> DataSpec:
        if isinstance(recipe, SupervisedRecipe) and recipe.subset_seed == "fixed":
            seed = FIXED_SUBSET_SEED  # a generated source has images of its own for each seed
        train, heldout = (split_name(choice.source, kind, part, seed=seed) for part in ("train", "heldout"))
        # several sources may be zipped with sizes, so then each size that is met is checked
        each_size = 0 if len(settings.sources) == 1 else choice.images
        image_px = encoder_image_px(encoder)
        store_px = stored_px(image_px, recipe.store_px)
        key = (f"{kind} {choice.objective}", choice.source, train, id(settings), each_size, store_px, recipe.storage)
        if key not in self.splits:  # one listing serves all stages of a kind
            infos = tuple(self._describe(kind, choice.source, split, store_px, recipe.storage) for split in (train, heldout))
            self._check_fits(kind, settings, choice, recipe, infos[0], infos[1])
            self.splits[key] = infos[0], infos[1]
        train_info, heldout_info = self.splits[key]
        heldout_images = settings.heldout_images or heldout_info.images or HELDOUT_IMAGES
        if kind == "pretrain" and settings.heldout_images is None:
            heldout_images = min(heldout_images, HELDOUT_IMAGES)
        return DataSpec(
            source=choice.source,
            image_px=image_px,
            train_split=train,
            train_fingerprint=train_info.fingerprint,
            train_images=choice.images,
            sampling=choice.sampling,
            heldout_split=heldout,
            heldout_fingerprint=heldout_info.fingerprint,
            heldout_images=heldout_images,
            store_px=store_px,
            storage=recipe.storage,
        )

    def _where(self, key: str) -> str:
        return self.grid.where.get(key, key)

    def _describe(self, kind: str, source: str, split: str, store_px: int, storage: Storage) -> SplitInfo:
        try:
            info = self.describe(source, self.data, split)
            refuse_files_of_generated(source, storage)
            if self.skipping is None or info.images is None:
                return info
            return without_skipped(info, self.skipping, source, split, store_px, storage)
        except InputError as error:
            raise InputError(f"{self._where(f'{kind}.source')}: {error}") from None

    def _check_fits(self, kind: str, settings: StageGrid, choice: Choice, recipe: Recipe, train: SplitInfo, heldout: SplitInfo) -> None:
        source = choice.source
        largest, heldout_key = (
            max(settings.images) if len(settings.sources) == 1 else choice.images,
            "test_images" if kind == "finetune" else "heldout_images",
        )
        if train.images is not None and heldout.images is not None and isinstance(recipe, FinetuneRecipe) and recipe.split != "fixed":
            # both parts are one, and what does not train is tested on
            train = dataclasses.replace(train, images=train.images + heldout.images - (settings.heldout_images or heldout.images))
        if train.images is not None and largest > train.images:
            raise InputError(
                f"{self._where(f'{kind}.images')}: {kind} asks for {largest:,} images, but {source} holds {train.images:,} "
                f"for training: lower {kind}.images to at most {train.images:,}."
            )
        if heldout.images is None and settings.heldout_images is None and kind != "pretrain":
            raise InputError(f"{self._where(kind)}: the images of {source} are generated, so {kind} needs {heldout_key}: how many to hold out.")
        if heldout.images is not None and (settings.heldout_images or 0) > heldout.images:
            raise InputError(
                f"{self._where(f'{kind}.{heldout_key}')}: {kind} asks for {settings.heldout_images:,} held-out images, but {source} "
                f"holds {heldout.images:,}: lower {kind}.{heldout_key}."
            )
        try:
            check_data(
                OBJECTIVES[choice.objective],
                source,
                has_masks=train.has_masks,
                classes=train.classes,
                has_boxes=bool(train.instance_classes),
                has_instance_masks=train.has_instance_masks,
            )
        except InputError as error:
            raise InputError(f"{self._where(f'{kind}.source')}: {error}") from None
