"""Registries of what a stage can be made of, and the plug-ins that add to them.

A registry maps a name to one object: an objective, an encoder family or a data source. The
project's own entries register when their module is imported. A user adds entries in two ways:

- a package names a module under an entry point group, such as
  `[project.entry-points."scaling_laws.objectives"]`, and the module registers on import;
- a grid says `plugins: my_module`, a Python file beside the grid (`load_plugin`).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Generic, TypeVar

from trials.errors import InputError, nearest

Thing = TypeVar("Thing")
_plugins: list[str] = []


def modules_in(package: str) -> tuple[str, ...]:
    """Names of the modules of a package, sorted; nothing is imported but the package."""
    paths = importlib.import_module(package).__path__
    return tuple(f"{package}.{module.name}" for module in sorted(pkgutil.iter_modules(paths), key=lambda one: one.name))


class Registry(Mapping[str, Thing], Generic[Thing]):
    """Objects of one kind by name: the project's own in the order of their modules, then the others
    in the order in which they were registered.

    Reading it first imports the project's own modules and the entry points of its group.
    """

    def __init__(self, what: str, *, group: str, modules: tuple[str, ...] = ()) -> None:
        """
        Args:
            what: what an entry is, for error messages, such as 'objective'.
            group: entry point group whose modules register further entries.
            modules: the project's own modules, imported on first use.
        """
        self.what = what
        self._group, self._modules = group, modules
        self._things: dict[str, Thing] = {}
        self._loaded = False

    def register(self, name: str, thing: Thing) -> Thing:
        """Add an entry and return it.

        Raises:
            InputError: another entry has that name. Registering an equal object again is allowed,
                so a module may be imported twice.
        """
        if name in self._things and self._things[name] != thing:
            article = "an" if self.what[0] in "aeiou" else "a"
            raise InputError(f"There is already {article} {self.what} named {name!r}: register yours under another name.")
        self._things[name] = thing
        return thing

    def find(self, name: str, *, where: str = "") -> Thing:
        """The entry of that name.

        Args:
            where: what the error message starts with, such as 'finetune: '.

        Raises:
            InputError: there is none; the sentence names the nearest, or all there are.
        """
        self._load()
        if name not in self._things:
            raise InputError(f"{where}there is no {self.what} {name!r}; {nearest(name, self._things)}")
        return self._things[name]

    def __getitem__(self, name: str) -> Thing:
        self._load()
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(self._things)

    def __len__(self) -> int:
        self._load()
        return len(self._things)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True  # before importing: the modules read the registry too
        for module in self._modules:
            importlib.import_module(module)
        # a module that was imported before its turn must not change the order
        turns = {module: turn for turn, module in enumerate(self._modules)}
        self._things = dict(sorted(self._things.items(), key=lambda item: turns.get(getattr(item[1], "__module__", ""), len(turns))))
        for point in entry_points(group=self._group):
            try:
                point.load()
            except Exception as error:
                raise InputError(
                    f"The plug-in {point.value!r} (entry point {point.name!r} of {self._group}) cannot be imported: "
                    f"{type(error).__name__}: {error}. Mend or uninstall its package."
                ) from error


def loaded_plugins() -> tuple[str, ...]:
    """Absolute paths of the plug-in files loaded in this process, for processes that it starts."""
    return tuple(_plugins)


def load_plugin(file: Path) -> None:
    """Import a Python file, so that it registers what it adds; a second call does nothing.

    Raises:
        InputError: there is no such file, or importing it failed.
    """
    path = file.resolve()
    name = f"scaling_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"plugins: there is no Python file {file}.")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"plugins: {file} cannot be imported: {type(error).__name__}: {error}") from error
    _plugins.append(str(path))
