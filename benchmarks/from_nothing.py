"""From an empty virtual environment to a publishable plot: what is installed, how big, how long.

    uv run --group dev python -m benchmarks.from_nothing

Makes a virtual environment outside the repository, installs this project into it, and runs three
short notebooks there: from a CSV, from a polars table, and from an offline folder of
Weights & Biases that the library wandb of the caller's environment writes. Each makes a law with
its band as a figure, and the sentence. Needs uv, wandb and a package index.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "assets" / "results.csv"
FIT = 'x="n_labels", y="err", by="backbone", cluster="seed")'
READ = {
    "CSV": ("from analysis import fit, load_runs", f'law = fit(load_runs("results.csv", required=["err"]), {FIT}'),
    "polars": ("import polars", "from analysis import fit", f'law = fit(polars.read_csv("results.csv"), {FIT}'),
    "W&B offline": ("from analysis import fit, read_wandb", f'law = fit(read_wandb("wandb"), {FIT}'),
}
DRAW = ('law.plot().save("figure.pdf")', 'print(law["vit"].inverse(0.2).sentence)')
WANDB = """
import csv, wandb
for row in csv.DictReader(open("results.csv")):
    run = wandb.init(project="p", config={"n_labels": int(row["n_labels"]), "backbone": row["backbone"], "seed": int(row["seed"])})
    run.log({"err": float(row["err"])})
    run.finish()
"""


def timed(command: list[str], folder: Path, **environment: str) -> tuple[float, float]:
    """Runs a command; its wall and CPU time in s. Raises RuntimeError where it fails."""
    names = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    begun, cpu = time.perf_counter(), cpu_of_children()
    done = subprocess.run(command, cwd=folder, env=names | environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return time.perf_counter() - begun, cpu_of_children() - cpu


def cpu_of_children() -> float:
    """CPU time, in s, of the processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def megabytes(folder: Path) -> float:
    """What the files of a folder take, in MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def write_notebook(path: Path, lines: tuple[str, ...]) -> None:
    """A notebook with these lines in one cell."""
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": [], "source": "\n".join(lines)}
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")


def printed_by(path: Path) -> str:
    """What the notebook's cell printed."""
    outputs = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["outputs"]
    return " ".join("".join(one["text"]).strip() for one in outputs if one.get("name") == "stdout")


def main() -> None:
    """Prints the sizes, the times, and what each notebook says."""
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("uv is not installed, which makes the environment.")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shutil.copy(TABLE, folder)
        timed([uv, "venv", "-q", "--python", sys.executable, "venv"], folder)
        python = str(folder / "venv/bin/python")
        install = [uv, "pip", "install", "-q", "--no-config", "--python", python]
        took, _ = timed([*install, str(ROOT)], folder)
        print(f"pip install .: {took:.0f} s, {megabytes(folder / 'venv'):.0f} MB; ", end="")
        print("torch is not there" if not list((folder / "venv").glob("lib/*/site-packages/torch")) else "torch is there")
        took, _ = timed([*install, "nbclient", "ipykernel", "polars"], folder)
        print(f"what runs notebooks, and polars: {took:.0f} s, then {megabytes(folder / 'venv'):.0f} MB\n")
        timed([sys.executable, "-c", WANDB], folder, WANDB_MODE="offline", WANDB_SILENT="true")
        print("| table | lines | s, with the start of the notebook | CPU s | figure, KB | the notebook | prints |\n|---|---|---|---|---|---|---|")
        for name, read in READ.items():
            notebook = folder / f"{re.sub(r'[^a-z]', '', name.lower())}.ipynb"
            write_notebook(notebook, (*read, *DRAW))
            took, cpu = timed([str(folder / "venv/bin/jupyter-execute"), "--inplace", str(notebook)], folder)
            figure = folder / "figure.pdf"
            print(f"| {name} | {len(read) + len(DRAW)} | {took:.1f} | {cpu:.1f} | {figure.stat().st_size / 1e3:.0f} | ", end="")
            print(f"{notebook.stat().st_size / 1e3:.1f} KB | {printed_by(notebook)} |", flush=True)
            figure.unlink()


if __name__ == "__main__":
    main()
