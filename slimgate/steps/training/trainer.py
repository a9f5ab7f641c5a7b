"""One training run of a step: transformers' Trainer, seeded, without output or files, best epoch kept.

A killed run leaves nothing behind: the step starts again from the beginning.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn
from transformers import PrinterCallback, Trainer, TrainingArguments

from slimgate.errors import BuildError
from slimgate.models.precision import resolve_precision
from slimgate.models.seeding import isolated_seed
from slimgate.plugins.context import BuildContext
from slimgate.steps.training.callbacks import ATTACHED, EpochTracker, HookCallback, KeepZeros, TrainingHook
from slimgate.steps.training.options import with_frozen_layers, with_regularization
from slimgate.steps.training.params import TrainingParams
from slimgate.tasks.parts.objectives import Labelled, Objective, encode_labelled_rows

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from slimgate.models.torch_model import TorchModel


@dataclass(frozen=True)
class Workers:
    """The group that this process trains in: its rank, and the number of processes."""

    rank: int = 0
    count: int = 1

    @classmethod
    def join(cls, processes: int, objective: Objective) -> Workers:
        """The group of this process. Raises BuildError if it does not have `processes`, or cannot be used."""
        workers = cls()
        if distributed.is_available() and distributed.is_initialized():
            workers = cls(distributed.get_rank(), distributed.get_world_size())
        if workers.count != processes:
            raise BuildError(
                f"processes = {processes}, but this step runs in {workers.count}: only a step in a `steps` "
                "list of the suite can start processes; set processes = 1"
            )
        if workers.count > 1 and objective.across_rows:
            raise BuildError(
                f"processes = {processes}: the loss compares all rows of a batch with each other, so a "
                "batch cannot be split; set processes = 1"
            )
        return workers

    def select_local_rows(self, positions: Sequence[int]) -> list[int]:
        """This process's part of a batch, every n-th row; the first row if nothing is left for it."""
        return list(positions[self.rank :: self.count]) or list(positions[:1])

    def share(
        self, objective: Objective, batch_labels: torch.Tensor, rows: int, local_labels: torch.Tensor
    ) -> float:
        """The part of the batch's answers that this process has.

        batch_labels, local_labels: labels of the batch, and of this process. rows: of the batch.
        """
        if self.count == 1:
            return 1.0
        if self.rank >= rows:  # it has the first row only as a placeholder
            return 0.0
        return _count_answers(objective, local_labels) / max(_count_answers(objective, batch_labels), 1)

    def broadcast_weights_(self, network: nn.Module) -> None:
        """Gives all processes the weights of the first process."""
        if self.count > 1:
            for tensor in network.state_dict().values():
                distributed.broadcast(tensor, 0)

    def add_gradients_(self, network: nn.Module) -> None:
        """Sums the gradients of all processes; a parameter without gradients keeps none."""
        if self.count == 1:
            return
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        has_gradient = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32)
        distributed.all_reduce(has_gradient, distributed.ReduceOp.MAX)  # in any process
        for parameter in itertools.compress(parameters, has_gradient.tolist()):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)

    def sum_over_workers(self, value: float) -> float:
        """The sum over all processes."""
        if self.count == 1:
            return value
        summed = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(summed)
        return float(summed)

    @contextmanager
    def own_draws(self, seed: int, step: int) -> Iterator[None]:
        """Inside, dropout differs between processes: a separate generator for this step draws it.

        The common generator is the same in all processes. It draws what must be equal, such as the order of
        the rows.
        """
        if self.count == 1:
            yield
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(hash((seed, step, self.rank)) % 2**63)
            yield


def _count_answers(objective: Objective, labels: torch.Tensor) -> int:
    """The number of answers that the labels have, as the objective counts them."""
    return len(objective.flat(labels[..., None].float(), labels)[1])


Loss = Callable[[nn.Module, dict[str, torch.Tensor], torch.Tensor, list[int]], torch.Tensor]


@dataclass(frozen=True)
class Attached:
    """Weights that are trained with a network and then dropped, such as projections and masks.

    They have no weight decay. learning_rate: None for that of the network.
    """

    module: nn.Module
    learning_rate: float | None = None


def make_label_loss(objective: Objective) -> Loss:
    """The plain loss of a batch by its labels: the mean over the answers that have a label."""

    def loss(
        network: nn.Module,
        batch: dict[str, torch.Tensor],
        labels: torch.Tensor,
        positions: list[int],
    ) -> torch.Tensor:
        logits, flat = objective.flat(network(**batch).logits, labels)
        return objective.losses(logits, flat).sum() / objective.has_label(flat).sum().clamp(min=1)

    return loss


