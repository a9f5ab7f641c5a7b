"""Judgements in the form of the record, and how much several builds of a variant differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np

from slimgate.errors import MeasureError
from slimgate.judge.decision import Z_ALPHA
from slimgate.judge.family import compute_family_bound
from slimgate.judge.verdict import QualityJudgement
from slimgate.results.base import BudgetFacts, OnInconclusive
from slimgate.results.facts import Facts
from slimgate.results.quality import BuildsFacts, QualityFacts, SinceFacts


def make_quality_facts(
    judged: QualityJudgement,
    message: str,
    on_undecided: Sequence[OnInconclusive] = (),
    *,
    measured: str,
    among: int | None = None,
) -> QualityFacts:
    """A judged metric of a variant.

    message: its line in the report. on_undecided: what each budget does if it is undecided; without them, the
    record does not say it. measured: the time of the measurement. among: the number of variants with a budget
    on this metric, among which the user chooses the best; None if the record does not say it.
    """
    budgets = add_actions(judged.budgets, on_undecided or [None] * len(judged.budgets))
    figures = {**_list_figures(judged, QualityFacts), "budgets": budgets}
    facts = QualityFacts(**figures, message=message, measured=measured)
    if among is None:
        return facts
    return facts.replace(among=among, bound_among=compute_family_bound(judged, among))


def make_since_facts(
    judged: QualityJudgement, on_undecided: Sequence[OnInconclusive], message: str, *, measured: str
) -> SinceFacts:
    """A metric of this run, with the baseline in the teacher's place; arguments: see make_quality_facts."""
    changed = judged.changed
    figures = {**_list_figures(judged, SinceFacts), "budgets": add_actions(judged.budgets, on_undecided)}
    return SinceFacts(
        **figures,
        baseline=judged.teacher,
        right_to_wrong=changed and changed.right_to_wrong,
        wrong_to_right=changed and changed.wrong_to_right,
        message=message,
        measured=measured,
    )


def _list_figures(judged: QualityJudgement, kind: type[Facts]) -> dict[str, Any]:
    """The figures of a judgement that a kind of facts has, by the names of their fields."""
    return {name: getattr(judged, name) for name in kind.model_fields if hasattr(judged, name)}


def add_actions(
    budgets: Sequence[BudgetFacts], on_undecided: Sequence[OnInconclusive | None]
) -> list[BudgetFacts]:
    """Judged budgets with what each does if it is undecided."""
    return [
        replace(budget, on_inconclusive=action) for budget, action in zip(budgets, on_undecided, strict=True)
    ]


def make_builds_facts(
    seeds: Sequence[int], drops_points: Sequence[float], *, sampling_se_points: float | None
) -> BuildsFacts:
    """How much the builds of several seeds differ, with the standard error that the rows alone cause.

    Raises MeasureError if seeds repeat or do not match the drops.
    """
    if not seeds or len(seeds) != len(drops_points):
        raise MeasureError(
            f"{len(seeds)} seeds and {len(drops_points)} drops, expected the same number of both, at "
            "least one"
        )
    if len(set(seeds)) < len(seeds):
        raise MeasureError(f"seeds {list(seeds)} repeat: equal seeds build the same weights")
    if not all(map(isfinite, drops_points)):
        raise MeasureError(f"drops {list(drops_points)} are not all finite")
    sd = float(np.std(drops_points, ddof=1)) if len(seeds) > 1 else None
    mean = float(np.mean(drops_points))
    return BuildsFacts(
        seeds=list(seeds),
        drops_points=list(drops_points),
        mean_points=mean,
        sd_points=sd,
        sampling_se_points=sampling_se_points,
    )


def compute_sampling_se(judgement: QualityJudgement) -> float | None:
    """The standard error that the judgement's 90 % interval implies; None without an interval."""
    if judgement.interval is None:
        return None
    low, high = judgement.interval
    return (high - low) / (2 * Z_ALPHA)
