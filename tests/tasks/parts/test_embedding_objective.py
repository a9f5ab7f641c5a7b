"""Losses of embeddings: worked by hand, and against sentence-transformers where it is installed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from slimgate.errors import BuildError
from slimgate.tasks.parts.embedding_objective import LabelObjective, PairObjective, SimilarityObjective
from slimgate.tasks.parts.objectives import UNLABELLED
from slimgate.tasks.sentence_embedding import Params
from slimgate.tasks.sentence_similarity import Params as ScoreParams


def pairs(**options: Any) -> PairObjective:
    return PairObjective(Params(pair=("a", "b"), **options))


def labels(**options: Any) -> LabelObjective:
    return LabelObjective(Params(text="a", label="b", **options))


def scores(**options: Any) -> SimilarityObjective:
    return SimilarityObjective(ScoreParams(pair=("a", "b"), score="c", **options))


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# two pairs: cosines of queries (1, 0) and (0, 1) with documents (0.6, 0.8) and (0, 1)
TWO = torch.tensor([[[1.0, 0.0], [0.6, 0.8]], [[0.0, 1.0], [0.0, 1.0]]])


def test_the_ranking_loss_is_cross_entropy_over_a_batch() -> None:
    losses = pairs(scale=1.0).losses(TWO, torch.tensor([0, 1]))
    expected = [math.log(1 + math.exp(-0.6)), math.log(1 + math.exp(0.8 - 1.0))]
    torch.testing.assert_close(losses, torch.tensor(expected))


def test_symmetric_is_the_mean_of_both_directions() -> None:
    losses = pairs(scale=1.0, symmetric=True).losses(TWO, torch.tensor([0, 1]))
    forth = math.log(1 + math.exp(-0.6)), math.log(1 + math.exp(-0.2))
    back = math.log(1 + math.exp(0.8 - 0.6)), math.log(1 + math.exp(-1.0))
    expected = [(a + b) / 2 for a, b in zip(forth, back, strict=True)]
    torch.testing.assert_close(losses, torch.tensor(expected))


def test_an_equal_document_is_no_negative() -> None:
    losses = pairs().losses(drawn(2, 2, 4), torch.tensor([5, 5]))
    torch.testing.assert_close(losses, torch.zeros(2))


def test_the_ranking_loss_is_sentence_transformers() -> None:
    losses = pytest.importorskip("sentence_transformers.losses", reason="compared with sentence-transformers")
    batch = drawn(6, 2, 8)
    theirs = losses.MultipleNegativesRankingLoss(None, scale=20.0).compute_loss_from_embeddings(
        [batch[:, 0], batch[:, 1]], None
    )
    torch.testing.assert_close(pairs().losses(batch, torch.arange(6)).mean(), theirs)


def test_the_contrastive_loss_is_the_mean_over_positives() -> None:
    # rows 0 and 1 belong together; cosines: 0-1 0.6, 0-2 0, 1-2 0.8
    rows = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    losses = labels(scale=1.0).losses(rows, torch.tensor([3, 3, 4]))
    expected = [-0.6 + math.log(math.exp(0.6) + 1), -0.6 + math.log(math.exp(0.6) + math.exp(0.8)), 0.0]
    torch.testing.assert_close(losses, torch.tensor(expected))


def test_rows_without_a_label_are_neither_learnt_nor_negatives() -> None:
    rows, known = drawn(4, 8), torch.tensor([1, 1, 0, 0])
    more, unknown = drawn(6, 8), torch.tensor([1, 1, 0, 0, UNLABELLED, UNLABELLED])
    more[:4] = rows
    losses = labels().losses(more, unknown)
    torch.testing.assert_close(losses[:4], labels().losses(rows, known))
    assert losses[4:].tolist() == [0, 0]
    assert labels().has_label(unknown).tolist() == [True] * 4 + [False] * 2
    assert pairs().losses(drawn(2, 2, 4), torch.tensor([0, UNLABELLED]))[1] == 0


@pytest.mark.parametrize("objective", [pairs(), labels()], ids=["pairs", "labels"])
def test_a_batch_of_one_row_has_no_loss_and_a_gradient(objective: Any) -> None:
    shape = (1, 2, 4) if isinstance(objective, PairObjective) else (1, 4)
    row = drawn(*shape).requires_grad_()
    total = objective.losses(row, torch.tensor([0])).sum()
    total = total + objective.soft_losses(row, drawn(*shape, seed=1), 2.0).sum()
    total = total + objective.drawn_losses(row, torch.Generator().manual_seed(0)).sum()
    total.backward()
    assert float(total.detach()) == 0
    assert row.grad is not None
    assert objective.qualities(row.detach(), torch.tensor([0])).shape == (1,)


def test_quality_is_how_often_the_nearest_belongs() -> None:
    assert pairs().qualities(TWO, torch.tensor([0, 1])).tolist() == [1, 1]
    assert pairs().qualities(TWO.flip(1), torch.tensor([0, 1])).tolist() == [0, 1]
    rows = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    assert labels().qualities(rows, torch.tensor([1, 1, 1])).tolist() == [1, 1, 1]
    assert labels().qualities(rows, torch.tensor([1, 0, 1])).tolist() == [0, 0, 0]


@pytest.mark.parametrize("shape", [(6, 8), (6, 2, 8)], ids=["labels", "pairs"])
def test_a_perfect_mimic_loses_nothing(shape: tuple[int, ...]) -> None:
    objective, batch = (pairs(symmetric=True) if len(shape) == 3 else labels()), drawn(*shape)
    torch.testing.assert_close(objective.soft_losses(batch, batch, 2.0), torch.zeros(6))
    assert float(objective.distance(batch, batch)) == 0
    assert float(objective.soft_losses(batch, drawn(*shape, seed=1), 2.0).min()) > 0


def test_a_wider_teacher_teaches_similarities_only() -> None:
    student, teacher = drawn(6, 2, 4), drawn(6, 2, 8, seed=1)
    assert pairs().soft_losses(student, teacher, 1.0).shape == (6,)
    with pytest.raises(BuildError, match=r"the student's have 4 numbers, the teacher's 8; .*dims = 4"):
        pairs().distance(student, teacher)


def test_the_distance_is_mean_squared_error_or_one_minus_cosine() -> None:
    student, teacher = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]])
    assert float(labels().distance(student, teacher)) == pytest.approx((4 + 16) / 2)
    assert float(labels(distance="cosine").distance(student, teacher)) == pytest.approx(1 - 0.6)


def test_matryoshka_is_the_sum_over_prefixes() -> None:
    batch, known = drawn(5, 2, 8), torch.arange(5)
    losses = pairs(matryoshka=(8, 4, 2)).losses(batch, known)
    plain = sum(pairs().losses(batch[..., :dims], known) for dims in (8, 4, 2))
    torch.testing.assert_close(losses, plain)


def test_the_similarity_loss_is_the_squared_error_of_the_cosine() -> None:
    batch = torch.tensor([[[3.0, 4.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]])
    losses = scores().losses(batch, torch.tensor([1.0, float("nan")]))
    torch.testing.assert_close(losses, torch.tensor([0.16, 0.0]))
    assert scores().has_label(torch.tensor([1.0, float("nan")])).tolist() == [True, False]


def test_drawn_labels_are_drawn_by_the_models_own_similarities() -> None:
    batch = torch.eye(3).unsqueeze(1).repeat(1, 2, 1)  # each query is its own document, far from the others
    losses = pairs(scale=50.0).drawn_losses(batch, torch.Generator().manual_seed(0))
    torch.testing.assert_close(losses, torch.zeros(3))


def test_prefixes_wider_than_the_embeddings_count_once() -> None:
    batch, known = drawn(4, 2, 8), torch.arange(4)
    losses = pairs(matryoshka=(32, 16, 8, 4)).losses(batch, known)
    torch.testing.assert_close(losses, pairs(matryoshka=(8, 4)).losses(batch, known))


def test_a_score_is_learnt_by_the_similarity_that_is_judged() -> None:
    batch, known = torch.tensor([[[3.0, 0.0], [0.5, 1.0]]]), torch.tensor([0.5])
    objective = scores(similarity="dot")
    assert objective.losses(batch, known).tolist() == [1.0]
    assert objective.qualities(batch, known).tolist() == [-1.0]
