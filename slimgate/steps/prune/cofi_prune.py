"""Learns which heads, neurons and whole sublayers can be removed, and removes them: CoFi.

    { cofi_prune = { pruning_ratio = 0.5, epochs = 4 } }

Each attention and feed-forward sublayer of the encoder blocks has a gate, and so has each head and each
intermediate neuron. Gates and weights are trained together on the loss of distill, on the hidden states of
up to four of the teacher's layers (each teaches the most similar layer), and on a penalty that keeps the
expected share of parameters at a target. The target rises to pruning_ratio after `warm_up`. At `cool_down`
the least open gates close, until at least pruning_ratio of the sublayers' parameters is removed. Then only
the weights are trained. The closed parts are then removed: the model is smaller, and answers like the gated
one. Blocks may keep different numbers of heads and neurons, or no attention or feed-forward part at all.

If heads share keys and values (Llama), whole groups are removed. Hidden dimensions have no gates: use
prune_hidden for them. A `distill` afterwards trains the rest.

Sources: Xia et al. 2022, "Structured pruning learns compact and accurate models"; the gates: Louizos et al.
2018, "Learning sparse neural networks through L0 regularization".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.step import Step
from slimgate.steps.prune._gradual_params import GradualParams

if TYPE_CHECKING:
    from torch import nn

    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json
    from slimgate.steps.prune._sublayer_gates import SublayerGates


class Params(GradualParams):
    """Options of CoFi, in addition to those of training and distillation."""

    pruning_ratio: float = Field(gt=0, lt=1)
    """Share of the parameters to remove from the attention and feed-forward layers."""
    layer_weight: float = Field(default=1.0, ge=0)
    """Weight in the loss of the error of the hidden states, compared with up to four layers of the
    teacher."""
    multiple_of: int = Field(default=8, ge=1, le=1024)
    """Feed-forward widths are rounded down to a multiple of this number, because matrix kernels are slower on
    other widths."""
    gates_learning_rate: float = Field(default=0.1, gt=0, lt=10)
    """Learning rate of the gates, and of the penalty's multipliers."""


class CofiPrune(Step[Params]):
    reads = ("train", "selection")
    uses_teacher = True
    stochastic = True
    claims = ("smaller", "fewer_parameters", "faster")
    changes = ("blocks", "heads", "neurons")

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model without the parts that its gates closed."""
        from slimgate.models.linear_layers import find_linear_layers
        from slimgate.steps.prune._sublayer_gates import make_gates, remove_closed_parts_

        before = model.measure_size()["parameters"]
        find_linear_layers(model)  # Conv1D layers become nn.Linear
        gates = make_gates(model.network)
        _train_with_gates_(model, gates, params, context)
        remove_closed_parts_(model, gates)
        context.log.update(
            parameters_before=before,
            parameters_after=model.measure_size()["parameters"],
            **_list_shapes(model),
        )
        return model

    def restore(self, network: nn.Module, spec: Json) -> None:
        """Puts in empty layers of the artifact's widths, and the replacements of removed sublayers."""
        from slimgate.models.replace_modules import restore as restore_modules
        from slimgate.steps.prune._sublayer_gates import number_blocks_

        restore_modules(network, spec)
        number_blocks_(network)


step = CofiPrune()


def _train_with_gates_(
    model: TorchModel, gates: Sequence[SublayerGates], params: Params, context: BuildContext
) -> None:
    """Trains the network and its gates together, then closes the gates for good."""
    from slimgate.steps.prune._cofi_prune import CofiLoss, CofiSchedule, LayerLoss, Target
    from slimgate.steps.prune._sublayer_gates import with_gates
    from slimgate.steps.training.distillation import DistillationLoss, load_student_and_teacher
    from slimgate.steps.training.trainer import Attached, train

    student, teacher, targets = load_student_and_teacher(model, context)
    target = Target(gates).to(context.device)
    schedule = CofiSchedule(gates, target, params, ratio=params.pruning_ratio, multiple_of=params.multiple_of)
    distillation = DistillationLoss(student, teacher, params, context, targets=targets)
    weight = params.layer_weight
    layers = LayerLoss(student, teacher, gates, weight) if weight else None
    loss = CofiLoss(distillation, target, schedule, layers)
    with with_gates(model.network, gates):
        train(
            model,
            (student.encoded, targets),
            params,
            context,
            loss=loss,
            hooks=[schedule],
            attached=Attached(target, params.gates_learning_rate),
        )
        schedule.settle()
    context.log.update(
        loss_parts={**distillation.compute_mean_parts(), **loss.compute_mean_parts()},
        expected_ratio=round(schedule.expected, 4),
        pruning_ratio=round(schedule.reached or 0.0, 4),
    )


def _list_shapes(model: TorchModel) -> dict[str, list[int]]:
    from slimgate.models.blocks import blocks

    layers = blocks(model.network)
    return {
        "heads_after": [block.attention.heads for block in layers],
        "widths_after": [block.feed_forward.width for block in layers],
    }
