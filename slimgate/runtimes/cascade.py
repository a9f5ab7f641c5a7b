"""A cascade: the first model answers the rows that it is sure of, and passes the others on to the next.

    [variants.fast]
    cascade = { models = ["one-block", "three-blocks"], threshold = "selection" }

A model is sure of a row if its highest probability reaches its threshold. The probabilities are the softmax
of its scores, divided by its temperature. The last model answers all rows that reach it. The scores of a row
are those of the model that answers it, or in an ensemble the weighted mean of all models that read it.

The artifact holds a copy of each model's artifact, and cascade.json. Each model runs in its own runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from slimgate._system.files import write_atomically
from slimgate._system.json_text import convert_to_tuples
from slimgate.errors import BuildError, MeasureError
from slimgate.plugins.base import Arrays
from slimgate.plugins.loading import load
from slimgate.plugins.models import Macs, Predictor
from slimgate.plugins.params import Table
from slimgate.plugins.runtime import Runtime

KIND = "cascade"
FILE = "cascade.json"

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


class Member(BaseModel):
    """One model of a cascade. folder: the folder of its artifact, relative to that of the cascade.

    runtime, params: its runtime and options, from the suite. temperature: its scores are divided by it.
    threshold: a row with a lower highest probability goes on to the next model; above 1: every row goes on.
    None for the last model.
    inputs: which inputs it reads, by their number from 0; its tokenizer may differ from the first model's.
    weight: the weight of its scores in the answer; the scores so far have 1 - weight. 1: only its scores
    count.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    folder: str
    kind: str
    runtime: str
    params: dict[str, Any]
    temperature: float = 1.0
    threshold: float | None = None
    inputs: int = 0
    weight: float = 1.0


class Cascade(BaseModel):
    """cascade.json: the models in order. packages: versions that the answers depend on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    members: tuple[Member, ...]
    packages: dict[str, str | None] = {}

    def write(self, folder: Path) -> None:
        """Writes cascade.json."""
        write_atomically(folder / FILE, self.model_dump_json(indent=1))


def is_cascade(folder: Path) -> bool:
    """Whether an artifact's folder is a cascade's."""
    return (folder / FILE).is_file()


def read_cascade(folder: Path) -> Cascade:
    """The cascade of an artifact's folder."""
    return Cascade.model_validate_json((folder / FILE).read_bytes())


def list_tokenizer_folders(folder: Path) -> list[Path]:
    """The folders of the models whose tokenizers make the cascade's inputs, in the order of `inputs`."""
    folders: dict[int, Path] = {}
    for member in read_cascade(folder).members:
        folders.setdefault(member.inputs, folder / member.folder)
    return [folders[number] for number in sorted(folders)]


def format_input_name(number: int, name: str) -> str:
    """The name of an array in the cascade's batch, for the inputs of this number."""
    return name if number == 0 else f"{number}.{name}"


def select_inputs(batch: Arrays, number: int) -> Arrays:
    """The arrays of one model in a cascade's batch, under the names that the model expects."""
    if number:
        start = format_input_name(number, "")
        return {name.removeprefix(start): values for name, values in batch.items() if name.startswith(start)}
    return {name: values for name, values in batch.items() if not name.partition(".")[0].isdecimal()}


def compute_confidence(scores: npt.NDArray[np.floating], temperature: float) -> Floats:
    """(rows,) the highest probability of each row. scores: (rows, classes), before the softmax."""
    shifted = scores.astype(np.float64) / temperature
    shifted -= shifted.max(axis=1, keepdims=True)
    highest: Floats = 1.0 / np.exp(shifted).sum(axis=1)
    return highest


def blend_scores(
    blended: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], weight: float
) -> npt.NDArray[np.float32]:
    """(rows, classes) the weighted mean of the scores so far and a model's own, which has `weight`."""
    mean: npt.NDArray[np.float32] = ((1.0 - weight) * blended + weight * scores).astype(np.float32)
    return mean


class Params(Table):
    """runtime = { name = "cascade" } has no options: each model has its own runtime."""


@dataclass(frozen=True)
class _Prepared:
    """A batch, and the same batch as the inputs of each model."""

    batch: Arrays
    by_model: Sequence[object]


