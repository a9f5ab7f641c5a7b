"""Learns gates towards a share of the parameters, with a penalty, and with the teacher's hidden states.

Source: Xia et al. 2022, "Structured pruning learns compact and accurate models" (CoFi), section 3.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from slimgate.errors import BuildError
from slimgate.models.blocks import blocks, find_only_block_list
from slimgate.steps.prune._gradual_params import GradualParams, compute_pruning_progress
from slimgate.steps.prune._sublayer_gates import SublayerGates, compute_sparsity, settle_
from slimgate.steps.training.distillation import ReadRows, has_same_tokens
from slimgate.steps.training.trainer import Loss

if TYPE_CHECKING:
    from slimgate.steps.prune._sublayer_gates import HardConcrete

TEACHER_LAYERS = 4  # from which the student learns; the paper's number


class Target(nn.Module):
    """λ₁ (s - t) + λ₂ (s - t)², whose λ grow until the expected sparsity s is the target t.

    The λ ascend the gradient that the gates descend (section 3.1; Wang et al. 2020).
    """

    def __init__(self, gates: Sequence[SublayerGates]) -> None:
        super().__init__()
        self.gates = nn.ModuleList(gates)
        self.multipliers = nn.Parameter(torch.zeros(2))
        self.value = 0.0

    def forward(self) -> Tensor:
        excess = compute_sparsity([*self.gates]) - self.value
        # the value of the multipliers, with the reversed sign of their gradient
        first, second = 2 * self.multipliers.detach() - self.multipliers
        pull: Tensor = first * excess + second * excess**2
        return pull


class CofiSchedule:
    """The hook that draws new gates, raises the target, and fixes the gates at the end."""

    def __init__(
        self,
        gates: Sequence[SublayerGates],
        target: Target,
        params: GradualParams,
        *,
        ratio: float,
        multiple_of: int = 1,
    ) -> None:
        self._gates, self._target, self._params = gates, target, params
        self._ratio, self._multiple_of = ratio, multiple_of
        self.reached: float | None = None
        self.expected = 0.0

    @property
    def settled(self) -> bool:
        """Whether the gates are fixed, so that the model at an epoch's end could be kept."""
        return self.reached is not None

    def before_step(self, step: int, steps: int) -> None:
        if self.settled:
            return
        warm_up, cool_down = self._params.warm_up, self._params.cool_down
        if step >= (1 - cool_down) * steps:
            self.settle()
            return
        # the target is reached half-way, so that the multipliers have time to keep it
        time = compute_pruning_progress(step, steps, warm_up=warm_up, cool_down=cool_down)
        self._target.value = self._ratio * min(1.0, 2 * time)
        for gates in self._gates:
            gates.whole.draw()
            gates.parts.draw()

    def after_step(self, step: int, steps: int) -> None:
        """Does nothing: gates are drawn before each step."""

    def settle(self) -> None:
        """Fixes the gates, if they are not fixed yet."""
        if not self.settled:
            with torch.no_grad():
                self.expected = float(compute_sparsity(self._gates))
            self.reached = settle_(self._gates, self._ratio, multiple_of=self._multiple_of)


class CofiLoss:
    """The loss of distillation + that of the layers + the penalty of the target."""

    def __init__(self, base: Loss, target: Target, schedule: CofiSchedule, layers: LayerLoss | None) -> None:
        self._base, self._target, self._schedule, self._layers = base, target, schedule, layers
        self._sums: dict[str, float] = defaultdict(float)
        self._steps = 0

    def __call__(
        self, network: nn.Module, batch: dict[str, Tensor], labels: Tensor, positions: list[int]
    ) -> Tensor:
        if self._layers is None:
            total = self._base(network, batch, labels, positions)
        else:
            with self._layers.watching():
                total = self._base(network, batch, labels, positions)
            total = total + self._note_term("layers", self._layers(batch, positions))
        self._steps += 1
        if not self._schedule.settled:
            total = total + self._note_term("target", self._target())
        return total

    def compute_mean_parts(self) -> dict[str, float]:
        """The mean over all steps of the layers' and the target's part, as they were added."""
        return {name: round(total / max(self._steps, 1), 4) for name, total in self._sums.items()}

    def _note_term(self, name: str, value: Tensor) -> Tensor:
        self._sums[name] += float(value.detach())
        return value


