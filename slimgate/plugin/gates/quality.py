"""Quality: is each metric's drop, on the same gate rows, inside its budget?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slimgate.judge.budget_kinds import list_actions
from slimgate.judge.facts import budget_facts, quality_facts
from slimgate.judge.family import bound_among
from slimgate.judge.message import message, teacher_message
from slimgate.judge.metrics import Metric, load_metric, value_of
from slimgate.judge.near_chance import describe_near_chance
from slimgate.judge.quality import judge_quality
from slimgate.judge.spread import build_spread, sampling_se_points
from slimgate.judge.verdict import QualityJudgement
from slimgate.outcomes import Outcomes, same_rows
from slimgate.plugin.gates.family import chosen_among, in_family
from slimgate.plugin.gates.reporting import Report, conclude, report_build
from slimgate.run.gate_results import format_now, make_part
from slimgate.run.run import ModelHandle
from slimgate.suite.suite import TEACHER, Suite


def test_quality(
    suite: Suite, teacher: ModelHandle, variant: ModelHandle, metric: str, report_part: Report
) -> None:
    """A metric of one variant beside the teacher's; of the teacher itself, where it has a budget."""
    report_build(teacher, report_part)
    if variant.name == TEACHER:
        _judge_teacher(suite, teacher, metric, report_part)
        return
    report_build(variant, report_part)
    same_rows(teacher.outcomes, variant.outcomes)
    budgets = suite.budgets[variant.name].quality.get(metric, ())
    measured = load_metric(metric)
    rebuilt = variant.run.rebuilds(variant.name)
    judged = judge_quality(
        measured,
        teacher.outcomes,
        variant.outcomes,
        budgets,
        builds=tuple(rebuilt.values()),
        seed=suite.seed,
    )
    judged = in_family(variant.run, variant.name, metric, judged)
    line = message(variant.name, judged) + _stored_answers(variant)
    if metric not in suite.teacher_budgets.quality:  # else its own test reports it, with the verdict
        report_part(make_part("quality", TEACHER, metric, _teacher_facts(judged, teacher)))
    default = suite.measure.on_inconclusive
    facts = quality_facts(judged, line, list_actions(budgets, default))
    facts |= {"builds": builds(suite, rebuilt, measured, judged), "measured": format_now()}
    facts |= {"answered_on": variant.processor}
    if budgets and variant.variant.gated:
        among = chosen_among(suite, metric)
        facts |= {"among": among, "bound_among": bound_among(judged, among)}
    report_part(make_part("quality", variant.name, metric, facts))
    conclude(variant, facts)


def _judge_teacher(suite: Suite, teacher: ModelHandle, metric: str, report_part: Report) -> None:
    budgets, default = suite.teacher_budgets.quality[metric], suite.measure.on_inconclusive
    outcomes = teacher.outcomes
    judged = judge_quality(load_metric(metric), outcomes, outcomes, budgets, seed=suite.seed)
    line = teacher_message(judged) + _stored_answers(teacher)
    facts = _teacher_facts(judged, teacher)
    facts |= {
        "method": judged.method,
        "n_needed": judged.n_needed,
        "groups": judged.groups,
        "budgets": [
            budget_facts(*pair) for pair in zip(judged.budgets, list_actions(budgets, default), strict=True)
        ],
        "verdict": judged.verdict and judged.verdict.value,
        "warnings": list(judged.warnings),
        "message": line,
    }
    report_part(make_part("quality", TEACHER, metric, facts))
    conclude(teacher, facts)


def _stored_answers(model: ModelHandle) -> str:
    """The end of a message: whose answers are stored ones of a server that may have changed since."""
    names = dict.fromkeys(name for name in (TEACHER, model.name) if name in model.run.stored_answers)
    return f"; stored answers of {' and '.join(names)}: the server was not asked" if names else ""


def _teacher_facts(judged: QualityJudgement, teacher: ModelHandle) -> dict[str, Any]:
    return {
        "teacher": judged.teacher,
        "value": judged.teacher,
        "n": judged.n,
        "near_chance": describe_near_chance(teacher.outcomes),
        "answered_on": teacher.processor,
        "measured": format_now(),
    }


def builds(
    suite: Suite, rebuilt: Mapping[int, Outcomes], metric: Metric, judged: QualityJudgement
) -> dict[str, Any] | None:
    """The drops of the builds by the suite's other seeds, beside the first one's; None without any.

    rebuilt: their answers, by seed.
    """
    if not rebuilt:
        return None
    sign = 100 if metric.higher_is_better else -100
    drops = [sign * (judged.teacher - value_of(metric, outcomes)) for outcomes in rebuilt.values()]
    spread = build_spread(
        suite.seeds,
        [judged.drop_points, *drops],
        sampling_se_points=sampling_se_points(judged),
    )
    return spread.model_dump(mode="json")
