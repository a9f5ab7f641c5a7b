"""The status of each model of a record: its verdicts together, and the missing checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from slimgate._system.escape import escape
from slimgate.budgets.registry import find_kind, is_in_points
from slimgate.judge.budget_kinds import measure_harm
from slimgate.plugins.workloads import format_workload
from slimgate.record.earlier_results import describe_age
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.card_metadata import LOAD
from slimgate.results.base import SwitchedOffBudget, Verdict, find_worst_verdict
from slimgate.results.checks import BEHAVIOUR, LATENCY, SPEEDUP, TEACHER

_NO_BUDGET = "no budget"
# The note of the loading step on a model whose files hold the head.
_OWN_HEAD = "the model's own"
MOST_WORKLOADS = 2  # columns of a table; more would have to be scrolled sideways
_LATENCY = "latency "  # the beginning of the name of a speed-up


def list_models(record: RunRecord) -> list[VariantRecord]:
    """The teacher, then the variants in the suite's order."""
    return sorted(record.variants, key=lambda model: model.name != TEACHER)


def find_shown_name(record: RunRecord, model: VariantRecord) -> str:
    """The model's name in the report, where the first model of logs is their base."""
    return record.task.sides.original if model.name == TEACHER else model.name


def format_target_heading(model: VariantRecord) -> str:
    """`### int8: org/model-int8`: a target of files, and the model that its log states."""
    stated = "" if model.parent in (None, TEACHER, model.name) else f": {escape(model.parent)}"
    return f"### {escape(model.name)}{stated}"


def list_variants(record: RunRecord) -> list[VariantRecord]:
    return [model for model in record.variants if model.name != TEACHER]


def find_model(record: RunRecord, name: str | None) -> VariantRecord | None:
    """The model of this name; None if the record has none."""
    return next((model for model in record.variants if model.name == name), None)


def find_teacher(record: RunRecord) -> VariantRecord | None:
    return find_model(record, TEACHER)


def find_new_head(model: VariantRecord) -> str | None:
    """How the head of the model was fitted on the train rows; None if its files hold the head."""
    loaded = [step.log for step in model.steps if step.name == LOAD]
    head = loaded[0].get("head", _OWN_HEAD) if loaded else _OWN_HEAD
    return None if head == _OWN_HEAD else str(head)


def list_model_metrics(record: RunRecord) -> list[str]:
    """Every metric that some model has, in the order met."""
    return _remove_repeats(name for model in list_models(record) for name in model.quality)


def list_budgeted_metrics(record: RunRecord) -> list[str]:
    """The metrics that have a budget for at least one variant."""
    return [
        name
        for name in list_model_metrics(record)
        if any(name in model.quality and model.quality[name].budgets for model in list_variants(record))
    ]


def list_unbudgeted_metrics(record: RunRecord) -> list[str]:
    """The metrics that no variant has a budget for, also not since the baseline."""
    since = {
        name
        for model in list_variants(record)
        for name, facts in model.since_baseline.items()
        if facts.budgets
    }
    gated = since.union(list_budgeted_metrics(record))
    return [name for name in list_model_metrics(record) if name not in gated]


def list_workloads(record: RunRecord) -> list[str]:
    return _remove_repeats(name for model in list_models(record) for name in model.latency)


def choose_workloads(record: RunRecord) -> list[str]:
    """The workloads that tables have room for, in the suite's order: those with a budget come first."""
    names = list_workloads(record)
    judged = {name for model in list_models(record) for name, facts in model.latency.items() if facts.budgets}
    chosen = sorted(names, key=lambda name: name not in judged)[:MOST_WORKLOADS]
    return [name for name in names if name in chosen]


def find_median_ms(model: VariantRecord | None, workload: str) -> float | None:
    """The median time of a call; None if it was not measured."""
    facts = model.latency.get(workload) if model is not None else None
    return facts.p50_ms if facts is not None else None


def describe_workload(workload: str) -> str:
    """`batch 32 × 64 tokens` for b32x64, as markdown."""
    return escape(format_workload(workload))


def list_verdicts(model: VariantRecord) -> dict[str, Verdict]:
    """The verdicts on budgets, also since the baseline; for latency, one for each workload."""
    by_budget: dict[str, Verdict | None] = {}
    for result in model.results():
        if result.kind == BEHAVIOUR:
            by_budget |= {describe_budget(budget.kind): budget.verdict for budget in result.facts.budgets}
        elif result.kind == LATENCY:
            words = describe_workload(result.name)
            by_budget |= {
                f"{describe_budget(budget.kind)} {words}": budget.verdict for budget in result.facts.budgets
            }
        elif result.kind == SPEEDUP:
            by_budget[f"{result.subject} {describe_workload(result.name)}"] = result.facts.verdict
        else:
            by_budget[escape(result.title)] = result.facts.verdict
    by_budget |= {f"confirm {escape(name)}": facts.verdict for name, facts in model.confirm.items()}
    return {name: verdict for name, verdict in by_budget.items() if verdict is not None}


