"""Behaviour: where a variant's answers differ from its teacher's, and whether the budgets on that hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from slimgate._system.escape import cut_end
from slimgate.errors import MeasureError, list_names
from slimgate.judge.answer_figures import (
    MOST_CLASSES_OF_A_MATRIX,
    compute_brier_score,
    compute_calibration_error,
    compute_confidences,
    compute_kl_to_teacher,
    compute_reliability,
    compute_tradeoff,
    count_confusions,
    list_confusion_cells,
)
from slimgate.judge.budget_tables import BehaviourBudgets, LimitBudget, make_slices_kind
from slimgate.judge.cannot_fail import withhold_sure_flips, withhold_sure_slices
from slimgate.judge.decision import withhold_budget_pass
from slimgate.judge.flips import (
    MOST_QUOTED,
    FlipShare,
    compare_flips,
    find_flipped_rows,
    judge_flips,
    select_confident_lost_rows,
)
from slimgate.judge.metrics.base import Metric
from slimgate.judge.metrics.classes import list_absent_labels
from slimgate.judge.slices import (
    Slice,
    decide_all_slices,
    decide_named_slice,
    judge_slices,
    list_label_slices,
    list_slice_gaps,
)
from slimgate.judge.token_kl import TokenKl, judge_tokens
from slimgate.outcomes import ClassOutcomes, Ints, Outcomes, check_same_rows
from slimgate.results.base import BudgetFacts, OnInconclusive, Verdict, find_worst_verdict
from slimgate.results.behaviour import BehaviourFacts, Flips, QuotedRow, SliceFacts

_LONGEST_ANSWER = 300
_MOST_NAMED = 5

Texts = Callable[[Ints], Sequence[str]]


@dataclass(frozen=True)
class BehaviourJudgement:
    """The judged behaviour of a variant: flips, slices and next tokens.

    flips: None if rows are neither right nor wrong. slices: of each metric, the largest drop first.
    tokens: the figures for budgets on tokens; None if they were not measured.
    withheld: why a budget on flips or slices gives no PASS, by its kind.
    """

    flips: FlipShare | None
    slices: tuple[SliceFacts, ...]
    budgets: tuple[BudgetFacts, ...]
    tokens: TokenKl | None = None
    withheld: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict | None:
        """The worst verdict of its budgets; None without a budget."""
        return find_worst_verdict([budget.verdict for budget in self.budgets])


def judge_behaviour(
    teacher: Outcomes,
    variant: Outcomes,
    budgets: BehaviourBudgets,
    *,
    metrics: Mapping[str, Metric],
    column_slices: Sequence[Slice] = (),
    tokens: TokenKl | None = None,
) -> BehaviourJudgement:
    """Judges flips, tokens, and each of the metrics on every label and on the slices of columns.

    A budget that no variant can break does not pass (`cannot_fail`).

    metrics: metrics with 0 or 1 for each row, by the names that budgets use. Each metric with a budget on
    slices must be among them. tokens: None if the two models do not read the same tokens. Raises MeasureError
    if there are no rows, if the rows of the two differ, or if there is a budget on tokens without `tokens`;
    SuiteError for a metric that cannot be judged on slices.
    """
    _check_rows(teacher, variant)
    share = None if teacher.right is None and budgets.flips is None else compare_flips(teacher, variant)
    flips = budgets.flips
    judged = [] if flips is None or share is None else [judge_flips(share, flips.limit, flips.reason)]
    judged += _judge_tokens(tokens, [limit for limits in budgets.tokens.values() for limit in limits])
    slices: list[SliceFacts] = []
    all_slices = [*column_slices, *list_label_slices(teacher)]
    for name, metric in metrics.items():
        metric_slices, verdicts = _judge_metric_slices(
            replace(metric, name=name), teacher, variant, all_slices, budgets
        )
        slices += metric_slices
        judged += verdicts
    judgement = BehaviourJudgement(share, tuple(slices), tuple(judged), tokens)
    judgement = _withhold_absent_labels(judgement, teacher, {make_slices_kind(name) for name in metrics})
    if teacher.right is not None:
        judgement = withhold_sure_flips(judgement, float((teacher.right > 0).mean()))
    return withhold_sure_slices(metrics, judgement)


def _judge_metric_slices(
    metric: Metric,
    teacher: Outcomes,
    variant: Outcomes,
    slices: Sequence[Slice],
    budgets: BehaviourBudgets,
) -> tuple[tuple[SliceFacts, ...], list[BudgetFacts]]:
    """A metric on every slice, and the verdicts of its budgets on slices."""
    on_all = budgets.slices.get(metric.name)
    on_named = {name: budget for name, budget in budgets.named_slices.items() if name.metric == metric.name}
    judged = judge_slices(
        metric,
        teacher,
        variant,
        slices,
        None if on_all is None else on_all.limit,
        own_limits={(name.column, name.value): budget.limit for name, budget in on_named.items()},
    )
    verdicts = [decide_named_slice(name, judged, budget) for name, budget in on_named.items()]
    if on_all is not None:
        verdicts.insert(0, decide_all_slices(metric.name, judged, on_all.limit, on_all.reason))
    return judged, verdicts


def _withhold_absent_labels(
    judged: BehaviourJudgement, teacher: Outcomes, kinds: Collection[str]
) -> BehaviourJudgement:
    """The judgement in which no budget on every slice passes if a label has no rows, and so no slice.

    kinds: of the budgets on every slice.
    """
    absent = list_absent_labels(teacher) if isinstance(teacher, ClassOutcomes) else []
    if not absent:
        return judged
    why = f"no gate row has the label {list_names(absent, _MOST_NAMED)}"
    budgets = tuple(
        withhold_budget_pass(budget) if budget.kind in kinds else budget for budget in judged.budgets
    )
    undecided = [budget.kind for budget in budgets if budget.verdict is Verdict.INCONCLUSIVE]
    withheld = {kind: why for kind in undecided if kind in kinds}
    return replace(judged, budgets=budgets, withheld=withheld)


def _judge_tokens(tokens: TokenKl | None, budgets: Sequence[LimitBudget]) -> tuple[BudgetFacts, ...]:
    if not budgets:
        return ()
    if tokens is None:
        raise MeasureError(
            "kl, top1_agreement: teacher and variant have different tokens or vocabularies, so their "
            "probabilities cannot be compared; switch these budgets off for this variant, and use "
            "bits_per_byte"
        )
    return judge_tokens(tokens, budgets)


def measure_behaviour(
    teacher: Outcomes, variant: Outcomes, *, texts: Texts | None = None, quote_better: bool = False
) -> BehaviourFacts:
    """The record's facts on a variant's behaviour, without budgets.

    The record has both confusion matrices for up to 30 classes; with more, only their cells that are not
    empty.

    Args:
        teacher: its answers on the gate rows.
        variant: its answers on the same rows.
        texts: the texts of rows by their positions, for the rows that are quoted.
        quote_better: quote rows that turned from wrong to right too, since a budget limits a gain.

    Raises:
        MeasureError: as judge_behaviour.
    """
    _check_rows(teacher, variant)
    rows = np.flatnonzero(teacher.changed_rows(variant))
    has_answers = teacher.answers is not None and variant.answers is not None
    flips, changed_answers = None, list[QuotedRow]()
    if teacher.right is not None:
        flips = _count_flips(teacher, variant, len(rows), texts, quote_better=quote_better)
    elif has_answers:
        changed_answers = _quote_rows(teacher, variant, rows[:MOST_QUOTED], texts)
    facts = BehaviourFacts(
        n=len(teacher),
        flips=flips,
        agreement=1 - len(rows) / len(teacher) if flips is not None or has_answers else None,
        changed_answers=changed_answers,
    )
    if not isinstance(teacher, ClassOutcomes) or not isinstance(variant, ClassOutcomes):
        return facts
    return facts.replace(
        kl_to_teacher=compute_kl_to_teacher(teacher, variant),
        ece=compute_calibration_error(variant),
        ece_teacher=compute_calibration_error(teacher),
        brier=compute_brier_score(variant),
        brier_teacher=compute_brier_score(teacher),
        reliability=compute_reliability(variant),
        reliability_teacher=compute_reliability(teacher),
        tradeoff=compute_tradeoff(variant),
        tradeoff_teacher=compute_tradeoff(teacher),
        **_make_confusion(teacher, variant),
    )


def _count_flips(
    teacher: Outcomes, variant: Outcomes, changed: int, texts: Texts | None, *, quote_better: bool
) -> Flips:
    """The rows that turned from right to wrong or back, without an interval. changed: as in Flips."""
    lost, won = find_flipped_rows(teacher, variant)
    return Flips(
        right_to_wrong=len(lost),
        wrong_to_right=len(won),
        changed=changed,
        quoted=_quote_rows(teacher, variant, select_confident_lost_rows(teacher, variant), texts),
        quoted_better=_quote_rows(teacher, variant, won[:MOST_QUOTED], texts) if quote_better else [],
    )


def make_behaviour_facts(
    measured: BehaviourFacts,
    judged: BehaviourJudgement,
    message: str,
    actions: Mapping[str, OnInconclusive] | None = None,
) -> BehaviourFacts:
    """What `measure_behaviour` measured with what was judged of it, for the record.

    message: the line of the gate. actions: the value of on_inconclusive for each kind of budget.
    """
    share, flips = judged.flips, None
    if share is not None and measured.flips is not None:
        flips = measured.flips.replace(
            percent=100 * share.share,
            interval=tuple(100 * bound for bound in share.interval),
            groups=share.groups,
        )
    return measured.replace(
        flips=flips,
        slices=list(judged.slices),
        slice_gaps=list_slice_gaps(judged.slices),
        budgets=[
            replace(budget, on_inconclusive=(actions or {}).get(budget.kind)) for budget in judged.budgets
        ],
        verdict=judged.verdict,
        message=message,
    )


def list_actions_by_kind(budgets: BehaviourBudgets, default: OnInconclusive) -> dict[str, OnInconclusive]:
    """The value of on_inconclusive for each kind of budget."""
    actions: dict[str, OnInconclusive | None] = {
        limit.kind: limit.on_inconclusive for limits in budgets.tokens.values() for limit in limits
    }
    actions |= {make_slices_kind(metric): budget.on_inconclusive for metric, budget in budgets.slices.items()}
    actions |= {
        make_slices_kind(key.metric, key.column, key.value): budget.on_inconclusive
        for key, budget in budgets.named_slices.items()
    }
    if budgets.flips is not None:
        actions[budgets.flips.kind] = budgets.flips.on_inconclusive
    return {kind: action or default for kind, action in actions.items()}


def _check_rows(teacher: Outcomes, variant: Outcomes) -> None:
    check_same_rows(teacher, variant)
    if not len(teacher):
        raise MeasureError("behaviour: there are no gate rows to compare")


def _quote_rows(teacher: Outcomes, variant: Outcomes, rows: Ints, texts: Texts | None) -> list[QuotedRow]:
    shown: Sequence[str | None] = [None] * len(rows) if texts is None else texts(rows)
    return [
        QuotedRow(
            id=str(teacher.ids[row]),
            label=teacher.classes[teacher.labels[row]] if isinstance(teacher, ClassOutcomes) else None,
            **_make_answer_fields("teacher", teacher, row),
            **_make_answer_fields("variant", variant, row),
            text=text,
        )
        for row, text in zip(rows, shown, strict=True)
    ]


def _make_answer_fields(who: str, outcomes: Outcomes, row: np.int64) -> dict[str, Any]:
    """The fields of a QuotedRow with the answer of a model on a row, and its confidence.

    who: "teacher" or "variant".
    """
    if not isinstance(outcomes, ClassOutcomes):
        answers = outcomes.answers
        return {who: None if answers is None else cut_end(str(answers[row]), _LONGEST_ANSWER)}
    confidences = compute_confidences(outcomes)
    return {
        who: outcomes.classes[outcomes.predictions[row]],
        f"{who}_confidence": None if confidences is None else float(confidences[row]),
    }


def _make_confusion(teacher: ClassOutcomes, variant: ClassOutcomes) -> dict[str, Any]:
    if len(teacher.classes) > MOST_CLASSES_OF_A_MATRIX:
        return {"confusion_cells": list_confusion_cells(teacher, variant)}
    return {
        "confusion": count_confusions(variant).tolist(),
        "confusion_teacher": count_confusions(teacher).tolist(),
    }
