"""The base class of tasks: how rows become inputs, and answers become outcomes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slimgate.outcomes import Outcomes
from slimgate.plugins.base import Arrays, Json, P, Progress, WithParams, no_progress
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import Compared, ModelRef, Predictor
from slimgate.plugins.rows import Encoded, Rows, TaskFacts
from slimgate.plugins.source import Source

if TYPE_CHECKING:
    from slimgate.data.guess_input import FoundRows


@dataclass(frozen=True)
class AnswerPlan:
    """How rows are put into batches: at most so many rows and tokens. order: of the rows; None: by length.

    kept: a file for what a server answered so far, so that a run that was stopped goes on there.
    """

    batch_size: int
    batch_tokens: int | None = None
    order: npt.NDArray[np.int64] | None = None
    progress: Progress = no_progress
    kept: Path | None = None


class Task(WithParams[P]):
    """What a model does with rows.

    default_metrics: measured where the suite names none. whole_split: whether a row's outcome depends on the
    other rows of its split, as in retrieval, so that the self-test predicts all of them.
    with_planted_fault(outcomes, rows): the outcomes with those rows as wrong as can be; None for a
    classification, where the judge exchanges labels. compare(params, teacher, variant): the part of the
    record's behaviour that needs both loaded models; None: there is none. next_token: whether a model's
    output is (rows, tokens, vocabulary) logits of the next token, of which `extra_arrays` of the rows says
    which are `counted`, so that budgets on KL can be judged. takes_endpoints: whether a server can answer in
    place of a model: it reads text, and gives text back. writes: whether its models write text, and its
    encoded rows have writing_batch(positions, prompt_tokens, new_tokens), the inputs of a call that writes.
    end_to_end: whether a row is text that one forward pass answers, so that a call can be timed from text to
    answer: `row_encoder`, the predictor, `read_output`. An option max_tokens of the task then cuts rows.

    answer(params, predictor, encoded, plan): of tasks that need more than a forward pass a row, such as text
    that is written: (rows, …) what `outcomes` gets as scores, as objects or numbers; None: the forward
    pass's. encode_prompts(params, rows, tokenizer): the rows as `answer` takes them, by a tokenizer that is
    loaded; a task that has it has options reference, temperature and repeats, and its answers are Written
    (models/write_answers.py). score_pair(params, outcomes, other_outcomes): the
    outcomes with values that compare them
    with those of the teacher; of the teacher, others are its own again, in other batches and on other
    threads: the noise of answering.
    source: of tasks that bring their own rows; it reads the task's Params, and a suite states none.

    For `slimgate export` and model cards. pipeline: the hub's name of the task. snippet_tail: lines of Python
    that print the `scores` (texts, …) of `texts`; `labels` is id2label there, and {scores} is replaced by the
    vectors in the order of the texts. tokenizer_settings: attributes of the exported tokenizer.
    also_called: other names of slimgate's own tasks, for the error about an unknown one.
    For `slimgate init`. auto_class: transformers' class of a model with the head; None: any model will do.
    guess_rank: the lowest guesses first; slimgate's own have 5 to 60. proposed_metrics: of the
    suite, the first one with a budget; empty: default_metrics. distill_options: of the suite's student.
    """

    also_called: tuple[str, ...] = ()
    pipeline: str | None = None
    snippet_tail: str = "print(scores)"
    tokenizer_settings: Mapping[str, str] = MappingProxyType({})
    auto_class: str | None = None
    guess_rank: int = 0
    proposed_metrics: tuple[str, ...] = ()
    distill_options: Mapping[str, float] = MappingProxyType({"alpha": 0.5, "temperature": 2.0})
    default_metrics: tuple[str, ...] = ("accuracy", "f1_macro")
    whole_split: bool = False
    next_token: bool = False
    takes_endpoints: bool = False
    writes: bool = False
    end_to_end: bool = False
    source: Source[Any] | None = None
    with_planted_fault: Callable[[Any, npt.NDArray[np.int64]], Outcomes] | None = None
    compare: Callable[[P, Compared, Compared], Json] | None = None
    answer: Callable[[P, Predictor, Any, AnswerPlan], npt.NDArray[Any]] | None = None
    encode_prompts: Callable[[P, Rows, Any], Encoded] | None = None
    score_pair: Callable[[P, Outcomes, Outcomes], Outcomes] | None = None

    @abstractmethod
    def columns(self, params: P) -> tuple[str, ...]:
        """The columns of the source that the task reads."""

    @abstractmethod
    def text_columns(self, params: P) -> tuple[str, ...]:
        """The columns whose text must not stand in two splits."""

    @abstractmethod
    def label_column(self, params: P) -> str | None:
        """The column that splits are stratified by."""

    @abstractmethod
    def metrics(self) -> frozenset[str]:
        """`needs` of the metrics that fit its outcomes, such as prediction and probabilities."""

    def needs(self, params: P) -> frozenset[str]:
        """The same with these options."""
        return self.metrics()

    def code_modules(self, params: P) -> tuple[str, ...]:
        """Modules that these options name, whose code the answers depend on."""
        return ()

    def folders(self, params: P) -> tuple[Path, ...]:
        """Folders of a user's own of which every file may decide how models are asked and scored."""
        return ()

    def environment(self, params: P) -> Json:
        """What else answers and their scores depend on, such as a resolved configuration: part of the key.

        Contents of files that options name, and versions of what the code imports, are in it already.
        """
        return {}

    def measured(self, params: P) -> tuple[str, ...]:
        """The metrics that are measured with these options where the suite names none."""
        return self.default_metrics

    @abstractmethod
    def facts(self, params: P, splits: Mapping[str, Rows]) -> TaskFacts:
        """What all models share, from every split's rows. Raises DataError (unlabelled rows, one class)."""

    @abstractmethod
    def check_model(self, params: P, ref: ModelRef, config: Json, facts: TaskFacts | None) -> None:
        """Raises SuiteError where a config.json cannot serve the task; facts: None before rows are read."""

    @abstractmethod
    def load_model(self, params: P, ref: ModelRef, context: BuildContext) -> Any:
        """The model of a ref, with a fresh head fitted on `train` where it has none."""

    def load_reads(self, params: P, config: Json) -> tuple[str, ...]:
        """The splits that `load_model` reads for a model of this config.json; none where it is complete."""
        return ()

    def row_encoder(self, params: P, folder: Path) -> Callable[[Rows], Encoded]:
        """Makes rows a model's inputs, by the tokenizer of an artifact's folder, which is loaded once."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return lambda rows: self.encode_rows(params, rows, tokenizer)

    @abstractmethod
    def encode_rows(self, params: P, rows: Rows, tokenizer: Any) -> Encoded:
        """The same by a tokenizer that is loaded."""

    @abstractmethod
    def targets(self, params: P, rows: Rows, facts: TaskFacts, encoded: Any) -> Any:
        """What a training step shall learn: Targets (slimgate/tasks/parts/objectives.py), such as (rows,)
        labels.
        """

    @abstractmethod
    def targets_without_labels(self, params: P, encoded: Any, facts: TaskFacts) -> Any:
        """The same of rows that have no labels, such as those of a transfer set."""

    @abstractmethod
    def objective(self, params: P) -> Any:
        """How models learn: an Objective (slimgate/tasks/parts/objectives.py)."""

    @abstractmethod
    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[Any], params: P, group: str | None
    ) -> Outcomes:
        """What a model answered, from its scores: (rows, …) as `predict_scores` gives them."""

    def guess(self, sample: FoundRows) -> tuple[Json, str] | None:
        """[task] options that name columns, and why, where the rows look like this task's; None elsewhere.

        Raises DataError for rows of this task that lack something.
        """
        return None

    def quoted_columns(self, params: P) -> tuple[str, ...]:
        """The columns that stand for a row in a report: its texts, but of images, say, their captions."""
        return self.text_columns(params)

    def read_output(
        self,
        params: P,
        output: npt.NDArray[np.float32],
        batch: Arrays,
    ) -> npt.NDArray[Any]:
        """What is kept of a batch's scores: (rows, …), the further axes alike in every batch."""
        return output
