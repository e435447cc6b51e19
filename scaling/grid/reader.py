"""Read a YAML grid and check it. Every error names the file, the line and what to do."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from scaling.grid.arms import split_arms
from scaling.grid.axes import AXES, USUAL_OBJECTIVE, Axes, read_excluded, read_zipped
from scaling.grid.settings import CAPTURE, COMPILE, KEEPS, KINDS, NO_STAGE, ORDERS, ExecutionSettings, Grid, RecipeChoice, Resources, StageGrid
from scaling.grid.yaml_lines import Located, load_yaml, override
from trials.data.sources import SOURCES, get_source
from trials.data.subsets import SAMPLINGS
from trials.errors import InputError, nearest
from trials.models.encoders import parse_encoder
from trials.objectives.objective import objectives_for
from trials.recipes.lengths import Length, parse_length
from trials.recipes.named import get_recipe
from trials.registry import load_plugin

LARGEST = 10**12  # nobody counts further, and arithmetic stays exact
MOST_RUNS = 100_000
"""Cells times seeds of a grid, exclusions not counted: a plan of more takes minutes and gigabytes."""
MOST_CHECKS = 10_000_000
"""Combinations times entries of `exclude`."""
MOST_MESSAGE = 400
"""Longest error message in characters, file and line not counted; a longer one is shortened."""
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_STAGE_KEYS = ("source", "images", "length", "recipe", "sampling")
_KEYS = {
    "": ("study", "encoder", *KINDS, "arms", "zip", "exclude", "seeds", "resources", "order", "keep", "broken_images", "plugins"),
    "pretrain": (*_STAGE_KEYS, "heldout_images", "eval_points", "objective"),
    "intermediate": (*_STAGE_KEYS, "heldout_images", "eval_points", "objective", "image_px"),
    "finetune": (*_STAGE_KEYS, "task", "test_images", "image_px"),
    "seeds": (*KINDS, "first"),
    "resources": ("cpus", "gpus", "workers", "retries", "micro_batches", "compile", "capture", *KINDS),
}
_RESOURCE_KEYS = ("cpus", "gpus", "workers")


def load_grid(path: Path, settings: list[str] | None = None) -> Grid:
    """Read a grid and check it.

    Args:
        path: the YAML file.
        settings: `KEY=VALUE` with a dotted key, as `--set` takes them.

    Raises:
        InputError: something in the grid is wrong; the message names file and line.
    """
    located = load_yaml(path)
    for setting in settings or []:
        override(located, setting)
    _load_plugins(located, path.parent)
    called: Called = {}
    arms = [(name, _Reader(one, called).grid()) for name, one in split_arms(located)]
    first = arms[0][1]
    named = tuple((name, grid) for name, grid in arms if name is not None)
    return replace(first, arms=named, text=located.text(), where=dict(located.lines)) if named else first


def _as_mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _load_plugins(located: Located, folder: Path) -> None:
    """Import the Python files beside the grid that its key `plugins` names."""
    value = located.values.get("plugins") if isinstance(located.values, dict) else None
    names = [] if value is None else value if isinstance(value, list) else [value]
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_./-]{1,200}", name):
            raise InputError(f"{located.where('plugins')}: a plug-in is a Python file beside the grid, such as my_module, not {str(name)[:60]!r}.")
        try:
            load_plugin(folder / (name if name.endswith(".py") else f"{name}.py"))
        except InputError as error:
            raise InputError(f"{located.where('plugins')}: {error}") from error


Called: TypeAlias = dict[tuple[str, str], RecipeChoice]
"""The recipes of all arms so far, by kind of stage and label."""


class _Reader:
    """Turns a mapping with line numbers into a Grid."""

    def __init__(self, located: Located, called: Called) -> None:
        self.located, self.called = located, called
        self.values = located.values
        self._check_keys("", self.values)

    def fail(self, path: str, text: str) -> InputError:
        short = text if len(text) <= MOST_MESSAGE else f"{text[: MOST_MESSAGE - 80]} ... {text[-60:]}"
        return InputError(f"{self.located.where(path)}: {short}")

    def _check_keys(self, path: str, mapping: Any) -> None:
        if not isinstance(mapping, dict):
            raise self.fail(path, f"{path or 'the grid'} must hold 'key: value' lines, not {mapping!r}.")
        known = _RESOURCE_KEYS if path.startswith("resources.") else _KEYS[path]
        for key in mapping:
            if key not in known:
                where = f"in {path!r}" if path else "at the top level"
                homes = ["at the top level"] if key in _KEYS[""] else [f"in {kind!r}" for kind in KINDS if key in _KEYS[kind]]
                told = f"{key!r} stands {where}, and belongs {', '.join([*homes[:-2], ' or '.join(homes[-2:])])}." if homes else ""
                raise self.fail(f"{path}.{key}".lstrip("."), told or f"unknown key {key!r} {where}; {nearest(str(key), known)}")

    def grid(self) -> Grid:
        for key in ("study", "encoder", "pretrain", "finetune"):
            if self.values.get(key) is None:
                raise self.fail("", f"the key {key!r} is missing: see grids/quickstart.yaml for an example.")
        study = str(self.values["study"])
        if not re.fullmatch(NAME, study):
            raise self.fail("study", f"a study's name names a folder: use up to 100 letters, digits, '.', '_' and '-', not {study[:60]!r}.")
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
            first_seed=self._first_seed(),
            resources=self._resources(),
            execution=self._execution(),
            where=dict(self.located.lines),
            text=self.located.text(),
        )

    def _axes(self, encoders: tuple[str, ...], pretrain: StageGrid, intermediate: StageGrid | None, finetune: StageGrid) -> Axes:
        """Read the axes, with `zip` and `exclude`."""
        values: dict[str, tuple[Any, ...]] = {"encoder": encoders}
        for kind, stage in (("pretrain", pretrain), ("intermediate", intermediate), ("finetune", finetune)):
            if stage is None:
                values |= {f"{kind}.{key}": (None,) for key in ("source", "images", "length", "recipe")} | {f"{kind}.objective": (NO_STAGE,)}
                continue
            values |= {f"{kind}.source": stage.sources, f"{kind}.images": stage.images, f"{kind}.length": stage.length}
            values |= {f"{kind}.recipe": tuple(one.label for one in stage.recipes), f"{kind}.sampling": stage.samplings}
            values |= {f"{kind}.objective": stage.choice, f"{kind}.task": stage.choice}
        values = {name: values[name] for name in AXES}
        zipped = read_zipped(self.values.get("zip"), values, self.fail)
        excluded = read_excluded(self.values.get("exclude"), values, self.fail)
        sampling = {kind: stage.samplings[0] for kind, stage in (("intermediate", intermediate or finetune), ("finetune", finetune))}
        axes = Axes(values=values, sampling=sampling, zipped=zipped, excluded=excluded)
        runs = axes.size() * self._seeds()["finetune"]
        if runs > MOST_RUNS:
            path = max(values, key=lambda name: len(values[name])) if axes.size() > MOST_RUNS else "seeds"
            raise self.fail(path, f"the grid makes {runs:,} runs ({axes.size():,} cells), and may make {MOST_RUNS:,}: take values or seeds out.")
        if axes.size() * len(excluded) > MOST_CHECKS:
            raise self.fail("exclude", f"{len(excluded):,} entries of exclude for {axes.size():,} cells are too many: take entries out.")
        if next(axes.combinations(), None) is None:
            raise self.fail("exclude", "every combination is excluded, so there is nothing to run: take an entry out.")
        return axes

    def _axis(self, path: str, value: Any) -> list[Any]:
        values = value if isinstance(value, list) else [value]
        if not values:
            raise self.fail(path, f"{path} is an empty list: give at least one value.")
        if len({str(v) for v in values}) < len(values) and path not in self._zipped_names():
            raise self.fail(path, f"{path} names a value twice: {str(values)[:200]}.")
        return values

    def _zipped_names(self) -> set[str]:
        """Names of the zipped axes, whose values may repeat."""
        given = self.values.get("zip")
        return {str(name) for group in (given if isinstance(given, list) else []) for name in (group if isinstance(group, list) else [group])}

    def _encoders(self) -> tuple[str, ...]:
        names = [self._encoder_name(one) for one in self._axis("encoder", self.values["encoder"])]
        for name in names:
            try:
                parse_encoder(name)
            except InputError as error:
                raise self.fail("encoder", str(error)) from None
        return tuple(names)

    def _encoder_name(self, value: Any) -> str:
        """Read an encoder: a name, or `{name: ..., pretrained: FILE}` relative to the grid."""
        if not isinstance(value, dict):
            return str(value)
        if set(value) != {"name", "pretrained"}:
            raise self.fail("encoder", f"an encoder is a name, or {{name: ..., pretrained: FILE}}, not {str(value)[:80]}.")
        return f"{value['name']}+{(Path(self.located.path).parent / str(value['pretrained'])).resolve()}"

    def _whole(self, path: str, value: Any, *, least: int, most: int = LARGEST) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            bound = f"at most {most:,}" if isinstance(value, int) and value > most else f"at least {least}"
            raise self.fail(path, f"{path} must be a whole number of {bound}, not {str(value)[:40]}.")
        return value

    def _stage(self, kind: str) -> StageGrid:
        mapping = self.values[kind]
        self._check_keys(kind, mapping)
        choice = self._objectives(kind, mapping)
        needed = () if choice == (NO_STAGE,) else ("source", "images", "length")
        for key in needed:
            if mapping.get(key) is None:
                raise self.fail(kind, f"{kind} needs the key {key!r}: see grids/quickstart.yaml for an example.")
        least = 0 if kind == "pretrain" else 1
        heldout_key = "test_images" if kind == "finetune" else "heldout_images"
        heldout = mapping.get(heldout_key)
        image_px = mapping.get("image_px")
        return StageGrid(
            sources=tuple(self._source(kind, one) for one in self._axis(f"{kind}.source", mapping.get("source", "leaves"))),
            images=tuple(self._whole(f"{kind}.images", n, least=least) for n in self._axis(f"{kind}.images", mapping.get("images", 1))),
            length=tuple(self._length(kind, text) for text in self._axis(f"{kind}.length", mapping.get("length", "1 step"))),
            recipes=self._recipes(kind, mapping.get("recipe", "compact")),
            samplings=self._choices(kind, "sampling", mapping.get("sampling", "proportional" if kind == "finetune" else "uniform"), SAMPLINGS),
            heldout_images=None if heldout is None else self._whole(f"{kind}.{heldout_key}", heldout, least=1),
            eval_points=self._whole(f"{kind}.eval_points", mapping.get("eval_points", 8), least=1),
            image_px=None if image_px is None else self._whole(f"{kind}.image_px", image_px, least=8, most=4096),
            choice=choice,
        )

    def _objectives(self, kind: str, mapping: dict[str, Any]) -> tuple[str, ...]:
        """Read what the stages of a kind learn: `task` of a fine-tuning, `objective` of the others."""
        known = objectives_for(kind)
        if kind == "finetune":
            return self._choices(kind, "task", mapping.get("task", "segmentation"), known)
        if kind == "intermediate":
            return self._choices(kind, "objective", mapping.get("objective", [NO_STAGE, "classification"]), (NO_STAGE, *known))
        return self._choices(kind, "objective", mapping.get("objective", USUAL_OBJECTIVE), (NO_STAGE, *known))

    def _choices(self, kind: str, key: str, value: Any, known: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(str(name) for name in self._axis(f"{kind}.{key}", "none" if value is None else value))
        for name in names:
            if name not in known:
                raise self.fail(f"{kind}.{key}", f"there is no {key} {name!r}; {nearest(name, known)}")
        if key == "sampling" and kind != "pretrain" and len(names) > 1:
            raise self.fail(f"{kind}.{key}", "sampling is an axis of pre-training alone; here it takes one value.")
        return names

    def _source(self, kind: str, value: Any) -> str:
        if not isinstance(value, str) or value.partition(":")[0] not in SOURCES:
            raise self.fail(f"{kind}.source", f"there is no data source {value!r}; {nearest(str(value), SOURCES)}")
        try:
            get_source(value)
        except InputError as error:
            raise self.fail(f"{kind}.source", str(error)) from None
        return value

    def _length(self, kind: str, value: Any) -> Length:
        try:
            return parse_length(value)
        except InputError as error:
            raise self.fail(f"{kind}.length", str(error)) from None

    def _recipes(self, kind: str, value: Any) -> tuple[RecipeChoice, ...]:
        listed = self._axis(f"{kind}.recipe", value)
        found = [self._recipe(kind, one) for one in listed]
        twice = next((one.label for one in found for other in found if one.label == other.label and one != other), None)
        if twice is not None:
            raise self.fail(f"{kind}.recipe", f"two recipes are called {twice!r}: tell them apart with a label, as in {{name: ..., label: wide}}.")
        return tuple(self._told_apart(kind, one, named="label" in value) for one, value in zip(found, map(_as_mapping, listed), strict=True))

    def _told_apart(self, kind: str, one: RecipeChoice, *, named: bool) -> RecipeChoice:
        """The recipe under a label that no other recipe of an earlier arm has: the fields that differ
        are added to it, since runs of both would else be equal in all columns.
        """
        other = self.called.setdefault((kind, one.label), one)
        if other == one:
            return one
        if named:
            raise self.fail(f"{kind}.recipe", f"two arms call different recipes {one.label!r}: give one of them another label.")
        recipes = [get_recipe(kind, choice.name, choice.overrides) for choice in (one, other)]
        changed = {
            key: getattr(recipes[0], key) for key in sorted(one.overrides | other.overrides) if len({getattr(each, key) for each in recipes}) > 1
        }
        if not changed:  # a field that is set to its default
            return other
        label = re.sub(r"[^A-Za-z0-9_.+=-]", "-", "+".join([one.name, *(f"{key}={value}" for key, value in changed.items())]))[:60]
        new = replace(one, label=label)
        if self.called.setdefault((kind, label), new) != new:
            raise self.fail(f"{kind}.recipe", f"arms have recipes that differ in too much to be told apart by {label!r}: give each a label.")
        return new

    def _recipe(self, kind: str, value: Any) -> RecipeChoice:
        """Read a recipe: a name, or `{name: ..., learning_rate: ..., label: ...}`."""
        if isinstance(value, dict):
            name, overrides = str(value.get("name", "compact")), {k: v for k, v in value.items() if k not in ("name", "label")}
        else:
            name, overrides = str(value), {}
        label = value.get("label", name) if isinstance(value, dict) else name
        if not isinstance(label, str) or not re.fullmatch(r"[A-Za-z0-9_.+=-]{1,60}", label):
            raise self.fail(f"{kind}.recipe", f"a recipe's label takes letters, digits and . _ + = -, not {str(label)[:60]!r}.")
        try:
            get_recipe(kind, name, overrides)
        except InputError as error:
            key = next((k for k in overrides if repr(k) in str(error) or f" {k} " in str(error)), "")
            path = f"{kind}.recipe.{key}" if key else f"{kind}.recipe"
            raise self.fail(path, str(error)) from None
        return RecipeChoice(label=label, name=name, overrides=overrides)

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

    def _first_seed(self) -> int:
        value = self.values.get("seeds", 3)
        return self._whole("seeds.first", value.get("first", 0), least=0, most=1_000_000_000) if isinstance(value, dict) else 0

    def _resources(self) -> dict[str, Resources]:
        value = self.values.get("resources") or {}
        self._check_keys("resources", value)
        result = {}
        for kind in KINDS:
            own = value.get(kind) or {}
            self._check_keys(f"resources.{kind}", own)
            paths = {key: f"resources.{kind}.{key}" if key in own else f"resources.{key}" for key in _RESOURCE_KEYS}
            gpus = own.get("gpus", value.get("gpus", "auto"))
            if gpus != "auto" and (isinstance(gpus, bool) or not isinstance(gpus, int | float) or not 0 <= gpus <= 1):
                hint = "; for several GPUs a stage set workers" if isinstance(gpus, int | float) and gpus > 1 else ""
                raise self.fail(paths["gpus"], f"gpus must be 'auto' or a number from 0 to 1 (0.5 shares a GPU between two), not {gpus!r}{hint}.")
            cpus = self._whole(paths["cpus"], own.get("cpus", value.get("cpus", 1)), least=1)
            workers = self._whole(paths["workers"], own.get("workers", value.get("workers", 1)), least=1, most=100_000)
            result[kind] = Resources(cpus=cpus, gpus=None if gpus == "auto" else float(gpus), workers=workers)
        return result

    def _execution(self) -> ExecutionSettings:
        held = self.values.get("resources") or {}

        def one_of(path: str, value: Any, known: tuple[str, ...]) -> str:
            if value not in known:
                raise self.fail(path, f"{path} must be one of {', '.join(known)}, not {str(value)[:40]!r}.")
            return str(value)

        def unquoted(value: Any) -> Any:
            """YAML reads a bare on or off as true or false."""
            return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value

        return ExecutionSettings(
            order=one_of("order", self.values.get("order", "deepest"), ORDERS),
            keep=one_of("keep", self.values.get("keep", "weights"), KEEPS),
            broken_images="skip" if one_of("broken_images", self.values.get("broken_images", "refuse"), ("refuse", "skip")) == "skip" else "refuse",
            retries=self._whole("resources.retries", held.get("retries", 2), least=0, most=100),
            micro_batches=self._whole("resources.micro_batches", held.get("micro_batches", 1), least=1, most=10_000),
            compile=one_of("resources.compile", unquoted(held.get("compile", "auto")), COMPILE),
            capture=one_of("resources.capture", unquoted(held.get("capture", "auto")), CAPTURE),
        )
