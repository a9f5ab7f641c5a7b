"""The base of tasks whose models write answers: text_generation and text_to_text.

In text_generation a decoder continues a prompt. In text_to_text an encoder-decoder writes an answer to a
text. Both have scores of an answer, and metrics of how answers behave. With an encoder from the user,
`similar_answers` compares the meaning of two models' answers: it is the cosine of their embeddings.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, model_validator

from slimgate._system.escape import is_blank
from slimgate.errors import DataError, MissingExtra, SlimgateError
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.answers import ACCEPTANCE_LENGTH, FAULTS
from slimgate.judge.scores import ChosenScore, list_score_names, load_score
from slimgate.models.model_ref import TORCH, parse_model_ref
from slimgate.models.saved_files import load_tokenizer
from slimgate.outcomes import (
    EMPTY,
    FAILED,
    LOOPING,
    MOST_TOKENS,
    PASSES,
    RIGHT,
    SAME_ANSWERS,
    SIMILAR_ANSWERS,
    TOKENS,
    TRUNCATED,
    VERIFIED_TOKENS,
    Ints,
    Outcomes,
)
from slimgate.plugins.models import ComparedModel, Predictor
from slimgate.plugins.params import Table
from slimgate.plugins.rows import JUDGING, Rows, TaskFacts, number_groups
from slimgate.plugins.task import AnswerPlan, Task
from slimgate.runtimes.endpoint import EndpointPredictor
from slimgate.tasks.parts.chat_rows import format_json_text, has_objects

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.models.write_answers import SamplingParams, Written
    from slimgate.tasks.parts.endpoint_prompts import EndpointPrompts
    from slimgate.tasks.parts.prompts import Prompts

# Separates the sampled answers to one prompt.
BETWEEN_ANSWERS = "\x1e"


def _resolve_encoder_folder(value: object) -> object:
    """The absolute path of an encoder's folder. Raises ValueError for a text that names no such folder."""
    if not isinstance(value, str):
        return value
    try:
        ref = parse_model_ref(value)
    except SlimgateError as error:
        raise ValueError(str(error)) from error
    if ref.folder is None or ref.fresh or ref.kind != TORCH:
        raise ValueError(f"{value} was given, expected a folder with the weights of an encoder in PyTorch")
    return str(ref.folder)


