"""The base classes of plug-ins: Source, Task, Step, Runtime. A metric's form is in judge/metrics/base.py.

A plug-in is a class with a table of options, and an instance of it by the name of its kind:

    class Params(Table):
        digits: int = 3

    class RoundWeights(Step[Params]):
        claims = ("smaller",)

        def apply(self, model, params, context): ...

    step = RoundWeights()

What has a default here need not be declared. The file is light at its top (Params, constants) and imports
torch, transformers or datasets inside its functions, because suites are validated, and tests collected,
without loading them.
"""

from __future__ import annotations

import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel

from slimgate.errors import BuildError, DataError, MeasureError
from slimgate.outcomes import Outcomes

if TYPE_CHECKING:
    from slimgate.data.guess_input import FoundRows

Arrays = Mapping[str, npt.NDArray[Any]]
Json = dict[str, Any]
P = TypeVar("P", bound=BaseModel)
UNLABELLED, CALIBRATION, CONFIRM, GATE = "unlabelled", "calibration", "confirm", "gate"
# The splits that every suite has.
SPLITS = ("train", CALIBRATION, "selection", GATE)
# No step reads rows of these.
JUDGING = (CONFIRM, GATE)
# The order in which a row belongs to the later of two splits. The gate is the last, so that its rows are the
# same with and without a split confirm.
DRAWN = (UNLABELLED, "train", CALIBRATION, "selection", CONFIRM, GATE)
# An input of a call that is to write text: (1,) int64, so many tokens to each row, greedily and past any end.
NEW_TOKENS = "new_tokens"
# What a step may promise of its result; slimgate/run/claims.py holds the result against it.
CLAIMS = ("smaller", "fewer_parameters", "sparser", "faster")


class WithParams(ABC, Generic[P]):
    """What has a table of options: the type in brackets, or a class `Params` inside of the class."""

    Params: type[P]

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for base in cls.__dict__.get("__orig_bases__", ()):
            for parameter in get_args(base):
                table = parameter.__bound__ if isinstance(parameter, TypeVar) else parameter
                if isinstance(table, type) and issubclass(table, BaseModel):
                    cls.Params = table  # type: ignore[assignment]


class Source(WithParams[P]):
    """Where rows come from."""

    @abstractmethod
    def columns(self, params: P) -> tuple[str, ...] | None:
        """Names of the columns, read without loading the rows; None where only `read` can tell."""

    def parts(self, params: P) -> tuple[str, ...]:
        """The source's own named splits: ("all",), or some of train, calibration, selection, gate,
        confirm.
        """
        return ("all",)

    @abstractmethod
    def is_real(self, params: P) -> bool:
        """True where people wrote the rows for a purpose of their own, False where they were made up."""

    @abstractmethod
    def digest(self, params: P) -> str:
        """Changes whenever the rows would: a digest of the files' bytes, of a commit, of versions."""

    @abstractmethod
    def read(self, params: P, *, scratch: Path) -> Mapping[str, pa.Table]:
        """The rows of every part. `scratch` is an empty folder for caches. Raises DataError."""


# The parts that are timed by themselves. Of writing an answer: until the first token, and each later token.
# Of a forward pass: end to end, from the text of the rows to their answers, tokenizing included.
Phase = Literal["ttft", "tpot", "e2e"]
TTFT: Phase = "ttft"
TPOT: Phase = "tpot"
END_TO_END: Phase = "e2e"
# What is timed of a model: one forward pass, one from text to answer, a whole answer that is written, or a
# phase of it.
TimedPart = Literal["forward", "answer", "ttft", "tpot", "e2e"]


