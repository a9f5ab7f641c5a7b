"""Quality: is each metric's drop, on the same gate rows, inside its budget?"""

from __future__ import annotations

from typing import Any

import numpy as np

from slimgate.gates.reporting import Report, budget_facts, conclude, report_build
from slimgate.judge.message import message
from slimgate.judge.verdict import QualityJudgement, judge_quality
from slimgate.metrics import load_metric
from slimgate.outcomes import Outcomes, same_rows
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
    budget = suite.budgets[variant.name].quality.get(metric)
    judged = judge_quality(
        load_metric(metric), teacher.outcomes, variant.outcomes, [budget] if budget else [], seed=suite.seed
    )
    line = message(variant.name, judged)
    report_part(part("quality", "teacher", metric, _teacher_facts(judged)))
    report_part(part("quality", variant.name, metric, _facts(judged, line)))
    report_part(part("behaviour", variant.name, "", behaviour(teacher.outcomes, variant.outcomes)))
    conclude(
        variant, judged.verdict, line, (budget and budget.on_inconclusive) or suite.measure.on_inconclusive
    )


def behaviour(teacher: Outcomes, variant: Outcomes) -> dict[str, Any]:
    """Which rows changed, whatever the metric says of them."""
    before, after = teacher.predictions == teacher.labels, variant.predictions == variant.labels
    changed = teacher.predictions != variant.predictions
    flips = {
        "right_to_wrong": int((before & ~after).sum()),
        "wrong_to_right": int((~before & after).sum()),
        "changed": int(changed.sum()),
    }
    return {"flips": flips, "agreement": float(1 - np.mean(changed))}


def _facts(judged: QualityJudgement, line: str) -> dict[str, Any]:
    return {
        "teacher": judged.teacher,
        "value": judged.value,
        "drop_points": judged.drop_points,
        "interval": list(judged.interval) if judged.interval else None,
        "level": judged.level,
        "method": judged.method,
        "n": judged.n,
        "n_needed": judged.n_needed,
        "budgets": [budget_facts(one) for one in judged.budgets],
        "verdict": judged.verdict.value if judged.verdict else None,
        "band": judged.band,
        "groups": judged.groups,
        "design_effect": judged.design_effect,
        "warnings": list(judged.warnings),
        "message": line,
        "measured": now(),
    }


def _teacher_facts(judged: QualityJudgement) -> dict[str, Any]:
    return {"teacher": judged.teacher, "value": judged.teacher, "n": judged.n, "measured": now()}
