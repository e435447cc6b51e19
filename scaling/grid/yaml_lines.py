"""YAML with the line of every key, so that an error can name it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trials.errors import InputError

MOST_BYTES = 1_000_000
MOST_VALUES = 100_000
MOST_CHARACTERS = 1_000
# what PyYAML's constructors raise for values such as 2020-99-99, !!int "" and !!timestamp abc
CONSTRUCTOR_ERRORS = (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError, RecursionError)


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
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"The grid {path} has {path.stat().st_size:,} bytes: a grid has {MOST_BYTES:,} at most.")
        text = path.read_text()
    except OSError as error:
        raise InputError(f"The grid {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InputError(f"The grid {path} is not a text file in UTF-8.") from None
    except ValueError as error:  # a NUL in the name
        raise InputError(f"The grid {path} cannot be read: {error}.") from None
    node, values = _read(text, str(path))
    if not isinstance(values, dict):
        raise InputError(f"{path}: a grid is a list of 'key: value' lines; see grids/quickstart.yaml.")
    located = Located(path=path, values=values)
    _collect(located, node, "")
    return located


def _read(text: str, where: str) -> tuple[Any, Any]:
    """The nodes and the values of a YAML text, in bounded time and memory. Raises InputError."""
    node = None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _check_size(node, where)
        return node, _unshared(yaml.safe_load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = _one_line(getattr(error, "problem", None) or error)
        advice = ": write spaces where the line has a tab" if r"'\t'" in problem else ""
        if "but got ':'" in problem or "mapping values are not allowed" in problem:
            advice = ": put quotes around a value that holds a colon and a space"
        raise InputError(f"{where}{line}: not valid YAML ({problem}){advice}.") from None
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"{where}: not valid YAML (lists or mappings within each other, too deep to read).") from None
    except CONSTRUCTOR_ERRORS as error:
        raise InputError(_misread(node, where) or f"{where}: not valid YAML ({_one_line(error)}).") from None


def _misread(root: Any, where: str) -> str:
    """Names the first value that cannot be read as what it is marked or looks like, such as
    `!!int ""` or 2020-99-99; empty if there is none.
    """
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.ScalarNode):
            try:
                yaml.SafeLoader("").construct_object(node)
            except CONSTRUCTOR_ERRORS:
                kind = node.tag.rpartition(":")[2]
                return f"{where} line {node.start_mark.line + 1}: not valid YAML ({node.value[:40]!r} cannot be read as {kind})."
        elif node is not None and id(node) not in seen:
            seen.add(id(node))
            parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
            waiting += reversed(parts)
    return ""


def _check_size(root: Any, where: str) -> None:
    """Counts the values that a document holds once its aliases are expanded, each node once; refuses
    too many, too long ones, and a value that holds itself. Raises InputError.
    """
    counts: dict[int, int] = {}
    inside: set[int] = set()

    def counted(node: Any) -> int:
        if id(node) in inside:
            raise InputError(f"{where} line {node.start_mark.line + 1}: a value holds itself through an alias; write it out.")
        if id(node) in counts:
            return counts[id(node)]
        if isinstance(node, yaml.ScalarNode):
            if len(node.value) > MOST_CHARACTERS:
                raise InputError(
                    f"{where} line {node.start_mark.line + 1}: a value has {len(node.value):,} characters, and may have {MOST_CHARACTERS:,}."
                )
            return 1
        inside.add(id(node))
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        total = 1
        for part in parts:
            total += counted(part)
            if total > MOST_VALUES:
                line = f"{where} line {part.start_mark.line + 1}"
                raise InputError(f"{line}: the grid holds more than {MOST_VALUES:,} values once its aliases are expanded; write fewer.")
        inside.discard(id(node))
        counts[id(node)] = total
        return total

    counted(root)


def _one_line(error: object) -> str:
    """Put an error of the YAML reader on one line."""
    return " ".join(str(error).split())[:200]


def _unshared(value: Any) -> Any:
    """Copy aliased values, so that overriding a key changes one place only."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _collect(located: Located, node: Any, prefix: str) -> None:
    """Notes the line of every dotted key, and refuses a key given twice, also within lists."""
    given: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.value in given:
            key = f"{prefix}.{key_node.value}".lstrip(".")
            raise InputError(f"{located.path} line {line}: the key {key!r} is given twice (first on {located.path} line {given[key_node.value]}).")
        given[key_node.value] = line
        key = f"{prefix}.{key_node.value}".lstrip(".")
        located.lines.setdefault(key, f"{located.path} line {line}")
        _collect_inside(located, value_node, key)


def _collect_inside(located: Located, node: Any, key: str) -> None:
    if isinstance(node, yaml.MappingNode):
        _collect(located, node, key)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _collect_inside(located, item, key)


def override(located: Located, setting: str) -> None:
    """Apply one `KEY=VALUE`, such as `finetune.images=[50, 100]`; the value is read as YAML.

    Raises:
        InputError: no `=`, a value that is no YAML, or a key below something that is not a mapping.
    """
    key, separator, text = setting.partition("=")
    key = key.strip()
    if not separator or not key:
        raise InputError(f"--set {setting[:80]!r}: write KEY=VALUE, such as --set seeds=5 or --set finetune.images='[50, 100]'.")
    if len(text) > MOST_BYTES:
        raise InputError(f"--set {key[:60]}: the value has {len(text):,} characters, and may have {MOST_BYTES:,}.")
    try:
        _, value = _read(text, f"--set {key[:60]}")
    except InputError as error:
        raise InputError(f"{error} It is read as YAML: {text[:60]!r}.") from None
    mapping = located.values
    *parents, last = key.split(".")
    for parent in parents:
        mapping = mapping.setdefault(parent, {})
        if not isinstance(mapping, dict):
            raise InputError(f"--set {setting[:80]!r}: {parent[:60]!r} holds a value, not keys.")
    mapping[last] = value
    located.lines[key] = f"--set {setting[:80]}"