@dataclass(frozen=True)
class Workload:
    """What one timed call predicts: `batch` gate rows, padded or cut to `tokens`, or of their own lengths.

    With prompt_tokens and new_tokens it writes an answer of exactly new_tokens to prompts of exactly
    prompt_tokens. phase: the part of that which is timed; None: all of it. phase END_TO_END: what is timed
    begins with the rows' text, where it else begins with prepared tensors.
    """

    batch: int
    tokens: int | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    phase: Phase | None = None

    @property
    def id(self) -> str:
        """b32x64 and b32x64-e2e; p128n64b1, p128n64b1-ttft and p128n64b1-tpot of a workload that writes."""
        shape = f"b{self.batch}" + (f"x{self.tokens}" if self.tokens else "")
        if self.prompt_tokens is not None:
            shape = f"p{self.prompt_tokens}n{self.new_tokens}b{self.batch}"
        return f"{shape}-{self.phase}" if self.phase else shape

    @property
    def writes(self) -> bool:
        """Whether the model writes an answer."""
        return self.new_tokens is not None

    @property
    def part(self) -> TimedPart:
        """What is timed."""
        return self.phase or ("answer" if self.writes else "forward")

    @property
    def steps(self) -> int:
        """By how many a call's time is divided: the tokens after the first for the time per output token."""
        return self.new_tokens - 1 if self.phase == TPOT and self.new_tokens else 1

    @property
    def tokens_per_call(self) -> int | None:
        """The tokens that the timed part writes divided by `steps`; None where it says no rate of tokens."""
        if self.new_tokens is None or self.phase == TTFT:
            return None
        return self.batch if self.phase == TPOT else self.batch * self.new_tokens


@dataclass(frozen=True)
class ModelRef:
    """Where weights come from: a local folder, or a hub id with the commit it must have.

    fresh: the folder has a config.json and no weights; the model starts from random ones
    (slimgate/models/pretrained.py). kind: of the artifact that the files are: torch, or the graph of a folder
    (slimgate/models/model_ref.py).
    new_head: of a variant. False: it is judged as its files are, so they must hold the head and every
    weight, and nothing that is not used; True: the task makes a new head. None, of the teacher, which has to
    learn the task: a new head where the files hold none. looked_for: of a hub id, the folder of that name,
    which there is not. file: the one of a GGUF model in its folder. dtype: that the suite asks for; None: the
    one in which the weights are stored. stored: of weights that are quantized already, how
    (quantized_files.Quantized.facts).
    """

    text: str
    folder: Path | None = None
    hub_id: str | None = None
    revision: str | None = None
    sha256: str | None = None
    fresh: bool = False
    kind: str = "torch"
    new_head: bool | None = None
    looked_for: Path | None = field(default=None, compare=False)
    file: str | None = None
    dtype: str | None = None
    stored: Json | None = field(default=None, compare=False)


class Predictor(Protocol):
    """A loaded artifact: arrays in, scores out. `forward` alone is what latency times.

    A batch with NEW_TOKENS asks for text, of models that write it: (rows, tokens) ids instead of scores.
    """

    def prepare(self, batch: Arrays) -> object:
        """The runtime's own tensors for one batch, on its device."""

    def forward(self, prepared: object) -> object:
        """One call of the model, finished when it returns (devices synchronised)."""

    def fetch(self, output: object) -> npt.NDArray[np.float32]:
        """The scores of a call: (rows, outputs), or (rows, tokens, outputs), float32."""

    def close(self) -> None:
        """Frees memory."""


@runtime_checkable
class TimedWriter(Protocol):
    """A predictor that writes greedily with a key-value cache, in two calls, so that each can be timed.

    Both are finished when they return. Each state is decoded once at most, and before the next prefill.
    """

    def prefill(self, prepared: Any) -> Any:
        """The state after the first new token. prepared: of a batch with NEW_TOKENS."""

    def decode(self, state: Any) -> Any:
        """The other new tokens; end tokens end nothing. (rows, new tokens) ids, the first one included."""

    def cache_bytes(self, state: Any) -> int:
        """Bytes that the key-value cache of a state takes now."""


@dataclass(frozen=True)
class Compared:
    """A loaded model with the gate rows as its inputs and its outcomes, for what takes two models at once."""

    predictor: Predictor
    encoded: Encoded
    folder: Path
    device: str
    outcomes: Outcomes | None = None


