"""What `slimgate judge` found, as a table with its lines, or as JSON in the record's words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tabulate import tabulate

from slimgate._system.escape import visible
from slimgate.judge.behaviour import (
    BehaviourBudgets,
    actions_by_kind,
    behaviour,
    behaviour_facts,
    judge_behaviour,
)
from slimgate.judge.budget_kinds import OnInconclusive, list_actions
from slimgate.judge.facts import quality_facts
from slimgate.judge.message import behaviour_message, message
from slimgate.judge.metrics import Metric, load_metric
from slimgate.judge.quality import judge_quality
from slimgate.judge.slices import SLICED
from slimgate.judge.verdict import QualityBudget, QualityJudgement
from slimgate.logs.predictions.pairs import Pair
from slimgate.record import BehaviourFacts, QualityFacts, RunVerdict, SelfTest, VariantRecord
from slimgate.record.run_verdict import format_verdict, verdict
from slimgate.report.figures import count, format_drop, format_limits, percent, to_fixed
from slimgate.run.gate_results import format_now


@dataclass(frozen=True)
class JudgedMetric:
    """line: the judgement as a gate prints it; actions: what INCONCLUSIVE does, of each budget."""

    judged: QualityJudgement
    line: str
    actions: Sequence[OnInconclusive]


@dataclass(frozen=True)
class Judged:
    """pair: the outcomes of both files. metrics: by name, in the order asked for.

    behaviour: as the record has it.
    """

    pair: Pair
    metrics: Mapping[str, JudgedMetric]
    behaviour: Mapping[str, Any]
    warnings: tuple[str, ...]

    @property
    def run_verdict(self) -> RunVerdict:
        """Counted as in a run of one variant."""
        return _verdict(self, self.quality_facts)

    @property
    def quality_facts(self) -> dict[str, dict[str, Any]]:
        """The metrics as the record has them."""
        measured = format_now()
        return {
            name: {**quality_facts(metric.judged, metric.line, metric.actions), "measured": measured}
            for name, metric in self.metrics.items()
        }

    @property
    def all_warnings(self) -> list[str]:
        """Likely mistakes, and where the judge had few rows."""
        return [*self.warnings, *_of_metrics(self)]


def one_judged(
    name: str,
    metric: Metric,
    pair: Pair,
    budgets: Sequence[QualityBudget],
    *,
    seed: int,
    on_inconclusive: Literal["fail", "warn"],
) -> JudgedMetric:
    """Judges one metric of the variant of that name. A budget's own on_inconclusive goes before the other."""
    judged = judge_quality(metric, pair.teacher, pair.variant, budgets, seed=seed)
    return JudgedMetric(judged, message(name, judged), list_actions(budgets, on_inconclusive))


def judged_behaviour(
    name: str,
    pair: Pair,
    budgets: BehaviourBudgets,
    *,
    on_inconclusive: Literal["fail", "warn"],
    quote_better: bool = False,
) -> Mapping[str, Any]:
    """What changed, and the budgets on it; the slices are the labels: predictions have no others.

    quote_better: quote rows that got better too.
    """
    metrics = {metric: load_metric(metric) for metric in (SLICED, *budgets.sliced_metrics)}
    judged = judge_behaviour(pair.teacher, pair.variant, budgets, metrics=metrics)
    on_undecided = actions_by_kind(budgets, on_inconclusive)
    line = behaviour_message(name, judged)
    measured = behaviour(pair.teacher, pair.variant, quote_better=quote_better)
    facts = behaviour_facts(measured, judged, line, on_undecided)
    return {**facts, "measured": format_now()}


def as_json(judged: Judged) -> str:
    """`quality`, `behaviour` and `verdict` as run.json has them."""
    facts = judged.quality_facts
    content = {
        "quality": facts,
        "behaviour": judged.behaviour,
        "verdict": _verdict(judged, facts).model_dump(mode="json", exclude={"missing"}),
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def as_text(judged: Judged) -> str:
    """The table, a line for each metric, what changed, warnings, and how many budgets hold."""
    behaviour = judged.behaviour
    blocks = [
        _table(judged),
        _lines(metric.line for metric in judged.metrics.values()),
        _lines([str(behaviour["message"])] if behaviour["verdict"] else []),
        _changes(behaviour),
        _lines(f"warning: {line}" for line in judged.all_warnings),
        format_verdict(judged.run_verdict),
    ]
    return "\n\n".join(block for block in blocks if block)


def _lines(texts: Iterable[str]) -> str:
    """A line each, whatever characters the data brought."""
    return "\n".join(visible(text) for text in texts)


def _verdict(judged: Judged, facts: Mapping[str, Any]) -> RunVerdict:
    """Counted as in a run of one variant."""
    quality = {name: QualityFacts.model_validate(metric) for name, metric in facts.items()}
    changes = BehaviourFacts.model_validate(judged.behaviour)
    variant = VariantRecord(name="variant", parent=None, quality=quality, behaviour=changes)
    return verdict([variant], SelfTest(), missing=0)


def _table(judged: Judged) -> str:
    rows = [
        {
            "metric": visible(name),
            "teacher": to_fixed(metric.judged.teacher, 3),
            "variant": to_fixed(metric.judged.value, 3),
            "drop, points [90 %]": format_drop(
                metric.judged.drop_points, metric.judged.interval, metric.judged.budgets
            ),
            "budget": format_limits(metric.judged.budgets),
            "verdict": metric.judged.verdict.value if metric.judged.verdict else "not gated",
        }
        for name, metric in judged.metrics.items()
    ]
    return tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True)


def _changes(behaviour: Mapping[str, Any]) -> str:
    flips = behaviour["flips"]
    lost, won = count(flips["right_to_wrong"]), count(flips["wrong_to_right"])
    return (
        f"flips: {lost} rows from right to wrong, {won} from wrong to right; "
        f"{count(flips['changed'])} answers changed, agreement {percent(behaviour['agreement'], 2)}"
    )


def _of_metrics(judged: Judged) -> list[str]:
    """The judge's warnings, each once, with the metrics that it concerns."""
    metrics_by_warning: dict[str, list[str]] = {}
    for name, metric in judged.metrics.items():
        for warning in metric.judged.warnings:
            metrics_by_warning.setdefault(warning, []).append(name)
    return [f"few rows behind {', '.join(names)}: {warning}" for warning, names in metrics_by_warning.items()]