class CascadePredictor:
    """A Predictor of all models. A forward call runs only the models that some row reaches."""

    def __init__(self, members: Sequence[Member], predictors: Sequence[Predictor]) -> None:
        self._members, self._predictors = tuple(members), tuple(predictors)
        self._row_counts = np.zeros(len(self._members), dtype=np.int64)

    @property
    def passed_on(self) -> list[float]:
        """The share of the rows so far that reached each model after the first."""
        if not self._row_counts[0]:
            return [0.0] * (len(self._members) - 1)
        return [float(share) for share in self._row_counts[1:] / self._row_counts[0]]

    def forget(self) -> None:
        """Sets the counts of rows to zero."""
        self._row_counts[:] = 0

    def prepare(self, batch: Arrays) -> object:
        """The batch as the tensors of each model, so that a call with one row copies nothing."""
        pairs = zip(self._members, self._predictors, strict=True)
        return _Prepared(
            batch, [predictor.prepare(select_inputs(batch, member.inputs)) for member, predictor in pairs]
        )

    def forward(self, prepared: _Prepared) -> object:
        """(rows, classes) float32 of the models that answered. The next model gets only the unsure rows."""
        return self._run_models(lambda number, rows: self._prepare_rows(number, prepared, rows))

    def answer(self, inputs: Callable[[int, Places | None], Arrays]) -> npt.NDArray[np.float32]:
        """Like `forward`, but makes the inputs of a model only for the rows that reach it.

        inputs(number, places): the arrays of the inputs with that number (Member.inputs), for the rows at
        these places; None: for all.
        """

        def prepare_rows(number: int, places: Places | None) -> object:
            return self._predictors[number].prepare(inputs(self._members[number].inputs, places))

        return self._run_models(prepare_rows)

    def _run_models(self, make_inputs: Callable[[int, Places | None], object]) -> npt.NDArray[np.float32]:
        """(rows, classes) the answers of all rows.

        make_inputs(number, rows): the prepared inputs of one model for these rows; None: for all.
        """
        rows: Places | None = None  # None: all
        answers: npt.NDArray[np.float32] | None = None
        for number, member in enumerate(self._members):
            predictor = self._predictors[number]
            output = predictor.forward(make_inputs(number, rows))
            scores = np.array(predictor.fetch(output), dtype=np.float32)
            self._row_counts[number] += len(scores)
            if answers is not None and member.weight < 1.0:
                scores = blend_scores(answers if rows is None else answers[rows], scores, member.weight)
            if answers is None or rows is None:
                answers, rows = scores, np.arange(len(scores))
            else:
                answers[rows] = scores
            if member.threshold is None:
                break
            if member.threshold > 1.0:  # every row goes on, so confidence need not be computed
                unsure = np.ones(len(scores), dtype=bool)
            else:
                unsure = compute_confidence(scores, member.temperature) < member.threshold
            if not unsure.any():
                break
            rows = None if unsure.all() and len(rows) == len(answers) else rows[unsure]
        assert answers is not None
        return answers

    def _prepare_rows(self, number: int, prepared: _Prepared, rows: Places | None) -> object:
        """The prepared inputs of one model, for some rows of the batch; None: all."""
        if rows is None:
            return prepared.by_model[number]
        inputs = select_inputs(prepared.batch, self._members[number].inputs)
        return self._predictors[number].prepare({name: values[rows] for name, values in inputs.items()})

    def fetch(self, output: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The scores, which are on the host already."""
        return np.asarray(output, dtype=np.float32)

    def close(self) -> None:
        """Frees all models."""
        for predictor in self._predictors:
            predictor.close()


class CascadeRuntime(Runtime[Params]):
    kinds = frozenset({KIND})
    default_for = kinds

    def load(self, folder: Path, params: Params, *, device: str, threads: int) -> CascadePredictor:
        """Loads every model in its own runtime. Each has all `threads`, because only one runs at a time."""
        members = read_cascade(folder).members
        return CascadePredictor(
            members, [load_member(folder, member, device=device, threads=threads) for member in members]
        )

    def count_macs(self, folder: Path, batch: Arrays, *, device: str) -> Macs:
        """Raises MeasureError, because the count differs from row to row."""
        raise MeasureError("the operations of a cascade depend on the row")


runtime = CascadeRuntime()


def load_member(folder: Path, member: Member, *, device: str, threads: int) -> Predictor:
    """Loads one model of a cascade. Raises BuildError or MissingExtra with the model's name."""
    plugin = load("runtime", member.runtime)
    options = plugin.Params.model_validate(convert_to_tuples(member.params))
    try:
        predictor: Predictor = plugin.load(folder / member.folder, options, device=device, threads=threads)
    except BuildError as error:
        raise type(error)(f"{member.name}: {error}") from error
    return predictor
