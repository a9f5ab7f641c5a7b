"""Token classification: a tag for each word, as in named entity recognition.

[task]
kind = "token_classification"
words = "tokens"                    # lists of words, or text that is split at white space
tags = "ner_tags"                   # a BIO tag for each word: O, B-PER, I-PER, …
names = ["O", "B-PER", "I-PER"]     # if tags are numbers: their names from 0
max_tokens = 128                    # words after that are not tagged, and count as tagged O
labels = ["O", "B-PER", "I-PER"]    # only if a ready-made model's tag names differ from the data's

The first token of a word carries its tag. Metrics: span_f1, span_precision, span_recall, tag_accuracy.
Needs slimgate[ner]. Source for using the first token: Devlin et al. 2019, section 5.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from slimgate.data.labels import list_class_names, refuse_other_spellings
from slimgate.data.parts import collapse_text
from slimgate.errors import DataError, MissingExtra
from slimgate.outcomes import RIGHT, Ints, Outcomes
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Rows, TaskFacts, number_groups
from slimgate.tasks.parts.classifiers import TOKEN_CLASSIFIER, Head, HeadParams, HeadTask, load_classifier
from slimgate.tasks.parts.encoding import NO_WORD, EncodedWords, encode_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.data.guess_input import ExaminedRows
    from slimgate.models.torch_model import TorchModel
    from slimgate.tasks.parts.objectives import Objective, TokenTargets


OUTSIDE = "O"
TAG = re.compile(r"^(O|[BIES]-.+)$")

Span = tuple[str, int, int]  # type, first word, last word
ReadSpans = Callable[[Sequence[str]], frozenset[Span]]


def list_words(rows: Rows, column: str) -> list[list[str]]:
    """The words of each row. The column has lists of words, or texts that are split at white space."""
    return [split_parts(value) for value in rows.table[column].to_pylist()]


def read_tags(rows: Rows, *, words: str, tags: str, names: Sequence[str] | None) -> list[list[str]]:
    """The tag of each word of each row. names: the tag of each number, for columns of numbers.

    Raises DataError for a row with more or fewer tags than words, or with a tag that is not BIO.
    """
    tags_of_rows = []
    words_and_tags = zip(rows.ids, list_words(rows, words), rows.table[tags].to_pylist(), strict=True)
    for row, row_words, value in words_and_tags:
        where = f"column {tags}, row {row}"
        row_tags = [_parse_tag(tag, names, where) for tag in split_parts(value)]
        if len(row_tags) != len(row_words):
            raise DataError(
                f"{where}: {len(row_tags)} tags for {len(row_words)} words, expected one per word"
            )
        tags_of_rows.append(row_tags)
    return tags_of_rows


def load_span_reader() -> ReadSpans:
    """Returns a function from the tags of a row to its spans.

    Raises MissingExtra without seqeval.
    """
    try:
        from seqeval.metrics.sequence_labeling import get_entities
    except ImportError as error:
        raise MissingExtra('spans of tags need an extra: pip install "slimgate[ner]"') from error
    return lambda tags: frozenset(get_entities(list(tags)))


def split_parts(value: object) -> list[str]:
    """The items of a list as text, "" for null; or the words of a text."""
    if isinstance(value, list):
        return ["" if part is None else str(part) for part in value]
    return str(value or "").split()


def _parse_tag(tag: str, names: Sequence[str] | None, where: str) -> str:
    if tag.isdecimal() and names is not None and int(tag) < len(names):
        tag = names[int(tag)]
    if TAG.match(tag):
        return tag
    hint = ""
    if tag.isdecimal() and names:
        hint = f"; [task] names has only {len(names)} entries, counted from 0"
    elif tag.isdecimal():
        hint = '; [task] name it by names = ["O", …]'
    raise DataError(f'{where}: tag "{tag}", expected O, B-TYPE or I-TYPE{hint}')


# The number of rows in which tags are looked for.
TRIED = 500


class Params(HeadParams):
    """[task] of a token classification."""

    words: str
    """The column of words: lists, or text that is split at white space."""
    tags: str
    """The column of BIO tags, one for each word."""
    names: tuple[str, ...] | None = None
    """If tags are numbers: the tag of each number, counted from 0."""
    max_tokens: int = Field(default=128, ge=2)
    """Largest number of tokens of a row; words after that count as tagged O."""
    labels: tuple[str, ...] | None = None
    """The data's tag for each output of a finished model, if the model's names differ."""


class TokenClassification(HeadTask[Params]):
    end_to_end = True
    default_metrics = ("span_f1", "span_precision", "span_recall", "tag_accuracy")
    also_called = ("ner", "tagging")
    pipeline = "token-classification"
    snippet_tail = (
        "# a word's tag is that of its first token\n"
        "added = set(tokenizer.all_special_tokens) - {tokenizer.unk_token}\n"
        "for ids, row in zip(batch['input_ids'], scores.argmax(-1)):\n"
        "    tokens = tokenizer.convert_ids_to_tokens(ids)\n"
        "    print([(t, labels[int(k)]) for t, k in zip(tokens, row) if t not in added])"
    )
    auto_class = TOKEN_CLASSIFIER
    guess_rank = 10

    def guess(self, sample: ExaminedRows) -> tuple[dict[str, Any], str] | None:
        """Guesses lists of words with as many tags, or texts of both, separated by blanks."""
        table, columns, stated = sample.table, sample.columns, sample.stated
        candidates = [name for name, column in columns.items() if column.kind in ("list", "text")]
        tag_columns = [stated.label] if stated.label else candidates
        word_columns = stated.text or candidates
        first_rows = {
            name: [split_parts(value) for value in table[name].slice(0, TRIED).to_pylist()]
            for name in {*tag_columns, *word_columns}
        }
        for tags in tag_columns:
            parts = [part for row in first_rows[tags] for part in row]
            numbers = columns[tags].kind == "list" and all(part.isdecimal() for part in parts)
            if not parts or not (numbers or all(TAG.match(part) for part in parts)):
                continue
            for words in word_columns:
                has_tag_for_each_word = [*map(len, first_rows[words])] == [*map(len, first_rows[tags])]
                if words != tags and has_tag_for_each_word:
                    return _make_tagging_options(sample, words, tags, numbers=numbers)
        return None

    def columns(self, params: Params) -> tuple[str, ...]:
        """The words and their tags."""
        return (params.words, params.tags)

    def text_columns(self, params: Params) -> tuple[str, ...]:
        """The words, joined by blanks: they must not occur in two splits."""
        return (params.words,)

    def label_column(self, params: Params) -> None:
        """None: lists of tags make no strata."""

    def provides(self) -> frozenset[str]:
        """The values: counts of spans and tags."""
        return frozenset({"spans_right", "tags_right", RIGHT})

    def facts(self, params: Params, splits: Mapping[str, Rows]) -> TaskFacts:
        """The tags of all splits. Raises DataError for untagged rows, MissingExtra without seqeval."""
        load_span_reader()
        all_tags = {tag for rows in splits.values() for tags in _read_row_tags(params, rows) for tag in tags}
        if not all_tags - {OUTSIDE}:
            raise DataError(f'column "{params.tags}" has no span: every word is {OUTSIDE}')
        classes = list_class_names(all_tags | {OUTSIDE})
        refuse_other_spellings(classes, params.tags)
        return TaskFacts(classes)

    def encode_rows(self, params: Params, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> EncodedWords:
        """Tokenises the words."""
        return encode_words(tokenizer, list_words(rows, params.words), max_tokens=params.max_tokens)

    def targets(self, params: Params, rows: Rows, facts: TaskFacts, encoded: EncodedWords) -> TokenTargets:
        """The training targets: the tag's index at the first token of each word."""
        index = {name: i for i, name in enumerate(facts.classes)}
        tags = [[index[tag] for tag in row] for row in _read_row_tags(params, rows)]
        return _label_first_tokens(encoded, lambda row, word: tags[row][word])

    def targets_without_labels(self, params: Params, encoded: EncodedWords, facts: TaskFacts) -> TokenTargets:
        """Targets for rows without tags: a teacher's answer at the first token of each word counts."""
        from slimgate.tasks.parts.objectives import UNLABELLED

        return _label_first_tokens(encoded, lambda _row, _word: UNLABELLED)

    def objective(self, params: Params) -> Objective:
        """The loss for one tag per word."""
        from slimgate.tasks.parts.objectives import TokenObjective

        return TokenObjective(shifted=False)

    def head(self, params: Params, classes: tuple[str, ...] = ()) -> Head:
        """A head with a tag for each token."""
        return Head(TOKEN_CLASSIFIER, classes, params.labels)

    def load_model(self, params: Params, ref: ModelRef, context: BuildContext) -> TorchModel:
        """Loads the model of a folder; fits a missing head on `train`'s tokens by logistic regression."""
        head = self.head(params, context.facts.classes)
        loaded = load_classifier(head, ref, context, texts=_list_train_texts(params, context))
        if not loaded.ready:
            from slimgate.tasks.parts.heads import fit_token_head
            from slimgate.tasks.parts.objectives import encode_labelled_rows, encode_training_rows

            train = encode_training_rows(loaded.model, context)
            held_out = encode_labelled_rows(loaded.model, "selection", context)
            log = fit_token_head(
                loaded.model.network,
                loaded.layer,
                train,
                held_out,
                seed=context.seed,
                classes=context.facts.classes,
            )
            context.log.update(log)
        return loaded.model

    def read_output(
        self, params: Params, output: npt.NDArray[np.float32], batch: Arrays
    ) -> npt.NDArray[np.float64]:
        """The index of each word's tag: (rows, max_tokens), by word; NO_WORD for words that were cut off.

        A tag whose scores are not finite is NaN, because the largest of them would be an arbitrary tag.
        """
        token_tags = np.where(np.isfinite(output).all(axis=-1), output.argmax(axis=-1), np.nan)
        word_tags = np.full((len(output), params.max_tokens), float(NO_WORD))
        word = batch["word_of"]
        row, token = np.nonzero((word != NO_WORD) & (word < params.max_tokens))
        word_tags[row, word[row, token]] = token_tags[row, token]
        return word_tags

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[np.float64], params: Params, group: str | None
    ) -> Outcomes:
        """The numbers of right spans and tags; scores: (rows, max_tokens) as `read_output` returns them."""
        gold = _read_row_tags(params, rows)
        predicted = [
            _list_predicted_tags(line, len(tags), facts.classes)
            for line, tags in zip(scores, gold, strict=True)
        ]
        read_spans = load_span_reader()
        counts = [_count_spans(read_spans, *pair) for pair in zip(gold, predicted, strict=True)]
        values = dict(zip(SpanCounts._fields, np.array(counts, dtype=np.float64).T, strict=True))
        return Outcomes(
            np.asarray(rows.ids, dtype=np.str_),
            values={**values, RIGHT: (values["tags_right"] == values["tags"]).astype(np.float64)},
            given=("spans_gold", "tags"),
            answers=np.asarray([" ".join(tags) for tags in predicted], dtype=np.str_),
            groups=number_groups(rows, group),
        )

    def with_planted_fault(self, outcomes: Outcomes, rows: Ints) -> Outcomes:
        """The outcomes in which these rows have no right tag, and as many wrong spans as true ones (or 1)."""
        values = {name: column.copy() for name, column in outcomes.values.items()}
        for name in ("spans_right", "tags_right", RIGHT):
            values[name][rows] = 0.0
        values["spans_predicted"][rows] = np.maximum(values["spans_gold"][rows], 1.0)
        return replace(outcomes, values=values, answers=None)


