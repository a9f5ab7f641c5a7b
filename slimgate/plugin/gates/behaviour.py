"""Behaviour: which rows does a variant answer differently from its teacher, and where does it lose?

Its record also has the stages: what each step between teacher and variant cost in quality and saved in size.
It also has the shapes of one gate row in a model, the same row for the teacher and every variant.
"""

from __future__ import annotations

from slimgate._system.timestamps import format_now
from slimgate.data.quoting import quote_row_texts
from slimgate.errors import SlimgateError
from slimgate.judge.behaviour import (
    judge_behaviour,
    list_actions_by_kind,
    make_behaviour_facts,
    measure_behaviour,
)
from slimgate.judge.behaviour_message import describe_fault_location, format_behaviour_message
from slimgate.judge.budget_kinds import is_two_sided
from slimgate.judge.budget_tables import SLICED, TOKEN_KINDS
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.judge.token_kl import add_kl
from slimgate.plugin.gates.reporting import SIZES, Report, conclude, report_builds
from slimgate.record.build import StageFacts, StagesFacts
from slimgate.record.run import RowShapes
from slimgate.results.base import Verdict
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.checks import BEHAVIOUR
from slimgate.run.followed_rows import find_least_sure
from slimgate.run.gate_results import SHAPES, STAGES, GateResult
from slimgate.run.measure.row_shapes import make_row_shapes
from slimgate.run.model_handle import ModelHandle
from slimgate.run.run import ModelStage, SuiteRun, list_stages
from slimgate.run.slicing import find_column_slices
from slimgate.run.token_kl import locate_fault, measure_token_kl
from slimgate.suite.suite import Suite

LOSS = "log_loss"


def test_behaviour(suite: Suite, teacher: ModelHandle, variant: ModelHandle, report_result: Report) -> None:
    """Compares the answers of one variant with the teacher's for the record; a budget makes it a gate."""
    _report_models(teacher, variant, report_result)
    task, budgets = suite.setup.task, suite.budgets[variant.name].behaviour
    provided = task.object.provides_with(task.params)
    # The slices show one metric; those with a budget on slices come in addition.
    shown_metrics = [name for name in (SLICED, *suite.metrics) if _is_sliceable(name, provided)][:1]
    measured = _measure_answers(suite, teacher, variant)
    findings = measured.findings
    if suite.setup.slices and not (shown_metrics or budgets.sliced_metrics):
        columns = ", ".join(suite.setup.slices)
        finding = f"no metric is 0 or 1 per row, so the report has no slices by {columns}"
        findings = [*findings, finding]
    tokens = measure_token_kl(teacher, variant) if task.object.next_token else None
    if tokens is not None:
        measured = add_kl(measured, tokens, teacher.outcomes, variant.outcomes)
    judged = judge_behaviour(
        teacher.outcomes,
        variant.outcomes,
        budgets,
        metrics={name: load_metric(name) for name in (*shown_metrics, *budgets.sliced_metrics)},
        column_slices=find_column_slices(suite.setup, variant.run.rows.gate),
        tokens=tokens,
    )
    line = "; ".join([format_behaviour_message(variant.name, judged), *findings])
    fault_location = None
    failed_kinds = {budget.kind for budget in judged.budgets if budget.verdict is Verdict.FAIL}
    if not failed_kinds.isdisjoint(TOKEN_KINDS):
        fault_location = locate_fault(teacher, variant)
        line += f"; {describe_fault_location(fault_location)}"
    measured = measured.replace(findings=findings, fault_location=fault_location, measured=format_now())
    actions = list_actions_by_kind(budgets, suite.measure.on_inconclusive)
    facts = make_behaviour_facts(measured, judged, line, actions)
    report_result(GateResult(BEHAVIOUR, variant.name, "", facts))
    conclude(variant, facts)


def _report_models(teacher: ModelHandle, variant: ModelHandle, report_result: Report) -> None:
    report_builds(report_result, teacher, variant)
    if stages := list_stage_facts(variant):
        report_result(GateResult(STAGES, variant.name, "", StagesFacts(stages=stages)))
    for model in (teacher, variant):
        if shapes := make_shape_facts(model, teacher):
            report_result(GateResult(SHAPES, model.name, "", shapes))


def _measure_answers(suite: Suite, teacher: ModelHandle, variant: ModelHandle) -> BehaviourFacts:
    """What the answers show, with the task's own comparison.

    Rows that the variant answers better are quoted only if a budget also limits a gain.
    """
    task, gate = suite.setup.task, variant.run.rows.gate
    columns = task.object.quoted_columns(task.params)
    on_metrics = [budget for group in suite.budgets[variant.name].quality.values() for budget in group]
    measured = measure_behaviour(
        teacher.outcomes,
        variant.outcomes,
        texts=lambda rows: quote_row_texts(gate, columns, rows),
        quote_better=is_two_sided(on_metrics),
    )
    if not task.object.compare:
        return measured
    return measured.replace(**task.object.compare(task.params, teacher.compared, variant.compared))


def _is_sliceable(metric: str, provided: frozenset[str]) -> bool:
    loaded = load_metric(metric)
    return loaded.per_row is not None and loaded.needs in provided


def make_shape_facts(model: ModelHandle, teacher: ModelHandle) -> RowShapes | None:
    """The shapes of the row of which the teacher is least sure; None if the model is no PyTorch module."""
    run = model.run
    row, _ = find_least_sure(getattr(teacher.outcomes, "probabilities", None))
    return make_row_shapes(
        run.rows,
        model.built.artifact,
        run.encoder,
        run.store,
        row=row,
        device=run.device,
    )


def list_stage_facts(variant: ModelHandle) -> list[StageFacts]:
    """The teacher (or loaded model) and a stage for each step, those of parent variants first.

    Empty if there is only one step, because that stage is the variant itself.

    It is measured on `selection`, not on the gate: a stage explains, and only the variant is judged.
    """
    stages = list(list_stages(variant.run, variant.name))
    has_several_steps = len(stages) > 2  # the first stage is no step
    has_selection_rows = len(variant.run.rows.splits.get("selection", ())) > 0
    if not (has_several_steps and has_selection_rows):
        return []
    return [_describe_stage(variant.run, stage) for stage in stages]


def _describe_stage(run: SuiteRun, stage: ModelStage) -> StageFacts:
    manifest = stage.artifact.manifest
    facts = StageFacts(
        variant=stage.owner,
        step=stage.step,
        **{key: manifest[key] for key in SIZES},
        seconds=manifest["seconds"] if stage.step else None,
    )
    try:
        outcomes = run.measure_selection(stage.owner, stage.artifact)
    except SlimgateError as error:  # a stage may be broken although the variant, after further steps, is not
        return facts.replace(note=str(error))
    task = run.suite.setup.task
    provided = task.object.provides_with(task.params)
    metrics = [load_metric(name) for name in dict.fromkeys((*run.suite.metrics, LOSS))]
    values = {metric.name: compute_value(metric, outcomes) for metric in metrics if metric.needs in provided}
    return facts.replace(selection=values)
