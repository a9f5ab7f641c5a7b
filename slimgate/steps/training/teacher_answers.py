"""A teacher's answers to training rows: computed once, for every student that learns from it.

    answers = compute_teacher_answers(teacher, encoded, targets, objective, context)
    answers.select_answers([3, 0])      # (answers, outputs) float32 of those rows, one row after another

Answers are computed longest rows first, in batches of 64, in the format that models/precision.py finds for
the step's option `precision`. They are stored under the digests of the teacher and of its exact inputs, so
other rows, tokenizers, transfer sets or cuts never get them. Students of any kind and seed share them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from slimgate._system.files import allocate_space
from slimgate.models.precision import choose_answer_precision, in_precision, resolve_precision
from slimgate.plugins.base import Json, iter_batches
from slimgate.plugins.context import BuildContext
from slimgate.plugins.rows import Encoded
from slimgate.runtimes.eager import EagerPredictor
from slimgate.tasks.parts.objectives import Objective, Targets

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel

KIND = "teacher_answers"
# What a line of progress says.
PROGRESS = "first, the teacher's answers"
BATCH_SIZE = 64
# For answers that are tokens (rows · tokens · vocabulary · 4 bytes): more are computed in each training step.
MOST_BYTES = 2**30
_FILE = "answers.npy"
COMPUTED, TAKEN = "computed once, read by memory map", "taken from the store, read by memory map"


@dataclass(frozen=True, eq=False)
class TeacherAnswers:
    """The teacher's answers to rows; a row may have several.

    values: (answers, outputs), the answers of a row one after the other. starts: (rows + 1,) the position of
    the first answer of each row. source: their origin, for the log.
    """

    values: npt.NDArray[np.float32]
    starts: npt.NDArray[np.int64]
    source: str = "given"

    @classmethod
    def one_a_row(cls, values: npt.NDArray[np.float32]) -> TeacherAnswers:
        """TeacherAnswers with one answer per row. values: (rows, outputs)."""
        return cls(values, np.arange(len(values) + 1))

    def select_answers(self, positions: Sequence[int]) -> npt.NDArray[np.float32]:
        """The answers of some rows, in that order."""
        return np.concatenate([self.values[self.starts[i] : self.starts[i + 1]] for i in positions])


def count_stored_bytes(
    teacher: TorchModel, encoded: Encoded, targets: Targets, objective: Objective, device: str
) -> int:
    """The bytes of all answers. Runs the teacher on the shortest row, to see its outputs."""
    shortest = [int(np.argmin(encoded.lengths))]
    output = _predict_batch(EagerPredictor(teacher.network.eval(), device), encoded, shortest)
    flat, _ = objective.flat(output, _make_target_tensor(targets, shortest))
    return int(_compute_starts(targets, objective)[-1] * np.prod(flat.shape[1:]) * 4)


def compute_teacher_answers(
    teacher: TorchModel,
    encoded: Encoded,
    targets: Targets | None,
    objective: Objective,
    context: BuildContext,
    *,
    precision: str = "auto",
) -> TeacherAnswers:
    """The teacher's answers on every row, by memory map, never all of them in memory.

    encoded: the rows as the teacher reads them. targets: for tokens they say which count; unused for rows.
    precision: the step's option.
    The seconds of computing or finding them are logged as "teacher".
    """
    order = np.argsort(-encoded.lengths, kind="stable").tolist()
    counted = None if objective.by_row else targets
    starts = np.arange(len(order) + 1) if counted is None else _compute_starts(counted, objective)
    rows = _AskedRows(encoded, objective, counted, starts, order)

    def fill(folder: Path) -> Json:
        used = _write_answers(folder / _FILE, teacher, rows, context, precision)
        return {"rows": len(order), "answers": int(starts[-1]), "precision": used}

    resolved = resolve_precision(precision, context.device)
    with context.time_stage("teacher"):
        key = {
            "inputs": _digest_inputs(rows),
            "precision": precision if resolved == "bfloat16" else resolved,  # "auto" may fall back
        }
        folder, content = context.shared_folder(KIND, key, fill)
    values: npt.NDArray[np.float32] = np.load(folder / _FILE, mmap_mode="r", allow_pickle=False)
    return TeacherAnswers(values, starts, TAKEN if content else COMPUTED)


@dataclass(frozen=True, eq=False)
class _AskedRows:
    """Rows as the teacher reads them, and which of its answers count.

    targets: the labels, if an answer is a token; they say which tokens count. starts: as in
    TeacherAnswers. order: the rows in the order in which they are computed.
    """

    encoded: Encoded
    objective: Objective
    targets: Targets | None
    starts: npt.NDArray[np.int64]
    order: list[int]


def _write_answers(
    path: Path, teacher: TorchModel, rows: _AskedRows, context: BuildContext, setting: str
) -> str:
    """Writes the answers; returns the format in which they were computed. setting: the option `precision`."""
    predictor = EagerPredictor(teacher.network.eval(), context.device)

    def answer(positions: Sequence[int]) -> torch.Tensor:
        return _predict_batch(predictor, rows.encoded, positions)

    precision = choose_answer_precision(setting, teacher.network, answer, rows.order, context.device)
    written: npt.NDArray[np.float32] | None = None
    done = 0
    for positions in iter_batches(rows.order, BATCH_SIZE):
        with in_precision(precision, context.device):
            output = answer(positions)
        labels = None if rows.targets is None else _make_target_tensor(rows.targets, positions)
        for i, position in enumerate(positions):
            row = output[i : i + 1]
            flat = row if labels is None else rows.objective.flat(row, labels[i : i + 1])[0]
            if written is None:
                shape = (int(rows.starts[-1]), *flat.shape[1:])
                written = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
                allocate_space(path)
            written[rows.starts[position] : rows.starts[position + 1]] = flat.numpy()
        done += len(positions)
        context.progress(PROGRESS, done, len(rows.order))
    assert isinstance(written, np.memmap)
    written.flush()
    return precision


def _predict_batch(predictor: EagerPredictor, encoded: Encoded, positions: Sequence[int]) -> torch.Tensor:
    batch = encoded.batch(positions)
    return torch.from_numpy(predictor.fetch(predictor.forward(predictor.prepare(batch))))


def _compute_starts(targets: Targets, objective: Objective) -> npt.NDArray[np.int64]:
    """Where each row's answers begin, from the objective's count of its labels."""
    counts = np.zeros(len(targets), dtype=np.int64)
    for i in range(len(targets)):
        labels = _make_target_tensor(targets, [i])
        counts[i] = len(objective.flat(labels[..., None].float(), labels)[1])
    return np.concatenate([[0], np.cumsum(counts)])


def _digest_inputs(rows: _AskedRows) -> str:
    """The digest of all inputs of the answers except the teacher, in the order of computing."""
    digest = hashlib.sha256()

    def add(name: str, values: npt.NDArray[np.generic]) -> None:
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)

    add("order", np.asarray(rows.order, dtype=np.int64))
    for positions in iter_batches(rows.order, BATCH_SIZE):
        for name, values in sorted(rows.encoded.batch(positions).items()):
            add(name, values)
        if rows.targets is not None:
            add("labels", rows.targets[positions])
    return digest.hexdigest()


def _make_target_tensor(targets: Targets, positions: Sequence[int]) -> torch.Tensor:
    return torch.from_numpy(np.asarray(targets[positions]))


def has_all_labels(targets: Targets, objective: Objective) -> bool:
    """Whether every answer has a label, so that alpha = 1 leaves nothing to learn from a teacher."""
    batches = iter_batches(range(len(targets)), 1024)
    return all(
        bool(objective.has_label(_make_target_tensor(targets, positions)).all()) for positions in batches
    )
