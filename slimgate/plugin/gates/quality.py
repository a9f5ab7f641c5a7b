"""Quality: is each metric's drop within its budget on the gate, since the baseline, and on the confirm rows?

With `[budgets] family = "holm"`, the chance that any variant over one of its budgets passes is at most 5 %.
The family is every budget on a metric of every gated variant. Whether one budget passes depends on all of
them, so all variants are built and predicted before the first verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from slimgate._system.timestamps import format_now
from slimgate.errors import SlimgateError
from slimgate.judge.budget_kinds import QualityBudget, list_actions
from slimgate.judge.facts import (
    add_actions,
    compute_sampling_se,
    make_builds_facts,
    make_quality_facts,
    make_since_facts,
)
from slimgate.judge.family import withhold_family_pass
from slimgate.judge.message import format_message, format_teacher_message
from slimgate.judge.metrics import Metric, compute_value, load_metric
from slimgate.judge.near_chance import describe_near_chance, describe_useless_pass
from slimgate.judge.quality import UNCHANGED, judge_quality, judge_unchanged, make_undecided_verdicts
from slimgate.judge.slices import adjust_by_holm
from slimgate.judge.verdict import QualityJudgement
from slimgate.outcomes import Outcomes, check_same_rows
from slimgate.plugin.confirmation import Passed
from slimgate.plugin.gates.reporting import Report, conclude, report_builds
from slimgate.plugins.rows import GATE
from slimgate.record.comparing.metrics import Since, is_same_model, pair_with_baseline
from slimgate.results.base import Verdict
from slimgate.results.checks import CONFIRMED, QUALITY, SINCE, TEACHER
from slimgate.results.quality import BuildsFacts, QualityFacts, SinceFacts, WaitingBudget
from slimgate.run.environment import describe_machine
from slimgate.run.gate_results import GateResult
from slimgate.run.model_handle import ModelHandle
from slimgate.run.run import SuiteRun
from slimgate.suite.suite import Suite, dump_params


def test_quality(
    suite: Suite, teacher: ModelHandle, variant: ModelHandle, metric: str, report_result: Report
) -> None:
    """Compares a metric of a variant with the teacher's; judges the teacher's if that has a budget."""
    report_builds(report_result, teacher)
    if variant.name == TEACHER:
        _judge_teacher(suite, teacher, metric, report_result)
        return
    report_builds(report_result, variant)
    check_same_rows(teacher.outcomes, variant.outcomes)
    # Endpoints are reported again, because a server is asked for its settings after its answers.
    for model in (teacher, variant):
        if model.variant.is_endpoint:
            report_builds(report_result, model)
    budgets = suite.budgets[variant.name].quality.get(metric, ())
    loaded_metric = load_metric(metric)
    rebuilt = variant.run.measure_rebuilds(variant.name)
    judged = judge_quality(
        loaded_metric,
        teacher.outcomes,
        variant.outcomes,
        budgets,
        builds=tuple(rebuilt.values()),
        seed=suite.seed,
    )
    judged = adjust_for_family(variant.run, variant.name, metric, judged)
    line = format_message(variant.name, judged) + _describe_stored_answers(variant)
    # If it has a budget for the teacher, the test of that budget reports it, with the verdict.
    if metric not in suite.teacher_budgets.quality:
        report_result(GateResult(QUALITY, TEACHER, metric, _describe_teacher(judged, teacher)))
    actions = list_actions(budgets, suite.measure.on_inconclusive)
    among = _count_candidates(suite, metric) if budgets and variant.variant.gated else None
    facts = make_quality_facts(judged, line, actions, measured=format_now(), among=among)
    facts = facts.replace(
        builds=describe_builds(suite, rebuilt, loaded_metric, judged),
        near_chance=describe_useless_pass(judged, teacher.outcomes, variant.outcomes),
        answered_on=variant.processor,
    )
    report_result(GateResult(QUALITY, variant.name, metric, facts))
    conclude(variant, facts)


def _count_candidates(suite: Suite, metric: str) -> int:
    """The gated variants with a budget on this metric, among which the user chooses the best."""
    return sum(
        variant.gated and metric in suite.budgets[name].quality for name, variant in suite.variants.items()
    )


def _judge_teacher(suite: Suite, teacher: ModelHandle, metric: str, report_result: Report) -> None:
    budgets, default = suite.teacher_budgets.quality[metric], suite.measure.on_inconclusive
    outcomes = teacher.outcomes
    judged = judge_quality(load_metric(metric), outcomes, outcomes, budgets, seed=suite.seed)
    line = format_teacher_message(judged) + _describe_stored_answers(teacher)
    facts = _describe_teacher(judged, teacher).replace(
        method=judged.method,
        n_needed=judged.n_needed,
        groups=judged.groups,
        budgets=add_actions(judged.budgets, list_actions(budgets, default)),
        verdict=judged.verdict,
        warnings=list(judged.warnings),
        message=line,
    )
    report_result(GateResult(QUALITY, TEACHER, metric, facts))
    conclude(teacher, facts)


def _describe_stored_answers(model: ModelHandle) -> str:
    """The end of a message: models with stored answers of a server that may have changed since."""
    names = dict.fromkeys(name for name in (TEACHER, model.name) if name in model.run.stored_answers)
    return f"; stored answers of {' and '.join(names)}: the server was not asked" if names else ""


def _describe_teacher(judged: QualityJudgement, teacher: ModelHandle) -> QualityFacts:
    return QualityFacts(
        teacher=judged.teacher,
        value=judged.teacher,
        n=judged.n,
        near_chance=describe_near_chance(teacher.outcomes),
        answered_on=teacher.processor,
        measured=format_now(),
    )


def describe_builds(
    suite: Suite, rebuilt: Mapping[int, Outcomes], metric: Metric, judged: QualityJudgement
) -> BuildsFacts | None:
    """The drops of the builds with the suite's other seeds, next to the first build's; None without any.

    rebuilt: the answers of these builds, by seed.
    """
    if not rebuilt:
        return None
    sign = 100 if metric.higher_is_better else -100
    drops = [sign * (judged.teacher - compute_value(metric, outcomes)) for outcomes in rebuilt.values()]
    return make_builds_facts(
        suite.seeds,
        [judged.drop_points, *drops],
        sampling_se_points=compute_sampling_se(judged),
    )


def test_baseline(
    suite: Suite, teacher: ModelHandle, variant: ModelHandle, baseline_metric: str, report_result: Report
) -> None:
    """Compares a metric of one model with that of the same model in the baseline, on the same gate rows.

    A variant that is new since then is reported as new and compared with nothing. If the rows cannot be
    paired, the budget stays undecided.
    """
    report_builds(report_result, teacher, variant)
    baseline, metric = variant.run.baseline, baseline_metric
    budgets, default = suite.find_budgets(variant.name).baseline[metric], suite.measure.on_inconclusive
    earlier = pair_with_baseline(
        baseline.run, variant.name, variant.outcomes, variant.run.rows.reports[GATE].digest
    )
    if earlier.pair is not None:
        judged = judge_quality(load_metric(metric), *earlier.pair, budgets, seed=suite.seed)
        unchanged = _is_unchanged(variant, earlier)
        if unchanged:
            judged = judge_unchanged(judged)
        line = format_message(variant.name, judged, since=baseline.name)
        line += f"; {UNCHANGED}" if unchanged else ""
        facts = make_since_facts(judged, list_actions(budgets, default), line, measured=format_now())
    else:
        facts = _make_untested_facts(suite, variant, metric, earlier)
    report_result(GateResult(SINCE, variant.name, metric, facts))
    conclude(variant, facts)


def _is_unchanged(variant: ModelHandle, earlier: Since) -> bool:
    run, runtime, digest = variant.run, variant.variant.runtime, variant.built.artifact.digest
    machine = describe_machine(threads=run.suite.threads, device=run.device)
    params = dump_params(runtime.params)
    return is_same_model(earlier, run.baseline.run, digest, runtime.name, params, machine)


def _make_untested_facts(suite: Suite, variant: ModelHandle, metric: str, earlier: Since) -> SinceFacts:
    """The values without a test, as far as they are known."""
    budgets = suite.find_budgets(variant.name).baseline[metric]
    actions = list_actions(budgets, suite.measure.on_inconclusive)
    baseline_facts = earlier.model.quality.get(metric) if earlier.model else None
    facts = SinceFacts(
        baseline=baseline_facts and baseline_facts.value,
        value=compute_value(load_metric(metric), variant.outcomes),
        note=earlier.why_not,
        measured=format_now(),
    )
    where = f"{variant.name}: {metric} against the baseline {variant.run.baseline.name}"
    if earlier.model is None:
        waiting = [
            WaitingBudget(kind=budget.kind, limit=budget.limit, reason=budget.reason, on_inconclusive=action)
            for budget, action in zip(budgets, actions, strict=True)
        ]
        return facts.replace(new=True, waiting=waiting, message=f"{where}: {earlier.why_not}, not gated")
    limits = ", ".join(f"budget {budget.kind} {budget.limit:g}" for budget in budgets)
    return facts.replace(
        budgets=add_actions(make_undecided_verdicts(budgets), actions),
        verdict=Verdict.INCONCLUSIVE,
        message=f"{where}, {limits}: {Verdict.INCONCLUSIVE}, {earlier.why_not}",
    )


def test_confirm(
    suite: Suite,
    teacher: ModelHandle,
    variant: ModelHandle,
    confirm_metric: str,
    passed: Passed,
    report_result: Report,
) -> None:
    """Compares a metric of one variant with the teacher's, on the confirm rows."""
    for model in (teacher, variant):
        passed.require_same(model.name, model.built.artifact.digest)
    check_same_rows(teacher.outcomes, variant.outcomes)
    budgets, default = suite.budgets[variant.name].quality[confirm_metric], suite.measure.on_inconclusive
    judged = judge_quality(
        load_metric(confirm_metric),
        teacher.outcomes,
        variant.outcomes,
        budgets,
        builds=list_further_builds(variant.run, variant.name, budgets),
        seed=suite.seed,
    )
    line = f"confirm: {format_message(variant.name, judged)}"
    among = sum(confirm_metric in metrics for metrics in passed.metrics.values())
    actions = list_actions(budgets, default)
    facts = make_quality_facts(judged, line, actions, measured=format_now(), among=among)
    report_result(GateResult(CONFIRMED, variant.name, confirm_metric, facts))
    conclude(variant, facts)


