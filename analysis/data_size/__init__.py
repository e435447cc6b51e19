"""Effects of more pre-training data: do they help, does their value grow with length and model
size, and where do they stop paying?

from analysis.data_size import data_interaction, more_data_effects, saturation
print(*more_data_effects(runs, outcome="miou", margin=0.001).sentences(), sep="\n")
"""

from analysis.data_size.interaction import DataInteraction, data_interaction
from analysis.data_size.saturation import Saturation, saturation
from analysis.data_size.steps import MoreDataEffects, more_data_effects

__all__ = ["DataInteraction", "MoreDataEffects", "Saturation", "data_interaction", "more_data_effects", "saturation"]
