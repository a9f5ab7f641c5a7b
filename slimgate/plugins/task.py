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
from slimgate.plugins.models import ComparedModel, ModelRef, Predictor
from slimgate.plugins.rows import Encoded, Rows, TaskFacts
from slimgate.plugins.source import Source

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.data.guess_input import ExaminedRows
    from slimgate.models.torch_model import TorchModel
    from slimgate.tasks.parts.objectives import Objective, Targets


@dataclass(frozen=True)
class AnswerPlan:
    """How rows are put into batches.

    batch_size, batch_tokens: at most this many rows and tokens in a batch.
    order: the order of the rows; None: by length.
    reply_file: a file for the answers of a server so far, so that a stopped run can continue.
    """

    batch_size: int
    batch_tokens: int | None = None
    order: npt.NDArray[np.int64] | None = None
    progress: Progress = no_progress
    reply_file: Path | None = None


class Task(WithParams[P]):
    """What a model does with rows.

    What its models are:

    default_metrics: the metrics that are measured if the suite names none.
    whole_split: whether the outcome of a row depends on the other rows of its split, as in retrieval. Then
        the self-test predicts all of them.
    next_token: whether the output is (rows, tokens, vocabulary) logits of the next token. `extra_arrays` of
        the rows says which tokens are `counted`. Budgets on KL need this.
    scores_classes: whether a network gives a score for each class, if the rows have classes. A graph must
        then have the data's labels. False if classes are read from logits of tokens.
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
    compare: Callable[[P, ComparedModel, ComparedModel], Json] | None = None
    answer: Callable[[P, Predictor, Any, AnswerPlan], npt.NDArray[Any]] | None = None
    encode_prompts: Callable[[P, Rows, PreTrainedTokenizerBase], Encoded] | None = None
    score_pair: Callable[[P, Outcomes, Outcomes], Outcomes] | None = None

    @abstractmethod
    def columns(self, params: P) -> tuple[str, ...]:
        """The columns of the source that the task reads, texts and label included.

        slimgate refuses rows that lack one of them. Rows of the split `unlabelled` keep only the texts of
        these.

        Args:
            params: the options of [task], checked.

        Returns:
            Names of columns.
        """

    @abstractmethod
    def text_columns(self, params: P) -> tuple[str, ...]:
        """The columns that identify a row: no two splits have a row with the same texts.

        Texts are compared without case, punctuation and repeated white space. The texts of a row count
        together, in any order. If two splits could have a row, only the later one in the order train,
        calibration, selection, confirm, gate gets it.

        Args:
            params: the options of [task], checked.

        Returns:
            Names of columns with texts, lists of texts, or images.
        """

    @abstractmethod
    def label_column(self, params: P) -> str | None:
        """The column with the class of each row. Every split has about the same share of each class.

        A missing label is a DataError. A column of floating-point numbers has no effect on the splits.

        Args:
            params: the options of [task], checked.

        Returns:
            The name of the column; None if rows have no class.
        """

    @abstractmethod
    def provides(self) -> frozenset[str]:
        """What its outcomes have for metrics, such as prediction and probabilities (`Metric.needs`)."""

    def provides_with(self, params: P) -> frozenset[str]:
        """What the outcomes have for metrics with these options.

        A suite can name a metric if `Metric.needs` is among them. Override it if the options decide this. The
        default is `provides()`.

        Args:
            params: the options of [task], checked.

        Returns:
            Names such as prediction, probabilities, right, or a column of `Outcomes.values`.
        """
        return self.provides()

    def code_modules(self, params: P) -> tuple[str, ...]:
        """Modules that these options name, such as that of a user's own score.

        The store's keys have their code, so that models answer again if it changes.

        Args:
            params: the options of [task], checked.

        Returns:
            Dotted names of modules; none by default.
        """
        return ()

    def folders(self, params: P) -> tuple[Path, ...]:
        """Folders of the user whose files may change how models are asked and scored.

        The store's keys have every file in them except weights and suites, and the versions of the packages
        that their Python files import.

        Args:
            params: the options of [task], checked.

        Returns:
            The folders; none by default.
        """
        return ()

    def environment(self, params: P) -> Json:
        """Further inputs that answers and scores depend on, such as a resolved configuration.

        They are part of the store's keys. These already have the contents of files that options name, and the
        versions of imported packages. slimgate calls it when a run begins, and again after a model has
        answered. If the value has changed, the run fails.

        Args:
            params: the options of [task], checked.

        Returns:
            JSON values by name; none by default.
        """
        return {}

    def default_metrics_with(self, params: P) -> tuple[str, ...]:
        """The metrics that are measured with these options if the suite names none.

        Args:
            params: the options of [task], checked.

        Returns:
            Names of metrics, the default_metrics by default.
        """
        return self.default_metrics

    @abstractmethod
    def facts(self, params: P, splits: Mapping[str, Rows]) -> TaskFacts:
        """Reads from the rows what all models share, such as the classes.

        slimgate calls it after the splits are cut. `slimgate init` calls it with all rows as one split "all".

        Args:
            params: the options of [task], checked.
            splits: name -> rows, of every split except `unlabelled`. A split may be empty.

        Returns:
            The facts. `classes` is empty for a task without classes.

        Raises:
            DataError: if the task cannot use the rows, such as rows with a single class.
        """

    @abstractmethod
    def check_model(self, params: P, ref: ModelRef, config: Json, facts: TaskFacts | None) -> None:
        """Checks that a model can do the task, from its configuration alone.

        slimgate calls it when it reads a suite, again when the classes are known, and before it loads the
        model.

        Args:
            params: the options of [task], checked.
            ref: the model, for messages, and for files in its folder.
            config: the content of its config.json.
            facts: what `facts` returned; None while the rows are not read.

        Raises:
            SuiteError: if it cannot.
        """

    @abstractmethod
    def load_model(self, params: P, ref: ModelRef, context: BuildContext) -> TorchModel:
        """Loads a PyTorch model that a suite names. If it has no head, the task adds one.

        slimgate loads graphs, such as ONNX files, by their runtime instead.

        Args:
            params: the options of [task], checked.
            ref: the model, with its files in `ref.folder`. `ref.new_head` says whether the task may or must
                add a head.
            context: gives the rows of the splits in `load_reads`, the facts, the seed, the device and the
                log.

        Returns:
            The model, whose outputs are in the order of `context.facts.classes`.

        Raises:
            BuildError: if it cannot be loaded.
            SuiteError: if it does not fit the task.
        """

    def load_reads(self, params: P, config: Json) -> tuple[str, ...]:
        """The splits that `load_model` reads for a model with this configuration.

        The store's key of the loaded model has these rows. With `train` among them it has the seed too.

        Args:
            params: the options of [task], checked.
            config: the content of its config.json. If the suite asks for a new head, `architectures` is
                empty.

        Returns:
            Names of splits; none by default, which is right for a complete model.
        """
        return ()

    def row_encoder(self, params: P, folder: Path) -> Callable[[Rows], Encoded]:
        """Makes the function that encodes rows for an artifact. Loads the artifact's tokenizer once.

        slimgate calls it to predict rows, and to time calls from text to answer. Loading is not timed,
        encoding is. The default encodes by `encode_rows`. A task that overrides it cannot have cascades.

        Args:
            params: the options of [task], checked.
            folder: the artifact's folder, with the files of its tokenizer.

        Returns:
            A function from rows to encoded rows.
        """
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return lambda rows: self.encode_rows(params, rows, tokenizer)

    @abstractmethod
    def encode_rows(self, params: P, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Encoded:
        """Converts rows to the inputs of a model. Steps call it to train and to calibrate.

        Args:
            params: the options of [task], checked.
            rows: the rows of a split, or of a transfer set, which has texts only.
            tokenizer: the tokenizer of the model, loaded.

        Returns:
            The encoded rows in the order of `rows`. A row may become several, if `row_of` says so.
        """

    @abstractmethod
    def targets(self, params: P, rows: Rows, facts: TaskFacts, encoded: Any) -> Targets:
        """What training steps teach a model about each row, such as its class.

        Args:
            params: the options of [task], checked.
            rows: the rows.
            facts: what `facts` returned.
            encoded: the same rows, as `encode_rows` returned them.

        Returns:
            An array with the encoded rows as its first axis, such as (rows,) int64 class numbers; or an
            object with a length, indexed by a list of positions, that gives such arrays. The task's objective
            reads them.
        """

    @abstractmethod
    def targets_without_labels(self, params: P, encoded: Any, facts: TaskFacts) -> Targets:
        """What training steps teach with rows that have no labels, such as those of a transfer set.

        Args:
            params: the options of [task], checked.
            encoded: the rows, as `encode_rows` returned them.
            facts: what `facts` returned.

        Returns:
            As `targets`, with the mark of the objective for a missing label: -100 for a class, NaN for
            numbers. A task that learns from the texts themselves returns its usual targets.
        """

    @abstractmethod
    def objective(self, params: P) -> Objective:
        """How models learn: the losses by labels and by a teacher's answers. Training steps call it.

        Args:
            params: the options of [task], checked.

        Returns:
            An Objective of slimgate/tasks/parts/objectives.py, such as LabelsObjective.
        """

    @abstractmethod
    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[Any], params: P, group: str | None
    ) -> Outcomes:
        """Converts the scores of a model to its outcomes, which metrics and budgets read.

        Args:
            facts: what `facts` returned.
            rows: the rows of a split.
            scores: (rows, …) in the order of `rows`: what `read_output` kept, summed over the parts of a row;
                or what `answer` returned. Numbers are finite.
            params: the options of [task], checked.
            group: the suite's column of groups; None if it has none. `number_groups` makes `Outcomes.groups`
                of it.

        Returns:
            One outcome for each row, with its id, in their order. Else the run fails with a MeasureError.
        """

    def guess(self, sample: ExaminedRows) -> tuple[Json, str] | None:
        """Guesses the options of [task] from the columns of some rows, for `slimgate init`.

        Only tasks that override it take part. The task with the lowest `guess_rank` guesses first, and the
        first guess counts.

        Args:
            sample: the rows, the kind of each column, and what the user stated.

        Returns:
            The options, and the reason in a few words, such as `numbers in "stars"`; None if the rows do not
            look like this task.

        Raises:
            DataError: if they do, but lack something.
        """
        return None

    def quoted_columns(self, params: P) -> tuple[str, ...]:
        """The columns that records and reports quote for a row, at most 160 characters in all.

        Args:
            params: the options of [task], checked.

        Returns:
            Names of columns. The default is `text_columns`; for images, name that of the captions.
        """
        return self.text_columns(params)

    def read_output(
        self,
        params: P,
        output: npt.NDArray[np.float32],
        batch: Arrays,
    ) -> npt.NDArray[Any]:
        """Keeps the part of a batch's scores that `outcomes` needs.

        slimgate calls it for each batch that it predicts, and in calls that are timed from text to answer. A
        task with `answer` predicts by itself. The default keeps all scores. A task that overrides it cannot
        have cascades.

        Args:
            params: the options of [task], checked.
            output: the scores of the batch, as `Predictor.fetch` returned them.
            batch: the inputs of the batch, and the arrays of `Encoded.extra_arrays`.

        Returns:
            (rows of the batch, …). The further axes are the same in all batches, though batches differ in
            their tokens.
        """
        return output
