"""Which variant to ship: the smallest and the fastest of those inside their budgets."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from slimgate._system.escape import escape
from slimgate._system.number_text import format_count, format_int, format_significant
from slimgate.budgets.registry import is_in_points
from slimgate.judge.budget_kinds import measure_harm
from slimgate.judge.score_metric import RECORD_KIND
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.figures import add_note, describe_duel, format_bounded_drop, format_metric_value
from slimgate.report.status import (
    MOST_WORKLOADS,
    choose_workloads,
    describe_workload,
    find_median_ms,
    find_teacher,
    is_above_switched_off,
    list_budgeted_metrics,
    list_inside_budgets,
    list_shippable,
    list_variants,
    list_verdicts,
    list_workloads,
)
from slimgate.report.variant_tables import format_quality_cell, format_size_cell
from slimgate.results.base import Verdict

_MOST_METRICS = 2
# Name of a variant -> the workloads on which it is fastest; None -> those without a faster variant.
Fast = dict[str | None, list[str]]


def recommend(record: RunRecord) -> list[str]:
    """The variants to ship: the smallest and the fastest inside their budgets, or the one that is both."""
    original, other = record.task.sides
    if not list_variants(record):
        return [f"**Ship nothing**: there is no {other}, only the {original} was measured."]
    if not any(list_verdicts(model) for model in list_variants(record)):
        return [f"**Ship nothing yet**: no {other} has been judged against a budget."]
    if failures := record.self_test.failures:
        tests = " and ".join(name.replace("_", " ") for name in failures)
        return [f"**Ship nothing**: the gate failed its self-test ({tests}), so no verdict can be trusted."]
    shippable = list_shippable(record)
    if not shippable:
        return [_explain_no_recommendation(record)]
    small, fast = _find_smallest(record, shippable), _find_fastest(record, shippable)
    if small is None:
        measured = any(model.artifact is not None and model.artifact.bytes is not None for model in shippable)
        smaller = ", but not smaller than the teacher" if measured else ""
        ship = f"Ship {_join_names(shippable, 'or')}: inside all budgets{smaller}."
        return [ship, *_list_chosen_lines(record, shippable), *_list_fastest_lines(record, fast)]
    if list(fast) == [small.name]:
        shown = ", ".join([_format_size(small), *_describe_speeds(record, small, fast[small.name])])
        lines = [f"Ship {_format_name(small)}, the smallest and fastest inside its budgets: {shown}."]
        if metrics := _list_first_metrics(record, small):
            lines.append(f"Its quality: {', '.join(metrics)}.")
        return lines
    facts = [_format_size(small), *_list_first_metrics(record, small)]
    return [
        f"For size, ship {_format_name(small)}: {', '.join(facts)}.",
        *_list_fastest_lines(record, fast),
    ]


def _list_chosen_lines(record: RunRecord, shippable: Sequence[VariantRecord]) -> list[str]:
    """The quality of each variant with a bound that allows for the choice; empty without a choice."""
    names = list_budgeted_metrics(record)[:_MOST_METRICS]
    return [
        f"{_format_name(model)}: {', '.join(_list_chosen_metrics(record, model))}."
        for model in shippable
        if names
        and all(name in model.quality and model.quality[name].among not in (None, 1) for name in names)
    ]


def _list_chosen_metrics(record: RunRecord, model: VariantRecord) -> list[str]:
    """The first two metrics with a budget; of logs, which may have hundreds, the two that lost most.

    Two metrics of a log with the same figures, such as acc and acc_norm, are listed once.
    """
    if record.task.kind != RECORD_KIND:
        return _list_first_metrics(record, model)
    by_figures: dict[tuple[object, ...], str] = {}
    judged = {name: model.quality[name] for name in list_budgeted_metrics(record) if name in model.quality}
    for name, facts in sorted(
        judged.items(), key=lambda pair: -measure_harm(pair[1].drop_points or 0.0, pair[1].budgets)
    ):
        by_figures.setdefault((facts.n, facts.teacher, facts.value, facts.drop_points), name)
    first, more = [*by_figures.values()][:_MOST_METRICS], len(by_figures) - _MOST_METRICS
    shown = [f"{escape(name)} {_format_chosen_cell(record, model, name)}" for name in first]
    return [*shown, f"{format_int(more)} more with smaller drops"] if more > 0 else shown


def _explain_no_recommendation(record: RunRecord) -> str:
    """Why none of the judged variants may ship."""
    other = record.task.sides[1]
    if record.verdict.missing and _may_ship(record):
        return f"**Not decided yet**: {format_count(record.verdict.missing, 'check', 'checks')} not run."
    if passed := list_inside_budgets(record):
        return (
            f"**Ship nothing**: {_join_names(passed, 'and')} passed, but lost more than a budget that is "
            "switched off."
        )
    if undecided := [model for model in list_variants(record) if _is_passed_with_warnings(model)]:
        names = _join_names(undecided, "and")
        return f"**Not decided**: {names} failed no budget. The undecided ones only warn."
    if not record.verdict.fails and _may_ship(record):
        return f"**Not decided**: no {other} passed all of its budgets. The undecided ones only warn."
    return f"**Ship nothing**: no {other} passed all of its budgets."


def recommend_over_suites(records: Sequence[RunRecord], *, unjudged: int) -> str | None:
    """One line on the variants that all suites have; None if the suites have no variant in common.

    unjudged: how many suites could not be judged.
    """
    by_suite = [{model.name: model for model in list_variants(record)} for record in records]
    shared = [name for name in by_suite[0] if all(name in models for models in by_suite)]
    if not shared:
        return None
    _, other = records[0].task.sides
    if unjudged:
        return f"**Ship nothing yet**: {format_count(unjudged, 'suite', 'suites')} could not be judged."
    shippable = [{model.name for model in list_shippable(record)} for record in records]
    names = [f"**{escape(name)}**" for name in shared if all(name in suite for suite in shippable)]
    exempt = any(is_above_switched_off(model) for record in records for model in list_variants(record))
    if not names and not exempt and not any(record.verdict.fails for record in records):
        return f"**Not decided**: no {other} passed all of its budgets in all {len(records)} suites."
    if not names:
        return f"**Ship nothing**: no {other} passed all of its budgets in all {len(records)} suites."
    return f"Ship {' or '.join(names)}: inside all budgets of all {len(records)} suites."


def _is_passed_with_warnings(model: VariantRecord) -> bool:
    """Whether a gated variant failed no budget, and each undecided budget only warns."""
    undecided = [
        budget
        for result in model.results()
        for budget in result.facts.budgets
        if budget.verdict is Verdict.INCONCLUSIVE
    ]
    return (
        model.gated
        and model.error is None
        and Verdict.FAIL not in list_verdicts(model).values()
        and bool(undecided)
        and all(budget.on_inconclusive == "warn" for budget in undecided)
        and not is_above_switched_off(model)
    )


def _may_ship(record: RunRecord) -> bool:
    """Whether any gated variant has failed no budget so far."""
    return any(
        model.gated and Verdict.FAIL not in list_verdicts(model).values() and not is_above_switched_off(model)
        for model in list_variants(record)
    )


def _find_smallest(record: RunRecord, shippable: list[VariantRecord]) -> VariantRecord | None:
    """None if no variant is smaller than the teacher."""
    original = find_teacher(record)
    limit = None if original is None or original.artifact is None else original.artifact.bytes
    sizes = [(model.artifact.bytes, model) for model in shippable if model.artifact is not None]
    sized = [(size, model) for size, model in sizes if size is not None and (limit is None or size < limit)]
    return min(sized, key=lambda pair: pair[0])[1] if sized else None


def _format_size(model: VariantRecord) -> str:
    return format_size_cell(model, unit=" MB")


def _list_first_metrics(record: RunRecord, model: VariantRecord) -> list[str]:
    """The first two metrics with a budget: `accuracy 0.826 (drop 0.3, …)`, as in `_format_chosen_cell`."""
    return [
        f"{escape(name)} {_format_chosen_cell(record, model, name)}"
        for name in list_budgeted_metrics(record)[:_MOST_METRICS]
    ]


def _format_chosen_cell(record: RunRecord, model: VariantRecord, metric: str) -> str:
    """`0.826 (drop 0.3, at most 1.1 allowing for the choice among 4)`: value, drop and bound of a metric.

    The bound is of the confirm rows if they were used once, because no variant was chosen by them. A bound of
    an earlier run, when the suite had fewer variants, is left out.
    """
    facts, where = model.quality[metric], ""
    if record.confirm is not None and record.confirm.uses == 1 and metric in model.confirm:
        facts, where = model.confirm[metric], f", on {format_int(record.confirm.n)} confirm rows"
    elif facts.among is not None and facts.among < (choices := _count_choices(record, metric)):
        note = f"not allowing for the choice among {format_int(choices)}: run the complete suite"
        return format_quality_cell(facts, note=note)
    if facts.among in (None, 1) or facts.bound_among is None:
        return format_quality_cell(facts, note=where.removeprefix(", ") or None)
    limits = [budget.limit for budget in facts.budgets if is_in_points(budget.kind)]
    drop = format_bounded_drop(facts.drop_points, facts.bound_among, limits, unit=facts.unit)
    over = ", over its budget: confirm it" if any(facts.bound_among >= limit for limit in limits) else ""
    among = f"allowing for the choice among {format_int(facts.among)}"
    return add_note(format_metric_value(facts.value), f"{drop} {among}{over}{where}")


def _count_choices(record: RunRecord, metric: str) -> int:
    """The number of gated variants that have a budget on a metric, judged or not."""
    return sum(
        model.gated
        and (metric in model.awaited or (metric in model.quality and bool(model.quality[metric].budgets)))
        for model in list_variants(record)
    )


def _find_fastest(record: RunRecord, shippable: list[VariantRecord]) -> Fast:
    fastest: Fast = {}
    # a speed-up below the smallest slow-down that the self-test detected is not proven
    delay = record.self_test.planted_delay
    least = 1.0 if delay is None else delay.clearance or inf
    for workload in list_workloads(record):
        shown = [
            (rate, model)
            for model in shippable
            if (rate := _find_lower_speedup(record, model, workload)) is not None
        ]
        faster = [(rate, model) for rate, model in shown if rate > least]
        if faster:
            model = max(faster, key=lambda pair: pair[0])[1]
            fastest.setdefault(model.name, []).append(workload)
        elif shown:
            fastest.setdefault(None, []).append(workload)
    return fastest


def _find_lower_speedup(record: RunRecord, model: VariantRecord, workload: str) -> float | None:
    """The value that orders variants: the lower bound of the duel's speed-up, or else the medians'."""
    facts = model.latency.get(workload)
    if facts is None:
        return None
    if facts.speedup_interval is not None:
        return facts.speedup_interval[0]
    before = find_median_ms(find_teacher(record), workload)
    return before / facts.p50_ms if before is not None and facts.p50_ms else None


def _describe_speed(record: RunRecord, model: VariantRecord, workload: str) -> str:
    """`1.93× [1.56, 2.57] as fast on batch 1`; without a duel `4.80 ms on batch 1 (teacher 12.7 ms)`."""
    facts, where = model.latency[workload], describe_workload(workload)
    if facts.speedup is not None:
        return f"{describe_duel(facts)} on {where}"
    before = format_significant(find_median_ms(find_teacher(record), workload))
    return f"{format_significant(facts.p50_ms)} ms on {where} (teacher {before} ms)"


def _describe_speeds(record: RunRecord, model: VariantRecord, lines: list[str]) -> list[str]:
    """The speeds on the workloads of the tables; the others are counted: `on 4 more workloads`."""
    chosen = [workload for workload in choose_workloads(record) if workload in lines]
    left = len(lines) - len(chosen)
    speeds = [_describe_speed(record, model, workload) for workload in chosen]
    return [*speeds, f"on {format_count(left, 'more workload', 'more workloads')}"] if left else speeds


def _list_fastest_lines(record: RunRecord, fastest: Fast) -> list[str]:
    """A line on the fastest variants, and on the workloads on which none is shown to be faster."""
    shown = choose_workloads(record)
    fast_models = []
    for name, workloads in sorted(fastest.items(), key=lambda pair: not set(shown) & set(pair[1])):
        if name:
            model = record.variant(name)
            speeds = ", ".join(_describe_speeds(record, model, workloads))
            fast_models.append(f"{_format_name(model)}: {speeds}")
    lines = [f"For speed, ship {'; '.join(fast_models)}."] if fast_models else []
    if None in fastest:
        number = f"{len(fastest[None])} of {len(list_workloads(record))} workloads"
        is_long = len(fastest[None]) > MOST_WORKLOADS
        where = number if is_long else ", ".join(map(describe_workload, fastest[None]))
        lines.append(f"None is shown to be faster than the teacher on {where}.")
    return lines


def _join_names(models: Sequence[VariantRecord], word: str) -> str:
    return f" {word} ".join(map(_format_name, models))


def _format_name(model: VariantRecord) -> str:
    """The name in bold print."""
    return f"**{escape(model.name)}**"
