"""What tasks share whose models write answers: options, scores, how answers behave, and the noise floor.

How alike two answers are in meaning is the cosine of their embeddings, by an encoder of the user's.

text_generation has decoders that write behind a prompt, text_to_text encoder-decoders that write to a text.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, model_validator

from slimgate._system import quiet
from slimgate.errors import DataError, MeasureError, MissingExtra, SlimgateError
from slimgate.judge.metrics.answers import EMPTY, FAILED, FAULTS, LOOPING, MOST_TOKENS, TOKENS, TRUNCATED
from slimgate.judge.scores import ChosenScore, best_score, load_score, score_names
from slimgate.models.model_ref import TORCH, parse_model_ref
from slimgate.outcomes import RIGHT, SAME_ANSWERS, SIMILAR_ANSWERS, Ints, Outcomes
from slimgate.plugins.models import Compared, Predictor
from slimgate.plugins.params import Table
from slimgate.plugins.rows import Rows, TaskFacts, row_groups
from slimgate.plugins.task import AnswerPlan, Task
from slimgate.runtimes.endpoint import EndpointPredictor

if TYPE_CHECKING:
    from slimgate.models.write_answers import Writing
    from slimgate.tasks.parts.objectives import TokenTargets
    from slimgate.tasks.parts.prompts import Prompts

# Between the sampled answers of one prompt, where a row has several.
BETWEEN_ANSWERS = "\x1e"
Floats = npt.NDArray[np.float64]
_BATCH, _MOST_TOKENS = 32, 512


def _encoder_folder(value: Any) -> Any:
    """The folder of an encoder, made absolute. Raises ValueError where there is none."""
    if not isinstance(value, str):
        return value
    try:
        ref = parse_model_ref(value)
    except SlimgateError as error:
        raise ValueError(str(error)) from error
    if ref.folder is None or ref.fresh or ref.kind != TORCH:
        raise ValueError(f"{value} came, expected a folder with the weights of an encoder in PyTorch")
    return str(ref.folder)


class GenerationParams(Table):
    """Options of answers, and of what is right."""

    reference: str | None = None
    """The column of right answers: a text, or a list of texts."""
    scores: tuple[str | dict[str, dict[str, Any]], ...] | None = None
    """Names of scores, or { name = options }; default with references: exact_match."""
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
    encoder: Annotated[str, BeforeValidator(_encoder_folder)] | None = None
    """A folder of an encoder (transformers or sentence-transformers), or package:NAME/PATH: `similar_answers`
    is the cosine of an answer's embedding with that of the teacher's answer."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.repeats > 1 and not self.temperature:
            raise ValueError(
                f"repeats = {self.repeats} came without a temperature: greedy answers are all the same"
            )
        if any(not ending for ending in self.stop):
            raise ValueError('stop holds "", expected texts of a character or more')
        try:
            chosen = self.chosen
        except MissingExtra:  # no fault of the file: the reader of suites says which one needs it
            raise
        except SlimgateError as error:
            raise ValueError(f"scores: {error}") from error
        lacking = [score.name for score in chosen if score.score.needs_reference and self.reference is None]
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
            {score: {}} if isinstance(score, str) else score for score in stated
        ]
        return tuple(load_score(name, options) for table in named for name, options in table.items())


G = TypeVar("G", bound=GenerationParams)