def train(
    model: TorchModel,
    data: Labelled,
    params: TrainingParams,
    context: BuildContext,
    *,
    loss: Loss | None = None,
    hooks: Sequence[TrainingHook] = (),
    attached: Attached | None = None,
) -> None:
    """Trains `model.network` in place. The rows of `selection` are evaluated after each epoch.

    context.log gets precision, rows, tokens (of the rows, each once), trained_parameters, padding (its share
    of the tokens in batches, which are drawn from rows of about one length), loss and quality per epoch, and
    the seconds of training and evaluating.
    loss(network, inputs, labels, positions) -> scalar; positions are the rows' positions in `data`. Default:
    the task's own loss, by the labels.
    hooks: called around every optimizer step. attached: further weights that are trained too.
    Weights that a pruning step set to zero stay zero. Raises BuildError if the loss is not finite.
    """
    precision = resolve_precision(params.precision, context.device)
    selection = encode_labelled_rows(model, "selection", context)
    epochs = EpochTracker(model, selection, context, hooks, keep_best=params.keep_best)
    workers = Workers.join(params.processes, epochs.objective)
    padding = Padding()
    with (
        isolated_seed(context.seed),
        with_frozen_layers(
            model.network, embeddings=params.freeze_embeddings, layers=params.freeze_layers
        ) as trained,
        _with_attached(model.network, attached),
        _keep_cache_setting(model.config),
    ):
        trainer = _Trainer(
            loss=loss or make_label_loss(epochs.objective),
            workers=workers,
            attached=attached,
            model=model.network,
            args=_make_arguments(params, context, precision, len(data[1])),
            train_dataset=_Positions(data[0].lengths),
            data_collator=lambda items: _collate(items, data, epochs.objective, workers, padding),
            callbacks=[*map(HookCallback, hooks), epochs, KeepZeros(model)],
        )
        epochs.losses = trainer.losses
        trainer.train_network(params, context)
    model.network.to(context.device).eval()
    epochs.restore_best()
    context.log.update(
        precision=precision,
        rows=len(data[1]),
        tokens=int(getattr(data[0], "tokens", data[0].lengths.sum())),
        epochs=epochs.history,
        trained_parameters=trained,
        padding=padding.share,
    )
    if workers.count > 1:
        context.log["processes"] = workers.count


def _make_arguments(
    params: TrainingParams, context: BuildContext, precision: str, rows: int
) -> TrainingArguments:
    steps = math.ceil(math.ceil(rows / params.batch_size) * params.epochs)
    return TrainingArguments(
        output_dir=str(context.scratch),
        num_train_epochs=params.epochs,
        per_device_train_batch_size=params.batch_size,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
        warmup_steps=int(steps * params.warmup_ratio),
        lr_scheduler_type="linear",
        bf16=precision == "bfloat16",
        use_cpu=context.device == "cpu",
        seed=context.seed % 2**32,
        train_sampling_strategy="group_by_length",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )


@contextmanager
def _with_attached(network: nn.Module, attached: Attached | None) -> Iterator[None]:
    """Inside, the attached module is a part of the network, so that it is trained too."""
    if attached is not None:
        network.add_module(ATTACHED, attached.module)
    try:
        yield
    finally:
        if attached is not None:
            delattr(network, ATTACHED)


@contextmanager
def _keep_cache_setting(config: PreTrainedConfig) -> Iterator[None]:
    """Restores use_cache, which Trainer turns off; it would be saved like that."""
    use_cache = getattr(config, "use_cache", None)
    yield
    if use_cache is not None:
        config.use_cache = use_cache


@dataclass
class Padding:
    """The number of tokens in batches, and of those without padding."""

    computed: int = 0
    real: int = 0

    def add(self, lengths: npt.NDArray[np.int64]) -> None:
        """Adds a batch of rows with these lengths."""
        self.computed += int(lengths.max()) * len(lengths)
        self.real += int(lengths.sum())

    @property
    def share(self) -> float:
        """The share of padding; 0 if no row was padded."""
        return round(1 - self.real / max(self.computed, 1), 4)


class _Item(TypedDict):
    """A row by its position in the data, and its number of tokens."""

    position: int
    input_ids: range


