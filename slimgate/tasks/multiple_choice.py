"""Multiple choice by a causal language model: which of the choices is the most likely one?

[task]
kind = "multiple_choice"
context = "question"
choices = "choices"            # a column of lists, or a column for each choice: ["a", "b", "c", "d"]
answer = "answer"              # the number of the right choice from 0, its letter, or its text
normalize = "bytes"            # divides scores before predictions; default: plain log-likelihoods
letters = true                 # the prompt lists the choices as A, B, C, …, and the answer is a letter
template = "{context}\\n{choices}\\nAnswer:"
max_tokens = 512               # longer prompts are cut on the left

The score of a choice is the log-likelihood of its tokens after the prompt, as in lm-evaluation-harness.
Probabilities are the softmax of the scores that `normalize` names, and a prediction is the choice with the
highest probability, so all metrics of a classification apply. acc, acc_norm and acc_norm_tokens
(judge/metrics/answers.py) do not depend on `normalize`: they use the log-likelihood as it is, per byte and
per token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Self, cast

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from slimgate.data.guess_input import ExaminedRows
from slimgate.errors import DataError
from slimgate.models.config import check_positions
from slimgate.models.saved_files import check_language_model, load_tokenizer
from slimgate.outcomes import ClassOutcomes, Ints, Outcomes
from slimgate.plugins.base import Arrays, Json
from slimgate.plugins.models import ComparedModel, ModelRef, Predictor
from slimgate.plugins.params import Table
from slimgate.plugins.rows import Rows, TaskFacts, number_groups
from slimgate.plugins.task import AnswerPlan
from slimgate.runtimes.endpoint import EndpointPredictor, is_endpoint
from slimgate.tasks.parts.guess_prompts import guess_choices
from slimgate.tasks.parts.questions import (
    CHOICES,
    CONTEXT,
    LETTERED,
    MOST_LETTERS,
    PLAIN,
    Question,
    QuestionColumns,
    QuestionForm,
    list_choice_names,
    read_questions,
)
from slimgate.tasks.parts.token_task import TokenTask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.tasks.parts.choice_scores import EncodedQuestions, Ids
    from slimgate.tasks.parts.endpoint_prompts import EndpointPrompts
    from slimgate.tasks.parts.language_model import Windows
    from slimgate.tasks.parts.objectives import TokenTargets

Normalize = Literal["none", "bytes", "tokens"]
# The columns that say if the choice with the best score is right, by the divisor of the score.
RIGHT_BY: Mapping[Normalize, str] = MappingProxyType(
    {"none": "acc", "bytes": "acc_norm", "tokens": "acc_norm_tokens"}
)


class Params(Table):
    """[task] of a multiple choice."""

    context: str
    """The column of the question, or of the text that a choice continues."""
    choices: str | tuple[str, ...]
    """The column of lists of choices, or a column for each choice. Lists of text and label, as in ARC, are
    also accepted."""
    answer: str
    """The column of the right choice: its number from 0, its letter, or its text."""
    letters: bool = False
    """true: the prompt lists the choices as A, B, C, and the model answers with a letter."""
    template: str | None = None
    """The prompt: a text with {context} and, if letters = true, {choices}. Default: only the context; if
    letters = true, the context, the choices and "Answer:" on separate lines."""
    separator: str = " "
    """Text between the prompt and a choice."""
    normalize: Normalize = "none"
    """By what a choice's log-likelihood is divided before choices are compared: nothing ("none"), its number
    of bytes, or its number of tokens."""
    max_tokens: int = Field(default=512, ge=2)
    """Largest number of tokens of a prompt and a choice; longer prompts are cut on the left."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if not isinstance(self.choices, str) and len(self.choices) < 2:
            raise ValueError(
                "choices: a list of one column was given; write the column of lists as a string, or name a "
                "column for each choice"
            )
        for field, is_expected in ((CONTEXT, True), (CHOICES, self.letters)):
            if self.form.template.count(field) != is_expected:
                expected = f"{field} once" if is_expected else f"no {field}, which needs letters = true"
                raise ValueError(f'template: "{self.form.template}" was given, expected {expected}')
        return self

    @property
    def columns(self) -> QuestionColumns:
        """The columns of a question's parts."""
        return QuestionColumns(self.context, self.choices, self.answer)

    @property
    def form(self) -> QuestionForm:
        """How a question is written."""
        return QuestionForm(
            self.template or (LETTERED if self.letters else PLAIN), self.letters, self.separator
        )


