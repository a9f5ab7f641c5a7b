"""Callbacks around the steps and epochs of a training run: hooks, kept zeros, the best epoch."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from torch.nn.utils.parametrize import is_parametrized
from transformers import TrainerCallback

from slimgate.models.sparsity import list_pruned_layers
from slimgate.plugins.context import BuildContext
from slimgate.steps.training.scoring import MeanScore, score
from slimgate.tasks.parts.objectives import Labelled, make_objective

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import DataLoader
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from slimgate.models.torch_model import TorchModel

# The name in the network of a module that is trained too and then dropped.
ATTACHED = "slimgate_attached"
# Progress shows the mean loss of this many batches, because the loss of one batch jumps.
LATEST = 20


class TrainingHook(Protocol):
    """Code of a step around each optimizer step: gradual pruning, masks that are learned.

    It may also have `settled: bool`: False as long as the model at an epoch's end cannot be kept as the best.
    """

    def before_step(self, step: int, steps: int) -> None:
        """step: 0 to steps - 1, before its forward pass."""

    def after_step(self, step: int, steps: int) -> None:
        """After the weights have changed; step: 0 to steps - 1."""


class HookCallback(TrainerCallback):  # type: ignore[misc]
    """Wraps a step's hook as a callback of the Trainer."""

    def __init__(self, hook: TrainingHook) -> None:
        self._hook = hook

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self._hook.before_step(state.global_step, state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self._hook.after_step(state.global_step - 1, state.max_steps)


class KeepZeros(TrainerCallback):  # type: ignore[misc]
    """Sets pruned weights back to zero after each optimizer step."""

    def __init__(self, model: TorchModel) -> None:
        names = list_pruned_layers(model)
        modules = dict(model.network.named_modules())
        # a later step may have replaced them by modules with other names, or by two thin layers
        weights = [
            _find_trained_weight(modules[name])
            for name in sorted(names & modules.keys())
            if hasattr(modules[name], "weight")
        ]
        self._masks = [(weight, weight != 0) for weight in weights]

    def on_step_end(self, *args: TrainingArguments, **kwargs: object) -> None:
        with torch.no_grad():
            for weight, mask in self._masks:
                weight.mul_(mask)


def _find_trained_weight(module: nn.Module) -> torch.Tensor:
    """The weight that is trained; a parametrized layer computes with another one."""
    layer: Any = module
    weight = layer.parametrizations.weight.original if is_parametrized(module, "weight") else layer.weight
    assert isinstance(weight, torch.Tensor)
    return weight


class _BestEpoch(NamedTuple):
    """The best epoch so far, counted from 1, and the weights after it."""

    number: int
    quality: float
    weights: dict[str, torch.Tensor]


class EpochTracker(TrainerCallback):  # type: ignore[misc]
    """Records loss and quality per epoch, and keeps the weights of the best epoch on `selection`."""

    def __init__(
        self,
        model: TorchModel,
        selection: Labelled | None,
        context: BuildContext,
        hooks: Sequence[TrainingHook],
        *,
        keep_best: bool,
    ) -> None:
        self._model, self._keep_best, self._hooks = model, keep_best, hooks
        self._selection, self._context = selection, context
        self.objective = make_objective(context.task, context.task_params)
        self._best: _BestEpoch | None = None
        self.losses: list[float] = []
        self.history: list[dict[str, float]] = []

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        train_dataloader: DataLoader[object],
        **kwargs: object,
    ) -> None:
        rows = round(len(cast("Sized", train_dataloader.dataset)) * args.num_train_epochs)
        activity = f"train rows · epoch {len(self.history) + 1} of {args.num_train_epochs:g}"
        if self.losses:
            activity += f" · loss {np.mean(self.losses[-LATEST:]):.3f}"
        self._context.progress(activity, rows * state.global_step // state.max_steps, rows)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        if not self.losses:
            return
        entry: dict[str, float] = {
            "epoch": len(self.history) + 1,
            "loss": round(float(np.mean(self.losses)), 4),
        }
        self.losses.clear()
        if self._selection is not None:
            with self._context.time_stage("evaluate"):
                scored = self._evaluate(self._selection)
            entry["loss_selection"] = round(scored.loss, 4)
            entry[f"{self.objective.quality}_selection"] = round(scored.quality, 4)
            self._keep_if_best(scored.quality, is_last=state.global_step >= state.max_steps)
        self.history.append(entry)

    def restore_best(self) -> None:
        """Restores the best epoch's weights if it was not the last epoch."""
        if self._best is not None and self._best.number < len(self.history):
            self._model.network.load_state_dict(self._best.weights)
            self._context.log["best_epoch"] = self._best.number

    def _keep_if_best(self, quality: float, *, is_last: bool) -> None:
        if not self._keep_best or (self._best is not None and quality < self._best.quality):
            return
        if not all(getattr(hook, "settled", True) for hook in self._hooks):
            return
        if is_last and self._best is None:
            return  # a single epoch needs no copy
        weights = {
            name: tensor.detach().clone()
            for name, tensor in self._model.network.state_dict().items()
            if not name.startswith(f"{ATTACHED}.")
        }
        self._best = _BestEpoch(len(self.history) + 1, quality, weights)

    def _evaluate(self, data: Labelled) -> MeanScore:
        self._model.network.eval()
        scored = score(self._model.network, data, self.objective)
        self._model.network.train()
        return scored
