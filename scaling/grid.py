"""The grid: a study's axes and fixed settings, read from YAML into checked, frozen objects.

Every value that may be an axis takes one value or a list; the study is the product of all lists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scaling.arms import split_arms
from scaling.axes import AXES, Axes, read_excluded, read_zipped
from scaling.yaml_lines import Located, load_yaml, override
from trials.encoders import parse_encoder
from trials.errors import InputError, nearest
from trials.lengths import Length, parse_length
from trials.recipes import RECIPES, get_recipe
from trials.sources import SOURCES
from trials.subsets import SAMPLINGS

KINDS = ("pretrain", "intermediate", "finetune")
LARGEST = 10**12  # nobody counts further, and arithmetic stays exact
OBJECTIVES = ("none", "classification")
TASKS = ("segmentation",)


@dataclass(frozen=True, kw_only=True)
class StageGrid:
    """The settings of one kind of stage, each axis a tuple."""

    source: str
    images: tuple[int, ...]
    """Training-subset sizes; 0 in pre-training is training from scratch."""
    length: tuple[Length, ...]
    recipe: str
    overrides: dict[str, Any]
    sampling: str
    heldout_images: int | None
    """Size of the fixed held-out set; None takes all there are (in pre-training at most 512)."""
    eval_points: int
    choice: tuple[str, ...]
    """Intermediate: objectives. Fine-tuning: the task. Pre-training: ('simmim',)."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one stage of a kind holds while it runs."""

    cpus: int
    gpus: float | None
    """Share of a GPU; None means one GPU if the machine has any, else none."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A whole study, as the user asked for it."""

    study: str
    encoders: tuple[str, ...]
    pretrain: StageGrid
    intermediate: StageGrid | None
    finetune: StageGrid
    axes: Axes
    """The values of every axis, which of them advance together, and what is left out."""
    arms: tuple[tuple[str, Grid], ...] = ()
    """Named arms, each a grid without arms; where there are any, the study is their union and the fields above are those of the first."""
    seeds: dict[str, int]
    """How many seeds each kind of stage has; run s uses seed s modulo that."""
    resources: dict[str, Resources]
    where: dict[str, str] = field(compare=False)
    """File and line of each key, for messages, such as {'finetune.images': 'grid.yaml line 12'}."""
    text: str = field(compare=False)
    """The YAML as launched, with --set applied."""


_STAGE_KEYS = ("source", "images", "length", "recipe", "sampling", "heldout_images", "eval_points")
_KEYS = {
    "": ("study", "encoder", "pretrain", "intermediate", "finetune", "arms", "zip", "exclude", "seeds", "resources"),
    "pretrain": _STAGE_KEYS,
    "intermediate": (*_STAGE_KEYS, "objective"),
    "finetune": ("source", "images", "length", "recipe", "sampling", "task", "test_images"),
    "seeds": KINDS,
    "resources": ("cpus", "gpus", *KINDS),
}
_RESOURCE_KEYS = ("cpus", "gpus")


def load_grid(path: Path, settings: list[str] | None = None) -> Grid:
    """Read and check a grid.

    Args:
        path: the YAML file. settings: `KEY=VALUE` with a dotted key, as --set takes them.

    Raises:
        InputError: with file and line, if anything in it cannot be.
    """
    located = load_yaml(path)
    for setting in settings or []:
        override(located, setting)
    arms = [(name, _Reader(one).grid()) for name, one in split_arms(located)]
    first = arms[0][1]
    named = tuple((name, grid) for name, grid in arms if name is not None)
    return replace(first, arms=named, text=located.text(), where=dict(located.lines)) if named else first