@dataclass(frozen=True)
class Form:
    """The folder that `slimgate export` writes for a runtime's library, and how a program uses it.

    name: of --format, and the hub's library_name; of a graph also the kind of its artifacts. package: what
    pip installs. imports, load, predict: lines of Python: `model` or a session from the folder ".", then
    `scores` of `texts` by `tokenizer`, as an array; {auto} is transformers' Auto class, {prefix} an argument
    with the tokens that every answer begins with. tail: lines that print, in place of the task's own.
    own_config: config.json is the library's, so that transformers' is not written.
    files: of a graph, that of the first name tells the kind of a folder; optional: those that may be missing.
    takes: the kinds of PyTorch model that `Runtime.export` makes it of; needs: the packages that this takes.
    of_decoders: the lines for a model without an encoder, where they differ.
    """

    name: str
    package: str
    imports: str
    load: str
    predict: str
    tail: str = ""
    own_config: bool = False
    files: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    needs: tuple[str, ...] = ()
    of_decoders: Form | None = None


@dataclass(frozen=True)
class Macs:
    """Multiply-adds of one call. by_type: how many of each number type of the factors, such as int8."""

    by_type: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.by_type.values())


class Runtime(WithParams[P]):
    """What executes artifacts of the kinds that it names.

    default_for: the kinds that it executes where the suite names no runtime; packages: those whose versions
    its answers depend on; any_processor: the kinds whose answers are the same on every processor, but for the
    rounding of float32. The answers of all other kinds are stored for the processor that computed them.
    load_model(folder, device): the model of a kind in default_for, for a step to start from; None: no step
    can. form: how `slimgate export` writes it; None: it is refused. export(model, batches, folder): writes
    that form of a TorchModel, and gives the model that was written; batches: two
    examples of its inputs, of unlike shapes. copy(artifact, folder): writes that form of an artifact's
    folder; None: the form's files are copied. counts_macs: whether it has a `count_macs` of its own.
    times_writing: whether its predictors are TimedWriters, so that workloads with new_tokens can be timed.
    """

    kinds: frozenset[str]
    default_for: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()
    any_processor: frozenset[str] = frozenset()
    counts_macs: bool = False
    times_writing: bool = False
    form: Form | None = None
    load_model: Callable[[Path, str], Any] | None = None
    export: Callable[[Any, tuple[Arrays, Arrays], Path], Any] | None = None
    copy: Callable[[Path, Path], None] | None = None

    @abstractmethod
    def load(self, folder: Path, params: P, *, device: str, threads: int) -> Predictor:
        """The artifact of that folder, ready to predict. Raises BuildError or MissingExtra."""

    def count_macs(self, folder: Path, batch: Arrays, *, device: str) -> Macs:
        """Multiply-adds of the matrix products, convolutions and attention of one call.

        Raises MeasureError if they are not known.
        """
        raise MeasureError(f"what the programs of runtime {type(self).__name__} compute is not counted")

    def open_model(self, model: Any, context: BuildContext) -> Predictor:
        """A model of a kind in default_for that a step has made, ready to predict."""
        raise BuildError(f"{type(self).__name__} predicts from files only")


@dataclass(frozen=True)
class Rows:
    """Rows as a task reads them: (rows,) ids beside the source's columns. Never the gate's in a build."""

    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def ids(self) -> list[str]:
        return list(self.table["id"].to_pylist())


def row_groups(rows: Rows, column: str | None) -> npt.NDArray[np.int64] | None:
    """(rows,) numbers that are equal where the column's values are; None without a column."""
    if column is None:
        return None
    values = rows.table[column].to_numpy(zero_copy_only=False).astype(str)
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


# What is timed of a request: all of it, until the first token, and from one token to the next.
LoadPart = Literal["answer", "ttft", "tpot"]
LOAD_PARTS: tuple[LoadPart, ...] = ("answer", "ttft", "tpot")


