"""Sentence embeddings, judged by retrieval: does a query find its document first?

    [task]
    kind = "sentence_embedding"
    pair = ["summary", "body"]            # a query belongs to the document of its own row
    text = "text", label = "category"     # or: to every other row of its label
    pooling = "mean"                      # or "cls", "max", "last"; default: the folder's, else "mean"
    matryoshka = [384, 256, 128, 64]      # lengths at which training makes a cut vector useful
    prompts = ["query: ", "passage: "]    # only for a model that was trained with them

The documents are those of all rows of the predicted split: each gate query searches among the gate's
documents. With labels, a row is query and document at once, and never finds itself (leave one out). If no
other row has its label, it counts as not found. In pairs, documents of equal text are one document. Models
of sentence-transformers load from their own folders.

Training (embedding_objective.py) uses multiple negatives ranking for pairs, or supervised contrast for
labels. The negatives are the other rows of a batch, so batch_size matters. distill teaches the teacher's
similarities and, by mse_weight, its embeddings (distance = "mse", or "cosine").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from slimgate._system.number_text import format_percent
from slimgate.data.labels import read_classes, refuse_other_spellings
from slimgate.errors import DataError
from slimgate.judge.metrics.retrieval import NDCG, RANK
from slimgate.outcomes import RIGHT, Ints, Outcomes
from slimgate.plugins.base import Json
from slimgate.plugins.models import ComparedModel
from slimgate.plugins.rows import JUDGING, Encoded, Rows, TaskFacts, number_groups
from slimgate.tasks.parts.retrieval import normalize_vectors, rank_documents
from slimgate.tasks.parts.sentence_models import SentenceTask
from slimgate.tasks.parts.sentences import SentenceParams

if TYPE_CHECKING:
    from slimgate.data.guess_input import ExaminedRows
    from slimgate.tasks.parts.objectives import Objective

# The largest share of rows without another row of their label: each of them hides a loss.
MAX_ALONE_SHARE = 0.5


class Params(SentenceParams):
    """[task] of sentence embeddings: which documents are relevant to which queries."""

    pair: tuple[str, str] | None = None
    """The columns of queries and of their documents."""
    text: str | None = None
    """The column of text; only together with label."""
    label: str | None = None
    """The column of the label; a row belongs to every other row of its label."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns of texts."""
        return self.pair or (str(self.text),)

    @model_validator(mode="after")
    def _check_relevance(self) -> Params:
        options = [name for name in ("pair", "text", "label") if getattr(self, name) is not None]
        if options not in (["pair"], ["text", "label"]):
            raise ValueError(
                f"{' and '.join(options) or 'none'} was given, expected pair = [query column, document "
                "column], or text and label"
            )
        if self.symmetric and self.pair is None:
            raise ValueError(
                "symmetric = true is for pairs: rows with a label are query and document at once"
            )
        if self.prompts and len(self.prompts) != len(self.texts):
            raise ValueError(
                f"prompts has {len(self.prompts)} entries, expected {len(self.texts)}: one for each column "
                f"of texts ({', '.join(self.texts)})"
            )
        return self


