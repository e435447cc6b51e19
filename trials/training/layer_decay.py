"""Layer-wise learning rates: lower layers have smaller rates (BEiT, Bao et al. 2022, arXiv
2106.08254, as SimMIM fine-tunes).

The layers of a model are numbered from the input: 0 is the embedding with positions and tokens,
then one for each block, then one for the final norm and the head. The encoder numbers its own
parameters (`Encoder.layer_of`). A parameter's rate is the recipe's times `layer_decay` to the power
of the layers above its own, so the head trains at the full rate.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from trials.models.encoder import Encoder
from trials.recipes.fields import Recipe, SupervisedRecipe

PREFIX = "encoder."


def layer_decay(model: nn.Module, recipe: Recipe) -> float:
    """The layer decay that a recipe gives a model; 1 is the same rate everywhere."""
    if not isinstance(recipe, SupervisedRecipe):
        return 1.0
    encoder = getattr(model, "encoder", None)
    own = encoder.usual_layer_decay if recipe.layer_decay_by_size and isinstance(encoder, Encoder) else None
    return recipe.layer_decay if own is None else own


def layers_of(model: nn.Module, names: Iterable[str]) -> tuple[list[int], int]:
    """The layer of each named parameter, and the number of the uppermost layer.

    Args:
        model: a model with its encoder as `encoder`.
        names: of its parameters, as `named_parameters` gives them.
    """
    encoder = model.encoder
    assert isinstance(encoder, Encoder)
    uppermost = encoder.layers + 1
    return [encoder.layer_of(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else uppermost for name in names], uppermost
