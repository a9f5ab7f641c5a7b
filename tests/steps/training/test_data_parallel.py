"""Who computes which rows of a batch, and what each part counts."""

from __future__ import annotations

import pytest
import torch

from slimgate.errors import BuildError
from slimgate.steps.training.trainer import Workers
from slimgate.tasks.parts.embedding_objective import (
    EmbeddingObjective,
    LabelObjective,
    PairObjective,
    SimilarityObjective,
)
from slimgate.tasks.parts.objectives import NO_ANSWER, ClassObjective, TokenObjective
from slimgate.tasks.sentence_embedding import Params


def test_rows_are_taken_in_turns_and_together_are_the_batch() -> None:
    parts = [Workers(rank, 3).select_local_rows([7, 3, 9, 1, 4]) for rank in range(3)]
    assert parts == [[7, 1], [3, 4], [9]]


def test_a_process_for_which_no_row_is_left_counts_for_nothing() -> None:
    worker, labels = Workers(2, 3), torch.tensor([1, 0])
    assert worker.select_local_rows([5, 6]) == [5]
    assert worker.share(ClassObjective(), labels, 2, labels[:1]) == 0.0


def test_shares_are_of_answers_not_of_rows() -> None:
    labels = torch.tensor([[0, 4, 5, 6], [0, 4, NO_ANSWER, NO_ANSWER]])
    objective = TokenObjective(shifted=True)
    shares = [Workers(rank, 2).share(objective, labels, 2, labels[rank::2]) for rank in range(2)]
    assert shares == [0.75, 0.25]


def test_one_process_alone_computes_all_and_draws_as_ever() -> None:
    alone = Workers()
    assert alone.select_local_rows([2, 1]) == [2, 1]
    assert alone.share(ClassObjective(), torch.tensor([1]), 1, torch.tensor([1])) == 1.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        expected = torch.rand(())
        torch.manual_seed(0)
        with alone.own_draws(0, 0):
            assert torch.rand(()) == expected


def test_processes_draw_dropout_apart_and_the_generator_stays() -> None:
    before, draws = torch.get_rng_state(), []
    for rank in range(2):
        with Workers(rank, 2).own_draws(0, 5):
            draws.append(float(torch.rand(())))
    assert draws[0] != draws[1]
    assert torch.equal(torch.get_rng_state(), before)


def test_processes_that_nobody_started_are_an_error() -> None:
    with pytest.raises(BuildError, match="processes = 2, but this step runs in 1"):
        Workers.join(2, ClassObjective())


@pytest.mark.parametrize("objective", [PairObjective, LabelObjective, SimilarityObjective])
def test_a_batch_whose_rows_are_compared_is_not_shared_out(
    monkeypatch: pytest.MonkeyPatch, objective: type[EmbeddingObjective]
) -> None:
    for name, value in {"is_initialized": True, "get_rank": 0, "get_world_size": 2}.items():
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    with pytest.raises(BuildError, match="compares all rows of a batch with each other"):
        Workers.join(2, objective(Params(pair=("a", "b"))))
