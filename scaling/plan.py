"""The plan: every stage that a grid needs, each once, as a directed acyclic graph, and the runs that hang on it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from scaling.axes import Combination
from scaling.grid import Grid, StageGrid
from trials.encoders import build_encoder, count_parameters, parse_encoder
from trials.errors import InputError
from trials.lengths import Length
from trials.recipes import get_recipe
from trials.sources import split_name
from trials.spec import DataSpec, StageSpec, digest, stage_id
from trials.store import SplitInfo, describe_split

OBJECTIVE = {"pretrain": "simmim", "intermediate": "classification", "finetune": "segmentation"}
FORMAT = 1
HELDOUT_IMAGES = 512  # for the held-out MIM loss, unless the grid says otherwise


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of the plan and how many runs need it."""

    id: str
    spec: StageSpec
    runs: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Stages in an order in which parents come first, and the settings of every run."""

    study: str
    stages: dict[str, Stage]
    runs: list[dict[str, Any]]

    def unshared_image_passes(self) -> int:
        """Image passes if every run trained its own chain."""
        return sum(stage.spec.image_passes * stage.runs for stage in self.stages.values())

    def image_passes(self) -> int:
        """Image passes of the plan, each stage once."""
        return sum(stage.spec.image_passes for stage in self.stages.values())

    def to_dict(self) -> dict[str, Any]:
        """As plan.json holds it (docs/study_folder.md)."""
        stages = [
            {
                "id": s.id,
                "kind": s.spec.kind,
                "parent": s.spec.parent,
                "image_passes": s.spec.image_passes,
                "runs": s.runs,
                "spec": s.spec.to_dict(),
            }
            for s in self.stages.values()
        ]
        return {"format": FORMAT, "study": self.study, "stages": stages, "runs": self.runs}


@lru_cache(maxsize=64)
def _encoder_params(name: str) -> int:
    with torch.device("meta"):
        return count_parameters(build_encoder(name))


def make_plan(grid: Grid, data: Path) -> Plan:
    """Plan a grid on the data in a folder, reading listings alone.

    Raises:
        InputError: data are missing, or a subset is larger than the data.
    """
    return _Planner(grid, data).plan()


class _Planner:
    def __init__(self, grid: Grid, data: Path) -> None:
        self.whole, self.grid, self.data = grid, grid, data
        self.specs: dict[str, StageSpec] = {}
        self.uses: dict[str, int] = {}
        self.splits: dict[tuple[str, str, int], tuple[SplitInfo, SplitInfo]] = {}

    def plan(self) -> Plan:
        runs: dict[str, dict[str, Any]] = {}
        for arm, grid in self.whole.arms or ((None, self.whole),):
            self.grid = grid
            for one, seed in itertools.product(grid.axes.combinations(), range(grid.seeds["finetune"])):
                run = self._run(one, seed) | ({"arm": arm} if arm else {})
                known = runs.get(run["run_id"])
                if known is not None:
                    # Two lengths that come to the same steps here, such as '10 epochs' and '20k images', are one run; so is what two arms share.
                    if arm and arm not in known["arm"].split(", "):
                        known["arm"] += f", {arm}"
                    continue
                for name in (run["pretrain_id"], run["intermediate_id"], run["run_id"]):
                    if name is not None:
                        self.uses[name] = self.uses.get(name, 0) + 1
                runs[run["run_id"]] = run
        # A stage that only an already known run would have needed is none of the plan's.
        stages = {name: Stage(id=name, spec=spec, runs=self.uses[name]) for name, spec in self.specs.items() if name in self.uses}
        order = {"pretrain": 0, "intermediate": 1, "finetune": 2}
        ordered = dict(sorted(stages.items(), key=lambda item: order[item[1].spec.kind]))
        return Plan(study=self.whole.study, stages=ordered, runs=list(runs.values()))

    def _run(self, one: Combination, seed: int) -> dict[str, Any]:
        grid, encoder = self.grid, one.encoder
        parent: str | None = None
        pretrain = intermediate = None
        if one.pretrain_length is not None:
            pretrain, parent = self._stage("pretrain", grid.pretrain, encoder, one.pretrain_images, one.pretrain_length, seed, None)
        pretrain_id, intermediate_id = parent, None
        if one.intermediate_length is not None:
            assert grid.intermediate is not None
            assert one.intermediate_images is not None
            intermediate, intermediate_id = self._stage(
                "intermediate", grid.intermediate, encoder, one.intermediate_images, one.intermediate_length, seed, parent
            )
            parent = intermediate_id
        finetune, run_id = self._stage("finetune", grid.finetune, encoder, one.finetune_images, one.finetune_length, seed, parent)
        settings: dict[str, Any] = {
            "encoder": encoder,
            "encoder_params": _encoder_params(encoder),
            "pretrain_source": grid.pretrain.source if pretrain else None,
            "pretrain_images": one.pretrain_images,
            "pretrain_recipe": grid.pretrain.recipe if pretrain else None,
            "pretrain_length": str(one.pretrain_length) if pretrain else None,
            "pretrain_steps": pretrain.steps if pretrain else 0,
            "pretrain_image_passes": pretrain.image_passes if pretrain else 0,
            "intermediate": "classification" if intermediate else "none",
            "intermediate_source": grid.intermediate.source if grid.intermediate and intermediate else None,
            "intermediate_images": intermediate.data.train_images if intermediate else 0,
            "intermediate_steps": intermediate.steps if intermediate else 0,
            "finetune_source": grid.finetune.source,
            "finetune_task": grid.finetune.choice[0],
            "finetune_images": one.finetune_images,
            "finetune_recipe": grid.finetune.recipe,
            "finetune_steps": finetune.steps,
        }
        ids = {"trunk_id": pretrain_id, "pretrain_id": pretrain_id, "intermediate_id": intermediate_id}
        return {"study": grid.study, "run_id": run_id, "cell_id": digest(settings), "seed": seed} | ids | settings

    def _stage(
        self, kind: str, settings: StageGrid, encoder: str, images: int, length: Length, seed: int, parent: str | None
    ) -> tuple[StageSpec, str]:
        recipe = get_recipe(kind, settings.recipe, settings.overrides)
        spec = StageSpec(
            kind=kind,
            objective=OBJECTIVE[kind],
            encoder=encoder,
            data=self._data(kind, settings, encoder, images, seed % self.grid.seeds[kind]),
            recipe=recipe,
            steps=length.steps(subset_images=images, batch_images=recipe.batch_images),
            eval_points=settings.eval_points,
            seed=seed % self.grid.seeds[kind],
            parent=parent,
        )
        name = stage_id(spec)
        self.specs[name] = spec
        return spec, name

    def _data(self, kind: str, settings: StageGrid, encoder: str, images: int, seed: int) -> DataSpec:
        train, heldout = (split_name(settings.source, kind, part, seed=seed) for part in ("train", "heldout"))
        if (kind, train, id(settings)) not in self.splits:  # one listing serves all stages of a kind
            infos = tuple(self._describe(kind, settings.source, split) for split in (train, heldout))
            self._check_fits(kind, settings, infos[0], infos[1])
            self.splits[kind, train, id(settings)] = infos[0], infos[1]
        train_info, heldout_info = self.splits[kind, train, id(settings)]
        heldout_images = settings.heldout_images or heldout_info.images or HELDOUT_IMAGES
        if kind == "pretrain" and settings.heldout_images is None:
            heldout_images = min(heldout_images, HELDOUT_IMAGES)
        return DataSpec(
            source=settings.source,
            image_px=parse_encoder(encoder)[2],
            train_split=train,
            train_fingerprint=train_info.fingerprint,
            train_images=images,
            sampling=settings.sampling,
            heldout_split=heldout,
            heldout_fingerprint=heldout_info.fingerprint,
            heldout_images=heldout_images,
        )

    def _where(self, key: str) -> str:
        return self.grid.where.get(key, key)

    def _describe(self, kind: str, source: str, split: str) -> SplitInfo:
        try:
            return describe_split(source, self.data, split)
        except InputError as error:
            raise InputError(f"{self._where(f'{kind}.source')}: {error}") from None

    def _check_fits(self, kind: str, settings: StageGrid, train: SplitInfo, heldout: SplitInfo) -> None:
        largest, heldout_key = max(settings.images), "test_images" if kind == "finetune" else "heldout_images"
        if train.images is not None and largest > train.images:
            raise InputError(
                f"{self._where(f'{kind}.images')}: {kind} asks for {largest:,} images, but {settings.source} holds {train.images:,} "
                f"for training: lower {kind}.images to at most {train.images:,}."
            )
        if heldout.images is None and settings.heldout_images is None and kind != "pretrain":
            raise InputError(
                f"{self._where(kind)}: the images of {settings.source} are generated, so {kind} needs {heldout_key}: how many to hold out."
            )
        if heldout.images is not None and (settings.heldout_images or 0) > heldout.images:
            raise InputError(
                f"{self._where(f'{kind}.{heldout_key}')}: {kind} asks for {settings.heldout_images:,} held-out images, but {settings.source} "
                f"holds {heldout.images:,}: lower {kind}.{heldout_key}."
            )
        if kind == "finetune" and not train.has_masks:
            raise InputError(
                f"{self._where('finetune.source')}: {settings.source} carries no trimaps, so it cannot be used for segmentation; "
                "oxford-iiit-pet and leaves can."
            )
        if kind == "intermediate" and train.classes < 2:
            raise InputError(f"{self._where('intermediate.source')}: {settings.source} has {train.classes} class: classification needs two or more.")