@dataclass(frozen=True)
class ServiceLevel:
    """The most milliseconds that a request may take: until the first token, from one token to the next, until
    the answer is complete. None: no limit."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    e2el_ms: float | None = None


@dataclass(frozen=True)
class Load:
    """What a server bears: `concurrency` users who wait for their answers, or requests at a rate a second.

    requests: of one turn of a model; blocks: turns of each. level: what a request that counts as good meets.
    """

    concurrency: int | None
    request_rate: float | None
    requests: int
    blocks: int
    part: LoadPart = "answer"
    level: ServiceLevel | None = None

    @property
    def id(self) -> str:
        """c8 or r2.5, with -ttft and -tpot for its parts."""
        how = f"c{self.concurrency}" if self.request_rate is None else f"r{self.request_rate:g}"
        return how if self.part == "answer" else f"{how}-{self.part}"


Progress = Callable[[str, int, int], None]


def no_progress(task: str, done: int, total: int) -> None:
    """The progress of somebody who does not watch."""


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


@dataclass(frozen=True)
class TaskFacts:
    """What a task learnt from the rows and every model of a suite shares."""

    classes: tuple[str, ...]


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


class Encoded(Protocol):
    """Tokenised rows, from which batches are cut.

    An encoded row may be part of a row, as a window of a long document is: `row_of` then says of which, in
    rising order, and the scores of a row's parts add up. It may have tokens: int, those of all
    rows, where that is not the sum of `lengths`; and timed_batch(positions, tokens), the inputs of a call
    that is timed, where that is not one forward pass of `batch`.
    """

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each row: (rows,)."""

    @property
    def row_of(self) -> npt.NDArray[np.int64] | None:
        """(encoded rows,) the row that each is a part of; None where they are the rows."""

    def take(self, positions: Sequence[int]) -> Encoded:
        """Some of the rows, in that order."""

    def join(self, more: Any) -> Encoded:
        """These rows and more of the same kind behind them."""

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """What is known of the rows beside their inputs, such as which tokens count; often nothing."""

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """Inputs of the given rows, padded to the longest of them, or padded and cut to `tokens`."""


Fill = Callable[[Path], Json]
Share = Callable[[str, Json, Fill], tuple[Path, bool]]


def adds_no_rows(_texts: Sequence[str]) -> list[bool]:
    """What a step gets that did not say that it adds rows."""
    raise DataError(
        "a build step asked which texts are held out; a step that adds rows says so by adds_rows(params)"
    )


@dataclass(frozen=True)
class MoreTeacher:
    """A model that a step learns from beside `load_teacher`'s: load gives it, share is a BuildContext's."""

    load: Callable[[], Any]
    share: Share | None = None


@dataclass
class BuildContext:
    """What a step may use. Rows of gate and confirm are not here: reading them while building is an error.

    load_teacher: the model that the step learns from; more_teachers: those that it learns from beside it.
    stands_later: which of the texts (as collapsed_texts of parts.py has them) stand in calibration,
    selection, confirm or gate, so that a step adds no row that is held out. share: how `shared_folder` keeps
    things, where there is a store. kept: files to keep beside the artifact that are no part of it, such as
    the log of another program.
    """

    task: Any
    task_params: Any
    facts: TaskFacts
    splits: Mapping[str, Rows]
    load_teacher: Callable[[], Any]
    seed: int
    device: str
    threads: int
    scratch: Path
    progress: Progress = no_progress
    stands_later: Callable[[Sequence[str]], list[bool]] = adds_no_rows
    share: Share | None = None
    more_teachers: tuple[MoreTeacher, ...] = ()
    log: Json = field(default_factory=dict)
    kept: list[Path] = field(default_factory=list)

    def rows(self, split: str) -> Rows:
        """The rows of train, calibration, selection or unlabelled (which have no label column).

        Raises DataError for gate, for confirm and for empty splits.
        """
        if split in JUDGING:
            raise DataError(
                f"a build step asked for {split} rows: they only judge; use calibration or selection"
            )
        rows = self.splits.get(split)
        if rows is None or not len(rows):
            raise DataError(
                f"a build step needs rows of split {split}, which has none; give [task] splits.{split}"
            )
        return rows

    @contextmanager
    def time_stage(self, stage: str) -> Iterator[None]:
        """Adds the block's seconds to `log["seconds"][stage]`, without those of stages inside it.

        Stages: load, tokenise, teacher, train, evaluate, save; a step may have others.
        """
        spent: dict[str, float] = self.log.setdefault("seconds", {})
        start, other_seconds = time.perf_counter(), sum(spent.values())
        try:
            yield
        finally:
            own_seconds = time.perf_counter() - start - (sum(spent.values()) - other_seconds)
            spent[stage] = round(spent.get(stage, 0.0) + max(own_seconds, 0.0), 3)

    def of_more_teachers(self) -> tuple[BuildContext, ...]:
        """For each of more_teachers a context that is this one, but that it is the teacher there."""
        return tuple(
            replace(self, load_teacher=teacher.load, share=teacher.share, more_teachers=())
            for teacher in self.more_teachers
        )

    def shared_folder(self, kind: str, key: Json, fill: Fill) -> tuple[Path, bool]:
        """A folder that fill(folder) has filled, and whether it was there before; its files are only read.

        All steps that learn from the same teacher and give the same key share it; fill gives what its
        manifest says. key: what it depends on beside the teacher, the task, and the code of the module that
        `fill` is in. Without a store it is the step's own.
        """
        if self.share is not None:
            return self.share(kind, key, fill)
        folder = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=self.scratch))
        fill(folder)
        return folder, False