class SentenceEmbedding(SentenceTask[Params]):
    default_metrics = ("recall_at_1", "mrr")
    proposed_metrics = ("recall_at_1", "recall_at_10", "mrr")
    also_called = ("retrieval", "feature_extraction", "embeddings")
    pipeline = "feature-extraction"
    guess_rank = 50
    # A query is ranked among all documents of the split. A part of the split would have fewer.
    whole_split = True

    def guess(self, sample: ExaminedRows) -> tuple[Json, str] | None:
        """Guesses two texts without a label; if the task is named, also a text with a label. DataError."""
        label = sample.label() if sample.stated.label else None
        columns = sample.texts((label,) if label else ())
        if label is None:
            if len(columns) != 2:
                return None
            if sample.causal and sample.stated.task is None:
                raise DataError(
                    f"{' and '.join(columns)} are two columns of text, and the model is a language model. "
                    f"Use --task text_generation --text {columns[0]} --label {columns[1]} to judge its "
                    f"answers, --task causal_lm --text {columns[1]} for its perplexity, or --task "
                    "sentence_embedding if one text should find the other"
                )
            return {"pair": columns}, "two columns of text and no label"
        if sample.stated.task is None:
            return None
        return {"text": columns[0], "label": label}, f'texts of one value of "{label}" belong together'

    def columns(self, params: Params) -> tuple[str, ...]:
        """The text columns, and the label."""
        return params.texts if params.label is None else (*params.texts, params.label)

    def text_columns(self, params: Params) -> tuple[str, ...]:
        """The text, or the pair of texts: it must not occur in two splits."""
        return params.texts

    def label_column(self, params: Params) -> str | None:
        """The label, if there is one: splits are stratified by it."""
        return params.label

    def provides(self) -> frozenset[str]:
        """The rank of the first relevant document, the gain of the first ten, and right or wrong."""
        return frozenset({RIGHT, RANK, NDCG})

    def facts(self, params: Params, splits: Mapping[str, Rows]) -> TaskFacts:
        """The labels of all splits. Raises DataError if too many rows that judge have nothing to find."""
        if params.label is None:
            return TaskFacts(())
        classes = read_classes(splits, params.label)
        refuse_other_spellings(classes, params.label)
        for split in (split for split in JUDGING if split in splits):
            sizes = np.bincount(number_relevant_rows(params, splits[split]))  # rows with each label
            alone_share = float((sizes == 1).sum() / sizes.sum())
            if alone_share > MAX_ALONE_SHARE:
                share = format_percent(alone_share)
                raise DataError(
                    f'column "{params.label}": {share} of the {split} rows share their label with no other '
                    f"{split} row, so there is nothing to find for them; give rows that share labels, or "
                    "pair = [query column, document column]"
                )
        return TaskFacts(classes)

    def targets(self, params: Params, rows: Rows, facts: TaskFacts, encoded: Encoded) -> Ints:
        """(rows,) numbers, equal for rows that belong together."""
        return number_relevant_rows(params, rows)

    def targets_without_labels(self, params: Params, encoded: Encoded, facts: TaskFacts) -> Ints:
        """(rows,) targets for rows without a known match: nothing is learnt by labels."""
        from slimgate.tasks.parts.objectives import UNLABELLED

        return np.full(len(encoded.lengths), UNLABELLED, dtype=np.int64)

    def objective(self, params: Params) -> Objective:
        """The contrastive loss, by pairs or by labels."""
        from slimgate.tasks.parts.embedding_objective import LabelObjective, PairObjective

        return PairObjective(params) if params.label is None else LabelObjective(params)

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[np.float32], params: Params, group: str | None
    ) -> Outcomes:
        """Each query's rank among the documents. scores: (rows, dims), or (rows, 2, dims) of pairs."""
        queries, documents = (scores[:, 0], scores[:, 1]) if scores.ndim == 3 else (scores, scores)
        if params.similarity == "cosine":
            queries, documents = normalize_vectors(queries), normalize_vectors(documents)
        labels = number_relevant_rows(params, rows)
        if params.label is None:  # equal texts are one document, which takes one rank
            numbers, first = np.unique(labels, return_index=True)
            ranking = rank_documents(queries, documents[first], labels, numbers)
        else:
            ranking = rank_documents(queries, documents, labels, labels, leave_one_out=True)
        return Outcomes(
            ids=np.asarray(rows.ids, dtype=np.str_),
            values={RIGHT: (ranking.rank <= 1).astype(np.float64), RANK: ranking.rank, NDCG: ranking.ndcg},
            groups=number_groups(rows, group),
        )

    def compare(self, params: Params, teacher: ComparedModel, variant: ComparedModel) -> Json:
        """The figures of an embedding, and a finding if there is nothing to find for some rows."""
        assert variant.outcomes is not None
        return {
            **super().compare(params, teacher, variant),
            "findings": list_rows_alone(variant.outcomes),
        }

    def with_planted_fault(self, outcomes: Outcomes, rows: Ints) -> Outcomes:
        """The outcomes in which the given queries find their documents last."""
        values = {name: column.copy() for name, column in outcomes.values.items()}
        values[RIGHT][rows] = values[NDCG][rows] = 0.0
        values[RANK][rows] = len(outcomes) + 1
        return replace(outcomes, values=values)


task = SentenceEmbedding()


def list_rows_alone(outcomes: Outcomes) -> list[str]:
    """A sentence about rows with nothing to find, which are wrong in every model; empty if there are none."""
    alone_share = float((outcomes.column(RANK) > len(outcomes)).mean())
    if not alone_share:
        return []
    share = format_percent(alone_share)
    return [f"{share} of the rows share their label with no other row, so drops look smaller"]


def number_relevant_rows(params: Params, rows: Rows) -> Ints:
    """(rows,) numbers, equal if a document is relevant to a query: by label, or by its text."""
    column = params.texts[-1] if params.label is None else params.label
    values = [" ".join(str(value).split()) for value in rows.table[column].to_pylist()]
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)
