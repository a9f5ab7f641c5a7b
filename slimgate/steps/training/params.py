"""Options of training steps: of all, of those that learn from a teacher, and of rows without labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, PlainSerializer, Strict, WithJsonSchema, model_validator

from slimgate.data.row_files import SUFFIXES, RowFile, describe_unknown_suffix
from slimgate.errors import BuildError
from slimgate.plugins.params import VARIANT_NAME, SuitePath, Table
from slimgate.plugins.rows import UNLABELLED
from slimgate.plugins.step import Step

Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Strict(False), Field(min_length=1)]


class TrainingParams(Table):
    """Options of training, with the names and meanings of transformers."""

    epochs: int = Field(default=1, ge=1, le=1000)
    """Number of passes over all training rows."""
    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    """Highest learning rate of AdamW; after the warm-up, the learning rate falls linearly to 0."""
    batch_size: int = Field(default=32, ge=1)
    """Number of rows in a training step."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Weight decay of AdamW."""
    warmup_ratio: float = Field(default=0.06, ge=0, le=1)
    """Share of the training steps, at the beginning, in which the learning rate rises (warm-up)."""
    keep_best: bool = True
    """Keep the epoch with the best metric on `selection`; false keeps the last epoch."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout rate, during training, of every layer that has dropout; default: the model's own rates."""
    layer_drop: float = Field(default=0.0, ge=0, lt=1)
    """Probability that a forward pass skips a block during training (Fan et al. 2020)."""
    freeze_embeddings: bool = False
    """Do not train the embeddings, which saves their gradients and optimizer state."""
    freeze_layers: int = Field(default=0, ge=0)
    """Number of blocks, from the first, that are not trained."""
    processes: int = Field(default=1, ge=1, le=256)
    """Number of CPU processes that share each batch and the suite's threads. The result equals that of one
    process, up to rounding. More than one process is not possible with losses that compare tokens inside the
    models."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the computation: "auto" uses bfloat16 if the machine supports it natively, else
    float32. For a teacher's answers that are stored before training, "auto" uses bfloat16 only if a sample
    of the answers agrees with float32."""

    @model_validator(mode="after")
    def _check_batch_size(self) -> Self:
        if self.batch_size < self.processes:
            raise ValueError(
                f"processes = {self.processes} cannot share batches of {self.batch_size} rows; raise "
                "batch_size"
            )
        return self


class AnswerParams(TrainingParams):
    """Options of training on a teacher's answers and the labels."""

    alpha: float = Field(default=0.5, ge=0, le=1)
    """Weight of the labels in the loss; 1 - alpha is the weight of the teacher's answers."""
    temperature: float = Field(default=2.0, gt=0)
    """Divides the logits of both models before they are compared; more than 1 softens the answers."""
    mse_weight: float = Field(default=0.0, ge=0)
    """Weight in the loss of the mean squared error of the logits, or of the embeddings."""
    hidden_weight: float = Field(default=0.0, ge=0)
    """Weight in the loss of the hidden states' error."""


class LoraParams(TrainingParams):
    """Options of training adapters, in the terms of Hu et al. 2022 and of peft."""

    epochs: int = Field(default=3, ge=1, le=1000)
    learning_rate: float = Field(default=1e-3, gt=0, lt=1)
    r: int = Field(default=8, ge=1)
    """Rank of the adapters."""
    alpha: float = Field(default=16.0, gt=0)
    """Scale of the adapters: an adapter's output is multiplied by alpha / r."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout rate of the adapters' inputs; if an adapter of a pruned layer is to be merged, it has no
    dropout."""
    targets: Literal["attention", "linear"] | Names = "linear"
    """Layers with adapters: "attention" (query, key, value and output), "linear" (these and the feed-forward
    layers), or a list of endings of layer names."""
    merge: bool = True
    """true: merge the adapters into the weights after training, so that the model is as large and as fast as
    before."""
    train_head: bool = True
    """true: also train all weights of the layer that gives the logits."""

    def for_training(self) -> LoraParams:
        """The options for `train`, in which dropout is that of the model's own layers."""
        return self.model_copy(update={"dropout": None})