class LayerLoss:
    """Mean squared error of hidden states to some of the teacher's layers (section 3.2).

    A teacher's layer teaches the student's most similar layer in this batch, among those whose feed-forward
    part is more open than closed, and in the teacher's order.
    """

    def __init__(
        self, student: ReadRows, teacher: ReadRows, gates: Sequence[SublayerGates], weight: float
    ) -> None:
        """student, teacher: the same rows."""
        _check_states(student, teacher)
        self._weight, self._teacher = weight, teacher
        self._student_blocks = find_only_block_list(student.model.network)
        self._teacher_blocks = find_only_block_list(teacher.model.network)
        gates_by_output = {sublayer.output: sublayer.whole for sublayer in gates}
        self._gates = [
            gates_by_output.get(block.feed_forward.output) for block in blocks(student.model.network)
        ]
        count = min(TEACHER_LAYERS, len(self._teacher_blocks))
        self._compared_blocks = [(i + 1) * len(self._teacher_blocks) // count - 1 for i in range(count)]
        self._states: dict[int, Tensor] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, keeps the hidden states that the student's blocks return."""
        with _watch_blocks(self._student_blocks) as self._states:
            yield

    def __call__(self, batch: dict[str, Tensor], positions: list[int]) -> Tensor:
        device = batch["attention_mask"].device
        teacher_batch = self._teacher.encoded.batch(positions)
        with torch.no_grad(), _watch_blocks(self._teacher_blocks) as teacher_states:
            self._teacher.model.network(
                **{name: torch.from_numpy(values).to(device) for name, values in teacher_batch.items()}
            )
        weights = batch["attention_mask"].unsqueeze(-1).float()
        errors = torch.stack(
            [
                _compute_mean_error(state, teacher_states[block], weights)
                for block in self._compared_blocks
                for state in self._states.values()
            ]
        ).view(len(self._compared_blocks), len(self._states))
        pairs = match_layers(errors.detach(), self._list_open_blocks())
        self._states = {}
        return self._weight * torch.stack([errors[i, j] for i, j in enumerate(pairs)]).mean()

    def _list_open_blocks(self) -> list[bool]:
        """Whether each block that ran still has its feed-forward part; True for all if none has."""
        gates = [self._gates[number] for number in self._states]
        is_open = [gate is not None and _is_open(gate) for gate in gates]
        return is_open if any(is_open) else [True] * len(is_open)


def _check_states(student: ReadRows, teacher: ReadRows) -> None:
    width, teacher_width = student.model.config.hidden_size, teacher.model.config.hidden_size
    if width != teacher_width:
        raise BuildError(
            f"cofi_prune: layer_weight needs equal hidden sizes, the student has {width}, the teacher "
            f"{teacher_width}; set layer_weight = 0"
        )
    if not has_same_tokens(student, teacher):
        raise BuildError(
            "cofi_prune: layer_weight compares hidden states token by token, and student and teacher have "
            "different tokenizers; set layer_weight = 0"
        )


def _is_open(gate: HardConcrete) -> bool:
    return bool(gate.fixed[0] > 0) if gate.fixed is not None else bool(gate.open_probability()[0] > 0.5)


def match_layers(errors: Tensor, usable: Sequence[bool]) -> list[int]:
    """For each teacher's layer (row) the student's layer (column) of least error, in ascending order."""
    columns = [j for j, use in enumerate(usable) if use]
    matched: list[int] = []
    for row in errors:
        later = [j for j in columns if not matched or j >= matched[-1]]
        matched.append(min(later, key=lambda j: float(row[j])))
    return matched


def _compute_mean_error(state: Tensor, expected: Tensor, weights: Tensor) -> Tensor:
    squares = (state.float() - expected.float()) ** 2 * weights
    return squares.sum() / (weights.sum() * state.shape[-1])


@contextmanager
def _watch_blocks(layers: nn.ModuleList) -> Iterator[dict[int, Tensor]]:
    """Number of each block that runs -> the hidden states (rows, tokens, features) that it returns."""
    states: dict[int, Tensor] = {}

    def keep(number: int) -> Any:
        def hook(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            states[number] = output[0] if isinstance(output, tuple) else output

        return hook

    with ExitStack() as hooks:
        for number, layer in enumerate(layers):
            hooks.enter_context(layer.register_forward_hook(keep(number)))
        yield states
