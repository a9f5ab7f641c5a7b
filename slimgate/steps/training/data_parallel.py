"""Training in several processes that share each batch. The model equals that of one process up to rounding.

All processes hold the same model and go through the same batches in the same order. Each computes its part of
a batch. Gradients are summed, every part weighted by its share of the batch's answers, so the step is that of
the whole batch, also for the last and smaller one. Without a group, a process computes the whole batch.

One process and several differ only in the order of additions: about 1e-7 in a gradient. For gradients that
are only rounding, Adam makes steps of full size (the bias of attention's keys, on which no answer depends).
Answers agree even if such weights do not.

A loss that compares the rows of a batch with each other (contrastive) cannot be split in this way.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn

from slimgate.errors import BuildError
from slimgate.tasks.parts.objectives import Objective


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
