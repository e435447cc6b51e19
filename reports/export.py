"""Figures as files for a paper: SVG, PDF or PNG, with the CSV behind each and text for its caption."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import altair as alt
import vl_convert

from reports.choices import FORMATS
from reports.download import GZIP
from reports.errors import ReportError
from reports.page import Figure, Page, Panel
from reports.registry import figure_kinds
from reports.theme import specification

WIDTH_PT: Final = 396.0
"""5.5 inches, the text width of most single-column papers; one unit of the drawing is one point
(1/72 inch).
"""
PNG_PPI: Final = 300.0
INK: Final = "#1a1a1a"
# One list for all machines: the renderer brings Liberation Sans with it, and asks for no font
# elsewhere.
FONT: Final = "Liberation Sans, Arial, Helvetica, sans-serif"
LETTERS_A_LINE: Final = 76
"""Of a panel's heading, at 10 points."""
LONGEST_NAME: Final = 80


def write_figures(page: Page, folder: str | Path, *, kind: str = "svg") -> list[Path]:
    """Write each panel of each figure as PANEL.kind and each table behind them as a CSV, with
    captions.md; returns the files, in order.

    Light theme on white, as wide as a paper's text. File names come from the identities of the
    panels, so they stay the same from one build to the next. No network is used.

    Raises:
        ReportError: if `kind` is none of FORMATS, the page has no figure, or a file cannot be
            written.
    """
    if kind not in FORMATS:
        raise ReportError(f"Figures cannot be written as {kind!r}; choose one of {', '.join(FORMATS)}.")
    figures = list(page.figures)
    if not figures:
        raise ReportError(f"{page.title!r} has no figure yet, so there is none to write; wait until a run is finished.")
    place = Path(folder)
    captions = [f"# Figures of {page.title}\n"]
    written: dict[Path, bytes] = {}
    for figure in figures:
        names = []
        for name, content in _files(figure, kind):
            if written.get(place / name, content) != content:
                # Two figures with tables of one name: the second one's carries its figure's.
                name = f"{_file_name(figure.identity)}_{name}"
            written[place / name] = content
            names.append(name)
        captions.append(_caption(figure, names))
    written[place / "captions.md"] = "\n".join(captions).encode("utf-8")
    try:
        place.mkdir(parents=True, exist_ok=True)
        for path, content in written.items():
            path.write_bytes(content)
    except OSError as error:
        raise ReportError(f"The figures cannot be written into {place} ({error.strerror}); name another folder with --figures.") from error
    return list(written)


def paper_specification(panel: Panel, *, heading: bool = False) -> dict[str, Any]:
    """A panel as Vega-Lite for paper: black ink on white, `WIDTH_PT` wide with its axes, and its
    heading as a title if wanted.
    """
    spec: dict[str, Any] = specification(panel.chart)
    if spec.get("width") == "container":
        spec["width"] = WIDTH_PT
        spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    config = {**spec.get("config", {}), "background": "white", "font": FONT}
    for part in ("axis", "legend", "title", "header"):
        ink = {"labelColor": INK, "titleColor": INK, "labelFontSize": 9, "titleFontSize": 9}
        kept = config.get(part, {})
        config[part] = {**kept, **({"color": INK, "fontSize": 10, "fontWeight": "normal", "anchor": "start"} if part == "title" else ink)}
    spec["config"] = config
    if heading and panel.heading:
        spec["title"] = {"text": textwrap.wrap(panel.heading, LETTERS_A_LINE)}
    return spec


def draw(spec: dict[str, Any], kind: str) -> bytes:
    """Renders a Vega-Lite specification to the bytes of a file, without network access."""
    version = alt.SCHEMA_VERSION.removeprefix("v").rpartition(".")[0]  # as the page's own bundle
    svg = _renumbered(str(vl_convert.vegalite_to_svg(spec, vl_version=version, allowed_base_urls=[])))
    if kind == "svg":
        return svg.encode("utf-8")
    return bytes(vl_convert.svg_to_pdf(svg)) if kind == "pdf" else bytes(vl_convert.svg_to_png(svg, ppi=PNG_PPI))


def _renumbered(svg: str) -> str:
    """The ids of clips and gradients counted from 0: Vega counts them through all drawings of a
    process, and the bytes would differ.
    """
    numbers: dict[str, int] = {}
    return re.sub(
        r'(?<=id=")(clip|gradient_)\d+(?=")|(?<=url\(#)(clip|gradient_)\d+(?=\))',
        lambda found: f"{found[1] or found[2]}{numbers.setdefault(found[0], len(numbers))}",
        svg,
    )


def _files(figure: Figure, kind: str) -> Iterator[tuple[str, bytes]]:
    for panel in figure.panels:
        yield f"{_file_name(panel.identity)}.{kind}", draw(paper_specification(panel, heading=len(figure.panels) > 1), kind)
    for table in figure.tables:
        data = base64.b64decode(table.address.partition("base64,")[2])
        # A file of its own need not be small: what the page carries gzipped is written as it is.
        data = gzip.decompress(data) if table.address.startswith(GZIP) else data
        yield f"{_file_name(table.file_name.removesuffix('.gz').removesuffix('.csv'))}.csv", data


def _caption(figure: Figure, names: list[str]) -> str:
    """What the page says about a figure, for whoever writes its caption."""
    headings = [f": {panel.heading}" if panel.heading else "" for panel in figure.panels]
    headings += [f": {table.caption}" for table in figure.tables]
    listed = [f"- `{name}`{heading}" for name, heading in zip(names, headings, strict=True)]
    titles = [f"{kind.title}.\n" for kind in figure_kinds() if f"figure-{kind.name}" == figure.identity][:1]
    parts = [f"## {figure.claim}\n", *titles, *listed, "", figure.subtitle, *figure.notes]
    return "\n".join(parts) + "\n"


def _file_name(identity: str) -> str:
    """An identity that may stand in any file system; a long one keeps its beginning and a hash of
    the whole.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", identity).strip(".-") or "figure"
    if plain == identity and len(plain) <= LONGEST_NAME:
        return plain
    return f"{plain[:LONGEST_NAME]}-{hashlib.sha256(identity.encode('utf-8')).hexdigest()[:8]}"