class _Positions(torch.utils.data.Dataset[_Item]):
    """Rows by position; the collator cuts the batch from the encoded texts."""

    def __init__(self, lengths: npt.NDArray[np.int64]) -> None:
        self._lengths = lengths.tolist()

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, position: int) -> _Item:
        # the sampler groups rows by the length of the field with this name
        return {"position": position, "input_ids": range(self._lengths[position])}


def _collate(
    items: Sequence[_Item],
    data: Labelled,
    objective: Objective,
    workers: Workers,
    padding: Padding,
) -> dict[str, torch.Tensor]:
    """The rows of a batch that this process computes, and their share of the batch's answers."""
    batch_positions = [item["position"] for item in items]
    padding.add(data[0].lengths[batch_positions])
    positions = workers.select_local_rows(batch_positions)
    batch = {name: torch.from_numpy(values) for name, values in data[0].batch(positions).items()}
    labels, batch_labels = (torch.from_numpy(data[1][rows]) for rows in (positions, batch_positions))
    share = workers.share(objective, batch_labels, len(batch_positions), labels)
    return {**batch, "labels": labels, "positions": torch.tensor(positions), "share": torch.tensor(share)}


class _Trainer(Trainer):  # type: ignore[misc]
    """A Trainer whose loss is a plain function, and that remembers the losses of the running epoch.

    attached: as for `train`. options: of transformers' Trainer.
    """

    def __init__(
        self,
        *,
        loss: Loss,
        workers: Workers,
        attached: Attached | None,
        **options: object,
    ) -> None:
        super().__init__(**options)
        self.remove_callback(PrinterCallback)
        self.loss, self.workers, self.attached = loss, workers, attached
        self.losses: list[float] = []

    def train_network(self, params: TrainingParams, context: BuildContext) -> None:
        """Trains from the weights of the group's first process."""
        network = self.model
        self.workers.broadcast_weights_(network)
        with (
            context.time_stage("train"),
            with_regularization(network, dropout=params.dropout, layer_drop=params.layer_drop),
        ):
            self.train()
        # otherwise the network would still compute in bfloat16, unlike its saved copy
        self.accelerator.unwrap_model(network, keep_fp32_wrapper=False)

    def create_optimizer(self, *args: object, **kwargs: object) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = super().create_optimizer(*args, **kwargs)
        if self.attached is not None:
            parameters = list(self.attached.module.parameters())
            ids = {id(parameter) for parameter in parameters}
            for group in optimizer.param_groups:
                group["params"] = [p for p in group["params"] if id(p) not in ids]
            rate = self.attached.learning_rate or self.args.learning_rate
            optimizer.add_param_group({"params": parameters, "lr": rate, "weight_decay": 0.0})
        return optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        batch = dict(inputs)
        labels, positions, share = (batch.pop(name) for name in ("labels", "positions", "share"))
        with self.workers.own_draws(self.args.seed, self.state.global_step):
            loss = self.loss(model, batch, labels, positions.tolist()) * share
        self.losses.append(self.workers.sum_over_workers(float(loss.detach())))
        if not math.isfinite(self.losses[-1]):
            raise BuildError(
                f"the training loss became {self.losses[-1]} in {self._describe_progress()}: "
                'lower learning_rate, or set precision = "float32"'
            )
        return loss

    def floating_point_ops(self, inputs: Mapping[str, torch.Tensor]) -> int:
        """Counts nothing: counting walks through all modules in each step, and nothing reads the number."""
        return 0

    def _describe_progress(self) -> str:
        """`epoch 2, batch 3 of 10 (step 13)`: the batch that is being computed, counted from 1."""
        step, epoch_steps = self.state.global_step, len(self.callback_handler.train_dataloader)
        epoch, batch = divmod(step, epoch_steps)
        return f"epoch {epoch + 1}, batch {batch + 1} of {epoch_steps} (step {step + 1})"

    def training_step(self, *args: object, **kwargs: object) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        self.workers.add_gradients_(self.model)
        if self.state.global_step == 0:
            self._check_gradients()
        return loss

    def _check_gradients(self) -> None:
        """Raises BuildError if their norm overflows: clipping by it would silently make all of them 0."""
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        if not gradients or bool(torch.isfinite(torch.nn.utils.get_total_norm(gradients))):
            return
        sizes = {
            name: float(weight.detach().abs().max())
            for name, weight in self.model.named_parameters()
            if weight.numel()
        }
        name = max(sizes, key=sizes.__getitem__)
        raise BuildError(
            f"the gradients overflow in {self._describe_progress()}, so training would change nothing: the "
            f"largest weight at the start is {sizes[name]:.3g}, in {name}; start from other weights"
        )
