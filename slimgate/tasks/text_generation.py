"""Text generation: what a model writes to a prompt, and whether it is right.

[task]
kind = "text_generation"
prompt = "question"                  # text, or a list of messages for the model's chat template
reference = "answer"                 # text, or a list of texts that are all right
scores = ["exact_match", { numeric = { tolerance = 0.01 } }, "mytools:polite"]
max_new_tokens = 64
stop = ["\\n\\n"]

Each score is a metric of its name (slimgate/judge/scores/). Without references the answers are compared with
the teacher's: `same_answers` is the share that are equal. For the teacher it is the share that stay the same
when it answers again in other batches and on another number of threads: the noise floor. `truncated`,
`empty` and `looping` are shares of answers too, and take budgets as every metric does.

Greedy by default. With a temperature, `repeats` answers are drawn to each prompt, and a row's scores are
their means. Models learn the reference behind the prompt, and not the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from slimgate.data.guess_input import FoundRows
from slimgate.errors import DataError, SlimgateError
from slimgate.judge.metrics.answers import EMPTY, FAILED, FAULTS, LOOPING, TRUNCATED
from slimgate.judge.scores import ChosenScore, best_score, load_score, score_names
from slimgate.models.saved_files import check_language_model
from slimgate.outcomes import RIGHT, SAME_ANSWERS, Ints, Outcomes
from slimgate.params import Table
from slimgate.protocols import (
    AnswerPlan,
    BuildContext,
    Compared,
    Json,
    ModelRef,
    Predictor,
    Rows,
    Task,
    TaskFacts,
    row_groups,
)
from slimgate.runtimes.endpoint import EndpointPredictor, is_endpoint
from slimgate.tasks.parts.guess_prompts import guess_generation

if TYPE_CHECKING:
    from slimgate.tasks.parts.asked_prompts import AskedPrompts
    from slimgate.tasks.parts.language_model import Windows
    from slimgate.tasks.parts.objectives import Objective, TokenTargets
    from slimgate.tasks.parts.prompts import Prompts

TOKENS = "answer_tokens"
# Between the sampled answers of one prompt, where a row has several.
BETWEEN_ANSWERS = "\x1e"


class Params(Table):
    """[task] of text generation."""

    prompt: str
    """The column of prompts: text, or lists of messages (role, content) for the model's chat template."""
    reference: str | None = None
    """The column of right answers: a text, or a list of texts."""
    scores: tuple[str | dict[str, dict[str, Any]], ...] | None = None
    """Names of scores, or { name = options }; default with references: exact_match."""
    chat: bool = False
    """Put a prompt that is text into the model's chat template, as a user's message."""
    max_new_tokens: int = Field(default=64, ge=1)
    """Tokens of an answer, at most."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer; they are no part of it."""
    temperature: float = Field(default=0.0, ge=0)
    """0 takes the likeliest token; above 0, answers are drawn."""
    repeats: int = Field(default=1, ge=1)
    """Answers to each prompt, where they are drawn."""
    seed: int = Field(default=0, ge=0)
    """Of the drawn answers."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.repeats > 1 and not self.temperature:
            raise ValueError(
                f"repeats = {self.repeats} came without a temperature: greedy answers are all the same"
            )
        if any(not one for one in self.stop):
            raise ValueError('stop holds "", expected texts of a character or more')
        try:
            chosen = self.chosen
        except SlimgateError as error:
            raise ValueError(f"scores: {error}") from error
        lacking = [one.name for one in chosen if one.score.needs_reference and self.reference is None]
        if lacking:
            raise ValueError(
                f"score {lacking[0]} compares with a reference; give reference, the column of them"
            )
        return self

    @property
    def chosen(self) -> tuple[ChosenScore, ...]:
        """The scores, each with its options."""
        stated = self.scores
        if stated is None:
            stated = () if self.reference is None else ("exact_match",)
        named: list[dict[str, dict[str, Any]]] = [
            {one: {}} if isinstance(one, str) else one for one in stated
        ]
        return tuple(load_score(name, options) for table in named for name, options in table.items())


class TextGeneration(Task[Params]):
    default_metrics = (SAME_ANSWERS, *FAULTS)
    takes_endpoints = True
    pipeline = "text-generation"
    snippet_tail = (
        "for text in texts:\n"
        "    prompt = tokenizer(text, return_tensors='pt')\n"
        "    written = model.generate(**prompt, max_new_tokens=64, do_sample=False)\n"
        "    print(tokenizer.decode(written[0, prompt['input_ids'].shape[1]:], skip_special_tokens=True))"
    )
    # What a model writes follows its prompt, with no padding between.
    tokenizer_settings = MappingProxyType({"padding_side": "left", "truncation_side": "left"})
    guess_rank = 8

    def guess(self, found: FoundRows) -> tuple[Json, str] | None:
        """Prompts with right answers, for a language model."""
        return guess_generation(found)

    def columns(self, params: Params) -> tuple[str, ...]:
        """The prompt, and the reference."""
        return (params.prompt, *(() if params.reference is None else (params.reference,)))

    def text_columns(self, params: Params) -> tuple[str, ...]:
        """A prompt must not stand in two splits."""
        return (params.prompt,)

    def label_column(self, params: Params) -> None:
        """There are no classes."""

    def metrics(self) -> frozenset[str]:
        """How answers behave, and every score that [task] scores may name."""
        return frozenset({*self.default_metrics, FAILED, *score_names(), RIGHT})

    def needs(self, params: Params) -> frozenset[str]:
        """The scores too; whether a row is right, where the first score says so."""
        names = [one.name for one in params.chosen]
        right = params.chosen and params.chosen[0].score.right_or_wrong
        return frozenset(self.default_metrics) | {FAILED, *names, *([RIGHT] if right else ())}

    def measured(self, params: Params) -> tuple[str, ...]:
        """The scores, then how answers behave."""
        return (*(one.name for one in params.chosen), *self.default_metrics)

    def code_modules(self, params: Params) -> tuple[str, ...]:
        """The files of the scores."""
        own = (one.name.partition(":")[0] for one in params.chosen if ":" in one.name)
        return (*own, *(f"slimgate.judge.scores.{one.name}" for one in params.chosen if ":" not in one.name))

    def facts(self, params: Params, splits: Mapping[str, Rows]) -> TaskFacts:
        """Nothing is learnt from the rows. Raises DataError where a gate row has no reference."""
        gate = splits.get("gate")
        for row, found in zip(gate.ids, references(params, gate), strict=True) if gate is not None else ():
            if params.reference is not None and not found:
                raise DataError(
                    f'gate row {row} has no reference in column "{params.reference}"; give one, or leave the '
                    "row out"
                )
        return TaskFacts(())

    def check_model(
        self, params: Params, ref: ModelRef, config: dict[str, Any], facts: TaskFacts | None
    ) -> None:
        """Raises SuiteError where a config.json cannot serve this task."""
        check_language_model(ref, config)

    def load_model(self, params: Params, ref: ModelRef, context: BuildContext) -> Any:
        """The model of a ref. Raises BuildError where weights are missing, or it sees the next token."""
        from slimgate.tasks.parts.language_model import load_language_model

        def texts() -> list[str]:
            rows = context.rows("train")
            found = rows.table[params.prompt].to_pylist()
            return [*map(str, found), *(one for own in references(params, rows) for one in own)]

        return load_language_model(ref, context, texts)

    def encode_rows(self, params: Params, rows: Rows, tokenizer: Any) -> Windows:
        """Prompts with their references, to learn from."""
        from slimgate.tasks.parts.prompts import answer_windows, prompt_texts

        prompts = rows.table[params.prompt].to_pylist()
        texts = prompt_texts(tokenizer, prompts, chat=params.chat)
        firsts = [found[0] if found else None for found in references(params, rows)]
        return answer_windows(tokenizer, texts, firsts, templated=is_templated(params, prompts))

    def row_encoder(self, params: Params, folder: Path) -> Callable[[Rows], Prompts | AskedPrompts]:
        """The prompts alone, by the tokenizer of an artifact, which is loaded once; an endpoint's as text."""
        if is_endpoint(folder):
            return lambda rows: _to_asked(params, rows)
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return lambda rows: self.encode_prompts(params, rows, tokenizer)

    def encode_prompts(self, params: Params, rows: Rows, tokenizer: Any) -> Prompts:
        """The prompts alone, by a tokenizer that is loaded."""
        from slimgate.tasks.parts.prompts import encode_prompts, prompt_texts

        prompts = rows.table[params.prompt].to_pylist()
        texts = prompt_texts(tokenizer, prompts, chat=params.chat)
        return encode_prompts(tokenizer, texts, rows.ids, templated=is_templated(params, prompts))

    def targets(self, params: Params, rows: Rows, facts: TaskFacts, encoded: Any) -> TokenTargets:
        """What is to be learnt: the tokens of the reference."""
        return self.targets_without_labels(params, encoded, facts)

    def targets_without_labels(self, params: Params, encoded: Any, facts: TaskFacts) -> TokenTargets:
        """The same: the text is what is learnt."""
        from slimgate.tasks.parts.objectives import TokenTargets

        return TokenTargets(encoded.labels(), side=encoded.side)

    def objective(self, params: Params) -> Objective:
        """The next token at each place of the answer."""
        from slimgate.tasks.parts.objectives import TokenObjective

        return TokenObjective(shifted=True)

    def answer(
        self, params: Params, predictor: Predictor, encoded: Any, plan: AnswerPlan
    ) -> npt.NDArray[np.object_]:
        """(rows, repeats) answers."""
        from slimgate.tasks.parts.asked_prompts import ask_for_answers
        from slimgate.tasks.parts.prompts import write_to_prompts

        if isinstance(predictor, EndpointPredictor):
            return ask_for_answers(predictor, encoded, _writing(params), plan, repeats=params.repeats)
        return write_to_prompts(predictor, encoded, _writing(params), plan, repeats=params.repeats)

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[Any], params: Params, group: str | None
    ) -> Outcomes:
        """Each row's scores, as means over its answers; scores: (rows, repeats) Written."""
        from slimgate.tasks.parts.prompts import is_loop

        values = {
            TRUNCATED: _means(scores, lambda one: not one.ended),
            EMPTY: _means(scores, lambda one: not one.failed and not one.text.strip()),
            LOOPING: _means(scores, is_loop),
            FAILED: _means(scores, lambda one: one.failed),
            TOKENS: _means(scores, lambda one: len(one.ids) if one.tokens is None else one.tokens),
        }
        found = references(params, rows)
        for chosen in params.chosen:
            rates = [
                np.mean([not one.failed and best_score(chosen.rate, one.text, own) for one in answers])
                for answers, own in zip(scores, found, strict=True)
            ]
            values[chosen.name] = np.asarray(rates, dtype=np.float64)
        if RIGHT in self.needs(params):
            values[RIGHT] = (values[params.chosen[0].name] >= 0.5).astype(np.float64)
        texts = [BETWEEN_ANSWERS.join(one.text for one in answers) for answers in scores]
        return Outcomes(
            np.asarray(rows.ids, dtype=np.str_),
            values=values,
            answers=np.asarray(texts, dtype=np.str_),
            groups=row_groups(rows, group),
        )

    def beside(self, found: Outcomes, others: Outcomes) -> Outcomes:
        """same_answers: 1 where an answer equals the other, of several the share that do."""
        assert found.answers is not None
        assert others.answers is not None
        pairs = zip(found.answers.tolist(), others.answers.tolist(), strict=True)
        same = np.asarray([_share_same(one, other) for one, other in pairs], dtype=np.float64)
        for outcomes in (found, others):  # two requests that failed are no two equal answers
            same = np.minimum(same, 1 - outcomes.values.get(FAILED, np.zeros(len(outcomes))))
        return replace(found, values={**found.values, SAME_ANSWERS: same})

    def with_planted_fault(self, found: Outcomes, rows: Ints) -> Outcomes:
        """The outcomes with those answers wrong by every score, cut off, empty and in a loop."""
        values = {name: column.copy() for name, column in found.values.items()}
        for name, column in values.items():
            if name != TOKENS:
                column[rows] = 1.0 if name in (*FAULTS, FAILED) else 0.0
        return replace(found, values=values, answers=None)

    def compare(self, params: Params, teacher: Compared, variant: Compared) -> dict[str, Any]:
        """How far answers go together with the teacher's, and what is wrong with how they are asked for."""
        from slimgate.tasks.parts.answer_figures import answer_figures, find_faults

        return {
            "figures": answer_figures(teacher, variant),
            "findings": find_faults(teacher, variant, _writing(params)),
        }


