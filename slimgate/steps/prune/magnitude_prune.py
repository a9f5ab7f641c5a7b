"""Sets the smallest weights of the blocks' linear layers to zero, permanently.

    { magnitude_prune = { sparsity = 0.5, scope = "global" } }

A later training step keeps the zeros. Unstructured zeros make a model no faster. It becomes smaller on disk
only with the step sparse_storage. Source: Han et al. 2015, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(Table):
    sparsity: float = Field(gt=0, lt=1)
    """Share of the weights in the blocks' linear layers that is zero after the step."""
    scope: Literal["global", "layer", "row"] = "global"
    """Which weights are ranked together: all weights ("global"), the weights of a matrix ("layer"), or the
    weights of one output ("row")."""


class MagnitudePrune(Step[Params]):
    claims = ("sparser",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with its smallest weights at zero."""
        from slimgate.models.linear_layers import find_linear_layers
        from slimgate.models.sparsity import make_keep_masks, note_pruned_layers, zero_

        layers = find_linear_layers(model)
        scores = [layer.weight.detach().abs() for layer in layers.values()]
        masks = make_keep_masks(scores, params.sparsity, params.scope)
        for layer, keep in zip(layers.values(), masks, strict=True):
            zero_(layer.weight, keep)
        context.log.update(note_pruned_layers(model, "magnitude_prune", layers))
        return model


step = MagnitudePrune()
