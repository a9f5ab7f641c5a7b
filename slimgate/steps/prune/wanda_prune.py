"""Sets to zero the weights that matter least for the layer's real inputs.

    { wanda_prune = { sparsity = 0.5 } }

A weight's score is |w| · ‖x‖: its magnitude times the norm of its input over the tokens of the `calibration`
rows. It goes block by block, so that a block sees the outputs of the pruned blocks before it. Nothing is
trained, and the weights that stay are not changed. Source: Sun et al. 2023 (Wanda), section 3.
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
    scope: Literal["row", "layer"] = "row"
    """Which weights are ranked together: the weights of one output ("row"), or of a matrix ("layer")."""


class WandaPrune(Step[Params]):
    reads = ("calibration",)
    claims = ("sparser",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model without the weights of the lowest scores."""
        from slimgate.models.linear_layers import find_linear_layers, group_by_block
        from slimgate.models.sparsity import make_keep_masks, note_pruned_layers, zero_
        from slimgate.steps.calibration import calibration_batches, input_norms

        layers = find_linear_layers(model)
        batches = calibration_batches(model, context)
        for group in group_by_block(model, layers):
            norms = input_norms(model, group, batches)
            for name, layer in group.items():
                score = layer.weight.detach().abs() * norms[name].to(layer.weight.dtype)
                zero_(layer.weight, make_keep_masks([score], params.sparsity, params.scope)[0])
        context.log.update(note_pruned_layers(model, "wanda_prune", layers))
        return model


step = WandaPrune()
