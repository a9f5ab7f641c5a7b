"""Fine-tunes low-rank adapters next to the linear layers; everything else except the head is unchanged.

    { lora = { r = 8, alpha = 16, epochs = 3 } }                         # merged: no bytes, no latency
    { lora = { r = 8, targets = "attention", merge = false } }           # kept next to the weights
    { lora = { r = 16, merge = false } }                                 # after weight_only: QLoRA-style

y = W x + alpha / r · B A x, with A (r, in) and B (out, r), which starts at 0 (Hu et al. 2022, LoRA, section
4.1). On integer weights (Dettmers et al. 2023, QLoRA) gradients flow through the floats that they represent,
and the adapters are kept. After pruning, a merged adapter changes no zero; a kept adapter also adds to pruned
weights, which themselves stay zero. peft adapts float layers (extra "lora"); the saved model loads without
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimgate.plugins.context import BuildContext
from slimgate.plugins.step import Step
from slimgate.steps.training.params import LoraParams

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(LoraParams):
    """Options of adapters, in addition to those of training."""


class Lora(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    reads = ("train", "selection")
    stochastic = True
    packages = ("peft",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model after training the adapters."""
        from slimgate.steps.training.adapters import adapters
        from slimgate.steps.training.trainer import train
        from slimgate.tasks.parts.objectives import encode_training_rows

        with adapters(model, "lora", params, context):
            data = encode_training_rows(model, context)
            train(model, data, params.for_training(), context)
        return model


step = Lora()