class Generate(Table):
    """Rows that the teacher, a causal language model, writes after the first tokens of train rows."""

    rows: int = Field(default=2000, ge=1)
    """Number of rows that the teacher writes."""
    tokens: int = Field(default=50, ge=1)
    """Largest number of new tokens in a row."""
    prompt_tokens: int = Field(default=4, ge=0)
    """Number of tokens at the beginning of a train row that the teacher continues; 0: only the start
    token."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature; a higher temperature makes the text more varied."""
    top_k: int = Field(default=50, ge=0)
    """Number of most likely tokens from which each token is drawn; 0: the whole vocabulary."""


def _make_tuple(value: object) -> object:
    return (value,) if isinstance(value, str | Path) else value


def _list_file_names(paths: Sequence[Path]) -> list[str]:
    """File names without folders, which differ between machines; the store's key has their digests."""
    return [path.name for path in paths]


TransferFiles = Annotated[
    tuple[SuitePath, ...],
    BeforeValidator(_make_tuple),
    PlainSerializer(_list_file_names),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    ),
]
Share = Annotated[float, Field(ge=0, lt=1)]


class Augment(Table):
    """Changed copies of rows; each word of a copy is changed with these chances, one after another."""

    copies: int = Field(default=1, ge=1, le=100)
    """Number of copies, with changed words, of each row."""
    word_dropout: Share = 0.0
    """Probability that a word is left out (Wei & Zou 2019, EDA)."""
    word_swap: Share = 0.0
    """Probability that a word changes places with another word of the row (Wei & Zou 2019, EDA)."""
    word_mask: Share = 0.0
    """Probability that a word is replaced by the tokenizer's mask token (Tang et al. 2019)."""
    word_replace: Share = 0.0
    """Probability that a word is replaced by another word of the train rows, drawn by frequency (Xie et al.
    2020, UDA)."""
    translator: str | None = None
    """Your own function, "package.module:function", from a list of texts to a list of the same length, such
    as a translation to another language and back (Sennrich et al. 2016; Xie et al. 2020). The function gets
    the unchanged train texts and adds one copy of each text."""
    unlabelled: bool = False
    """true: also copy and translate the rows of the split unlabelled; word_replace then also uses the words
    of these rows."""

    @property
    def changes_words(self) -> bool:
        """Whether a word of a copy has any chance to change."""
        return bool(self.word_dropout or self.word_swap or self.word_mask or self.word_replace)

    @model_validator(mode="after")
    def _check_changes(self) -> Augment:
        if not (self.changes_words or self.translator):
            raise ValueError(
                "expected a chance above 0 of word_dropout, word_swap, word_mask or word_replace, "
                "as in { copies = 2, word_dropout = 0.1 }, or a translator"
            )
        if "copies" in self.model_fields_set and not self.changes_words:
            raise ValueError(
                "copies is the number of copies with changed words; a translator gives one copy of each row"
            )
        return self


class TransferParams(Table):
    """Rows to learn from in addition to `train`, or instead of it."""

    transfer: TransferFiles = ()
    """Files of rows without labels, with the task's text columns."""
    augment: Augment | None = None
    """Changed copies of rows, as further rows to learn from."""
    unlabelled: bool = False
    """Also learn from the split unlabelled, whose size is `[task] splits.unlabelled`."""
    generate: Generate | None = None
    """Further rows, which the teacher writes if the teacher is a causal language model (Kim & Rush 2016)."""
    only_transfer: bool = False
    """true: learn only from the rows that transfer, augment, unlabelled or generate adds, not from
    `train`."""

    @model_validator(mode="after")
    def _check_suffixes(self) -> TransferParams:
        for path in self.transfer:
            if problem := describe_unknown_suffix(path):
                raise ValueError(problem)
        return self

    @property
    def adds_rows(self) -> bool:
        """Whether there are rows in addition to the train split's."""
        return bool(self.transfer or self.augment or self.unlabelled or self.generate)

    @model_validator(mode="after")
    def _check_rows(self) -> TransferParams:
        if self.only_transfer and not self.adds_rows:
            raise ValueError("only_transfer leaves no rows: give transfer, unlabelled, augment or generate")
        return self


def make_row_file(path: Path) -> RowFile:
    """How a transfer file is read: by its suffix, as UTF-8."""
    return RowFile(path=path, format=SUFFIXES[path.suffix.lower()])


