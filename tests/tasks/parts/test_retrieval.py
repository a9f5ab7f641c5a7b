"""Ranks of documents: worked by hand, against scikit-learn, and the same in chunks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score
from sklearn.neighbors import NearestNeighbors

from slimgate.tasks.parts.retrieval import normalize_vectors, rank_documents

AXES = np.eye(4, dtype=np.float32)


def drawn(rows: int, *, labels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return normalize_vectors(random.normal(size=(rows, 8))), random.integers(0, labels, rows)


def test_a_querys_own_document_is_ranked_among_all() -> None:
    documents = np.asarray([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    queries = np.asarray([[1, 0], [1, 0], [1, 0]], dtype=np.float32)
    labels = np.arange(3)
    ranking = rank_documents(queries, documents, labels, labels)
    assert ranking.rank.tolist() == [1, 2, 3]
    np.testing.assert_allclose(ranking.ndcg, [1, 1 / np.log2(3), 1 / 2])


def test_a_row_is_not_found_by_itself() -> None:
    vectors = normalize_vectors(np.asarray([[1, 0], [1, 0.1], [0, 1], [0.1, 1]]))
    labels = np.asarray([0, 1, 1, 0])
    ranking = rank_documents(vectors, vectors, labels, labels, leave_one_out=True)
    # of row 1 the cosines to 0, 2 and 3 are 0.995, 0.0995 and 0.198, and 2 is the one of its label
    assert ranking.rank.tolist() == [2, 3, 2, 3]


def test_a_tie_counts_against_the_model() -> None:
    documents = np.tile(AXES[0], (3, 1))
    ranking = rank_documents(AXES[:1], documents, np.asarray([7]), np.asarray([7, 1, 2]))
    assert ranking.rank.tolist() == [3]
    assert ranking.ndcg.tolist() == [0.5]


def test_a_query_without_a_document_is_not_found() -> None:
    ranking = rank_documents(AXES[:2], AXES[:2], np.asarray([0, 1]), np.asarray([0, 5]))
    assert ranking.rank.tolist() == [1, 3]
    assert ranking.ndcg.tolist() == [1, 0]


def test_chunks_change_nothing() -> None:
    vectors, labels = drawn(37, labels=5)
    ranking = rank_documents(vectors, vectors, labels, labels, leave_one_out=True)
    cut = rank_documents(vectors, vectors, labels, labels, leave_one_out=True, chunk=7)
    np.testing.assert_array_equal(cut.rank, ranking.rank)
    np.testing.assert_allclose(cut.ndcg, ranking.ndcg, rtol=1e-6)


def test_the_order_of_documents_changes_nothing() -> None:
    documents, labels = drawn(30, labels=6)
    queries, query_labels = drawn(20, labels=6, seed=1)
    order = np.random.default_rng(2).permutation(30)
    ranking = rank_documents(queries, documents, query_labels, labels)
    other = rank_documents(queries, documents[order], query_labels, labels[order])
    np.testing.assert_array_equal(ranking.rank, other.rank)
    np.testing.assert_allclose(ranking.ndcg, other.ndcg)


def test_ranks_and_gains_are_scikit_learns() -> None:
    documents, labels = drawn(60, labels=9)
    queries, query_labels = drawn(40, labels=9, seed=1)
    ranking = rank_documents(queries, documents, query_labels, labels)
    nearest = NearestNeighbors(n_neighbors=60, metric="cosine").fit(documents).kneighbors(queries)[1]
    hits = labels[nearest] == query_labels[:, None]
    np.testing.assert_array_equal(ranking.rank, hits.argmax(1) + 1)
    relevance = (labels[None, :] == query_labels[:, None]).astype(float)
    scores = queries.astype(np.float64) @ documents.T
    expected = [ndcg_score([a], [b], k=10) for a, b in zip(relevance, scores, strict=True)]
    np.testing.assert_allclose(ranking.ndcg, expected, atol=1e-9)


@pytest.mark.parametrize("length", [1, 1000])
def test_rounding_is_a_tie_for_vectors_of_any_length(length: int) -> None:
    documents = np.asarray([[1, 0], [1 - 2e-7, 0], [0, 1]], dtype=np.float32) * length
    queries = np.asarray([[1, 0]], dtype=np.float32) * length
    ranking = rank_documents(queries, documents, np.asarray([0]), np.asarray([0, 1, 2]))
    assert ranking.rank.tolist() == [2]


def test_vectors_get_length_one_and_zeros_stay() -> None:
    vectors = normalize_vectors(np.asarray([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0, 0]], rtol=1e-6)
    assert vectors.dtype == np.float32


@pytest.mark.parametrize("documents", [1, 3])
def test_few_documents_are_no_trouble(documents: int) -> None:
    ranking = rank_documents(AXES[:1], AXES[:documents], np.asarray([0]), np.arange(documents))
    assert ranking.rank.tolist() == [1]
    assert ranking.ndcg.tolist() == [1]
