"""The published results of two papers, as tables that every function here accepts.

from analysis import load_published
paper = load_published("diminishing-returns")     # 42 cells: mean, spread and number of runs
paper = load_published("data-scaling")            # 63 runs: validation loss and fine-tuned accuracy
paper.table, paper.source, paper.notes

The CSV files beside this one hold the numbers as printed; only here are they given the names and
units of `analysis.runs.columns`.
"""

from analysis.published.load import PUBLISHED, Published, load_published

__all__ = ["PUBLISHED", "Published", "load_published"]