def choose_text_columns(columns: Sequence[str], chosen: Sequence[str], path: Path) -> dict[str, str]:
    """The task's text column -> the file's. Lines of text serve a task of one text column.

    Raises ValueError for a column that the file does not have.
    """
    if SUFFIXES[path.suffix.lower()] == "text" and len(chosen) == 1:
        return {chosen[0]: "text"}
    for name in chosen:
        if name not in columns:
            raise ValueError(f'{path.name} has no column "{name}"; it has {", ".join(columns)}')
    return {name: name for name in chosen}


LayerMapping = Literal["even", "last"] | tuple[Annotated[int, Field(ge=0, strict=True)], ...]


def map_layers(student: int, teacher: int, mapping: LayerMapping = "even") -> list[int]:
    """For each student block, the number of the teacher block it learns from.

    "even": spread evenly, the last from the last (Jiao et al. 2020); "last": the teacher's last ones (Sun et
    al. 2019, PKD-Last); a list has a number for each block. Raises BuildError for a list that does not fit.
    """
    if mapping == "even":
        return [max(0, (2 * (i + 1) * teacher + student) // (2 * student) - 1) for i in range(student)]
    if mapping == "last":
        return [max(0, teacher - student + i) for i in range(student)]
    if len(mapping) != student or max(mapping) >= teacher:
        raise BuildError(
            f"layer_mapping {list(mapping)} was given, expected one block of the teacher (0 to "
            f"{teacher - 1}) for each of the student's {student} blocks"
        )
    return [int(number) for number in mapping]


class InnerParams(AnswerParams):
    """The teacher of the step, and what is compared inside the models; matching.py says how."""

    teacher: str = Field(default="teacher", pattern=VARIANT_NAME)
    """The model to learn from: "teacher" (the suite's), "self" (the model before the step), or a variant."""
    hidden_loss: Literal["mse", "cosine"] = "mse"
    """Error of the hidden states: the mean squared error ("mse"), or 1 - cosine similarity ("cosine")."""
    attention_weight: float = Field(default=0.0, ge=0)
    """Weight in the loss of the attention scores' error; both models need the same number of heads."""
    relation_weight: float = Field(default=0.0, ge=0)
    """Weight in the loss of the divergence between both models' relations among queries, keys and values
    (MiniLMv2), in the last block."""
    relation_heads: int | None = Field(default=None, ge=1)
    """Number of parts that the width is divided into for relations; default: the teacher's attention
    heads."""
    relation_block: int | None = Field(default=None, ge=0)
    """Index (from 0) of the teacher's block whose relations the student learns; default: the last."""
    layer_mapping: LayerMapping = "even"
    """The teacher's block for each block of the student: "even" spreads the teacher's blocks evenly, "last"
    uses the teacher's last blocks, or give a list of indices (from 0)."""
    projection_learning_rate: float | None = Field(default=None, gt=0, lt=1)
    """Learning rate of the projection between hidden states of different widths; default: learning_rate."""
    stored_logits: bool | None = None
    """true computes the teacher's logits once before training, false in each training step. Default: true,
    unless the loss compares something inside the models, or logits of tokens need more than 1 GB."""


class OneTeacherParams(InnerParams, TransferParams):
    """Options of learning from one teacher, and of the rows for it."""


T = TypeVar("T", bound=InnerParams)
D = TypeVar("D", bound=OneTeacherParams)


class TaughtStep(Step[T]):
    """A step that learns from a teacher, on the rows of train."""

    reads: tuple[str, ...] = ("train", "selection")
    uses_teacher = True
    stochastic = True

    def learns_from(self, params: T) -> str:
        """The model that the step learns from."""
        return params.teacher


class DistillationStep(TaughtStep[D]):
    """A step that learns from a teacher, on the rows of train and on those of a transfer set."""

    def adds_rows(self, params: D) -> bool:
        """Whether there are rows in addition to the train split's."""
        return params.adds_rows

    def row_files(self, params: D) -> tuple[Path, ...]:
        """The files of unlabelled rows."""
        return params.transfer

    def also_reads(self, params: D) -> tuple[str, ...]:
        """The split that only some options read."""
        copied = params.augment is not None and params.augment.unlabelled
        return (UNLABELLED,) if params.unlabelled or copied else ()

    def functions(self, params: D) -> tuple[str, ...]:
        """The user's own function that translates."""
        name = None if params.augment is None else params.augment.translator
        return () if name is None else (name,)