class Step(WithParams[P]):
    """One compression step.

    takes: kinds of artifact it can start from; gives: the kind it leaves, or None for the same.
    reads: the splits it uses; uses_teacher: whether it needs the suite's teacher; stochastic: whether
    another seed gives another model; packages: whose versions its result depends on. All of them are part of
    the store's key. claims: what it promises of the model that it leaves (slimgate/run/claims.py). changes:
    the parts of a transformer that it changes as a whole: a model whose family does not allow that is refused
    (slimgate/models/families.py). code_modules: further modules whose code belongs to the key.
    restore(network, spec): makes the change that it noted to an empty network, before the weights are read;
    None: what `replace_modules_` noted.
    """

    takes: frozenset[str] = frozenset({"torch"})
    gives: str | None = None
    reads: tuple[str, ...] = ()
    uses_teacher: bool = False
    stochastic: bool = False
    packages: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    code_modules: tuple[str, ...] = ()
    restore: Callable[[Any, Json], None] | None = None

    @abstractmethod
    def apply(self, model: Any, params: P, context: BuildContext) -> Any:
        """The model after the step (it may be the same object, changed); what it did goes in context.log."""

    def resolve(self, params: P) -> Step[Any]:
        """The step that these options make, where what it reads and gives depends on them."""
        return self

    def check(self, params: P, config: Json) -> Json:
        """What the step makes of a config.json, before any model is loaded. Raises SuiteError."""
        return config

    def learns_from(self, params: P) -> str:
        """The model it learns from: "teacher", "self" for the model before the step, or a variant."""
        return "teacher"

    def also_learns_from(self, params: P) -> tuple[str, ...]:
        """Further ones, by the same names, which context.of_more_teachers() gives."""
        return ()

    def also_reads(self, params: P) -> tuple[str, ...]:
        """The splits that these options have it read beside `reads`, such as unlabelled."""
        return ()

    def does_without(self, params: P) -> tuple[str, ...]:
        """Those of `reads` that may be empty with these options.

        A suite without calibration rows is refused before any model loads, where a step needs them.
        """
        return ()

    def row_files(self, params: P) -> tuple[Path, ...]:
        """Files of rows that it reads beside the splits; their contents belong to the key."""
        return ()

    def adds_rows(self, params: P) -> bool:
        """Whether it trains on other rows than those of the splits.

        Then it must ask context.stands_later, and the later splits belong to the key.
        """
        return False

    def functions(self, params: P) -> tuple[str, ...]:
        """A user's own functions that it calls, by dotted path; their code belongs to the key."""
        return ()

    def environment(self, params: P) -> Json:
        """What outside of slimgate the result depends on, such as the digest of a script: part of the key."""
        return {}

    def by_processor(self, params: P) -> bool:
        """Whether what it makes depends on the processor: machine code, or a choice by int8 answers."""
        return False


def iter_batches(order: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Consecutive runs of `size` positions; the last may be shorter."""
    for start in range(0, len(order), size):
        yield order[start : start + size]
