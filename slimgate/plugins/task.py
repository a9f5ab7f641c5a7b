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
    from transformers import PreTrainedTokenizerBase

    from slimgate.data.guess_input import FoundRows
    from slimgate.models.torch_model import TorchModel
    from slimgate.tasks.parts.objectives import Objective, Targets


@dataclass(frozen=True)
class AnswerPlan:
    """How rows are put into batches.

    batch_size, batch_tokens: at most this many rows and tokens in a batch.
    order: the order of the rows; None: by length.
    kept: a file for the answers of a server so far, so that a stopped run can continue.
    """

    batch_size: int
    batch_tokens: int | None = None
    order: npt.NDArray[np.int64] | None = None
    progress: Progress = no_progress
    kept: Path | None = None


class Task(WithParams[P]):
    """What a model does with rows.

    What its models are:

    default_metrics: the metrics that are measured if the suite names none.
    whole_split: whether the outcome of a row depends on the other rows of its split, as in retrieval. Then
        the self-test predicts all of them.
    next_token: whether the output is (rows, tokens, vocabulary) logits of the next token. `extra_arrays` of
        the rows says which tokens are `counted`. Budgets on KL need this.
    scores_classes: whether a network gives a score for each class, if the rows have classes. A graph must
        then have the data's labels. False where classes are read off logits of tokens.
    takes_endpoints: whether a server can answer in place of a model, because text goes in and text comes out.
    writes: whether its models write text. Then its encoded rows have writing_batch(positions, prompt_tokens,
        new_tokens), which gives the inputs of a call that writes.
    end_to_end: whether a row is text that one forward pass answers, so that a call can be timed from text to
        answer (`row_encoder`, the predictor, `read_output`). An option max_tokens of the task then cuts rows.
    source: the source of a task that brings its own rows. It reads the Params of the task, and a suite with
        this task has no source.

    Functions that a task may have; None: it does not need one.

    with_planted_fault(outcomes, rows): the outcomes with these rows as wrong as possible. None is for
        classes, where the judge swaps labels.
    compare(params, teacher, variant): the part of the record's behaviour that needs both loaded models.
    answer(params, predictor, encoded, plan): (rows, …) the answers, for tasks that need more than one forward
        pass for a row, such as writing. `outcomes` gets them as its scores. They may be objects or numbers.
    encode_prompts(params, rows, tokenizer): the rows as `answer` takes them. A task with it has the options
        reference, temperature and repeats, and its answers are Written (models/write_answers.py).
    score_pair(params, outcomes, other_outcomes): the outcomes with values that compare them with those of the
        teacher. For the teacher itself, the others are its own answers in other batches and with other
        threads, which measures the noise of answering.

    For `slimgate export` and model cards:

    pipeline: the hub's name of the task.
    snippet_tail: lines of Python that print the `scores` (texts, …) of `texts`. They may use `labels`, which
        is id2label. {scores} is replaced by the vectors in the order of the texts.
    tokenizer_settings: attributes of the exported tokenizer.

    For `slimgate init`, and for errors:

    also_called: other names of the task, which the error about an unknown task understands.
    auto_class: transformers' class of a model with the head; None: any model will do.
    guess_rank: tasks with a low rank guess first; those of slimgate have 5 to 60.
    proposed_metrics: the metrics of the new suite; the first gets a budget. Empty: default_metrics.
    distill_options: options of the student in the new suite.
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
    scores_classes: bool = True
    takes_endpoints: bool = False
    writes: bool = False
    end_to_end: bool = False
    source: Source[Any] | None = None
    with_planted_fault: Callable[[Outcomes, npt.NDArray[np.int64]], Outcomes] | None = None
    compare: Callable[[P, Compared, Compared], Json] | None = None
    answer: Callable[[P, Predictor, Any, AnswerPlan], npt.NDArray[Any]] | None = None
    encode_prompts: Callable[[P, Rows, PreTrainedTokenizerBase], Encoded] | None = None
    score_pair: Callable[[P, Outcomes, Outcomes], Outcomes] | None = None

    @abstractmethod
    def columns(self, params: P) -> tuple[str, ...]:
        """The columns of the source that the task reads."""

    @abstractmethod
    def text_columns(self, params: P) -> tuple[str, ...]:
        """The columns whose text may not be in two splits."""

    @abstractmethod
    def label_column(self, params: P) -> str | None:
        """The column that splits are stratified by."""

    @abstractmethod
    def metrics(self) -> frozenset[str]:
        """What its outcomes have for metrics, such as prediction and probabilities (`Metric.needs`)."""

    def needs(self, params: P) -> frozenset[str]:
        """What its outcomes have for metrics with these options."""
        return self.metrics()

    def code_modules(self, params: P) -> tuple[str, ...]:
        """Modules that these options name. The answers depend on their code."""
        return ()

    def folders(self, params: P) -> tuple[Path, ...]:
        """Folders of the user, whose files may all change how models are asked and scored."""
        return ()

    def environment(self, params: P) -> Json:
        """What else answers and scores depend on, such as a resolved configuration. It is a part of the key.

        The key already has the contents of files that options name, and the versions of imported packages.
        """
        return {}

    def measured(self, params: P) -> tuple[str, ...]:
        """The metrics that are measured with these options if the suite names none."""
        return self.default_metrics

    @abstractmethod
    def facts(self, params: P, splits: Mapping[str, Rows]) -> TaskFacts:
        """What all models share, from the rows of all splits.

        Raises DataError, such as for unlabelled rows or a single class.
        """

    @abstractmethod
    def check_model(self, params: P, ref: ModelRef, config: Json, facts: TaskFacts | None) -> None:
        """Raises SuiteError if a model with this config.json cannot do the task.

        facts: None before the rows are read.
        """

    @abstractmethod
    def load_model(self, params: P, ref: ModelRef, context: BuildContext) -> TorchModel:
        """Loads the model of a ref. If it has no head, a new one is fitted on `train`."""

    def load_reads(self, params: P, config: Json) -> tuple[str, ...]:
        """The splits that `load_model` reads for a model with this config.json; none if it is complete."""
        return ()

    def row_encoder(self, params: P, folder: Path) -> Callable[[Rows], Encoded]:
        """Loads the tokenizer of an artifact once. Returns a function that encodes rows with it."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return lambda rows: self.encode_rows(params, rows, tokenizer)

    @abstractmethod
    def encode_rows(self, params: P, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Encoded:
        """The rows as inputs of a model. tokenizer: a loaded one."""

    @abstractmethod
    def targets(self, params: P, rows: Rows, facts: TaskFacts, encoded: Any) -> Targets:
        """What training teaches, such as (rows,) labels: Targets (slimgate/tasks/parts/objectives.py)."""

    @abstractmethod
    def targets_without_labels(self, params: P, encoded: Any, facts: TaskFacts) -> Targets:
        """What training teaches with rows that have no labels, such as those of a transfer set."""

    @abstractmethod
    def objective(self, params: P) -> Objective:
        """How models learn: an Objective (slimgate/tasks/parts/objectives.py)."""

    @abstractmethod
    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[Any], params: P, group: str | None
    ) -> Outcomes:
        """The outcomes of a model. scores: (rows, …) as `predict_scores` or `answer` gives them."""

    def guess(self, sample: FoundRows) -> tuple[Json, str] | None:
        """Guesses the options of [task] from rows: (options, why); None if the rows do not look like this
        task.

        Raises DataError for rows that look like this task but lack something.
        """
        return None

    def quoted_columns(self, params: P) -> tuple[str, ...]:
        """The columns that a report quotes for a row: its texts, or for images their captions."""
        return self.text_columns(params)

    def read_output(
        self,
        params: P,
        output: npt.NDArray[np.float32],
        batch: Arrays,
    ) -> npt.NDArray[Any]:
        """(rows, …) the part of a batch's scores that is kept, with the same further axes in all batches."""
        return output
