"""Budgets on a metric, in the order in which lists show them."""

from __future__ import annotations

from math import isfinite

from slimgate.budgets.base import (
    MetricBudgetKind,
    has_drop_in_points,
    has_error_rate,
    is_answer_length,
    is_better_higher,
    is_better_lower,
)

KINDS = (
    MetricBudgetKind(
        name="drop_points",
        question="drop",
        description="Percentage points that the metric may lose.",
        at_most=100.0,
        limit_text="drop at most {:g} {points}",
        suits=has_drop_in_points,
        why_not="the metric grows by a factor and has no points",
        allowed_drop=lambda limit, _teacher: limit / 100,
    ),
    # Two one-sided tests at 5 % each must show that the variant is neither worse nor better by the limit or
    # more (TOST). Source: Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657-680.
    MetricBudgetKind(
        name="equivalent_points",
        question="change",
        description="Percentage points that the metric may lose or gain; each direction is tested at 5 %.",
        at_most=100.0,
        limit_text="drop within ±{:g} {points}",
        # without a lowest and a highest value no sample shows how much a few rows can raise the mean
        suits=lambda metric: has_drop_in_points(metric) and all(map(isfinite, metric.value_range)),
        why_not="it needs a metric in points that has a lowest and a highest value",
        allowed_drop=lambda limit, _teacher: limit / 100,
    ),
    MetricBudgetKind(
        name="drop_relative",
        question="share of value",
        description="Share of the teacher's value that the metric may lose.",
        below=1.0,
        limit_text="loses at most {:g} % of the teacher's value",
        percent=True,
        suits=is_better_higher,
        why_not="it is for metrics where higher is better",
        allowed_drop=lambda limit, teacher: limit * teacher,
    ),
    MetricBudgetKind(
        name="error_increase_relative",
        question="share of errors",
        description="Allowed growth of the error rate, as a share of the teacher's error rate.",
        limit_text="errors grow by at most {:g} %",
        percent=True,
        suits=has_error_rate,
        why_not="it needs a metric from 0 to 1 where higher is better, so that 1 - value is an error rate",
        allowed_drop=lambda limit, teacher: limit * (1 - teacher),
    ),
    MetricBudgetKind(
        name="increase_relative",
        question="share of value",
        description=(
            "Allowed growth of a loss or perplexity, as a share of the teacher's value: 0.03 is 3 %. A "
            "limit of 1 or more needs a reason."
        ),
        limit_text="grows by at most {:g} %",
        percent=True,
        suits=is_better_lower,
        why_not="it is for metrics where lower is better",
        allowed_drop=lambda limit, teacher: limit * teacher,
    ),
    MetricBudgetKind(
        name="floor",
        question="own value",
        description="Least value of the metric; the interval of the variant's value decides.",
        teacher_description="Least value of the teacher's metric.",
        above=None,
        limit_text="at least {:g}",
        is_minimum=True,
        suits=is_better_higher,
        why_not="it is for metrics where higher is better",
        allowed_drop=lambda limit, teacher: teacher - limit,
    ),
    MetricBudgetKind(
        name="ceiling",
        question="own value",
        description="Largest value of the metric, for metrics where lower is better; the interval of the "
        "variant's value decides.",
        teacher_description="Largest value of the teacher's metric, for metrics where lower is better.",
        above=None,
        limit_text="at most {:g}",
        suits=is_better_lower,
        why_not="it is for metrics where lower is better",
        allowed_drop=lambda limit, teacher: limit - teacher,
    ),
    MetricBudgetKind(
        name="length_ratio_max",
        question="ratio",
        description="Largest mean length of an answer, as a multiple of the teacher's mean length: 1.1 "
        "allows 10 % more tokens.",
        limit_text="answers at most {:g}× as long",
        suits=is_answer_length,
        why_not="it is for answer_length",
        allowed_drop=lambda limit, teacher: (limit - 1) * teacher,
    ),
    MetricBudgetKind(
        name="length_ratio_min",
        question="ratio",
        description="Least mean length of an answer, as a multiple of the teacher's mean length: 0.8 "
        "allows 20 % fewer tokens.",
        limit_text="answers at least {:g}× as long",
        is_minimum=True,
        suits=is_answer_length,
        why_not="it is for answer_length",
        allowed_drop=lambda limit, teacher: (1 - limit) * teacher,
    ),
)
