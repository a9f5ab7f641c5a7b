"""The results of a base and its targets, whatever tool wrote their files, in the record's own types."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from slimgate._system.digests import digest_folder, file_sha256, list_files_below
from slimgate._system.timestamps import format_now
from slimgate.judge.verdict import QualityJudgement
from slimgate.outcomes import Outcomes
from slimgate.plugins.reader import Log
from slimgate.results.counts import VerdictCounts

if TYPE_CHECKING:
    from slimgate.record.run import VariantRecord
    from slimgate.record.task import TaskFactsRecord
    from slimgate.record.verdicts import RunVerdict


def digest_logs(logs: Iterable[Log]) -> dict[str, str]:
    """The SHA-256 of each log's file, or the digest of its folder, by shown path; also for further runs."""
    paths = {run.shown: run.path for log in logs for run in (log, *log.further) if run.path is not None}
    return {
        shown: file_sha256(path) if path.is_file() else digest_folder(path, list_files_below(path))
        for shown, path in paths.items()
    }


def count_choices(judgements: Iterable[Mapping[str, QualityJudgement]]) -> Mapping[str, int | None]:
    """By metric, how many targets have a budget on it, if the user can choose among several; else None.

    judgements: of each target, by metric.
    """
    counts = Counter(name for target in judgements for name, judged in target.items() if judged.budgets)
    return {name: count if count > 1 else None for name, count in counts.items()}


def make_base_record(judged: Mapping[str, QualityJudgement], parent: str | None) -> VariantRecord:
    """The base of answers: its value of each metric. judged: by metric, of any target."""
    from slimgate.record.run import VariantRecord
    from slimgate.results.checks import TEACHER

    measured = format_now()
    values = {
        name: {
            "teacher": judgement.teacher,
            "value": judgement.teacher,
            "n": judgement.n,
            "measured": measured,
        }
        for name, judgement in judged.items()
    }
    return VariantRecord.model_validate({"name": TEACHER, "parent": parent, "quality": values})


class JudgedFiles(ABC):
    """The judged files of a tool. The command, the suite and the writer of records use it.

    targets: by name, in order, as run.json has them.
    """

    targets: Mapping[str, VariantRecord]

    @property
    def names(self) -> Sequence[str]:
        """The names of the targets, in order."""
        return list(self.targets)

    @property
    @abstractmethod
    def base_name(self) -> str:
        """The name of the base in a title."""

    @abstractmethod
    def build_base_record(self) -> VariantRecord:
        """The base in the form of run.json."""

    @abstractmethod
    def build_task_facts(self) -> TaskFactsRecord:
        """The judged files and their rows."""

    def check_one_report(self) -> None:  # noqa: B027  most kinds have nothing to check
        """Raises DataError if the targets cannot share a report."""

    def collect_outcomes(self) -> Mapping[str, Outcomes]:
        """The answers that a record keeps, by model; empty if the files hold none."""
        return {}

    @property
    def base_log(self) -> Log | None:
        """The log of the base that a record keeps; None if it keeps no log."""
        return None

    def judge_target(self, name: str) -> RunVerdict:
        """The verdict, counted as in a run with one variant."""
        from slimgate.record.run_verdict import judge_record
        from slimgate.results.self_test import SelfTest

        return judge_record([self.targets[name]], SelfTest(), missing=0)

    def count_verdicts(self, name: str) -> VerdictCounts:
        """The counts of `judge_target`; a kind of file may have them without the types of a record."""
        return self.judge_target(name)