class _Reader:
    """Turns a located mapping into a Grid; every complaint names file and line."""

    def __init__(self, located: Located) -> None:
        self.located = located
        self.values = located.values
        self._check_keys("", self.values)

    def fail(self, path: str, text: str) -> InputError:
        return InputError(f"{self.located.where(path)}: {text}")

    def _check_keys(self, path: str, mapping: Any) -> None:
        if not isinstance(mapping, dict):
            raise self.fail(path, f"{path or 'the grid'} must hold 'key: value' lines, not {mapping!r}.")
        known = _RESOURCE_KEYS if path.startswith("resources.") else _KEYS[path]
        for key in mapping:
            if key not in known:
                where = f"in {path!r}" if path else "at the top level"
                raise self.fail(f"{path}.{key}".lstrip("."), f"unknown key {key!r} {where}; {nearest(str(key), known)}")

    def grid(self) -> Grid:
        for key in ("study", "encoder", "pretrain", "finetune"):
            if self.values.get(key) is None:
                raise self.fail("", f"the key {key!r} is missing: see grids/quickstart.yaml for an example.")
        study = str(self.values["study"])
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", study):
            raise self.fail("study", f"a study's name names a folder: use letters, digits, '.', '_' and '-', not {study!r}.")
        encoders = self._encoders()
        pretrain, finetune = self._stage("pretrain"), self._stage("finetune")
        intermediate = self._stage("intermediate") if self.values.get("intermediate") is not None else None
        return Grid(
            study=study,
            encoders=encoders,
            pretrain=pretrain,
            intermediate=intermediate,
            finetune=finetune,
            axes=self._axes(encoders, pretrain, intermediate, finetune),
            seeds=self._seeds(),
            resources=self._resources(),
            where=dict(self.located.lines),
            text=self.located.text(),
        )

    def _axes(self, encoders: tuple[str, ...], pretrain: StageGrid, intermediate: StageGrid | None, finetune: StageGrid) -> Axes:
        """The axes with what is zipped and excluded; every complaint names file and line."""
        middle = (("none",), (None,), (None,)) if intermediate is None else (intermediate.choice, intermediate.images, intermediate.length)
        columns = (encoders, pretrain.images, pretrain.length, *middle, finetune.images, finetune.length)
        values: dict[str, tuple[Any, ...]] = dict(zip(AXES, columns, strict=True))
        zipped = read_zipped(self.values.get("zip"), values, self.fail)
        axes = Axes(values=values, zipped=zipped, excluded=read_excluded(self.values.get("exclude"), values, self.fail))
        if next(axes.combinations(), None) is None:
            raise self.fail("exclude", "every combination is excluded, so there is nothing to run: take an entry out.")
        return axes

    def _axis(self, path: str, value: Any) -> list[Any]:
        values = value if isinstance(value, list) else [value]
        if not values:
            raise self.fail(path, f"{path} is an empty list: give at least one value.")
        if len({str(v) for v in values}) < len(values):
            raise self.fail(path, f"{path} names a value twice: {values}.")
        return values

    def _encoders(self) -> tuple[str, ...]:
        names = [str(name) for name in self._axis("encoder", self.values["encoder"])]
        for name in names:
            try:
                parse_encoder(name)
            except InputError as error:
                raise self.fail("encoder", str(error)) from None
        return tuple(names)

    def _whole(self, path: str, value: Any, *, least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
            bound = f"at most {LARGEST:,}" if isinstance(value, int) and value > LARGEST else f"at least {least}"
            raise self.fail(path, f"{path} must be a whole number of {bound}, not {str(value)[:40]}.")
        return value

    def _stage(self, kind: str) -> StageGrid:
        mapping = self.values[kind]
        self._check_keys(kind, mapping)
        choice: tuple[str, ...] = ("simmim",)
        if kind == "intermediate":
            choice = self._choices(kind, "objective", mapping.get("objective", ["none", "classification"]), OBJECTIVES)
        elif kind == "finetune":
            choice = self._choices(kind, "task", mapping.get("task", "segmentation"), TASKS)
        needed = () if choice == ("none",) else ("source", "images", "length")
        for key in needed:
            if mapping.get(key) is None:
                raise self.fail(kind, f"{kind} needs the key {key!r}: see grids/quickstart.yaml for an example.")
        least = 0 if kind == "pretrain" else 1
        heldout_key = "test_images" if kind == "finetune" else "heldout_images"
        heldout = mapping.get(heldout_key)
        recipe, overrides = self._recipe(kind, mapping.get("recipe", "compact"))
        return StageGrid(
            source=self._source(kind, mapping.get("source", "leaves")),
            images=tuple(self._whole(f"{kind}.images", n, least=least) for n in self._axis(f"{kind}.images", mapping.get("images", 1))),
            length=tuple(self._length(kind, text) for text in self._axis(f"{kind}.length", mapping.get("length", "1 step"))),
            recipe=recipe,
            overrides=overrides,
            sampling=self._choices(kind, "sampling", mapping.get("sampling", "proportional" if kind == "finetune" else "uniform"), SAMPLINGS)[0],
            heldout_images=None if heldout is None else self._whole(f"{kind}.{heldout_key}", heldout, least=1),
            eval_points=self._whole(f"{kind}.eval_points", mapping.get("eval_points", 8), least=1),
            choice=choice,
        )

    def _choices(self, kind: str, key: str, value: Any, known: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(str(name) for name in self._axis(f"{kind}.{key}", "none" if value is None else value))
        for name in names:
            if name not in known:
                raise self.fail(f"{kind}.{key}", f"there is no {key} {name!r}; {nearest(name, known)}")
        if key == "sampling" and len(names) > 1:
            raise self.fail(f"{kind}.{key}", "sampling takes one value.")
        return names

    def _source(self, kind: str, value: Any) -> str:
        if not isinstance(value, str) or value.partition(":")[0] not in SOURCES:
            raise self.fail(f"{kind}.source", f"there is no data source {value!r}; {nearest(str(value), SOURCES)}")
        return value

    def _length(self, kind: str, value: Any) -> Length:
        try:
            return parse_length(value)
        except InputError as error:
            raise self.fail(f"{kind}.length", str(error)) from None

    def _recipe(self, kind: str, value: Any) -> tuple[str, dict[str, Any]]:
        """`recipe: name`, or `recipe: {name: ..., learning_rate: ...}` with single fields overridden."""
        if isinstance(value, dict):
            name, overrides = str(value.get("name", "compact")), {k: v for k, v in value.items() if k != "name"}
        else:
            name, overrides = str(value), {}
        try:
            get_recipe(kind, name, overrides)
        except InputError as error:
            key = next((k for k in overrides if repr(k) in str(error) or f" {k} " in str(error)), "")
            path = f"{kind}.recipe.{key}" if key else f"{kind}.recipe"
            raise self.fail(path, str(error)) from None
        assert name in RECIPES[kind]
        return name, overrides

    def _seeds(self) -> dict[str, int]:
        value = self.values.get("seeds", 3)
        if not isinstance(value, dict):
            count = self._whole("seeds", value, least=1)
            return dict.fromkeys(KINDS, count)
        self._check_keys("seeds", value)
        finetune = self._whole("seeds.finetune", value.get("finetune", 3), least=1)
        counts = {kind: self._whole(f"seeds.{kind}", value.get(kind, finetune), least=1) for kind in KINDS}
        if max(counts.values()) > finetune:
            raise self.fail("seeds", "no kind of stage can have more seeds than fine-tuning: those would never be used.")
        return counts

    def _resources(self) -> dict[str, Resources]:
        value = self.values.get("resources") or {}
        self._check_keys("resources", value)
        result = {}
        for kind in KINDS:
            own = value.get(kind) or {}
            self._check_keys(f"resources.{kind}", own)
            paths = {key: f"resources.{kind}.{key}" if key in own else f"resources.{key}" for key in _RESOURCE_KEYS}
            gpus = own.get("gpus", value.get("gpus", "auto"))
            if gpus != "auto" and (isinstance(gpus, bool) or not isinstance(gpus, int | float) or not gpus >= 0):
                raise self.fail(paths["gpus"], f"gpus must be 'auto' or a number of at least 0 (0.5 shares a GPU between two), not {gpus!r}.")
            cpus = self._whole(paths["cpus"], own.get("cpus", value.get("cpus", 1)), least=1)
            result[kind] = Resources(cpus=cpus, gpus=None if gpus == "auto" else float(gpus))
        return result
