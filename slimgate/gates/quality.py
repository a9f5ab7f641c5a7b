"""Quality: is each metric's drop, on the same gate rows, inside its budget?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np

from slimgate.gates.reporting import Report, conclude, report_build
from slimgate.judge.facts import quality_facts
from slimgate.judge.message import message
from slimgate.judge.spread import build_spread, sampling_se_points
from slimgate.judge.verdict import QualityBudget, QualityJudgement, Verdict, judge_quality
from slimgate.metrics import Metric, load_metric
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
    report_part(part("quality", "teacher", metric, _teacher_facts(judged)))
    facts = {**quality_facts(judged, line), "builds": builds(variant, measured, judged), "measured": now()}
    report_part(part("quality", variant.name, metric, facts))
    conclude(variant, judged.verdict, line, when_undecided(budgets, judged, suite))


def _teacher_facts(judged: QualityJudgement) -> dict[str, Any]:
    return {"teacher": judged.teacher, "value": judged.teacher, "n": judged.n, "measured": now()}


def builds(variant: ModelHandle, metric: Metric, judged: QualityJudgement) -> dict[str, Any] | None:
    """The drops of the builds by the suite's other seeds, beside the one that is judged; None without any."""
    others = variant.run.rebuilds(variant.name)
    if not others:
        return None
    sign = 100 if metric.higher_is_better else -100
    drops = [
        sign * (judged.teacher - float(metric.statistic(found, np.ones(len(found)))))
        for found in others.values()
    ]
    spread = build_spread(
        variant.run.suite.seeds,
        [judged.drop_points, *drops],
        sampling_se_points=sampling_se_points(judged),
    )
    return asdict(spread)


def when_undecided(
    budgets: Sequence[QualityBudget], judged: QualityJudgement, suite: Suite
) -> Literal["fail", "warn"]:
    """What INCONCLUSIVE does to the test: it fails unless every undecided budget says `warn`."""
    wishes = [
        budget.on_inconclusive or suite.measure.on_inconclusive
        for budget, one in zip(budgets, judged.budgets, strict=True)
        if one.verdict is Verdict.INCONCLUSIVE
    ]
    return "fail" if "fail" in wishes else "warn"
