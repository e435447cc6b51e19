"""Runs the notebooks of this folder and keeps what they print and draw.

    uv run --group docs python -m notebooks.run                 # all of them
    uv run --group docs python -m notebooks.run your_own_csv

Run it after changing a cell, or what a cell prints; a test compares.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
SECONDS = 300


def run_notebook(path: Path) -> Any:
    """The notebook after it ran in a temporary folder that holds docs/ and tests/ and takes what the
    notebook writes. Raises nbclient's CellExecutionError for a cell that fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        for name, target in (("docs", ROOT / "docs"), ("tests", ROOT / "tests")):
            (Path(folder) / name).symlink_to(target)  # as if the notebook was opened in the repository
        NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        cell.metadata = {}
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return notebook


def texts_of(notebook: Any) -> list[str]:
    """What the cells of a notebook print, and the tables that they show."""
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            shown = output.get("text") or re.sub(r"<svg.*?</svg>", "", data.get("text/html", ""), flags=re.DOTALL) or data.get("text/plain", "")
            texts.append(shown)
    return texts


def main(names: Sequence[str]) -> None:
    """Runs the notebooks of these names, or all."""
    import nbformat

    for path in [FOLDER / f"{name}.ipynb" for name in names] or sorted(FOLDER.glob("*.ipynb")):
        nbformat.write(run_notebook(path), path)
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main(sys.argv[1:])