def adjust_for_family(run: SuiteRun, name: str, metric: str, judged: QualityJudgement) -> QualityJudgement:
    """The judgement with the family's adjusted p-values; unchanged for a suite without a family."""
    family = _adjust_p_values(run) if run.suite.family is not None else {}
    if (name, metric) not in family:
        return judged
    return withhold_family_pass(judged, family[name, metric], sum(map(len, family.values())))


def list_further_builds(run: SuiteRun, name: str, budgets: Sequence[QualityBudget]) -> tuple[Outcomes, ...]:
    """The answers of a variant's further builds if a budget asks for them; else they are not built."""
    over_builds = any(budget.over == "builds" for budget in budgets)
    return tuple(run.measure_rebuilds(name).values()) if over_builds else ()


@cache
def _adjust_p_values(run: SuiteRun) -> Mapping[tuple[str, str], tuple[float, ...]]:
    """Holm's p-values, by (variant, metric): one for each budget on that metric."""
    p_values = {
        (name, metric): _list_p_values(run, name, metric)
        for name, variant in run.suite.variants.items()
        if variant.gated
        for metric in run.suite.budgets[name].quality
    }
    adjusted = iter(adjust_by_holm(np.array([p for values in p_values.values() for p in values])).tolist())
    return {key: tuple(next(adjusted) for _ in values) for key, values in p_values.items()}


def _list_p_values(run: SuiteRun, name: str, metric: str) -> tuple[float, ...]:
    """The p-value of each budget; 1 if the variant cannot be judged, so that it stays in the family."""
    budgets = run.suite.budgets[name].quality[metric]
    try:
        answers = run.measure_outcomes(TEACHER), run.measure_outcomes(name)
        builds = list_further_builds(run, name, budgets)
        judged = judge_quality(load_metric(metric), *answers, budgets, builds=builds, seed=run.suite.seed)
    except SlimgateError:  # its own test says why
        return (1.0,) * len(budgets)
    return tuple(1.0 if budget.p_value is None else budget.p_value for budget in judged.budgets)
