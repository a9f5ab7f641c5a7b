"""The answers of a model in two releases, paired if both judged the same gate rows and kept the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slimgate.errors import MeasureError, SlimgateError
from slimgate.outcomes import ClassOutcomes, Outcomes, align_strays, check_same_rows
from slimgate.record.files import StoredRecord
from slimgate.record.outcome_files import read_outcomes
from slimgate.record.run import RunRecord

Pair = tuple[Outcomes, Outcomes]
Column = np.ndarray[Any, Any] | None


def has_same_gate_rows(old: RunRecord, new: RunRecord) -> bool:
    """Whether both records judged the same gate rows, by the digest of the split."""
    digest = old.task.find_digest("gate")
    return digest is not None and digest == new.task.find_digest("gate")


def has_same_answers(old: Outcomes, new: Outcomes) -> bool:
    """Whether two releases of a model gave the same answer to every row, to the last digit."""
    if old.values.keys() != new.values.keys() or type(old) is not type(new):
        return False
    pairs: list[tuple[Column, Column]] = [(old.values[name], new.values[name]) for name in old.values]
    pairs += [(old.answers, new.answers)]
    if isinstance(old, ClassOutcomes) and isinstance(new, ClassOutcomes):
        pairs += [(old.predictions, new.predictions), (old.probabilities, new.probabilities)]
    return all(_has_equal_values(before, after) for before, after in pairs)


def pair_answers(file: Path, new: Outcomes) -> Pair:
    """The kept answers of a release, and newer answers. Raises MeasureError if the rows differ.

    The old rows get the order of the new ones. Predictions that are no label of the task may differ in the
    two releases. Groups are of the rows, not of the answers. An older slimgate may have grouped rows
    differently, so the newer groups count.
    """
    old = read_outcomes(file)
    if type(old) is not type(new):
        kinds = " and ".join(type(table).__name__ for table in (old, new))
        raise MeasureError(f"the answers are of two kinds, {kinds}")
    if not np.array_equal(old.ids, new.ids):
        old_order, new_order = np.argsort(old.ids, kind="stable"), np.argsort(new.ids, kind="stable")
        if np.array_equal(old.ids[old_order], new.ids[new_order]):
            old = old.take(old_order[np.argsort(new_order, kind="stable")])
    if isinstance(old, ClassOutcomes) and isinstance(new, ClassOutcomes) and old.label_set == new.label_set:
        old, new = align_strays(old, new)
    check_same_rows(old, new)
    return replace(old, groups=new.groups), new


def _has_equal_values(before: Column, after: Column) -> bool:
    if before is None or after is None:
        return before is after
    return np.array_equal(before, after)


class PairedAnswers:
    """Reads both releases' outcomes of a model; `notes` says what could not be paired and why."""

    def __init__(self, old: StoredRecord, new: StoredRecord) -> None:
        self._old, self._new = old, new
        self._same = has_same_gate_rows(old.record, new.record)
        self.notes: list[str] = []
        if not new.record.task.has_rows:
            self.notes.append(
                "Load tests and KL logs have no rows: their figures are not compared here; `slimgate judge "
                "OLD NEW` compares two load tests."
            )
        elif not self._same:
            self.notes.append(
                "The gate rows are not the same (the digests of the split differ): values are of other rows, "
                "and no test was made."
            )

    def pair_model(self, model: str) -> Pair | None:
        """Old and new, paired row by row; None if they cannot be."""
        if not self._same:
            return None
        old_file, new_file = (run.make_outcomes_path(model) for run in (self._old, self._new))
        missing = [file.as_posix() for file in (old_file, new_file) if not file.is_file()]
        if missing:
            self.notes.append(f"{model}: no test was made, for lack of {' and '.join(missing)}.")
            return None
        try:
            return pair_answers(old_file, read_outcomes(new_file))
        except (SlimgateError, OSError, ValueError, KeyError, TypeError) as error:
            self.notes.append(f"{model}: no test was made: {error}")
            return None

    def note_undefined(self, model: str, metric: str, error: MeasureError) -> None:
        """Notes a metric that is not defined on the two releases' answers."""
        self.notes.append(f"{model}: no test of {metric} was made: {error}")

    def note_changed_metric(self, model: str, metric: str) -> None:
        """Notes a metric for which the records have two values on the same answers."""
        self.notes.append(
            f"{model}: the answers are the same and {metric} is not: the metric itself is another now."
        )

    def note_other_run(self, model: str, metric: str, value: float, recorded: float) -> None:
        """Notes answers in a record's folder that are not those of the record."""
        difference = f"{metric} of the answers is {value:.4g}, of the record {recorded:.4g}"
        self.notes.append(
            f"{model}: no test was made, its outcomes are of another run than its record: {difference}."
        )
