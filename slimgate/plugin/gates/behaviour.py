"""Behaviour: which rows does a variant answer otherwise than its teacher, and where does it lose?"""

from __future__ import annotations

from slimgate.data.quoting import quoted_texts
from slimgate.judge.behaviour import (
    actions_by_kind,
    behaviour,
    behaviour_facts,
    judge_behaviour,
)
from slimgate.judge.budget_kinds import is_two_sided
from slimgate.judge.budget_tables import TOKEN_KINDS
from slimgate.judge.decision import Verdict
from slimgate.judge.message import behaviour_message, describe_parted
from slimgate.judge.metrics import load_metric
from slimgate.judge.slices import SLICED
from slimgate.judge.token_kl import kl_measured
from slimgate.plugin.gates.reporting import Report, conclude, report_build
from slimgate.plugin.gates.shapes import shape_facts
from slimgate.plugin.gates.stages import stage_facts
from slimgate.run.gate_results import format_now, make_part
from slimgate.run.parted_block import find_parted_block
from slimgate.run.run import ModelHandle
from slimgate.run.slicing import find_column_slices
from slimgate.run.token_kl import measure_token_kl
from slimgate.suite.suite import Suite


def test_behaviour(suite: Suite, teacher: ModelHandle, variant: ModelHandle, report_part: Report) -> None:
    """The answers of one variant beside the teacher's, always in the record; gated where it has a budget."""
    report_build(teacher, report_part)
    report_build(variant, report_part)
    if stages := stage_facts(variant):
        report_part(make_part("stages", variant.name, "", {"stages": stages}))
    for model in (teacher, variant):
        if shapes := shape_facts(model, teacher):
            report_part(make_part("shapes", model.name, "", shapes))
    task, gate = suite.setup.task, variant.run.rows.gate
    columns = task.object.quoted_columns(task.params)
    budgets = suite.budgets[variant.name].behaviour
    needs = task.object.needs(task.params)
    sliced = [name for name in (SLICED, *suite.metrics) if _sliceable(name, needs)][:1]
    on_metrics = [budget for group in suite.budgets[variant.name].quality.values() for budget in group]
    measured = behaviour(
        teacher.outcomes,
        variant.outcomes,
        texts=lambda rows: quoted_texts(gate, columns, rows),
        quote_better=is_two_sided(on_metrics),
    )
    if task.object.compare:
        measured |= task.object.compare(task.params, teacher.to_compared, variant.to_compared)
    if suite.setup.slices and not (sliced or budgets.sliced_metrics):
        columns_of_slices = ", ".join(suite.setup.slices)
        unshown = f"no metric is 0 or 1 per row, so nothing is shown of the slices by {columns_of_slices}"
        measured["findings"] = [*measured.get("findings", ()), unshown]
    tokens = measure_token_kl(teacher, variant) if task.object.next_token else None
    if tokens is not None:
        measured |= kl_measured(tokens, teacher.outcomes, variant.outcomes)
    judged = judge_behaviour(
        teacher.outcomes,
        variant.outcomes,
        budgets,
        metrics={name: load_metric(name) for name in (*sliced, *budgets.sliced_metrics)},
        columns=find_column_slices(suite.setup, gate),
        tokens=tokens,
    )
    line = "; ".join([behaviour_message(variant.name, judged), *measured.get("findings", ())])
    if any(budget.kind in TOKEN_KINDS and budget.verdict is Verdict.FAIL for budget in judged.budgets):
        parted = find_parted_block(teacher, variant)
        measured["parted"] = parted.model_dump(mode="json")
        line += f"; {describe_parted(parted)}"
    actions = actions_by_kind(budgets, suite.measure.on_inconclusive)
    facts = behaviour_facts(measured, judged, line, actions)
    report_part(make_part("behaviour", variant.name, "", {**facts, "measured": format_now()}))
    conclude(variant, facts)


def _sliceable(metric: str, needs: frozenset[str]) -> bool:
    loaded = load_metric(metric)
    return loaded.per_row is not None and loaded.needs in needs
