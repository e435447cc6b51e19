"""YAML with the line of every key, so that an error can name it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trials.errors import InputError


@dataclass
class Located:
    """A YAML mapping and the line of each dotted key."""

    path: Path
    values: dict[str, Any]
    lines: dict[str, str] = field(default_factory=dict)

    def where(self, key: str) -> str:
        """`grid.yaml line 12` for a dotted key, or for the nearest key above it."""
        while key not in self.lines and "." in key:
            key = key.rpartition(".")[0]
        return self.lines.get(key, str(self.path))

    def text(self) -> str:
        """The mapping as YAML."""
        return yaml.safe_dump(self.values, sort_keys=False, allow_unicode=True, width=120)


def load_yaml(path: Path) -> Located:
    """Read a YAML mapping.

    Raises:
        InputError: no such file, no YAML, not a mapping, or a key given twice.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise InputError(f"The grid {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InputError(f"The grid {path} is not a text file in UTF-8.") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = _unshared(yaml.safe_load(text))
    except (ValueError, KeyError, RecursionError) as error:  # what the constructors raise for values such as 2020-99-99
        raise InputError(f"{path}: not valid YAML ({type(error).__name__}: {_one_line(error)}).") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML ({_one_line(getattr(error, 'problem', None) or error)}).") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: a grid is a list of 'key: value' lines; see grids/quickstart.yaml.")
    located = Located(path=path, values=values)
    _collect(located, node, "")
    return located


def _one_line(error: object) -> str:
    """Put an error of the YAML reader on one line."""
    return " ".join(str(error).split())[:200]


def _unshared(value: Any) -> Any:
    """Copy aliased values, so that overriding a key changes one place only."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _collect(located: Located, node: Any, prefix: str) -> None:
    for key_node, value_node in node.value:
        key = f"{prefix}.{key_node.value}".lstrip(".")
        line = key_node.start_mark.line + 1
        if key in located.lines:
            raise InputError(f"{located.path} line {line}: the key {key!r} is given twice (first on {located.lines[key]}).")
        located.lines[key] = f"{located.path} line {line}"
        if isinstance(value_node, yaml.MappingNode):
            _collect(located, value_node, key)


def override(located: Located, setting: str) -> None:
    """Apply one `KEY=VALUE`, such as `finetune.images=[50, 100]`; the value is read as YAML.

    Raises:
        InputError: no `=`, a value that is no YAML, or a key below something that is not a mapping.
    """
    key, separator, text = setting.partition("=")
    key = key.strip()
    if not separator or not key:
        raise InputError(f"--set {setting!r}: write KEY=VALUE, such as --set seeds=5 or --set finetune.images='[50, 100]'.")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, KeyError, RecursionError):
        raise InputError(f"--set {setting!r}: {text!r} is not a YAML value.") from None
    mapping = located.values
    *parents, last = key.split(".")
    for parent in parents:
        mapping = mapping.setdefault(parent, {})
        if not isinstance(mapping, dict):
            raise InputError(f"--set {setting!r}: {parent!r} holds a value, not keys.")
    mapping[last] = value
    located.lines[key] = f"--set {setting}"
