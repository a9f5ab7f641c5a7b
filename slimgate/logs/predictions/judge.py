"""Judges prediction files: the metrics of each target, and what changed from the base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from slimgate._system.digests import digest_json, file_sha256
from slimgate._system.timestamps import format_now
from slimgate.errors import DataError, SuiteError, format_suggestion
from slimgate.judge.behaviour import (
    judge_behaviour,
    list_actions_by_kind,
    make_behaviour_facts,
    measure_behaviour,
)
from slimgate.judge.behaviour_message import format_behaviour_message
from slimgate.judge.budget_kinds import is_two_sided, list_actions
from slimgate.judge.budget_tables import LABEL, SLICED, BehaviourBudgets
from slimgate.judge.facts import make_quality_facts
from slimgate.judge.message import format_message
from slimgate.judge.metrics import Metric, list_known_metrics, load_metric
from slimgate.judge.metrics.classes import find_positive_label
from slimgate.judge.near_chance import describe_near_chance, describe_useless_pass
from slimgate.judge.quality import judge_quality
from slimgate.judge.verdict import QualityJudgement
from slimgate.logs.file_budgets import FileBudgets
from slimgate.logs.judged import JudgedFiles, count_choices, make_base_record
from slimgate.logs.large_gains import describe_large_gains
from slimgate.logs.predictions.pairs import Pair
from slimgate.outcomes import Outcomes, check_same_rows
from slimgate.record.run import VariantRecord
from slimgate.record.task import PREDICTIONS, SplitFacts, TaskFactsRecord
from slimgate.results.base import OnInconclusive, SwitchedOffBudget
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.checks import TEACHER

DEFAULT_METRIC = "accuracy"
_CLASS_COLUMNS = ("prediction", "probabilities")  # the columns of a prediction file that metrics read


@dataclass(frozen=True)
class JudgedMetric:
    """The judgement of one metric. line: the gate's line. actions: what INCONCLUSIVE does, by budget."""

    judged: QualityJudgement
    line: str
    actions: Sequence[OnInconclusive]


@dataclass(frozen=True)
class JudgedPair:
    """The judgement of one target.

    pair: the outcomes of both files. metrics: by name, in the order of the request. warnings: about likely
    mistakes of the user. switched_off: the common budgets that the target does not have.
    """

    pair: Pair
    metrics: Mapping[str, JudgedMetric]
    behaviour: BehaviourFacts
    warnings: tuple[str, ...]
    switched_off: tuple[SwitchedOffBudget, ...] = ()

    @property
    def all_warnings(self) -> list[str]:
        """All warnings. One that several metrics have, such as of few rows, comes once, with their names."""
        metrics_by_warning: dict[str, list[str]] = {}
        for name, metric in self.metrics.items():
            for warning in metric.judged.warnings:
                metrics_by_warning.setdefault(warning, []).append(name)
        metric_warnings = (f"{', '.join(names)}: {text}" for text, names in metrics_by_warning.items())
        return [*self.warnings, *metric_warnings]


class JudgedPredictions(JudgedFiles):
    """The targets of prediction files.

    pairs: by target. base: the base's file. targets: the files of the targets. The record has the paths as
    they were given.
    """

    def __init__(self, pairs: Mapping[str, JudgedPair], base: Path, targets: Iterable[Path]) -> None:
        self._pairs, self._base, self._files = pairs, base.as_posix(), (base, *targets)
        self._first = next(iter(pairs.values()))
        choices = count_choices(
            {key: metric.judged for key, metric in judged.metrics.items()} for judged in pairs.values()
        )
        self.targets = {name: _make_variant_record(name, judged, choices) for name, judged in pairs.items()}

    @property
    def base_name(self) -> str:
        return self._base

    def build_base_record(self) -> VariantRecord:
        return make_base_record({name: metric.judged for name, metric in self._first.metrics.items()}, None)

    def check_one_report(self) -> None:
        first = self._first.pair.teacher
        for name, judged in self._pairs.items():
            teacher = judged.pair.teacher
            if (teacher.classes, teacher.strays) != (first.classes, first.strays):
                raise DataError(
                    f"{name} has other classes than the first target ({', '.join(first.classes)}), so one "
                    "report cannot show both; judge each target with a separate command (or suite)"
                )
            check_same_rows(first, teacher)

    def collect_outcomes(self) -> Mapping[str, Outcomes]:
        answers = {name: judged.pair.variant for name, judged in self._pairs.items()}
        return {TEACHER: self._first.pair.teacher, **answers}

    def build_task_facts(self) -> TaskFactsRecord:
        teacher = self._first.pair.teacher
        by_id = np.argsort(teacher.ids, kind="stable")
        rows = [teacher.ids[by_id].tolist(), teacher.labels[by_id].tolist(), teacher.label_set]
        sizes = np.bincount(teacher.labels, minlength=len(teacher.classes)).tolist()
        return TaskFactsRecord(
            kind=PREDICTIONS,
            params={"labels": list(teacher.label_set), "positive": find_positive_label(teacher)},
            source={
                "name": "prediction files",
                "base": self._base,
                "targets": [path.as_posix() for path in self._files[1:]],
                "files": {path.as_posix(): file_sha256(path) for path in self._files},
            },
            real=True,
            classes=list(teacher.classes),
            splits={
                "gate": SplitFacts(
                    n=len(teacher),
                    digest=digest_json(rows),
                    dropped_overlap=0,
                    repeats=0,
                    groups=None if teacher.groups is None else len(np.unique(teacher.groups)),
                    label_counts=dict(zip(teacher.label_set, sizes, strict=False)),
                )
            },
        )


