"""Overfitting detected from the held-out loss, and what it does to the loss as a proxy of the
score.

from analysis.overfitting import phase_relations, split_by_overfitting
split = split_by_overfitting(runs)
print(split.sentence, *phase_relations(runs, split, y="miou").sentences(), sep="\n")
"""

from analysis.overfitting.change_point import ChangePoint, change_point
from analysis.overfitting.phases import PhaseRelations, phase_relations
from analysis.overfitting.split import OverfittingSplit, split_by_overfitting

__all__ = ["ChangePoint", "OverfittingSplit", "PhaseRelations", "change_point", "phase_relations", "split_by_overfitting"]
