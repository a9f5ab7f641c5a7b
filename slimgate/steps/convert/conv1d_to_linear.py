"""Turns transformers' Conv1D layers (GPT-2) and stacked experts (Mixtral) into nn.Linear.

The outputs stay the same.

    { conv1d_to_linear = {} }

Every step that changes linear layers does this by itself. The separate step is for users' steps that look
for nn.Linear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(Table):
    """conv1d_to_linear = {} has no options."""


class Conv1dToLinear(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with nn.Linear where it had Conv1D or stacked experts."""
        from slimgate.models.plain_layers import convert_to_linear_

        context.log["converted"] = len(convert_to_linear_(model))
        return model


step = Conv1dToLinear()