task = TokenClassification()


def _read_row_tags(params: Params, rows: Rows) -> list[list[str]]:
    return read_tags(rows, words=params.words, tags=params.tags, names=params.names)


def _label_first_tokens(encoded: EncodedWords, label: Callable[[int, int], int]) -> TokenTargets:
    from slimgate.tasks.parts.objectives import NO_ANSWER, TokenTargets

    rows = [
        [NO_ANSWER if word == NO_WORD else label(row, word) for word in words]
        for row, words in enumerate(encoded.word_of)
    ]
    return TokenTargets(rows, side=encoded.side)


def _list_train_texts(params: Params, context: BuildContext) -> Iterator[str]:
    yield from map(collapse_text, context.rows("train").table[params.words].to_pylist())


def _list_predicted_tags(line: npt.NDArray[np.float64], words: int, classes: Sequence[str]) -> list[str]:
    """The tag of each word; O for words that the model did not see."""
    seen = [OUTSIDE if tag == NO_WORD else classes[int(tag)] for tag in line[:words]]
    return seen + [OUTSIDE] * (words - len(seen))


class SpanCounts(NamedTuple):
    """The numbers of spans and tags of one row. The names are those of the outcomes' values."""

    spans_gold: int
    spans_predicted: int
    spans_right: int
    tags: int
    tags_right: int


def _count_spans(read_spans: ReadSpans, gold: Sequence[str], predicted: Sequence[str]) -> SpanCounts:
    """Counts the true, the predicted and the right spans of a row, and its tags."""
    gold_spans, predicted_spans = read_spans(gold), read_spans(predicted)
    return SpanCounts(
        spans_gold=len(gold_spans),
        spans_predicted=len(predicted_spans),
        spans_right=len(gold_spans & predicted_spans),
        tags=len(gold),
        tags_right=sum(a == b for a, b in zip(gold, predicted, strict=True)),
    )


def _make_tagging_options(
    sample: ExaminedRows, words: str, tags: str, *, numbers: bool
) -> tuple[dict[str, Any], str] | None:
    stated = sample.stated
    if numbers and not stated.names:
        if sample.columns[words].kind != "list" and stated.task is None:
            return None
        raise DataError(f'column "{tags}" has numbers for words: name them with --names O,B-PER,I-PER')
    options: dict[str, Any] = {"words": words, "tags": tags}
    if stated.names:
        options["names"] = stated.names
    return options, f'a tag in "{tags}" for each word of "{words}"'