class MultipleChoice(TokenTask[Params]):
    default_metrics = ("accuracy", "acc_norm", "ece")
    scores_classes = False
    snippet_tail = (
        "for text, mask, row in zip(texts, batch['attention_mask'], scores):\n"
        "    print(text, repr(tokenizer.decode(row[int(mask.sum()) - 1].argmax())))"
    )
    guess_rank = 5
    takes_endpoints = True

    def guess(self, sample: ExaminedRows) -> tuple[Json, str] | None:
        """Guesses a question, its choices and the right choice, for a language model."""
        return guess_choices(sample)

    def columns(self, params: Params) -> tuple[str, ...]:
        """The columns of the context, the choices and the answer."""
        return (*params.columns.names, params.answer)

    def text_columns(self, params: Params) -> tuple[str, ...]:
        """The question with its choices: it must not occur in two splits."""
        return params.columns.names

    def provides(self) -> frozenset[str]:
        """The values of a classification, and whether the choice is right by each score."""
        return frozenset({"prediction", "probabilities", *RIGHT_BY.values()})

    def facts(self, params: Params, splits: Mapping[str, Rows]) -> TaskFacts:
        """The classes are the choices' letters. Raises DataError for a row that is not a question."""
        questions = [
            question for rows in splits.values() for question in read_questions(rows, params.columns)
        ]
        max_choices = max((len(question.choices) for question in questions), default=2)
        if params.letters and max_choices > MOST_LETTERS:
            raise DataError(
                f"a row has {max_choices} choices, but there are only {MOST_LETTERS} letters; set letters "
                "= false"
            )
        return TaskFacts(list_choice_names(max_choices))

    def check_model(self, params: Params, ref: ModelRef, config: Json, facts: TaskFacts | None) -> None:
        """Raises SuiteError if the model of a config.json cannot serve this task."""
        check_positions(params.max_tokens, ref, config)
        check_language_model(ref, config)

    def list_texts(self, params: Params, rows: Rows) -> list[str]:
        """Each prompt with its right answer."""
        form = params.form
        questions = read_questions(rows, params.columns)
        return [
            question.format_prompt(form) + question.list_answers(form)[question.right]
            for question in questions
        ]

    def encode_rows(self, params: Params, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Windows:
        """Prompts with their right answers; models learn the answers."""
        from slimgate.tasks.parts.choice_scores import make_pair_windows, tokenize_pairs

        questions = read_questions(rows, params.columns)
        prompts = [question.format_prompt(params.form) for question in questions]
        answers = [question.list_answers(params.form)[question.right] for question in questions]
        pairs = tokenize_pairs(tokenizer, prompts, answers)
        return make_pair_windows(pairs, max_tokens=params.max_tokens, padding=tokenizer.pad_token_id or 0)

    def row_encoder(
        self, params: Params, folder: Path
    ) -> Callable[[Rows], EncodedQuestions | EndpointPrompts]:
        """Returns an encoder of rows with an artifact's tokenizer; for an endpoint, rows stay text."""
        if is_endpoint(folder):
            return lambda rows: _make_endpoint_questions(params, rows)
        tokenizer = load_tokenizer(folder)
        return lambda rows: encode_questions(params, rows, tokenizer)

    def targets_without_labels(self, params: Params, encoded: Windows, facts: TaskFacts) -> TokenTargets:
        """Targets for rows without labels: a teacher's scores count at the positions of answers."""
        from slimgate.tasks.parts.objectives import NO_ANSWER, UNLABELLED, TokenTargets

        hidden = [
            [NO_ANSWER if label == NO_ANSWER else UNLABELLED for label in row]
            for row in encoded.list_labels()
        ]
        return TokenTargets(hidden, side=encoded.side)

    def read_output(
        self, params: Params, output: npt.NDArray[np.float32], batch: Arrays
    ) -> npt.NDArray[np.float64]:
        """(rows, choices, 2): the log-likelihood of each choice, and its number of tokens."""
        from slimgate.tasks.parts.choice_scores import compute_choice_scores

        return compute_choice_scores(output, batch)

    def answer(
        self,
        params: Params,
        predictor: Predictor,
        encoded: EncodedQuestions | EndpointPrompts,
        plan: AnswerPlan,
    ) -> npt.NDArray[np.float64]:
        """(rows, choices, 2) as from `read_output`; for a server, requests get them."""
        from slimgate.models.predict import predict_by_plan
        from slimgate.tasks.parts.endpoint_prompts import ask_for_choices

        if isinstance(predictor, EndpointPredictor):
            return ask_for_choices(predictor, cast("EndpointPrompts", encoded), plan)
        return predict_by_plan(predictor, encoded, plan, partial(self.read_output, params))

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[np.float64], params: Params, group: str | None
    ) -> ClassOutcomes:
        """Softmax of the scores that `normalize` names; choices that a row does not have get 0."""
        from scipy.special import softmax

        questions = read_questions(rows, params.columns)
        labels = np.asarray([question.right for question in questions], dtype=np.int64)
        by_score = _normalize_scores(questions, scores, params.form, len(facts.classes))
        chosen = by_score[params.normalize]
        return ClassOutcomes(
            ids=np.asarray(rows.ids, dtype=np.str_),
            labels=labels,
            predictions=_choose(chosen, labels),
            classes=facts.classes,
            probabilities=softmax(chosen, axis=1),
            values={
                RIGHT_BY[name]: (_choose(normalized, labels) == labels).astype(np.float64)
                for name, normalized in by_score.items()
            },
            groups=number_groups(rows, group),
        )

    def with_planted_fault(self, outcomes: Outcomes, rows: Ints) -> Outcomes:
        """The outcomes in which the given rows choose a wrong choice, by every score."""
        assert isinstance(outcomes, ClassOutcomes)
        values = {name: outcomes.column(name).copy() for name in RIGHT_BY.values()}
        for column in values.values():
            column[rows] = 0.0
        return replace(outcomes.with_wrong_rows(rows), values=values)

    def compare(self, params: Params, teacher: ComparedModel, variant: ComparedModel) -> Json:
        """The number of prompts that each model read only in part."""
        cut_tokens = [getattr(model.encoded, "cut", None) for model in (teacher, variant)]
        known = [int(np.count_nonzero(tokens)) for tokens in cut_tokens if tokens is not None]
        if len(known) < len(cut_tokens):  # a server cuts or refuses long prompts without saying which
            return {}
        teacher_count, variant_count = known
        description = f"prompts of more than {params.max_tokens} tokens, cut on the left"
        return {
            "figures": {
                "cut_prompts": {"what": description, "teacher": teacher_count, "variant": variant_count}
            }
        }