class GenerationTask(Task[G]):
    """A task whose outcomes are answers that a model writes."""

    default_metrics = (SAME_ANSWERS, *FAULTS)
    writes = True

    @abstractmethod
    def asked_column(self, params: G) -> str:
        """The column of what the model answers to."""

    def columns(self, params: G) -> tuple[str, ...]:
        """What is asked, and the reference."""
        return (self.asked_column(params), *(() if params.reference is None else (params.reference,)))

    def text_columns(self, params: G) -> tuple[str, ...]:
        """What is asked must not stand in two splits."""
        return (self.asked_column(params),)

    def label_column(self, params: G) -> None:
        """There are no classes."""

    def metrics(self) -> frozenset[str]:
        """How answers behave, and every score that [task] scores may name."""
        return frozenset({*self.default_metrics, SIMILAR_ANSWERS, FAILED, TOKENS, *score_names(), RIGHT})

    def needs(self, params: G) -> frozenset[str]:
        """The scores too; whether a row is right, where the first score says so."""
        names = [score.name for score in params.chosen]
        right = params.chosen and params.chosen[0].score.right_or_wrong
        return frozenset(self._behaviour(params)) | {FAILED, TOKENS, *names, *([RIGHT] if right else ())}

    def measured(self, params: G) -> tuple[str, ...]:
        """The scores, then how answers behave."""
        return (*(score.name for score in params.chosen), *self._behaviour(params))

    def _behaviour(self, params: G) -> tuple[str, ...]:
        """The metrics that need no reference."""
        return self.default_metrics if params.encoder is None else (*self.default_metrics, SIMILAR_ANSWERS)

    def code_modules(self, params: G) -> tuple[str, ...]:
        """The files of the scores."""
        modules = (score.name.partition(":")[0] for score in params.chosen if ":" in score.name)
        return (
            *modules,
            *(f"slimgate.judge.scores.{score.name}" for score in params.chosen if ":" not in score.name),
        )

    def facts(self, params: G, splits: Mapping[str, Rows]) -> TaskFacts:
        """Nothing is learnt from the rows. Raises DataError where a gate row has no reference."""
        gate = splits.get("gate")
        for row, row_references in (
            zip(gate.ids, references(params, gate), strict=True) if gate is not None else ()
        ):
            if params.reference is not None and not row_references:
                raise DataError(
                    f'gate row {row} has no reference in column "{params.reference}"; give one, or leave the '
                    "row out"
                )
        return TaskFacts(())

    def texts(self, params: G, rows: Rows) -> list[str]:
        """All that the rows hold, to train a tokenizer on."""
        prompts = rows.table[self.asked_column(params)].to_pylist()
        return [
            *map(str, prompts),
            *(reference for row_references in references(params, rows) for reference in row_references),
        ]

    @abstractmethod
    def encode_prompts(self, params: G, rows: Rows, tokenizer: Any) -> Prompts:
        """What is asked, by a tokenizer that is loaded."""

    def row_encoder(self, params: G, folder: Path) -> Callable[[Rows], Any]:
        """The same by the tokenizer of an artifact, which is loaded once."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return lambda rows: self.encode_prompts(params, rows, tokenizer)

    def targets(self, params: G, rows: Rows, facts: TaskFacts, encoded: Any) -> TokenTargets:
        """What is to be learnt: the tokens of the reference."""
        return self.targets_without_labels(params, encoded, facts)

    @abstractmethod
    def targets_without_labels(self, params: G, encoded: Any, facts: TaskFacts) -> TokenTargets:
        """The same: the text is what is learnt."""

    def answer(
        self, params: G, predictor: Predictor, encoded: Any, plan: AnswerPlan
    ) -> npt.NDArray[np.object_]:
        """(rows, repeats) answers."""
        from slimgate.tasks.parts.asked_prompts import ask_for_answers
        from slimgate.tasks.parts.prompts import write_to_prompts

        if isinstance(predictor, EndpointPredictor):
            return ask_for_answers(predictor, encoded, writing(params), plan, repeats=params.repeats)
        return write_to_prompts(predictor, encoded, writing(params), plan, repeats=params.repeats)

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[Any], params: G, group: str | None
    ) -> Outcomes:
        """Each row's scores, as means over its answers; scores: (rows, repeats) Written."""
        from slimgate.tasks.parts.prompts import is_loop

        values = {
            TRUNCATED: _means(scores, lambda answer: not answer.ended),
            EMPTY: _means(scores, lambda answer: not answer.failed and not answer.text.strip()),
            LOOPING: _means(scores, is_loop),
            FAILED: _means(scores, lambda answer: answer.failed),
            TOKENS: _means(
                scores, lambda answer: len(answer.ids) if answer.tokens is None else answer.tokens
            ),
        }
        values[MOST_TOKENS] = np.full(len(rows.ids), float(params.max_new_tokens))
        references_of_rows = references(params, rows)
        for chosen in params.chosen:
            rates = [
                np.mean(
                    [
                        not answer.failed and best_score(chosen.rate, answer.text, row_references)
                        for answer in answers
                    ]
                )
                for answers, row_references in zip(scores, references_of_rows, strict=True)
            ]
            values[chosen.name] = np.asarray(rates, dtype=np.float64)
        if RIGHT in self.needs(params):
            values[RIGHT] = (values[params.chosen[0].name] >= 0.5).astype(np.float64)
        texts = [
            BETWEEN_ANSWERS.join(answer.text.replace(BETWEEN_ANSWERS, " ") for answer in answers)
            for answers in scores
        ]
        return Outcomes(
            np.asarray(rows.ids, dtype=np.str_),
            values=values,
            answers=np.asarray(texts, dtype=np.str_),
            groups=row_groups(rows, group),
        )

    def score_pair(self, params: G, variant: Outcomes, other_outcomes: Outcomes) -> Outcomes:
        """same_answers: 1 where an answer equals the other, of several the share that do; similar_answers."""
        first, second = (_answers(side) for side in (variant, other_outcomes))
        values = {SAME_ANSWERS: (first == second).astype(np.float64).mean(axis=1)}
        if params.encoder is not None:
            cosines = similarities(Path(params.encoder), first.ravel().tolist(), second.ravel().tolist())
            values[SIMILAR_ANSWERS] = cosines.reshape(first.shape).mean(axis=1)
        for outcomes in (variant, other_outcomes):  # two requests that failed are no two equal answers
            answered = 1 - outcomes.values.get(FAILED, np.zeros(len(outcomes)))
            values = {name: np.minimum(column, answered) for name, column in values.items()}
        return replace(variant, values={**variant.values, **values})

    def with_planted_fault(self, outcomes: Outcomes, rows: Ints) -> Outcomes:
        """The outcomes with those answers wrong by every score, cut off at the limit, empty and in a loop."""
        values = {name: column.copy() for name, column in outcomes.values.items()}
        for name, column in values.items():
            if name not in (TOKENS, MOST_TOKENS):
                column[rows] = 1.0 if name in (*FAULTS, FAILED) else 0.0
        if {TOKENS, MOST_TOKENS} <= values.keys():
            values[TOKENS][rows] = values[MOST_TOKENS][rows]
        return replace(outcomes, values=values, answers=None)

    def compare(self, params: G, teacher: Compared, variant: Compared) -> dict[str, Any]:
        """How far answers go together with the teacher's, and what is wrong with how they are asked for."""
        from slimgate.tasks.parts.answer_figures import answer_figures, find_faults

        return {
            "figures": answer_figures(teacher, variant),
            "findings": find_faults(teacher, variant, writing(params)),
        }


