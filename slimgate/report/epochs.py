"""A table of the epochs of training steps: losses, and quality on `selection`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING, format_fixed, format_int
from slimgate.record.build import StepFacts
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.figures import add_note
from slimgate.report.status import list_models
from slimgate.report.tables import Column, make_pipe_table, remove_empty_columns

LOSS, LOSS_SELECTION = "loss", "loss_selection"
_SELECTION = "_selection"
# Epochs that the report shows of a longer training, from its beginning and its end. run.json has all.
_FIRST, _LAST = 4, 3

Epochs = list[Mapping[str, Any]]


@dataclass(frozen=True)
class Course:
    """A step of a model that trained, with its epochs."""

    model: VariantRecord
    step: StepFacts
    epochs: Epochs

    def list_values(self, key: str) -> list[float | None]:
        """The value of each epoch that was logged under a key; None if it was not measured."""
        entries = [entry.get(key) for entry in self.epochs]
        return [float(value) if isinstance(value, int | float) else None for value in entries]

    @property
    def qualities(self) -> list[str]:
        """Names of the figures on `selection` other than the loss, such as accuracy."""
        keys = dict.fromkeys(key for entry in self.epochs for key in entry)
        return [
            key.removesuffix(_SELECTION) for key in keys if key.endswith(_SELECTION) and key != LOSS_SELECTION
        ]


def read_epochs(step: StepFacts) -> Epochs | None:
    """The epochs that a step logged, in the order of its stages; None if it did not train."""
    return (
        _read_epochs(step.log)
        or [epoch for log in _list_stage_logs(step) for epoch in _read_epochs(log) or []]
        or None
    )


def find_logged_count(step: StepFacts, key: str) -> int | None:
    """A count that training logged, such as rows or tokens; that of the first stage for a step in stages."""
    logged = next((log[key] for log in (step.log, *_list_stage_logs(step)) if key in log), None)
    return logged if isinstance(logged, int) else None


def sum_seconds(step: StepFacts) -> dict[str, float]:
    """Part of the work (tokenise, teacher, train, …) -> its seconds, summed over the stages of a step."""
    totals: dict[str, float] = {}
    for log in (step.log, *_list_stage_logs(step)):
        spent = log.get("seconds")
        if isinstance(spent, Mapping):
            for stage, seconds in spent.items():
                if isinstance(seconds, int | float):  # a user's own step may log anything
                    totals[stage] = totals.get(stage, 0.0) + seconds
    return totals


def _list_stage_logs(step: StepFacts) -> list[Mapping[str, Any]]:
    """The logs of the stages of a step (progressive_distill), or of the steps inside it (in_tower)."""
    logged = step.log.get("stages")
    stages = [log for log in logged if isinstance(log, Mapping)] if isinstance(logged, list) else []
    return stages + [log for log in step.log.values() if isinstance(log, Mapping) and _read_epochs(log)]


def _read_epochs(log: Mapping[str, object]) -> Epochs | None:
    """The epochs of a log; None if it has none, or another value under that name."""
    epochs = log.get("epochs")
    if isinstance(epochs, list) and all(isinstance(entry, Mapping) for entry in epochs):
        return epochs
    return None


def list_courses(record: RunRecord) -> list[Course]:
    """Every step that trained, those of the teacher first."""
    return [
        Course(model, step, epochs)
        for model in list_models(record)
        for step in model.steps
        if (epochs := read_epochs(step)) is not None
    ]


def make_epoch_table(record: RunRecord) -> str:
    """A line for each training step: its losses and qualities from the first epoch to the last."""
    all_courses = list_courses(record)
    qualities = dict.fromkeys(name for course in all_courses for name in course.qualities)
    columns = [
        Column("variant", [escape(course.model.name) for course in all_courses]),
        Column("step", [escape(course.step.name) for course in all_courses]),
        Column("epochs", [_format_epoch_count(course) for course in all_courses], right=True),
        Column("loss, train", [_format_course(course.list_values(LOSS)) for course in all_courses]),
        Column(
            "loss, selection", [_format_course(course.list_values(LOSS_SELECTION)) for course in all_courses]
        ),
        *(
            Column(
                f"{escape(name)}, selection",
                [_format_course(course.list_values(f"{name}{_SELECTION}")) for course in all_courses],
            )
            for name in qualities
        ),
    ]
    return make_pipe_table(remove_empty_columns(columns)) if all_courses else ""


def _format_epoch_count(course: Course) -> str:
    """The number of epochs, and the epoch whose weights the model has if the log states it."""
    best = course.step.log.get("best_epoch")
    return add_note(format_int(len(course.epochs)), None if best is None else f"kept: {escape(best)}")


def _format_course(values: Sequence[float | None]) -> str:
    """`0.8011, 0.6122`; only the first and the last values if there are many."""
    if all(value is None for value in values):
        return MISSING
    numbers = [format_fixed(value, 4) for value in values]
    if len(numbers) > _FIRST + _LAST:
        numbers[_FIRST:-_LAST] = ["…"]
    return ", ".join(numbers)