task = TextGeneration()


def references(params: Params, rows: Rows) -> list[list[str]]:
    """The right answers of each row; none without a column of them."""
    if params.reference is None:
        return [[] for _ in range(len(rows))]
    found = rows.table[params.reference].to_pylist()
    listed = (value if isinstance(value, list) else [value] for value in found)
    return [[str(one) for one in own if one is not None and str(one).strip()] for own in listed]


def _to_asked(params: Params, rows: Rows) -> AskedPrompts:
    from slimgate.tasks.parts.asked_prompts import asked_prompts

    return asked_prompts(rows.table[params.prompt].to_pylist(), rows.ids, chat=params.chat)


def is_templated(params: Params, prompts: list[Any]) -> bool:
    """Whether the chat template has put the special tokens into the prompts."""
    return params.chat or any(not isinstance(one, str) for one in prompts)


def _writing(params: Params) -> Any:
    from slimgate.models.write_answers import Writing

    return Writing(params.max_new_tokens, params.temperature, params.seed, params.stop)


def _means(answers: npt.NDArray[Any], value: Callable[[Any], float]) -> npt.NDArray[np.float64]:
    return np.asarray([np.mean([value(one) for one in own]) for own in answers], dtype=np.float64)


def _share_same(one: str, other: str) -> float:
    pairs = list(zip(one.split(BETWEEN_ANSWERS), other.split(BETWEEN_ANSWERS), strict=False))
    return sum(first == second for first, second in pairs) / len(pairs)