def describe_budget(kind: str) -> str:
    """`flips` for flips_max_percent, `slices accuracy` for slices.accuracy, `KL, mean` for mean_max,
    `p95` for p95_ms_max.
    """
    known = find_kind(kind, "top1_agreement") or find_kind(kind)
    if known is not None and known.title is not None:
        return known.title
    table, _, metric = kind.partition(".")
    return f"{table} {escape(metric)}" if metric else escape(kind)


def format_switched_off(model: VariantRecord) -> list[str]:
    """`accuracy drop_points 5: the release replaces the labels`: each budget, and the reason."""
    return [
        f"{_format_budget(budget)} {budget.limit:g}: {escape(budget.reason)}" for budget in model.switched_off
    ]


def _format_budget(budget: SwitchedOffBudget) -> str:
    """A kind with a dot says all, as `slices.accuracy` does."""
    if "." in budget.kind:
        return describe_budget(budget.kind)
    return f"{escape(budget.budget)} {escape(budget.kind)}"


def list_unjudged_budgets(
    record: RunRecord, model: VariantRecord, budgeted: Sequence[str] | None = None
) -> list[str]:
    """The variant's budgets in the suite that were not judged; its size may be known anyway.

    budgeted: list_budgeted_metrics(record), for callers with many models: computing it reads all of them.
    """
    names = list_budgeted_metrics(record) if budgeted is None else budgeted
    return _remove_repeats([*(name for name in names if name not in model.quality), *model.awaited])


def format_status_cell(record: RunRecord, model: VariantRecord, budgeted: Sequence[str] | None = None) -> str:
    """The worst verdict, the budgets that have it, and when it was judged, if by an earlier run.

    budgeted: as in `list_unjudged_budgets`.
    """
    return _format_verdict(record, model, budgeted) + describe_age(model)


def _format_verdict(record: RunRecord, model: VariantRecord, budgeted: Sequence[str] | None) -> str:
    """The verdict without its age."""
    if model.name == TEACHER and not (list_verdicts(model) or model.awaited):
        return "reference" if model.error is None else "**error**"
    by_budget = list_verdicts(model)
    worst = find_worst_verdict(list(by_budget.values()))
    if not model.gated:
        would = "error" if model.error is not None else worst and f"would {worst}"
        if would and worst is Verdict.INCONCLUSIVE and model.error is None:
            would = "undecided"
        return f"not gated ({would})" if would else "not gated"
    missing = ", ".join(map(escape, list_unjudged_budgets(record, model, budgeted)))
    if model.error is None and worst is None:
        return "not judged yet" if missing else _NO_BUDGET
    if model.error is None and worst is Verdict.PASS:
        return f"PASS so far ({missing} not judged yet)" if missing else "PASS"
    error = ["**error**"] if model.error is not None else []
    return ", ".join([*error, *_format_worst(by_budget)])


def _format_worst(by_budget: Mapping[str, Verdict]) -> list[str]:
    """The verdict and its causes: `**FAIL** (accuracy, latency on 2 workloads)`; empty if all holds."""
    worst = find_worst_verdict(list(by_budget.values()))
    if worst in (None, Verdict.PASS):
        return []
    names = [name for name, verdict in by_budget.items() if verdict is worst]
    latencies = [name for name in names if name.startswith(_LATENCY)]
    if len(latencies) > 1:
        names = [name for name in names if name not in latencies]
        names.append(f"{_LATENCY}on {len(latencies)} workloads")
    return [f"**{worst}** ({', '.join(names)})"]


def list_inside_budgets(record: RunRecord) -> list[VariantRecord]:
    """Gated variants whose budgets were all judged and all hold."""
    budgeted = list_budgeted_metrics(record)
    return [
        model
        for model in list_variants(record)
        if model.gated
        and model.error is None
        and set(list_verdicts(model).values()) == {Verdict.PASS}
        and not list_unjudged_budgets(record, model, budgeted)
    ]


def list_shippable(record: RunRecord) -> list[VariantRecord]:
    """The models inside their budgets, without those that a switched-off budget would have failed.

    Empty if the gate failed its self-test, because no verdict can be trusted then.
    """
    if record.self_test.failures:
        return []
    return [model for model in list_inside_budgets(record) if not is_above_switched_off(model)]


def is_above_switched_off(model: VariantRecord) -> bool:
    """Whether a measured drop is above a limit in points that the variant's own table switches off.

    A limit does not count if the variant has another limit of its kind for the metric.
    """
    for off in model.switched_off:
        facts = model.quality.get(off.budget)
        if facts is None or facts.drop_points is None or not is_in_points(off.kind):
            continue
        if any(budget.kind == off.kind for budget in facts.budgets):
            continue
        if measure_harm(facts.drop_points, [off]) > off.limit:
            return True
    return False


def _remove_repeats(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
