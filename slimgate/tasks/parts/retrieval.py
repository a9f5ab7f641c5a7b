"""Ranks documents by similarity to each query, a few queries at a time to save memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slimgate.outcomes import Floats, Ints

Vectors = npt.NDArray[np.floating]
# Similarities of unit vectors this close are a tie: the vector of a text differs by this much between
# batches. For longer vectors the limit is multiplied by their lengths.
TIE = 1e-6
DEPTH = 10
_CHUNK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Ranking:
    """How good the ranking of each query is.

    rank: (queries,) the place of the first relevant document, from 1; documents + 1 if none is relevant.
    ndcg: (queries,) normalised discounted cumulative gain of the first DEPTH documents. A document is
    relevant or not.
    """

    rank: Floats
    ndcg: Floats


def normalize_vectors(vectors: Vectors) -> npt.NDArray[np.float32]:
    """(…, dims) the vectors with length 1; a vector of zeros stays zero."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def rank_documents(
    queries: Vectors,
    documents: Vectors,
    query_labels: Ints,
    document_labels: Ints,
    *,
    leave_one_out: bool = False,
    chunk: int | None = None,
) -> Ranking:
    """Ranks all documents for each query by dot product. Documents with the label of the query are relevant.

    queries, documents: (rows, dims). leave_one_out: query i is document i, which is left out of its ranking.
    chunk: how many queries to compute at a time. At a tie, irrelevant documents come first, so a tie counts
    against the model. Sources: Voorhees 1999 (MRR); Järvelin & Kekäläinen 2002 (nDCG).
    """
    size = chunk or max(1, _CHUNK_BYTES // (8 * len(documents)))
    ties = TIE * np.linalg.norm(queries, axis=1) * np.linalg.norm(documents, axis=1).max()
    parts = [
        _compute_rank_ndcg(queries[part.rows] @ documents.T, part.relevant, part.own_rows, ties[part.rows])
        for part in _cut_queries(query_labels, document_labels, size, leave_one_out=leave_one_out)
    ]
    return Ranking(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class _QueryChunk(NamedTuple):
    """Some queries. rows: their positions. relevant: (queries, documents).

    own_rows: (queries,) the document that each query is; None if queries are no documents.
    """

    rows: slice
    relevant: npt.NDArray[np.bool_]
    own_rows: Ints | None


def _cut_queries(
    query_labels: Ints, document_labels: Ints, size: int, *, leave_one_out: bool
) -> Iterator[_QueryChunk]:
    """All queries in chunks of `size` queries."""
    for start in range(0, len(query_labels), size):
        stop = min(start + size, len(query_labels))
        relevant = query_labels[start:stop, None] == document_labels[None, :]
        own_rows = None
        if leave_one_out:
            own_rows = np.arange(start, stop)
            relevant[np.arange(len(own_rows)), own_rows] = False
        yield _QueryChunk(slice(start, stop), relevant, own_rows)


def _compute_rank_ndcg(
    similarities: npt.NDArray[np.floating],
    relevant: npt.NDArray[np.bool_],
    own_rows: Ints | None,
    ties: Vectors,
) -> tuple[Floats, Floats]:
    """The rank and the nDCG of each query, both (queries,).

    similarities, relevant: (queries, documents). own_rows: the document that each query is, if any.
    ties: (queries,) similarities that differ by less are a tie.
    """
    # lowering the relevant ones puts them after every document that they tie with
    scores = similarities.astype(np.float32) - ties.astype(np.float32)[:, None] * relevant
    if own_rows is not None:
        scores[np.arange(len(own_rows)), own_rows] = -np.inf
    best = np.where(relevant, scores, -np.inf).max(axis=1)
    before = (~relevant & (scores >= best[:, None])).sum(axis=1)
    has_relevant = relevant.any(axis=1)
    rank = np.where(has_relevant, before + 1.0, relevant.shape[1] + 1.0)
    return rank, _compute_ndcg(scores, relevant)


def _compute_ndcg(scores: npt.NDArray[np.floating], relevant: npt.NDArray[np.bool_]) -> Floats:
    depth = min(DEPTH, scores.shape[1])
    top = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
    order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
    hits = np.take_along_axis(relevant, np.take_along_axis(top, order, axis=1), axis=1)
    gains = 1 / np.log2(np.arange(2, depth + 2))
    ideal = np.append(0.0, np.cumsum(gains))[np.minimum(relevant.sum(axis=1), depth)]
    return np.asarray(np.where(ideal > 0, hits @ gains / np.where(ideal > 0, ideal, 1), 0.0))
