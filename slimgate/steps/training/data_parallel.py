"""Training in several processes that share each batch: the same model as one process gives, but for rounding.

All processes hold the same model and go through the same batches in the same order. Each computes on its part
of a batch, and gradients are added up, every part by its share of the batch's answers, so that the step is
that of the whole batch, the last and smaller one too. Who is no part of a group computes the whole.

What is left between one process and several is the order of additions: about 1e-7 in a gradient. Adam makes
steps of full size of gradients that are nothing but rounding (the bias of attention's keys, which no answer
depends on); answers agree, and there such weights need not.

A loss that compares the rows of a batch with each other (contrastive) cannot be shared out in this way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn

from slimgate.errors import BuildError
from slimgate.tasks.parts.objectives import Objective


@dataclass(frozen=True)
class Workers:
    """The group that this process trains in: its place from 0, and how many there are."""

    rank: int = 0
    count: int = 1

    @classmethod
    def join(cls, processes: int, objective: Objective) -> Workers:
        """The group of this process. Raises BuildError where it is not of `processes`, or cannot be used."""
        workers = cls()
        if distributed.is_available() and distributed.is_initialized():
            workers = cls(distributed.get_rank(), distributed.get_world_size())
        if workers.count != processes:
            raise BuildError(
                f"processes = {processes}, but this step runs in {workers.count}: only a step of a "
                "suite's own chain can start others; set processes = 1"
            )
        if workers.count > 1 and objective.across_rows:
            raise BuildError(
                f"processes = {processes}: the loss compares all rows of a batch with each other, so a "
                "batch cannot be split; set processes = 1"
            )
        return workers

    def mine(self, positions: Sequence[int]) -> list[int]:
        """This process's part of a batch, taken in turns; where nothing is left for it, the first row."""
        return list(positions[self.rank :: self.count]) or list(positions[:1])

    def share(self, objective: Objective, batch_labels: torch.Tensor, rows: int, mine: torch.Tensor) -> float:
        """The part of the batch's answers that this process has.

        batch_labels, mine: labels of the batch, and of this process.
        rows: of the batch. A process that has the first row only to have one counts for nothing.
        """
        if self.count == 1:
            return 1.0
        return (
            0.0
            if self.rank >= rows
            else _answers(objective, mine) / max(_answers(objective, batch_labels), 1)
        )

    def broadcast_weights_(self, network: nn.Module) -> None:
        """Gives all processes the weights of the first."""
        if self.count > 1:
            for tensor in network.state_dict().values():
                distributed.broadcast(tensor, 0)

    def add_gradients_(self, network: nn.Module) -> None:
        """Adds the gradients of all processes up; where none has one, there stays none."""
        if self.count == 1:
            return
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        known = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
        distributed.all_reduce(known, distributed.ReduceOp.MAX)
        for parameter in (
            parameter for parameter, has in zip(parameters, known.tolist(), strict=True) if has
        ):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)

    def total(self, value: float) -> float:
        """The sum over all processes."""
        if self.count == 1:
            return value
        summed = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(summed)
        return float(summed)

    @contextmanager
    def own_draws(self, seed: int, step: int) -> Iterator[None]:
        """Dropout other than in the other processes, by a generator for this step alone.

        The common one goes on alike in all of them: it draws what is the same for all, such as the order of
        the rows.
        """
        if self.count == 1:
            yield
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(hash((seed, step, self.rank)) % 2**63)
            yield


def _answers(objective: Objective, labels: torch.Tensor) -> int:
    """How many answers the labels are of, by the objective's own count."""
    return len(objective.flat(labels[..., None].float(), labels)[1])
