"""Rows of one or two texts: the common part of text_classification and its related tasks.

class Params(TextParams): ...
class TextClassification(TextTask[Params]): ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.rows import Rows
from slimgate.tasks.parts.classifiers import HEAD_ROWS, HeadData, HeadParams, HeadTask, LoadedClassifier
from slimgate.tasks.parts.encoding import EncodedTexts, encode_texts

if TYPE_CHECKING:
    import numpy.typing as npt
    from transformers import PreTrainedTokenizerBase

# The last lines of a snippet of `slimgate export`, which print the `shares` (texts, labels).
PRINT_SHARES = (
    "for text, row in zip(texts, shares):\n"
    "    print(text, {labels[k]: round(float(p), 4) for k, p in enumerate(row)})"
)


class TextParams(HeadParams):
    """[task] of a model that reads one text, or two as a pair."""

    text: tuple[str, ...] = Field(min_length=1, max_length=2)
    """The column of text, or two columns for pairs: ["question1", "question2"]."""
    max_tokens: int = Field(default=128, ge=2)
    """Largest number of tokens of a row; longer rows are cut."""
    pooling: Literal["model", "mean"] = "model"
    """Input of the head: "model" is the architecture's own way, "mean" a new head on the mean of the token
    vectors."""


T = TypeVar("T", bound=TextParams)


class TextTask(HeadTask[T]):
    """A task of one or two text columns."""

    end_to_end = True

    def text_columns(self, params: T) -> tuple[str, ...]:
        """The text, or the pair of texts: it must not occur in two splits."""
        return params.text

    def encode_rows(self, params: T, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> EncodedTexts:
        """Tokenises the text columns."""
        texts = [rows.table[column].to_pylist() for column in params.text]
        return encode_texts(tokenizer, texts, max_tokens=params.max_tokens)


def list_train_texts(columns: Sequence[str], context: BuildContext) -> Iterator[str]:
    """Every text of `train`, to train a tokenizer. The rows are read when the first text is asked for."""
    for column in columns:
        yield from (str(value) for value in context.rows("train").table[column].to_pylist())


def make_head_data(
    loaded: LoadedClassifier, context: BuildContext, *, precision: str = "float32"
) -> tuple[HeadData, HeadData | None]:
    """The data for fitting a fresh head: features (rows, in_features) and targets of `train` and `selection`.

    The data of `selection` is None if that split has no rows. precision: as for `compute_classifier_inputs`.
    """
    has_selection = len(context.splits.get("selection", ())) > 0
    selection = _read_head_data(loaded, context, "selection", precision) if has_selection else None
    return _read_head_data(loaded, context, "train", precision), selection


def _read_head_data(loaded: LoadedClassifier, context: BuildContext, split: str, precision: str) -> HeadData:
    from slimgate.tasks.parts.heads import compute_classifier_inputs

    rows = Rows(context.rows(split).table.slice(0, HEAD_ROWS))  # a split's rows are in random order
    # a user's task may encode rows in another way
    encoded = context.task.encode_rows(context.task_params, rows, loaded.model.tokenizer)
    network = loaded.model.network
    features = compute_classifier_inputs(
        network, loaded.layer, encoded, precision=precision, progress=context.progress
    )
    targets = context.task.targets(context.task_params, rows, context.facts, encoded)
    return features, cast("npt.NDArray[Any]", targets)
