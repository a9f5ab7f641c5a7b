"""The subject of a run: the suite, the task, its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from slimgate.judge.score_metric import RECORD_KIND
from slimgate.results.facts import Facts

# The kinds of task of records made of other tools' files, in addition to logs of answers.
PREDICTIONS = "predictions"
LOAD_TESTS = "load tests"
KL_LOGS = "KL logs"


class Sides(NamedTuple):
    """The name in reports of the model that all others are compared with, and of the others."""

    original: str
    other: str


class SuiteFacts(Facts):
    """The facts about a suite in a record.

    reference: published figures as markdown, shown next to those of this run.

    commit: the git commit of the suite's folder, with "+" if tracked files differed from it; None outside
    of git.
    """

    path: str
    title: str
    digest: str
    seeds: list[int]
    commit: str | None = None
    reference: str | None = None


class SplitFacts(Facts):
    """The rows of one split. n: their number.

    dropped_overlap: rows that were left out because a later split has their texts. near_repeats: those of
    them that differ only in case, punctuation or the order of a pair. repeats: rows whose text occurs earlier
    in the split. groups: the number of groups; rows with the same text are one group.
    """

    n: int
    digest: str
    dropped_overlap: int
    near_repeats: int = 0
    repeats: int
    groups: int | None = None
    label_counts: dict[str, int] = {}
    label_deviation_points: float | None = None


class TaskFactsRecord(Facts):
    """The facts about a task in a record.

    params: [task] as the task has it; None for a record of an earlier slimgate. classes: the labels; for
    prediction files, then the predictions that are no label.
    """

    kind: str
    params: dict[str, Any] | None = None
    source: dict[str, Any]
    real: bool
    classes: list[str]
    splits: dict[str, SplitFacts]

    @property
    def judged(self) -> TaskFactsRecord:
        """The task and its rows, without the options, which hold paths of one machine.

        Digests of the rows and of the settings stand for the options.
        """
        return self.model_copy(update={"params": None, "source": {}})

    @property
    def is_of_files(self) -> bool:
        """Whether files of other tools were judged: slimgate has built no model of them."""
        return self.kind in (RECORD_KIND, PREDICTIONS) or not self.has_rows

    @property
    def labels(self) -> list[str]:
        """The classes that a row can have as its label."""
        stated = (self.params or {}).get("labels") if self.kind == PREDICTIONS else None
        return self.classes if stated is None else list(stated)

    @property
    def sides(self) -> Sides:
        """`base` and `target` for logs, as in their command; else `teacher` and `variant`."""
        of_logs = self.kind in (RECORD_KIND, LOAD_TESTS, KL_LOGS)
        return Sides("base", "target") if of_logs else Sides("teacher", "variant")

    @property
    def log_slices(self) -> Mapping[str, Mapping[str, str]]:
        """For logs: the name of each slice -> the comparison (`of`), the field and the value; else empty."""
        slices: Mapping[str, Mapping[str, str]] = (self.params or {}).get("slices", {})
        return slices

    def find_digest(self, split: str) -> str | None:
        """The digest of the rows of a split; None if the record has no such split."""
        facts = self.splits.get(split)
        return None if facts is None else facts.digest

    @property
    def has_rows(self) -> bool:
        """Whether answers on rows were judged, and not the figures of load tests or KL logs."""
        return self.kind not in (LOAD_TESTS, KL_LOGS)
