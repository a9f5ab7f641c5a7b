"""Chooses the rows of a workload, the same for all models, and makes one model's inputs of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slimgate.plugins.base import Arrays
from slimgate.plugins.rows import Encoded, Rows
from slimgate.plugins.workloads import END_TO_END, Workload
from slimgate.results.checks import TEACHER
from slimgate.run.measure.end_to_end import make_texts
from slimgate.run.measure.latency import choose_rows_of_length, choose_workload_rows, draw_row_batches
from slimgate.run.measure.timed_call import CallInputs

if TYPE_CHECKING:
    from slimgate.run.run import SuiteRun


@dataclass(frozen=True)
class WorkloadInputs:
    """Positions of rows of the run's split, and the arrays of one call that predicts them.

    turns: the inputs of timed calls, if they differ: in a suite with a cascade, calls with other rows; end
    to end, the rows as texts.
    """

    positions: list[int]
    inputs: Arrays
    turns: tuple[CallInputs, ...] = ()

    @property
    def timed(self) -> tuple[CallInputs, ...]:
        """The inputs that timed calls use in turn."""
        return self.turns or (self.inputs,)


def make_workload_inputs(run: SuiteRun, name: str, workload: Workload, *, timed: bool) -> WorkloadInputs:
    """The rows of a workload as one model's inputs; the rows are the same for all models.

    They are chosen by their lengths in the teacher's tokens. timed: the inputs of a timed call; else those of
    one forward pass, which is mostly the same. In a suite with a cascade, timed calls take turns with many
    batches of random rows. End to end, a call with `tokens` takes the rows nearest to that length, since
    tokenizing time depends on the length of the text.
    """
    rows_of_teacher = run.encoder.encode_for(run.build(TEACHER).artifact)
    row_count = len(run.encoder.rows)
    lengths = rows_of_teacher.lengths[find_first_parts(rows_of_teacher, range(row_count))].tolist()
    if workload.phase == END_TO_END and workload.tokens is not None:
        positions = choose_rows_of_length(lengths, workload.batch, workload.tokens)
    else:
        positions = choose_workload_rows(lengths, workload.batch)
    artifact = run.build(name).artifact
    encoded: Any = run.encoder.encode_for(artifact)
    if workload.writes:
        parts = find_first_parts(encoded, positions)
        return WorkloadInputs(
            positions, encoded.writing_batch(parts, workload.prompt_tokens, workload.new_tokens)
        )
    batch = getattr(encoded, "timed_batch", encoded.batch) if timed else encoded.batch
    inputs, turns = batch(find_first_parts(encoded, positions), workload.tokens), list[CallInputs]()
    by_turns = timed and run.suite.has_cascade
    drawn = draw_row_batches(row_count, workload.batch, run.suite.seed) if by_turns else []
    if workload.phase == END_TO_END:
        turns = [
            make_texts(
                run.suite.setup.task,
                artifact.folder,
                Rows(run.encoder.rows.table.take(list(rows))),
                lengths=[lengths[row] for row in rows],
                tokens=workload.tokens,
            )
            for rows in drawn or [positions]
        ]
    else:
        turns = [batch(find_first_parts(encoded, rows), workload.tokens) for rows in drawn]
    return WorkloadInputs(positions, inputs, tuple(turns))


def find_first_parts(encoded: Encoded, rows: Sequence[int]) -> list[int]:
    """The encoded row of each row; the first part of a row that is split into parts."""
    if encoded.row_of is None:
        return list(rows)
    return [int(window) for window in np.searchsorted(encoded.row_of, list(rows))]