def judge_changes(
    name: str,
    pair: Pair,
    budgets: BehaviourBudgets,
    *,
    on_inconclusive: OnInconclusive,
    quote_better: bool = False,
) -> BehaviourFacts:
    """Judges the budgets on changed answers and slices. Labels are the only slices of prediction files.

    quote_better: quote rows that got better too.
    """
    metrics = {metric: load_metric(metric) for metric in (SLICED, *budgets.sliced_metrics)}
    judged = judge_behaviour(pair.teacher, pair.variant, budgets, metrics=metrics)
    line = format_behaviour_message(name, judged)
    measured = measure_behaviour(pair.teacher, pair.variant, quote_better=quote_better)
    facts = make_behaviour_facts(measured, judged, line, list_actions_by_kind(budgets, on_inconclusive))
    return facts.replace(measured=format_now())


def judge_pair(
    name: str,
    files: tuple[Path, Path],
    pair: Pair,
    budgets: FileBudgets,
    *,
    metrics: Sequence[str] = (),
    seed: int,
    on_inconclusive: OnInconclusive,
) -> JudgedPair:
    """Judges a target.

    files: base and target, for messages. metrics: names of metrics to judge in addition to those with a
    budget; accuracy if there are none of either.

    Raises SuiteError for a metric that does not read predictions and for a budget on a slice of a label that
    does not exist, DataError for a metric that needs probabilities if a file has none.
    """
    quality, changes = budgets.limits.quality, budgets.limits.behaviour
    names = dict.fromkeys([*metrics, *quality]) or (DEFAULT_METRIC,)
    loaded = {key: load_metric(key) for key in names}
    _check_class_metrics(loaded)
    _check_probabilities(loaded, files, pair)
    _check_sliced_labels(changes, pair.teacher.label_set)
    judged: dict[str, JudgedMetric] = {}
    for key, metric in loaded.items():
        limits = quality.get(key, ())
        judgement = judge_quality(metric, pair.teacher, pair.variant, limits, seed=seed)
        actions = list_actions(limits, on_inconclusive)
        judged[key] = JudgedMetric(judgement, format_message(name, judgement), actions)
    return JudgedPair(
        pair=pair,
        metrics=judged,
        behaviour=judge_changes(
            name,
            pair,
            changes,
            on_inconclusive=on_inconclusive,
            quote_better=is_two_sided([budget for group in quality.values() for budget in group]),
        ),
        warnings=(*budgets.notes, *pair.warnings, *_describe_doubts(name, pair, judged)),
        switched_off=budgets.switched_off,
    )


def _describe_doubts(name: str, pair: Pair, judged: Mapping[str, JudgedMetric]) -> Iterator[str]:
    """Why a PASS of the target may mean little: scores near chance, and gains that are too large."""
    if near_chance := describe_near_chance(pair.teacher):
        yield (
            f"the teacher is near chance: {near_chance}; a variant that loses nothing may be just as useless"
        )
    for metric in judged.values():
        if reason := describe_useless_pass(metric.judged, pair.teacher, pair.variant):
            yield f"{name} passes near chance: {reason}"
    judgements = ((key, metric.judged) for key, metric in judged.items())
    yield from describe_large_gains(judgements, ("teacher", "variant"))


def _check_sliced_labels(budgets: BehaviourBudgets, labels: Sequence[str]) -> None:
    """Raises SuiteError for a budget on the slice of a label that does not exist."""
    for name in budgets.named_slices:
        if name.value not in labels:
            raise SuiteError(
                f"[budgets.slices.{LABEL}] {name.value}: no such label{format_suggestion(name.value, labels)}"
            )


def _check_class_metrics(metrics: Mapping[str, Metric]) -> None:
    """Raises SuiteError for a metric that does not read predictions."""
    class_metrics = [name for name in list_known_metrics() if load_metric(name).needs in _CLASS_COLUMNS]
    for name, metric in metrics.items():
        if metric.needs not in _CLASS_COLUMNS:
            raise SuiteError(
                f"metric {name}: not a metric of labels and predictions, expected one of "
                f"{', '.join(class_metrics)}"
            )


def _check_probabilities(metrics: Mapping[str, Metric], files: tuple[Path, Path], pair: Pair) -> None:
    """Raises DataError if a metric needs probabilities and a file has none."""
    names = [name for name, metric in metrics.items() if metric.needs == "probabilities"]
    for path, outcomes in zip(files, (pair.teacher, pair.variant), strict=True):
        if names and outcomes.probabilities is None:
            verb = "needs" if len(names) == 1 else "need"
            raise DataError(
                f"{path}: {' and '.join(names)} {verb} probabilities, but the file has only predictions; "
                "add columns p_<class>"
            )


def _make_variant_record(name: str, judged: JudgedPair, choices: Mapping[str, int | None]) -> VariantRecord:
    measured = format_now()
    quality = {
        key: make_quality_facts(
            metric.judged, metric.line, metric.actions, measured=measured, among=choices.get(key)
        )
        for key, metric in judged.metrics.items()
    }
    return VariantRecord.model_validate(
        {
            "name": name,
            "parent": TEACHER,
            "quality": quality,
            "behaviour": judged.behaviour,
            "notes": judged.all_warnings,
            "switched_off": [asdict(budget) for budget in judged.switched_off],
        }
    )