class GenerationParams(Table):
    """Options of how answers are written, and which of them are right."""

    reference: str | None = None
    """The column with the right answer: a text, or a list of texts, each of which is a right answer."""
    scores: tuple[str | dict[str, dict[str, Any]], ...] | None = None
    """Names of scores, or { name = options }; default with references: exact_match."""
    max_new_tokens: int = Field(default=64, ge=1)
    """Largest number of tokens of an answer."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer; they are not part of the answer."""
    temperature: float = Field(default=0.0, ge=0)
    """Sampling temperature: 0 always chooses the most likely token; above 0, tokens are drawn at random."""
    repeats: int = Field(default=1, ge=1)
    """Number of answers to draw for each prompt."""
    seed: int = Field(default=0, ge=0)
    """Seed of the drawn answers."""
    encoder: Annotated[str, BeforeValidator(_resolve_encoder_folder)] | None = None
    """A folder of an encoder (transformers or sentence-transformers), or package:NAME/PATH: `similar_answers`
    is the cosine of an answer's embedding with that of the teacher's answer."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.repeats > 1 and not self.temperature:
            raise ValueError(
                f"repeats = {self.repeats} was given without a temperature: greedy answers are all the same"
            )
        if any(not ending for ending in self.stop):
            raise ValueError('stop contains "", expected texts of one or more characters')
        try:
            scores = self.chosen_scores
        except MissingExtra:  # not a mistake in the suite; the code that uses it says what to install
            raise
        except SlimgateError as error:
            raise ValueError(f"scores: {error}") from error
        without_reference = [
            score.name for score in scores if score.score.needs_reference and self.reference is None
        ]
        if without_reference:
            raise ValueError(
                f"score {without_reference[0]} compares with a reference; set reference to the column of "
                "right answers"
            )
        tool_scores = [score.name for score in scores if score.score.compares_with == "tools"]
        if tool_scores and getattr(self, "tools", None) is None:
            raise ValueError(
                f"score {tool_scores[0]} reads the tools of a row; set tools of text_generation to the "
                "column of the tools"
            )
        return self

    @property
    def default_scores(self) -> tuple[str, ...]:
        """The scores if the suite names none."""
        return () if self.reference is None else ("exact_match",)

    @property
    def chosen_scores(self) -> tuple[ChosenScore, ...]:
        """The scores that the suite names, or else the default ones, each with its options."""
        scores = self.default_scores if self.scores is None else self.scores
        tables: list[dict[str, dict[str, Any]]] = [
            {score: {}} if isinstance(score, str) else score for score in scores
        ]
        return tuple(load_score(name, options) for table in tables for name, options in table.items())


G = TypeVar("G", bound=GenerationParams)


class GenerationTask(Task[G]):
    """A task whose models write answers."""

    default_metrics = (SAME_ANSWERS, *FAULTS)
    writes = True

    @abstractmethod
    def prompt_column(self, params: G) -> str:
        """The column of the text that the model answers."""

    def columns(self, params: G) -> tuple[str, ...]:
        """The prompt column, and that of the reference."""
        return (self.prompt_column(params), *(() if params.reference is None else (params.reference,)))

    def text_columns(self, params: G) -> tuple[str, ...]:
        """The prompt column: no prompt may be in two splits."""
        return (self.prompt_column(params),)

    def label_column(self, params: G) -> None:
        """None: there are no classes."""

    def provides(self) -> frozenset[str]:
        """The metrics of how answers behave, and every score that `[task] scores` may name."""
        values = {SIMILAR_ANSWERS, FAILED, TOKENS, RIGHT, ACCEPTANCE_LENGTH}
        return frozenset(values.union(self.default_metrics, list_score_names()))

    def provides_with(self, params: G) -> frozenset[str]:
        """The columns of its outcomes. RIGHT is one if the first score is right or wrong.

        ACCEPTANCE_LENGTH needs VERIFIED_TOKENS and PASSES, which only models with a draft have.
        """
        scores = params.chosen_scores
        columns = {FAILED, TOKENS, ACCEPTANCE_LENGTH, *(score.name for score in scores)}
        if scores and scores[0].score.right_or_wrong:
            columns.add(RIGHT)
        return frozenset(self._list_behaviour_metrics(params)) | columns

    def default_metrics_with(self, params: G) -> tuple[str, ...]:
        """The scores, then the metrics of how answers behave."""
        return (*(score.name for score in params.chosen_scores), *self._list_behaviour_metrics(params))

    def _list_behaviour_metrics(self, params: G) -> tuple[str, ...]:
        """The metrics that need no reference."""
        return self.default_metrics if params.encoder is None else (*self.default_metrics, SIMILAR_ANSWERS)

    def code_modules(self, params: G) -> tuple[str, ...]:
        """The modules of the scores: first the user's, then those of slimgate."""
        names = [score.name for score in params.chosen_scores]
        return (
            *(name.partition(":")[0] for name in names if ":" in name),
            *(f"slimgate.judge.scores.{name}" for name in names if ":" not in name),
        )

    def facts(self, params: G, splits: Mapping[str, Rows]) -> TaskFacts:
        """No facts: the rows have no classes.

        Raises DataError if a row that judges has no reference, or one that a score cannot use.
        """
        for split in (split for split in JUDGING if split in splits):
            rows = splits[split]
            for row, row_references in zip(rows.ids, read_references(params, rows), strict=True):
                if params.reference is not None and not row_references:
                    raise DataError(
                        f'{split} row {row} has no reference in column "{params.reference}"; give a '
                        "reference, or leave the row out"
                    )
            for chosen in params.chosen_scores:
                self._check_references(params, chosen, split, rows)
        return TaskFacts(())

    def _check_references(self, params: G, chosen: ChosenScore, split: str, rows: Rows) -> None:
        """Raises DataError if a score cannot use what it compares the answers of a row with."""
        compared_texts = self.list_compared_texts(params, rows, chosen.score.compares_with)
        for row, texts in zip(rows.ids, compared_texts, strict=True):
            errors = [error for text in texts if (error := _find_reference_error(chosen, text))]
            if len(errors) == len(texts) > 0 or (errors and chosen.score.needs_every_reference):
                column = getattr(params, chosen.score.compares_with)
                raise DataError(f'{split} row {row}, column "{column}": {errors[0]}') from errors[0]

    def list_compared_texts(self, params: G, rows: Rows, kind: str) -> list[list[str]]:
        """The texts of each row that a score compares answers with. kind: the score's `compares_with`.

        An answer counts by the text that fits it best.
        """
        return read_references(params, rows)

    def list_texts(self, params: G, rows: Rows) -> list[str]:
        """All prompts and references, to train a tokenizer on."""
        prompts = rows.table[self.prompt_column(params)].to_pylist()
        return [
            *map(str, prompts),
            *(reference for row_references in read_references(params, rows) for reference in row_references),
        ]

    @abstractmethod
    def encode_prompts(self, params: G, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Prompts:
        """The prompts of rows as tokens. tokenizer: a loaded one."""

    def row_encoder(self, params: G, folder: Path) -> Callable[[Rows], Any]:
        """Loads the tokenizer of an artifact once. Returns a function that encodes rows with it."""
        tokenizer = load_tokenizer(folder)
        return lambda rows: self.encode_prompts(params, rows, tokenizer)

    def answer(
        self, params: G, predictor: Predictor, encoded: Prompts | EndpointPrompts, plan: AnswerPlan
    ) -> npt.NDArray[np.object_]:
        """(rows, repeats) answers."""
        from slimgate.tasks.parts.endpoint_prompts import ask_for_answers
        from slimgate.tasks.parts.prompts import write_to_prompts

        if isinstance(predictor, EndpointPredictor):
            endpoint_prompts = cast("EndpointPrompts", encoded)
            return ask_for_answers(
                predictor, endpoint_prompts, make_sampling_params(params), plan, repeats=params.repeats
            )
        return write_to_prompts(
            predictor, cast("Prompts", encoded), make_sampling_params(params), plan, repeats=params.repeats
        )

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[Any], params: G, group: str | None
    ) -> Outcomes:
        """The values of each row, as means over its answers. scores: (rows, repeats) answers, as Written."""
        from slimgate.tasks.parts.prompts import is_loop

        values = {
            TRUNCATED: _compute_row_means(scores, lambda answer: not answer.ended),
            EMPTY: _compute_row_means(scores, lambda answer: not answer.failed and is_blank(answer.text)),
            LOOPING: _compute_row_means(scores, is_loop),
            FAILED: _compute_row_means(scores, lambda answer: answer.failed),
            TOKENS: _compute_row_means(
                scores, lambda answer: len(answer.ids) if answer.tokens is None else answer.tokens
            ),
        }
        values[MOST_TOKENS] = np.full(len(rows.ids), float(params.max_new_tokens))
        if all(answer.verified is not None for answer in scores.flat):
            values[VERIFIED_TOKENS] = _compute_row_means(scores, lambda answer: answer.verified[0])
            values[PASSES] = _compute_row_means(scores, lambda answer: answer.verified[1])
        values |= self._compute_scores(params, rows, scores)
        if RIGHT in self.provides_with(params):
            values[RIGHT] = (values[params.chosen_scores[0].name] >= 0.5).astype(np.float64)
        joined_answers = [
            BETWEEN_ANSWERS.join(answer.text.replace(BETWEEN_ANSWERS, " ") for answer in answers)
            for answers in scores
        ]
        return Outcomes(
            np.asarray(rows.ids, dtype=np.str_),
            values=values,
            answers=np.asarray(joined_answers, dtype=np.str_),
            groups=number_groups(rows, group),
        )

    def _compute_scores(
        self, params: G, rows: Rows, answers: npt.NDArray[Any]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """(rows,) the means of each chosen score over the answers, by its name. answers: (rows, repeats)."""
        texts_by_kind = {
            kind: self.list_compared_texts(params, rows, kind)
            for kind in {chosen.score.compares_with for chosen in params.chosen_scores}
        }
        values: dict[str, npt.NDArray[np.float64]] = {}
        for chosen in params.chosen_scores:
            compared_texts = texts_by_kind[chosen.score.compares_with]
            rates = [
                np.mean([_rate_answer(chosen, answer, texts) for answer in row_answers])
                for row_answers, texts in zip(answers, compared_texts, strict=True)
            ]
            values[chosen.name] = np.asarray(rates, dtype=np.float64)
        return values

    def score_pair(self, params: G, variant: Outcomes, other_outcomes: Outcomes) -> Outcomes:
        """Adds columns that compare the answers of a row with the other model's.

        same_answers: the share of equal answers; similar_answers, with an encoder: the mean cosine.
        """
        from slimgate.tasks.parts.answer_figures import compute_similarities

        first, second = (_split_answers(side) for side in (variant, other_outcomes))
        values = {SAME_ANSWERS: (first == second).astype(np.float64).mean(axis=1)}
        if params.encoder is not None:
            answers, references = first.ravel().tolist(), second.ravel().tolist()
            cosines = compute_similarities(Path(params.encoder), answers, references)
            values[SIMILAR_ANSWERS] = cosines.reshape(first.shape).mean(axis=1)
        for outcomes in (variant, other_outcomes):  # two failed requests do not count as two equal answers
            answered = 1 - outcomes.values.get(FAILED, np.zeros(len(outcomes)))
            values = {name: np.minimum(column, answered) for name, column in values.items()}
        return replace(variant, values={**variant.values, **values})

    def with_planted_fault(self, outcomes: Outcomes, rows: Ints) -> Outcomes:
        """The outcomes with faults in the answers of `rows`: wrong by each score, cut off, empty, looping."""
        values = {name: column.copy() for name, column in outcomes.values.items()}
        for name, column in values.items():
            if name not in (TOKENS, MOST_TOKENS, VERIFIED_TOKENS, PASSES):
                column[rows] = float(name != RIGHT and not load_metric(name).higher_is_better)
        if {TOKENS, MOST_TOKENS} <= values.keys():
            values[TOKENS][rows] = values[MOST_TOKENS][rows]
        return replace(outcomes, values=values, answers=None)

    def compare(self, params: G, teacher: ComparedModel, variant: ComparedModel) -> dict[str, Any]:
        """Figures that compare the answers with the teacher's, and faults in how the models are asked."""
        from slimgate.tasks.parts.answer_figures import find_faults, make_answer_figures

        return {
            "figures": make_answer_figures(teacher, variant),
            "findings": find_faults(teacher, variant, make_sampling_params(params)),
        }


def read_references(params: GenerationParams, rows: Rows) -> list[list[str]]:
    """The right answers of each row, without empty ones and NaN; empty lists without `reference`.

    An object, or a list of objects, is one answer: its JSON text.
    """
    if params.reference is None:
        return [[] for _ in range(len(rows))]
    column = rows.table[params.reference]
    values = column.to_pylist()
    if has_objects(column.type):
        values = [None if value is None else format_json_text(value) for value in values]
    references = (value if isinstance(value, list) else [value] for value in values)
    return [
        [str(reference) for reference in row_references if not _is_missing(reference)]
        for row_references in references
    ]


def _is_missing(reference: object) -> bool:
    is_nan = isinstance(reference, float) and isnan(reference)
    return reference is None or is_nan or not str(reference).strip()


def read_first_references(params: GenerationParams, rows: Rows) -> list[str | None]:
    """The answer that a student learns from each row; None for a row without a reference."""
    return [row_references[0] if row_references else None for row_references in read_references(params, rows)]


def make_sampling_params(params: GenerationParams) -> SamplingParams:
    """The options of writing an answer, such as its longest length."""
    from slimgate.models.write_answers import SamplingParams

    return SamplingParams(params.max_new_tokens, params.temperature, params.seed, params.stop)


def _compute_row_means(answers: npt.NDArray[Any], value: Callable[[Any], float]) -> npt.NDArray[np.float64]:
    """(rows,) the mean of value(answer) over the answers of each row. answers: (rows, repeats)."""
    return np.asarray(
        [np.mean([value(answer) for answer in row_answers]) for row_answers in answers], dtype=np.float64
    )


def _rate_answer(chosen: ChosenScore, answer: Written, texts: Sequence[str]) -> float:
    """The score of an answer by the text that fits it best; the worst score for a failed request."""
    return chosen.worst if answer.failed else chosen.rate_best(answer.text, texts)


def _find_reference_error(chosen: ChosenScore, text: str) -> ValueError | None:
    try:
        chosen.check_reference(text)
    except ValueError as error:
        return error
    return None


def _split_answers(outcomes: Outcomes) -> npt.NDArray[np.object_]:
    """(rows, repeats) texts."""
    assert outcomes.answers is not None
    return np.asarray([text.split(BETWEEN_ANSWERS) for text in outcomes.answers.tolist()], dtype=np.object_)
