"""The code blocks of a page: read from its Markdown, run in order, and what they print.

A block is a fence with a language. What follows the language says how it is run:

    ```python                         run; all blocks of a page share one namespace and one folder
    ```python figure="What it shows"  run; the value of its last line is a chart, drawn on the site
    ```python not-run="why not"       not run; the site shows the reason
    ```csv file="results.csv"         written into the folder before anything is run
    ```sh                             run, a command a line: scaling-laws ..., or python -m MODULE ...

A fence without a language right after a block that is run holds what the block prints. A test
compares the two; `python docs/snippets.py PAGE ...` writes what is printed now into the pages.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

FENCE = re.compile(r"^```(?P<language>[a-z]*)(?P<rest>[^\n`]*)\n(?P<body>.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
ASSETS = Path(__file__).resolve().parent / "assets"
ATTRIBUTE = re.compile(r'([a-z-]+)="([^"]*)"')


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    language: str
    attributes: dict[str, str]
    body: str
    line: int
    """Where its first line stands in the page, from 1."""
    span: tuple[int, int]
    """Where the fence begins and ends in the text of the page."""
    output: str | None
    """What the page says that it prints; None where the page does not say."""
    output_span: tuple[int, int] | None
    """Where that stands in the text of the page."""

    @property
    def runs(self) -> bool:
        """Whether the block is run."""
        return self.language in ("python", "sh") and "not-run" not in self.attributes


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A block after it ran."""

    block: Block
    printed: str
    value: Any
    """The value of its last line where the block has a figure, else None."""


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    matches = list(FENCE.finditer(text))
    blocks = []
    for place, match in enumerate(matches):
        following = matches[place + 1] if place + 1 < len(matches) else None
        is_output = following is not None and not following["language"] and not text[match.end() : following.start()].strip()
        blocks.append(
            Block(
                language=match["language"],
                attributes=dict(ATTRIBUTE.findall(match["rest"])),
                body=match["body"],
                line=text.count("\n", 0, match.start("body")) + 1,
                span=match.span(),
                output=following["body"] if following is not None and is_output else None,
                output_span=following.span("body") if following is not None and is_output else None,
            )
        )
    return blocks


def run_page(text: str, folder: Path, *, name: str) -> Iterator[Ran]:
    """Runs the blocks of a page in `folder`, and gives each with what it printed.

    Args:
        text: the page's Markdown.
        folder: the working folder of its code; files of the page, and the tables of docs/assets,
            are written into it.
        name: what tracebacks call the page.

    An error of a block is raised as it is; its traceback gives the line of the page.
    """
    blocks = blocks_of(text)
    _lay_out_tables(folder)
    for block in blocks:
        if "file" in block.attributes:
            (folder / block.attributes["file"]).write_text(block.body, encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        if not block.runs:
            continue
        printed = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            value = _run_python(block, namespace, name) if block.language == "python" else _run_commands(block, name)
        yield Ran(block=block, printed=printed.getvalue(), value=value)


def _lay_out_tables(folder: Path) -> None:
    """The tables of docs/assets, the finished quickstart as the study folder runs/quickstart, and the
    kept studies.
    """
    (folder / "studies").symlink_to(ASSETS.parents[1] / "studies")
    for table in ASSETS.glob("*.csv"):
        shutil.copy(table, folder)
    study = folder / "runs" / "quickstart"
    study.mkdir(parents=True)
    for name in ("runs", "stages"):
        pd.read_csv(ASSETS / f"quickstart_{name}.csv").to_parquet(study / f"{name}.parquet")


def _run_python(block: Block, namespace: dict[str, Any], name: str) -> Any:
    tree = ast.parse("\n" * (block.line - 1) + block.body, filename=name)
    last = tree.body[-1]
    if "figure" not in block.attributes:
        exec(compile(tree, name, "exec"), namespace)
        return None
    if not isinstance(last, ast.Expr):
        raise ValueError(f"{name}, line {block.line}: the last line of a block with a figure is the chart.")
    exec(compile(ast.Module(tree.body[:-1], []), name, "exec"), namespace)
    return eval(compile(ast.Expression(last.value), name, "eval"), namespace)


def _run_commands(block: Block, name: str) -> None:
    for line in block.body.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] == "scaling-laws":
            module, arguments = "scaling.command_line", words[1:]
        elif words[:2] == ["python", "-m"]:
            module, arguments = words[2], words[3:]
        else:
            raise ValueError(f"{name}, line {block.line}: only scaling-laws and python -m can be run, not {words[0]!r}.")
        found = importlib.import_module(module)
        main = (importlib.import_module(f"{module}.__main__") if hasattr(found, "__path__") else found).main
        status = main(arguments)
        if status:
            raise ValueError(f"{name}, line {block.line}: {line.strip()} ended with status {status}.")


def svg_of(value: Any) -> str:
    """The SVG of an Altair chart, or of a result that draws one by `plot()`; needs no network."""
    import altair as alt
    import vl_convert

    chart = value if isinstance(value, alt.TopLevelMixin) else value.plot()
    return str(vl_convert.vegalite_to_svg(chart.to_json()))


def with_outputs(text: str, folder: Path, *, name: str) -> str:
    """The page with what its blocks print now in the place of what it says."""
    outputs = [(ran.block.output_span, ran.printed) for ran in run_page(text, folder, name=name)]
    for span, printed in reversed(outputs):
        if span is not None:
            text = text[: span[0]] + tidy(printed) + text[span[1] :]
    return text


def tidy(printed: str) -> str:
    """Printed lines without spaces at their ends and empty lines at the end."""
    return "\n".join(line.rstrip() for line in printed.rstrip().splitlines()) + "\n"


if __name__ == "__main__":
    for given in map(Path, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as place:
            given.write_text(with_outputs(given.read_text(encoding="utf-8"), Path(place), name=str(given)), encoding="utf-8")
