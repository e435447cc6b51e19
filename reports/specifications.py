"""The charts of a figure as specifications of one page: a legend stands once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from reports.theme import specification

if TYPE_CHECKING:
    from reports.page import Figure


def figure_specifications(figure: Figure) -> Iterator[tuple[str, dict[str, Any]]]:
    """The charts of a figure; a legend that its first panel has already is not drawn again, unless a
    switch may hide that one.
    """
    first: list[Any] = []
    for number, panel in enumerate(figure.panels):
        spec = specification(panel.chart)
        names = legend_names(spec)
        if number == 0:
            first = names
        elif names and names == first and not figure.choices and not figure.panels[0].folded:
            spec = without_legends(spec)
        yield panel.identity, spec


def without_legends(spec: dict[str, Any]) -> dict[str, Any]:
    """A specification whose legends are left out, for the further panels of a figure."""
    encoding = {
        channel: {**part, "legend": None} if channel in ("color", "shape", "fill", "stroke") and isinstance(part, dict) and "scale" in part else part
        for channel, part in spec.get("encoding", {}).items()
    }
    layers = [without_legends(layer) for layer in spec.get("layer", [])]
    return {**spec, **({"encoding": encoding} if encoding else {}), **({"layer": layers} if layers else {})}


def legend_names(spec: dict[str, Any]) -> list[Any]:
    """What the legends of a specification list: the domain of each scale of colours or shapes."""
    found = []
    for channel, part in spec.get("encoding", {}).items():
        if channel in ("color", "shape", "fill", "stroke") and isinstance(part, dict) and part.get("scale") and part.get("legend", "") is not None:
            found.append([channel, part["scale"].get("domain")])
    for layer in spec.get("layer", []):
        found += [one for one in legend_names(layer) if one not in found]
    return found
