"""Quality: is each metric's drop, on the same gate rows, inside its budget?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from slimgate.gates.reporting import Report, conclude, report_build
from slimgate.judge.budget_kinds import when_undecided, wishes
from slimgate.judge.facts import quality_facts
from slimgate.judge.message import message
from slimgate.judge.quality import judge_quality
from slimgate.judge.spread import build_spread, sampling_se_points
from slimgate.judge.verdict import QualityJudgement
from slimgate.metrics import Metric, load_metric, value_of
from slimgate.outcomes import same_rows
from slimgate.parts import now, part
from slimgate.run import ModelHandle
from slimgate.suite import Suite


def test_quality(
    suite: Suite, teacher: ModelHandle, variant: ModelHandle, metric: str, report_part: Report
) -> None:
    """A metric of one variant beside the teacher's."""
    report_build(teacher, report_part)
    report_build(variant, report_part)
    same_rows(teacher.outcomes, variant.outcomes)
    budgets = suite.budgets[variant.name].quality.get(metric, ())
    measured = load_metric(metric)
    judged = judge_quality(measured, teacher.outcomes, variant.outcomes, budgets, seed=suite.seed)
    line = message(variant.name, judged)
    told = _teacher_facts(judged) | {"answered_on": teacher.answered_on}
    report_part(part("quality", "teacher", metric, told))
    otherwise = suite.measure.on_inconclusive
    facts = quality_facts(judged, line, wishes(budgets, otherwise))
    facts |= {"builds": builds(variant, measured, judged), "measured": now()}
    facts |= {"answered_on": variant.answered_on}
    report_part(part("quality", variant.name, metric, facts))
    wish = when_undecided(budgets, judged.budgets, otherwise)
    conclude(variant, judged.verdict, line, wish)


def _teacher_facts(judged: QualityJudgement) -> dict[str, Any]:
    return {"teacher": judged.teacher, "value": judged.teacher, "n": judged.n, "measured": now()}


def builds(variant: ModelHandle, metric: Metric, judged: QualityJudgement) -> dict[str, Any] | None:
    """The drops of the builds by the suite's other seeds, beside the one that is judged; None without any."""
    others = variant.run.rebuilds(variant.name)
    if not others:
        return None
    sign = 100 if metric.higher_is_better else -100
    drops = [sign * (judged.teacher - value_of(metric, found)) for found in others.values()]
    spread = build_spread(
        variant.run.suite.seeds,
        [judged.drop_points, *drops],
        sampling_se_points=sampling_se_points(judged),
    )
    return asdict(spread)
