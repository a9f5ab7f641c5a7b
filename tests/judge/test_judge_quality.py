"""Metrics of outcomes without classes, through the judge."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import pytest
from support.rank_rows import MRR, RANK, make_rows

from slimgate.errors import MeasureError, SuiteError
from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.contrast import make_drop_contrast
from slimgate.judge.mean_evidence import make_paired_means
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.base import (
    Correlated,
    Documents,
    Metric,
    make_row_mean,
    mean_of,
    statistic_of_sums,
)
from slimgate.outcomes import ClassOutcomes, Floats, Ints, Outcomes

POINTS = [QualityBudget("drop_points", 2.0)]


RIGHT = mean_of(lambda outcomes: outcomes.column("right"))


def ends(_outcomes: Outcomes) -> Floats:
    """The terms of a row at its best and at its worst."""
    return np.array([[1.0, 1.0], [0.0, 1.0]])


RECALL = Metric(
    "recall",
    True,
    (0.0, 1.0),
    "right",
    statistic_of_sums(RIGHT),
    per_row=lambda outcomes: outcomes.column("right"),
    row_sums=RIGHT,
)


def nats_and_tokens(outcomes: Outcomes) -> tuple[Floats, Ints]:
    return outcomes.column("nats"), outcomes.column("tokens").astype(np.int64)


def perplexity_of(outcomes: Outcomes, weights: Floats) -> Floats:
    nats, tokens = nats_and_tokens(outcomes)
    return np.exp((weights @ nats) / (weights @ tokens))


PERPLEXITY = Metric(
    "perplexity",
    False,
    (1.0, float("inf")),
    "nats",
    perplexity_of,
    documents=Documents(nats_and_tokens),
    unit="percent",
)
SPEARMAN = Metric(
    "spearman",
    True,
    (-1.0, 1.0),
    "score",
    lambda _outcomes, weights: np.zeros(weights.shape[:-1]),
    correlated=Correlated("spearman", lambda o: (o.column("gold"), o.column("score"))),
)


def documents(rng: np.random.Generator, count: int, worse: float = 0.0) -> Outcomes:
    tokens = rng.integers(20, 60, count).astype(np.float64)
    return make_rows(nats=(3.0 + rng.normal(0, 0.2, count)) * tokens + worse * tokens, tokens=tokens)


def test_a_mean_of_ranks_is_judged_by_weights_with_made_up_rows() -> None:
    same = make_rows(rank=np.ones(4000))
    judged = judge_quality(MRR, same, same, POINTS)
    assert judged.verdict is Verdict.PASS
    assert judged.method == "paired random weights"
    assert judged.interval is not None
    assert judged.interval[0] < 0 < judged.interval[1]
    sample = make_rows(rank=np.ones(20))
    assert judge_quality(MRR, sample, sample, POINTS).verdict is Verdict.INCONCLUSIVE


def test_zero_or_one_a_row_is_judged_by_tango() -> None:
    teacher = make_rows(right=np.ones(1000))
    variant = make_rows(right=np.r_[np.zeros(60), np.ones(940)])
    judged = judge_quality(RECALL, teacher, variant, POINTS)
    assert judged.verdict is Verdict.FAIL
    assert judged.method == "Tango"
    assert judged.drop_points == pytest.approx(6)


def test_a_zero_or_one_a_row_may_be_a_bool() -> None:
    teacher, variant = make_rows(right=np.ones(1000)), make_rows(right=np.r_[np.zeros(60), np.ones(940)])
    bools = replace(RECALL, per_row=lambda outcomes: outcomes.column("right") == 1)
    judged, expected = (judge_quality(metric, teacher, variant, POINTS) for metric in (bools, RECALL))
    assert (judged.interval, judged.verdict) == (expected.interval, Verdict.FAIL)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"per_row": lambda o: np.ones(len(o))}, "recall is 0.94 by its statistic, but 1 by its per_row"),
        ({"per_row": lambda o: 1 - o.column("right")}, "but 0.06 by its per_row"),
        (
            {"per_row": None, "row_sums": replace(mean_of(lambda o: np.ones(len(o))), extremes=ends)},
            "but 1 by its row_sums",
        ),
        (
            {"per_row": None, "row_mean": make_row_mean(lambda o: np.ones(len(o)), lambda *_: (0.0, 1.0))},
            "but 1 by its row_mean",
        ),
        (
            {"per_row": lambda o: o.column("right")[:-1]},
            r"recall: its per_row returned the shape \(999,\) for 1000 rows, expected \(1000,\)",
        ),
        (
            {"per_row": lambda o: np.sort(o.column("right"))[::-1]},
            "recall, with rows that weigh 1 or 2, is .* by its statistic, but .* by its per_row",
        ),
        ({"per_row": lambda o: (value for value in o.column("right"))}, "its per_row failed: TypeError"),
        ({"statistic": lambda *_: "high"}, "its statistic failed: ValueError"),
        ({"per_row": lambda o: o.values["none"]}, "recall: its per_row failed: KeyError: 'none'"),
    ],
    ids=[
        *("all-right", "exchanged", "row-sums", "row-mean", "a-row-less"),
        *("other-rows", "generator", "text", "other-error"),
    ],
)
def test_rows_that_are_not_the_statistic_are_refused(other: dict[str, Any], message: str) -> None:
    """The verdict is computed from them: a drop of 6 points passed with rows that are all right."""
    variant = make_rows(right=np.r_[np.zeros(60), np.ones(940)])
    with pytest.raises(MeasureError, match=message):
        judge_quality(replace(RECALL, **other), variant, variant, POINTS)


def test_a_metric_cannot_change_the_outcomes() -> None:
    """The metrics after it would read what it wrote."""

    def overwrite(outcomes: Outcomes, weights: Floats) -> Floats:
        outcomes.column("right")[:] = 1.0
        return statistic_of_sums(RIGHT)(outcomes, weights)

    sample = make_rows(right=np.r_[np.zeros(60), np.ones(940)])
    with pytest.raises(MeasureError, match=r"recall: its statistic failed: ValueError: .* read-only"):
        judge_quality(replace(RECALL, statistic=overwrite), sample, sample, POINTS)
    assert sample.column("right").mean() == 0.94
    sample.column("right")[0] = 1.0  # the arrays of the caller stay as they are


def test_perplexity_is_judged_on_the_log_scale_in_percent() -> None:
    teacher = documents(np.random.default_rng(0), 200)
    worse = make_rows(
        nats=teacher.column("nats") + log(1.05) * teacher.column("tokens"), tokens=teacher.column("tokens")
    )
    judged = judge_quality(PERPLEXITY, teacher, worse, [QualityBudget("increase_relative", 0.02)])
    assert judged.verdict is Verdict.FAIL
    assert judged.unit == "percent"
    assert judged.drop_points == pytest.approx(5.0)
    weights = np.ones(200)
    assert judged.value == pytest.approx(float(PERPLEXITY.statistic(worse, weights)))
    with pytest.raises(SuiteError, match="drop_points does not suit perplexity"):
        judge_quality(PERPLEXITY, teacher, worse, POINTS)


def test_documents_of_a_group_count_as_one() -> None:
    """As one document of all their nats and tokens does."""
    rng = np.random.default_rng(0)
    teacher, noise = documents(rng, 1000), rng.normal(0, 3.0, 1000)
    groups = np.arange(1000) // 5
    apart = [
        make_rows(groups=groups, nats=teacher.column("nats") + shift, tokens=teacher.column("tokens"))
        for shift in (np.zeros(1000), noise)
    ]
    merged = [
        make_rows(**{name: outcomes.column(name).reshape(200, 5).sum(axis=1) for name in ("nats", "tokens")})
        for outcomes in apart
    ]
    budget = [QualityBudget("increase_relative", 0.02)]
    judged, summed = judge_quality(PERPLEXITY, *apart, budget), judge_quality(PERPLEXITY, *merged, budget)
    assert (judged.groups, judged.n) == (200, 1000)
    assert judged.interval == pytest.approx(summed.interval)
    assert judged.verdict is summed.verdict
    assert judged.variance == pytest.approx(5 * summed.variance)


@pytest.mark.slow
def test_groups_widen_the_interval_of_a_correlation() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=100)
    gold, score, other = (np.repeat(base + rng.normal(size=100), 4) for _ in range(3))
    groups = np.repeat(np.arange(100), 4)
    widths = []
    for grouping in (None, groups):
        pair = (make_rows(groups=grouping, gold=gold, score=scores) for scores in (score, other))
        interval = judge_quality(SPEARMAN, *pair, POINTS).interval
        assert interval is not None
        widths.append(interval[1] - interval[0])
    # four rows a group, and the group that the sample lacks
    assert 2 * widths[0] < widths[1] < 3 * widths[0]


def test_a_metric_that_only_classes_can_judge_says_what_it_needs() -> None:
    bare = Metric("bare", True, (0.0, 1.0), "rank", statistic_of_sums(RANK))
    with pytest.raises(MeasureError, match="bare: on outcomes without classes a metric needs row_mean"):
        judge_quality(bare, make_rows(rank=np.ones(60)), make_rows(rank=np.ones(60)), POINTS)


def test_outcomes_without_classes_say_which_keys_a_metric_lacks() -> None:
    bare = Metric("bare", True, (0.0, 1.0), "rank", statistic_of_sums(RANK))
    with pytest.raises(MeasureError) as caught:
        judge_quality(bare, make_rows(rank=np.ones(60)), make_rows(rank=np.ones(60)), POINTS)
    assert str(caught.value) == (
        "bare: on outcomes without classes a metric needs row_mean, per_row, row_sums with extremes, "
        "documents or correlated; see Metric in slimgate/judge/metrics/base.py"
    )


@pytest.mark.parametrize(("tokens", "came"), [([0.0, 0.0], "0 to 0"), ([-1.0, 3.0], "-1 to 3")])
def test_a_rate_over_nothing_is_an_error(tokens: list[float], came: str) -> None:
    empty = make_rows(right_tokens=np.zeros(2), tokens=np.array(tokens))
    with pytest.raises(MeasureError, match=f"token_accuracy: the sizes of the 2 rows are {came}, expected"):
        judge_quality(load_metric("token_accuracy"), empty, empty, POINTS)


def test_a_rate_counts_rows_by_their_sizes() -> None:
    """A row without tokens tells nothing; 3 of 8 tokens are lost."""
    tokens = np.array([4.0, 0.0, 4.0])
    before, after = (
        make_rows(right_tokens=np.array(right), tokens=tokens) for right in ([4.0, 0, 4], [1.0, 0, 4])
    )
    judged = judge_quality(load_metric("token_accuracy"), before, after, POINTS)
    assert judged.method == "Gaffke's bound"
    assert judged.drop_points == pytest.approx(37.5)
    without = judge_quality(
        load_metric("token_accuracy"), before.take(np.array([0, 2])), after.take(np.array([0, 2])), POINTS
    )
    assert judged.interval == pytest.approx(without.interval)


@pytest.mark.parametrize(
    ("name", "columns", "range_of_drop"),
    [
        ("mrr", {"rank": ([1.0, 1, 2, 1], [1.0, 2, 2, 4])}, 1.0),
        ("mse", {"score": ([0.0, 0, 0, 0], [1.0, 0, 0, 0]), "gold": ([0.0, 2, 1, 0],) * 2}, 4.0),
        ("mae", {"score": ([0.0, 0, 0, 0], [1.0, 0, 0, 0]), "gold": ([0.0, 2, 1, 0],) * 2}, 2.0),
    ],
)
def test_a_mean_can_change_from_end_to_end_of_its_values(
    name: str, columns: dict[str, tuple[list[float], list[float]]], range_of_drop: float
) -> None:
    """mse and mae: as far as the gold scores lie apart, 2: the cap."""
    metric = load_metric(name)
    pair = [make_rows(**{key: np.array(column[k]) for key, column in columns.items()}) for k in (0, 1)]
    assert metric.row_mean is not None
    paired = make_paired_means(metric, metric.row_mean, *pair)
    losses = paired.compute_losses(make_drop_contrast(higher_is_better=metric.higher_is_better))
    assert (losses.best, losses.worst) == (-range_of_drop, range_of_drop)
    assert losses.mean == pytest.approx(judge_quality(metric, *pair, POINTS).drop_points / 100)


def test_a_log_loss_can_be_as_bad_as_float32_allows() -> None:
    metric = load_metric("log_loss")
    assert metric.row_mean is not None
    assert metric.row_mean.ends(None, None) == pytest.approx((0.0, 23 * log(2)))
    assert metric.value_range == metric.row_mean.ends(None, None)


def test_bits_per_byte_counts_at_most_one_nat_a_token() -> None:
    size = {"tokens": np.array([10.0, 5.0]), "bytes": np.array([40.0, 20.0])}
    teacher = make_rows(nats=np.array([20.0, 10.0]), **size)
    variant = make_rows(nats=np.array([20.0, 40.0]), **size)
    metric = load_metric("bits_per_byte")
    assert metric.row_mean is not None
    assert metric.row_mean.cap is not None
    # a token has 4 bytes
    assert metric.row_mean.cap(teacher, variant) == pytest.approx(1 / 4 / log(2))
    judged = judge_quality(metric, teacher, variant, [QualityBudget("increase_relative", 0.05)])
    # the second row, a third of the bytes, counts for the cap: it has 30 nats in 20 bytes more
    assert judged.drop_points == pytest.approx(100 * (1 / 3) * (1 / 4 / log(2)))
    [capped] = [budget.capped for budget in judged.budgets]
    assert capped is not None
    assert (capped.above, capped.derived) == (pytest.approx(1 / 3), True)
    # 60 nats in place of 30
    assert capped.uncapped == pytest.approx(1.0)


def test_a_row_can_lose_no_more_than_the_metric_says() -> None:
    """100 rows that lost nothing: what one more could lose sets the bound, 1 - 0.05^(1 / 100) of it."""
    terms = mean_of(lambda outcomes: outcomes.column("score"))
    ends = make_row_mean(lambda outcomes: outcomes.column("score"), lambda _before, _after: (0.0, 10.0))
    for limit in (None, 2.0):
        metric = Metric(
            "cost",
            False,
            (0.0, 10.0),
            "score",
            statistic_of_sums(terms),
            row_mean=ends if limit is None else replace(ends, most_lost=lambda _before, _after: 2.0),
        )
        same = make_rows(score=np.full(100, 4.0))
        judged = judge_quality(metric, same, same, [])
        assert judged.interval is not None
        assert judged.interval[1] == pytest.approx(100 * (limit or 10.0) * (1 - 0.05**0.01), rel=1e-6)


def test_a_share_of_a_value_of_0_has_a_verdict_and_no_figure() -> None:
    """A teacher that answers at random has an MCC of 0, and nothing is a share of it."""
    labels = np.arange(400) % 2
    ids = np.arange(400).astype(np.str_)
    answers = (np.zeros(400, np.int64), np.where(np.arange(400) < 60, 1 - labels, labels))
    teacher, variant = (ClassOutcomes(ids, labels, predictions, ("a", "b")) for predictions in answers)
    budget = QualityBudget("drop_relative", 0.1)
    (better,) = judge_quality(load_metric("mcc"), teacher, variant, [budget], resamples=500).budgets
    (equal,) = judge_quality(load_metric("mcc"), teacher, teacher, [budget], resamples=500).budgets
    assert (better.verdict, better.value, better.interval) == (Verdict.PASS, None, None)
    assert (equal.verdict, equal.value, equal.interval) == (Verdict.INCONCLUSIVE, None, None)


def test_a_metric_without_an_interval_has_no_variance() -> None:
    rows = make_rows(rank=np.array([1.0, 2.0, 3.0, 1.0]))
    judged = judge_quality(replace(MRR, resampled=False), rows, rows, [])
    assert (judged.interval, judged.variance) == (None, None)