def references(params: GenerationParams, rows: Rows) -> list[list[str]]:
    """The right answers of each row; none without a column of them."""
    if params.reference is None:
        return [[] for _ in range(len(rows))]
    column = rows.table[params.reference].to_pylist()
    listed = (value if isinstance(value, list) else [value] for value in column)
    return [
        [str(reference) for reference in row_references if reference is not None and str(reference).strip()]
        for row_references in listed
    ]


def first_references(params: GenerationParams, rows: Rows) -> list[str | None]:
    """The answer that each row teaches; None without a reference."""
    return [row_references[0] if row_references else None for row_references in references(params, rows)]


def writing(params: GenerationParams) -> Writing:
    """How the answers are written."""
    from slimgate.models.write_answers import Writing

    return Writing(params.max_new_tokens, params.temperature, params.seed, params.stop)


def _means(answers: npt.NDArray[Any], value: Callable[[Any], float]) -> npt.NDArray[np.float64]:
    return np.asarray(
        [np.mean([value(answer) for answer in row_answers]) for row_answers in answers], dtype=np.float64
    )


def _answers(outcomes: Outcomes) -> npt.NDArray[np.object_]:
    """(rows, repeats) texts."""
    assert outcomes.answers is not None
    return np.asarray([text.split(BETWEEN_ANSWERS) for text in outcomes.answers.tolist()], dtype=np.object_)


def similarities(folder: Path, answers: Sequence[str], references: Sequence[str]) -> Floats:
    """(answers,) cosines, those below 0 as 0; equal texts have 1. folder: of an encoder.

    Raises MeasureError for a folder whose model gives no embeddings.
    """
    pairs = list(zip(answers, references, strict=True))
    texts = sorted({text for pair in pairs if pair[0] != pair[1] for text in pair}, key=len)
    vectors = dict(zip(texts, _embed_texts(folder, texts), strict=True))
    values = [1.0 if answer == other else float(vectors[answer] @ vectors[other]) for answer, other in pairs]
    return np.clip(np.asarray(values, dtype=np.float64), 0.0, 1.0)


def _embed_texts(folder: Path, texts: Sequence[str]) -> list[Floats]:
    """A vector of unit length for each text."""
    import torch

    if not texts:
        return []
    tokenizer, network = _load_encoder(folder)
    embedded: list[Floats] = []
    for start in range(0, len(texts), _BATCH):
        some = list(texts[start : start + _BATCH])
        batch = tokenizer(
            some, padding=True, truncation=True, max_length=_most_tokens(network), return_tensors="pt"
        )
        names = ("input_ids", "attention_mask")
        with torch.inference_mode():
            vectors = network(**{name: batch[name] for name in names}).logits
        unit = torch.nn.functional.normalize(vectors.double(), dim=-1).numpy()
        embedded += list(unit)
    return embedded


@lru_cache(maxsize=1)
def _load_encoder(folder: Path) -> tuple[Any, Any]:
    """The tokenizer and the encoder of a folder, pooled as it says, else by the mean."""
    from transformers import AutoConfig, AutoTokenizer

    from slimgate.models.seeding import isolated_seed
    from slimgate.tasks.parts.sentence_models import load_encoder

    ref = parse_model_ref(str(folder))
    with quiet.silent(), isolated_seed(0):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        weights, network = load_encoder(ref, config, {})
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if weights.missing:
        raise MeasureError(
            f"encoder {folder}: no weights of {weights.missing[0]}; expected a trained encoder"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, network.eval()


def _most_tokens(network: Any) -> int:
    from slimgate.models.config import longest_text

    return min(_MOST_TOKENS, longest_text(network.config.to_dict()) or _MOST_TOKENS)