task = MultipleChoice()


def _make_endpoint_questions(params: Params, rows: Rows) -> EndpointPrompts:
    """Every row as its prompt and the possible continuations."""
    from slimgate.tasks.parts.endpoint_prompts import EndpointPrompts

    questions = read_questions(rows, params.columns)
    texts = [
        (question.format_prompt(params.form), question.list_answers(params.form)) for question in questions
    ]
    return EndpointPrompts(texts, rows.ids)


def encode_questions(params: Params, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> EncodedQuestions:
    """Every choice of every row after its prompt. Raises DataError for a choice with too many tokens."""
    from slimgate.tasks.parts.choice_scores import EncodedQuestions, encode_question, tokenize_pairs

    questions = read_questions(rows, params.columns)
    written = [
        (question.format_prompt(params.form), answer)
        for question in questions
        for answer in question.list_answers(params.form)
    ]
    prompts, answers = zip(*written, strict=True) if written else ((), ())
    pairs = iter(tokenize_pairs(tokenizer, prompts, answers))
    pairs_by_row: list[list[tuple[Ids, Ids]]] = [
        [next(pairs) for _ in question.choices] for question in questions
    ]
    encoded = [
        encode_question(pairs_of_row, max_tokens=params.max_tokens, name=row)
        for row, pairs_of_row in zip(rows.ids, pairs_by_row, strict=True)
    ]
    max_choices = max((len(question.choices) for question in questions), default=0)
    return EncodedQuestions(encoded, tokenizer.pad_token_id or 0, max_choices)


def _choose(scores: npt.NDArray[np.float64], labels: Ints) -> Ints:
    """(rows,) the choice with the highest score; at a tie a wrong one, so a tie counts against the model.

    The right choice may always be the first one. A broken model that gives equal scores would find it.
    """
    rows = np.arange(len(labels))
    wrong_scores = scores.copy()
    wrong_scores[rows, labels] = -np.inf
    best_wrong = wrong_scores.argmax(axis=1).astype(np.int64)
    return np.where(scores[rows, labels] > wrong_scores[rows, best_wrong], labels, best_wrong)


def _normalize_scores(
    questions: list[Question], scores: npt.NDArray[np.float64], form: QuestionForm, classes: int
) -> dict[Normalize, npt.NDArray[np.float64]]:
    """(rows, classes) for each way to divide scores; -inf if a row has no such choice."""
    by_score: dict[Normalize, npt.NDArray[np.float64]] = {
        name: np.full((len(questions), classes), -np.inf) for name in RIGHT_BY
    }
    for row, question in enumerate(questions):
        count = len(question.choices)
        log_p, tokens = scores[row, :count, 0], scores[row, :count, 1]
        shown = list_choice_names(count) if form.letters else question.choices
        sizes = np.asarray([len(text.encode()) for text in shown])
        by_score["none"][row, :count] = log_p
        by_score["bytes"][row, :count] = log_p / sizes
        by_score["tokens"][row, :count] = log_p / tokens
    return by_score
