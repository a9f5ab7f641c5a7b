"""Makes linear layers binary, one bit a weight, and trains the model back to its teacher's answers.

    { binarize = { epochs = 5, learning_rate = 5e-4 } }             # +1 or -1 times a scale of the row
    { binarize = { activations = true, epochs = 10 } }              # the layers' inputs are binary too
    { binarize = { embeddings = true, float_blocks = [0] } }

Weights: the sign, with a scale for each output channel (Rastegari et al. 2016, section 3.1, BWN), stored
eight a byte. Binary inputs have a scale for each token and a threshold for each feature (section 3.2,
XNOR-Net; thresholds and learned scales as in Liu et al. 2022, BiT). The matrix products inside attention stay
float. Training starts from the float weights, and changes them gradually to binary ones in the first `ramp`
of the steps. It passes gradients straight through the sign, and learns from the suite's teacher:

    alpha · cross-entropy(labels) + (1 - alpha) · T² · KL(teacher ‖ student) + mse_weight · MSE(logits)
    + hidden_weight · MSE(hidden states)

Zeros of an earlier pruning are lost: a sign is never 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from slimgate.models.config import BlockNumbers, check_numbers, count_blocks
from slimgate.plugins.context import BuildContext
from slimgate.plugins.step import Step
from slimgate.steps.training.params import AnswerParams

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json


class Params(AnswerParams):
    """What becomes binary, and how the model is trained afterwards."""

    epochs: int = Field(default=5, ge=1, le=1000)
    learning_rate: float = Field(default=5e-4, gt=0, lt=1)
    activations: bool = False
    """Also binarize the inputs of the linear layers."""
    embeddings: bool = False
    """Also binarize the token embeddings."""
    output_layer: bool = False
    """Also binarize the output layer, which gives the logits."""
    float_blocks: BlockNumbers = ()
    """Indices (from 0) of the blocks that stay in float, for example because a later step quantizes them."""
    ramp: float = Field(default=0.5, ge=0, le=1)
    """Share of the training steps in which weights change gradually from float to binary."""
    alpha: float = Field(default=0.1, ge=0, le=1)
    hidden_weight: float = Field(default=1.0, ge=0)


class Binarize(Step[Params]):
    gives = "torch_quantized"
    reads = ("train", "selection")
    uses_teacher = True
    stochastic = True
    claims = ("smaller",)

    def check(self, params: Params, config: Json) -> dict[str, Any]:
        """The configuration, as it was. Raises SuiteError for a block that the model does not have."""
        check_numbers(params.float_blocks, count_blocks(config), "float_blocks")
        return config

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with binary layers, trained."""
        from torch import nn

        from slimgate.models.linear_layers import make_plain_embeddings
        from slimgate.models.replace_modules import note_untied_tables, replace_modules_
        from slimgate.steps.quantize._binarize import (
            Ramp,
            compute_flipped_share,
            compute_mean_inputs,
            compute_sign_error,
            put_latent_layers_,
        )
        from slimgate.steps.training.distillation import DistillationLoss, load_student_and_teacher
        from slimgate.steps.training.trainer import train

        layers = _select_layers(model, params)
        tables = make_plain_embeddings(model) if params.embeddings else {}
        parts: dict[str, Any] = {**layers, **tables}
        context.log.update(
            linear_layers=len(layers),
            embedding_tables=len(tables),
            bits=1,
            activation_bits=1 if params.activations else 32,
            weights_error_of_plain_signs=round(compute_sign_error(parts.values()), 4),
        )
        student, teacher, targets = load_student_and_teacher(model, context)
        loss = DistillationLoss(student, teacher, params, context, targets=targets)
        thresholds = compute_mean_inputs(model, layers, context) if params.activations else {}
        signs_before = {name: part.weight >= 0 for name, part in parts.items()}
        context.log.update(note_untied_tables(model.network, dict.fromkeys(parts, nn.Identity())))
        latent = put_latent_layers_(model, layers, tables, thresholds)
        hooks = [Ramp(latent.values(), params.ramp)]
        train(model, (student.encoded, targets), params, context, loss=loss, hooks=hooks)
        replace_modules_(model, "binarize", {name: layer.to_packed() for name, layer in latent.items()})
        context.log.update(
            signs_flipped_by_training=round(compute_flipped_share(latent, signs_before), 4),
            loss_parts=loss.compute_mean_parts(),
        )
        return model


step = Binarize()


def _select_layers(model: TorchModel, params: Params) -> dict[str, Any]:
    """The linear layers that become binary. Raises SuiteError for a block that the model does not have."""
    from slimgate.models.blocks import find_only_block_list
    from slimgate.models.linear_layers import find_linear_layers

    layers = find_linear_layers(model, inside="network", output=params.output_layer)
    blocks = find_only_block_list(model.network)
    check_numbers(params.float_blocks, len(blocks), "float_blocks")
    float_modules = {id(module) for number in params.float_blocks for module in blocks[number].modules()}
    return {name: layer for name, layer in layers.items() if id(layer) not in float_modules}
