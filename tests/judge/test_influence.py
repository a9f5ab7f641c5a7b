"""Intervals by influence values against the textbook's DeLong, the bootstrap and simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from support.versions import needs

from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.contrast import OWN_VALUE, Contrast, make_drop_contrast
from slimgate.judge.decision import t_quantile
from slimgate.judge.evidence import PairedInfluence, make_paired_influence
from slimgate.judge.extremes import add_pseudo_changes
from slimgate.judge.metrics import load_metric
from slimgate.judge.random_weights import weigh_rows
from slimgate.outcomes import ClassOutcomes, Floats, Ints

pytestmark = pytest.mark.slow

DROP = make_drop_contrast(higher_is_better=True)
ROC_AUC = load_metric("roc_auc")


def binary(labels: Ints, score: Floats, groups: Ints | None = None) -> ClassOutcomes:
    """Rows of two classes with the given log-odds of class 1."""
    p = 1 / (1 + np.exp(-score))
    ids = np.arange(len(labels)).astype(np.str_)
    return ClassOutcomes(
        ids, labels, (p > 0.5).astype(np.int64), ("a", "b"), np.stack([1 - p, p], axis=1), groups=groups
    )


def noisy_pair(
    rng: np.random.Generator, n: int, *, noise: float = 0.5, digits: int = 9, classes: int = 2
) -> tuple[ClassOutcomes, ClassOutcomes]:
    """A teacher, and a variant that adds noise to its scores; few digits make ties."""
    labels = rng.integers(0, classes, n)
    before = rng.normal(0, 1.2, (n, classes))
    before[np.arange(n), labels] += 1.5
    after = before + rng.normal(0, noise, (n, classes))
    ids = np.arange(n).astype(np.str_)
    pair = []
    for scores in (before, after):
        p = np.exp(scores)
        p = np.round(p / p.sum(axis=1, keepdims=True), digits)
        pair.append(ClassOutcomes(ids, labels, p.argmax(axis=1), tuple("abcdefg")[:classes], p))
    return pair[0], pair[1]


def textbook_delong(labels: Ints, teacher: Floats, variant: Floats) -> tuple[Floats, Floats]:
    """(2,) areas and their (2, 2) covariance by every pair of rows; DeLong et al. 1988, equations 3 to 6."""
    wins = []
    for scores in (teacher, variant):
        x, y = scores[labels == 1][:, None], scores[labels == 0][None, :]
        wins.append((x > y) + 0.5 * (x == y))
    psi = np.stack(wins)
    m, n = psi.shape[1:]
    return psi.mean(axis=(1, 2)), np.cov(psi.mean(axis=2)) / m + np.cov(psi.mean(axis=1)) / n


@pytest.mark.parametrize("digits", [9, 1], ids=["no ties", "many ties"])
def test_the_error_of_a_drop_is_the_textbooks(digits: int) -> None:
    teacher, variant = noisy_pair(np.random.default_rng(0), 150, digits=digits)
    paired = make_paired_influence(ROC_AUC, ROC_AUC.influence, teacher, variant)
    before, after = add_pseudo_changes(ROC_AUC, teacher, variant)
    areas, covariance = textbook_delong(before.labels, before.probabilities[:, 1], after.probabilities[:, 1])
    assert paired.sample == pytest.approx(areas, abs=1e-12)
    for contrast in (DROP, Contrast(0.98, -1.0), OWN_VALUE, Contrast(1.0, 0.0)):
        weights = np.array([contrast.teacher, contrast.variant])
        expected = sqrt(weights @ covariance @ weights)
        assert paired.compute_standard_error(contrast) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("name", "classes"), [("roc_auc", 2), ("roc_auc", 4)])
def test_the_interval_is_nearly_the_bootstraps(name: str, classes: int) -> None:
    metric = load_metric(name)
    teacher, variant = noisy_pair(np.random.default_rng(1), 1500, classes=classes)
    paired = make_paired_influence(metric, metric.influence, teacher, variant)
    drawn = weigh_rows(metric, teacher, variant, seed=0, resamples=1500)
    for contrast in (DROP, OWN_VALUE):
        low, high = drawn.compute_interval(contrast)
        assert paired.compute_standard_error(contrast) == pytest.approx(
            drawn.compute_standard_error(contrast), rel=0.07
        )
        assert paired.compute_interval(contrast) == pytest.approx((low, high), abs=0.08 * (high - low))


def test_groups_widen_the_interval_by_the_root_of_their_size() -> None:
    teacher, variant = noisy_pair(np.random.default_rng(2), 2500)
    repeated = np.repeat(np.arange(2500), 4)
    teacher, variant = teacher.take(repeated), variant.take(repeated)
    alone = make_paired_influence(ROC_AUC, ROC_AUC.influence, teacher, variant)
    teacher, variant = (replace(outcomes, groups=repeated) for outcomes in (teacher, variant))
    grouped = make_paired_influence(ROC_AUC, ROC_AUC.influence, teacher, variant)
    assert grouped.compute_standard_error(DROP) / alone.compute_standard_error(DROP) == pytest.approx(
        2, rel=0.05
    )
    drawn = weigh_rows(ROC_AUC, teacher, variant, seed=0, resamples=800)
    assert grouped.compute_standard_error(DROP) == pytest.approx(drawn.compute_standard_error(DROP), rel=0.07)


def test_few_groups_take_students_quantile() -> None:
    influence = np.array([[1.0, -1.0, 2.0, -2.0], [0.0, 0.0, 0.0, 0.0]])
    of_rows = PairedInfluence(np.array([0.9, 0.8]), influence, rows=40, grouped=False)
    of_groups = PairedInfluence(np.array([0.9, 0.8]), influence, rows=40, grouped=True)
    # sum of squares 10; 1.6449 of rows, 2.3534 of four groups
    assert of_rows.compute_interval(DROP)[1] == pytest.approx(0.1 + 1.6449 * sqrt(10) / 40, abs=1e-5)
    assert of_groups.compute_interval(DROP)[1] == pytest.approx(
        0.1 + 2.3534 * sqrt(10 * 4 / 3) / 40, abs=1e-5
    )
    assert t_quantile(3) == pytest.approx(2.3534, abs=1e-4)


@pytest.mark.parametrize("groups", [2, 3, 10, 40])
def test_the_quantile_has_one_degree_of_freedom_below_the_groups(groups: int) -> None:
    from scipy.stats import t

    influence = np.zeros((2, groups))
    influence[0, :2] = 1.0, -1.0
    paired = PairedInfluence(np.array([0.9, 0.8]), influence, rows=40, grouped=True)
    for level in (0.05, 0.01):
        low, high = paired.compute_bounds(DROP, level)
        half = t.ppf(1 - level, groups - 1) * sqrt(2 * groups / (groups - 1)) / 40
        assert (low, high) == pytest.approx((0.1 - half, 0.1 + half), rel=1e-9)
    assert t_quantile(groups - 1) == pytest.approx(t.ppf(0.95, groups - 1))


@needs("scipy>=1.15")
def test_a_long_upper_tail_moves_both_bounds_up_as_bca_does() -> None:
    """The mean of skewed rows, where BCa is second-order exact."""
    from scipy.stats import bootstrap

    rows = np.random.default_rng(3).exponential(size=120)
    paired = PairedInfluence(
        np.array([rows.mean(), 0.0]), np.stack([rows - rows.mean(), np.zeros(120)]), rows=120, grouped=False
    )
    theirs = bootstrap(
        (rows,), np.mean, n_resamples=20_000, confidence_level=0.9, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    ours = paired.compute_interval(Contrast(1.0, 0.0))
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02 * width)
    assert ours[0] + ours[1] > 2 * rows.mean() + 0.03 * width


def test_a_judgement_names_delong_and_takes_no_resamples() -> None:
    teacher, variant = noisy_pair(np.random.default_rng(4), 800)
    budgets = [QualityBudget("drop_points", 9.0), QualityBudget("floor", 0.5)]
    judged = judge_quality(ROC_AUC, teacher, variant, budgets, seed=0)
    again = judge_quality(ROC_AUC, teacher, variant, budgets, seed=1)
    assert (judged.method, judged.verdict) == ("paired DeLong", Verdict.PASS)
    assert judged.interval == again.interval
    grouped = (replace(outcomes, groups=np.arange(800) // 8) for outcomes in (teacher, variant))
    assert judge_quality(ROC_AUC, *grouped, []).method == "paired DeLong, grouped"


def test_the_interval_of_a_perfect_area_ends_at_it(
    counted: Callable[..., tuple[ClassOutcomes, ClassOutcomes]],
) -> None:
    budget = QualityBudget("floor", 0.99)
    judged = judge_quality(ROC_AUC, *counted(60), [budget]).budgets[0]
    assert judged.interval is not None
    assert judged.interval[0] < 0.99 < judged.interval[1] == judged.value == 1.0
    assert judged.verdict is Verdict.INCONCLUSIVE


def turned_pair(
    rng: np.random.Generator, rows: int, share: float, size: int = 1
) -> tuple[ClassOutcomes, ClassOutcomes]:
    """A teacher, and a variant with a share of the scores turned round; groups of `size` turn together."""
    groups = np.arange(rows) // size
    labels = np.arange(rows) % 2
    right = rng.normal(1.8, 1.3, rows)
    after = np.where(rng.random(rows)[groups] < share, -right, right)
    sign = np.where(labels == 1, 1.0, -1.0)
    return binary(labels, sign * right, groups), binary(labels, sign * after, groups)


@pytest.mark.parametrize(
    ("name", "n", "turned", "size"),
    [
        ("roc_auc", 200, 0.02, 1),
        ("roc_auc", 500, 0.01, 1),
        ("roc_auc", 1000, 0.01, 1),
        ("roc_auc", 500, 0.05, 1),
        ("roc_auc", 2000, 0.03, 5),
    ],
)
def test_rows_that_turn_at_the_margin_pass_in_at_most_6_percent(
    name: str, n: int, turned: float, size: int
) -> None:
    """The plain DeLong interval passes 8 to 26 % of these."""
    metric = load_metric(name)
    population = turned_pair(np.random.default_rng(1), 1_000_000, turned)
    before, after = (float(metric.statistic(outcomes, np.ones(len(outcomes)))) for outcomes in population)
    rng, runs, passed = np.random.default_rng(2), 400, 0
    for _ in range(runs):
        pair = turned_pair(rng, n, turned, size)
        if size == 1:
            pair = (replace(pair[0], groups=None), replace(pair[1], groups=None))
        paired = make_paired_influence(metric, metric.influence, *pair)
        passed += paired.compute_interval(DROP)[1] < before - after
    # 6 % and two standard errors of 400 runs
    assert passed / runs <= 0.06 + 0.024


@pytest.mark.parametrize("positives", [10, 40, 150])
def test_unseen_losses_of_positives_follow_the_rule_of_three(positives: int) -> None:
    """No positive is lost: the bound is near the share of which none is seen with a chance of 5 %."""
    labels = (np.arange(600) < positives).astype(np.int64)
    same = binary(labels, np.where(labels == 1, 2.0, -5.0) + np.linspace(0, 1, 600))
    low, high = make_paired_influence(ROC_AUC, ROC_AUC.influence, same, same).compute_interval(DROP)
    assert 0.93 <= high / (1 - 0.05 ** (1 / positives)) <= 1.15
    assert low == pytest.approx(-high)


@pytest.mark.parametrize("name", ["roc_auc", "pr_auc"])
def test_the_interval_of_equal_scores_has_some_width(name: str) -> None:
    """A row that is not in the sample may have another score, in both models."""
    labels = (np.arange(400) < 100).astype(np.int64)
    pair = (replace(binary(labels, np.full(400, score)), positive="b") for score in (0.0, -1.0))
    judged = judge_quality(load_metric(name), *pair, [QualityBudget("drop_points", 0.5)], resamples=400)
    assert judged.interval is not None
    assert judged.interval[0] < -1 < 1 < judged.interval[1]
    assert judged.verdict is Verdict.INCONCLUSIVE


def rare_pair(
    rng: np.random.Generator, rows: int, positives: float, scale: float
) -> tuple[ClassOutcomes, ClassOutcomes]:
    """No score is above a half; one positive of ten has the score of a negative in the variant.

    scale: by which the variant's log-odds are larger.
    """
    labels = (rng.random(rows) < positives).astype(np.int64)
    before = rng.normal(np.where(labels == 1, -1.0, -5.0), 0.6)
    lost = (labels == 1) & (rng.random(rows) < 0.1)
    after = scale * np.where(lost, rng.normal(-5.0, 0.6, rows), before)
    return replace(binary(labels, before), positive="b"), replace(binary(labels, after), positive="b")


@pytest.mark.parametrize("scale", [1.0, 4.0], ids=["as sure", "surer"])
@pytest.mark.parametrize("name", ["roc_auc", "pr_auc"])
def test_lost_rows_of_a_rare_class_seldom_pass_unseen(name: str, scale: float) -> None:
    """10 positives are expected, and in 37 % of the samples none of them is lost."""
    metric = load_metric(name)
    population = rare_pair(np.random.default_rng(1), 300_000, 0.02, scale)
    before, after = (float(metric.statistic(outcomes, np.ones(len(outcomes)))) for outcomes in population)
    budget = QualityBudget("drop_points", 100 * (before - after))
    rng, runs, passed = np.random.default_rng(2), 100, 0
    for _ in range(runs):
        judged = judge_quality(metric, *rare_pair(rng, 500, 0.02, scale), [budget], resamples=400)
        passed += judged.verdict is Verdict.PASS
    # 5 % and two standard errors of 100 runs
    assert passed / runs <= 0.09


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_bounds_of_skewed_values_are_halls(alpha: float) -> None:
    """Mean + (skewness / 6 (2 z² + 1) ± z) standard errors; the skewness is over the root of the rows."""
    from scipy.stats import norm, skew

    rows = np.random.default_rng(8).exponential(size=80)
    paired = PairedInfluence(
        np.array([rows.mean(), 0.0]), np.stack([rows - rows.mean(), np.zeros(80)]), rows=80, grouped=False
    )
    z, error = norm.isf(alpha), rows.std() / sqrt(80)
    shift = skew(rows) / (6 * sqrt(80)) * (2 * z**2 + 1)
    expected = rows.mean() + (shift - z) * error, rows.mean() + (shift + z) * error
    assert paired.compute_bounds(Contrast(1.0, 0.0), alpha) == pytest.approx(expected)


def test_an_interval_that_ends_at_the_limit_does_not_exclude_it() -> None:
    """No row moved anything, so both bounds are the value itself."""
    paired = PairedInfluence(np.array([0.9, 0.8]), np.zeros((2, 40)), rows=40, grouped=False)
    value = paired.compute_value(DROP)
    assert paired.compute_interval(DROP) == (value, value)
    assert (paired.p_at_least(DROP, value), paired.p_at_most(DROP, value)) == (1.0, 1.0)
    assert paired.p_at_least(DROP, value + 0.01) < 0.001
    assert paired.p_at_most(DROP, value - 0.01) < 0.001
