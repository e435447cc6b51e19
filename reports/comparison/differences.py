"""What differs between two studies: grids, settings, stage specs, versions and devices."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import pandas as pd

from analysis.runs.columns import RUN_COLUMNS
from reports.comparison.pair import MEASURED_ROLES, Pair
from reports.report_data import ReportData, read_json, read_provenance

NOT_SETTINGS = {name for name, column in RUN_COLUMNS.items() if (column.role == "id" and name != "arm") or column.role in MEASURED_ROLES}
MOST_VALUES = 6
"""Values of one setting that are written out."""


def setting_differences(pair: Pair) -> pd.DataFrame:
    """Columns of the runs tables whose values differ between the studies: setting, then each
    study's values.
    """
    tables = [study.planned if study.planned is not None and len(study.planned) else study.runs for study in pair.studies]
    rows = []
    for name in RUN_COLUMNS:
        if name not in NOT_SETTINGS and all(name in table.columns for table in tables):
            values = [set(table[name].dropna()) for table in tables]
            if values[0] != values[1]:
                rows.append((name, *(_formatted(one) for one in values)))
    return pd.DataFrame(rows, columns=["setting", *pair.names])


def spec_differences(pair: Pair) -> pd.DataFrame:
    """Entries of the stages' specs whose values differ between the studies: kind of stage, entry,
    then each study's values.

    Recipes and their versions, data fingerprints and seeds are here; ids of parents, which follow
    from these, are not.
    """
    found = [_spec_values(study) for study in pair.studies]
    rows = []
    for kind, entry in sorted(found[0].keys() | found[1].keys()):
        values = [one.get((kind, entry), set()) for one in found]
        # An entry that only one study has belongs to a kind of stage that the other lacks, or to
        # another version of the code.
        if values[0] != values[1]:
            rows.append((kind, entry, *(_formatted(one) for one in values)))
    return pd.DataFrame(rows, columns=["stage", "entry", *pair.names])


def version_differences(pair: Pair) -> pd.DataFrame:
    """Code, device, precision and versions of the finished stages: what, then each study's values,
    and whether they are the same.
    """
    found = [_environment(read_provenance(study)) for study in pair.studies]
    names = list(dict.fromkeys([*found[0], *found[1]]))
    rows = []
    for name in names:
        values = [one.get(name, set()) for one in found]
        rows.append((name, *(_formatted(one) for one in values), values[0] == values[1]))
    return pd.DataFrame(rows, columns=["what", *pair.names, "same"])


def grid_difference(pair: Pair) -> str:
    """A unified diff of the two grids; '' where they are equal or one is not there."""
    texts = [study.grid_text for study in pair.studies]
    if texts[0] is None or texts[1] is None:
        return ""
    lines = difflib.unified_diff(texts[0].splitlines(), texts[1].splitlines(), fromfile=pair.names[0], tofile=pair.names[1], lineterm="", n=1)
    return "\n".join(lines)


def _spec_values(study: ReportData) -> dict[tuple[str, str], set[str]]:
    plan = read_json(study.folder, "plan.json") or {}
    values: dict[tuple[str, str], set[str]] = {}
    for stage in plan.get("stages", []):
        for entry, value in _flat(stage.get("spec") or {}):
            if entry != "parent":
                values.setdefault((str(stage.get("kind")), entry), set()).add(str(value))
    return values


def _flat(spec: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """('recipe.learning_rate', 0.001) and so on."""
    for name, value in spec.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _environment(provenance: pd.DataFrame) -> dict[str, set[str]]:
    values: dict[str, set[str]] = {}
    for row in provenance.to_dict("records"):
        for name, value in row.items():
            if name == "versions":
                for package in str(value).split(", "):
                    values.setdefault(package.partition(" ")[0], set()).add(package.partition(" ")[2])
            elif name not in ("stage_id", "precision_reason") and isinstance(value, str):
                values.setdefault(str(name), set()).add(value)
    return values


def _formatted(values: set[Any]) -> str:
    """The values in order, numbers by size; '–' for none."""
    ordered = sorted(values, key=lambda value: (isinstance(value, str), _number(value), str(value)))
    more = f" and {len(ordered) - MOST_VALUES} more" if len(ordered) > MOST_VALUES else ""
    return (", ".join(str(value) for value in ordered[:MOST_VALUES]) + more) or "–"


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if number == number else 0.0
