"""Groups that a sample did not draw: nothing passes on rows that could not have shown the loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slimgate.judge.clusters import clustered_share, clusters
from slimgate.judge.flips import FlipsBudget, flip_share, judge_flips
from slimgate.judge.proportion import exact_interval
from slimgate.judge.quality import judge_quality
from slimgate.judge.verdict import QualityBudget, Verdict
from slimgate.metrics import load_metric
from slimgate.outcomes import ClassOutcomes

RUNS = 60


def outcomes(rng: np.random.Generator, groups: np.ndarray) -> ClassOutcomes:
    """Two classes, all right."""
    labels = rng.integers(0, 2, len(groups))
    sure = np.where(labels[:, None] == np.arange(2), 0.9, 0.1)
    ids = np.arange(len(groups)).astype(np.str_)
    return ClassOutcomes(ids, labels, labels, ("a", "b"), sure, groups=groups)


def lost_by_groups(
    rng: np.random.Generator, groups: np.ndarray, chance: float
) -> tuple[ClassOutcomes, ClassOutcomes]:
    """Each group is lost as a whole with this chance, which is then the true drop and the true share."""
    teacher = outcomes(rng, groups)
    lost = np.isin(groups, np.flatnonzero(rng.random(groups.max() + 1) < chance))
    variant = replace(
        teacher,
        predictions=np.where(lost, 1 - teacher.labels, teacher.labels),
        probabilities=np.where(lost[:, None], teacher.probabilities[:, ::-1], teacher.probabilities),
    )
    return teacher, variant


@pytest.mark.parametrize("size", [10, 30])
def test_losses_by_whole_groups_at_the_margin_hardly_ever_pass(size: int) -> None:
    """100 groups, of which one is lost on average: most samples show it once, or not at all."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), size)
    passed = dict.fromkeys(
        ("accuracy", "accuracy floor", "accuracy relative", "f1_macro", "roc_auc", "flips"), 0
    )
    for run in range(RUNS):
        pair = lost_by_groups(rng, groups, 0.01)
        judged = {
            "accuracy": ("accuracy", QualityBudget("drop_points", 1.0)),
            "accuracy floor": ("accuracy", QualityBudget("floor", 0.99)),
            "accuracy relative": ("accuracy", QualityBudget("drop_relative", 0.01)),
            "f1_macro": ("f1_macro", QualityBudget("drop_points", 1.0)),
            "roc_auc": ("roc_auc", QualityBudget("drop_points", 1.0)),
        }
        for name, (metric, budget) in judged.items():
            found = judge_quality(load_metric(metric), *pair, [budget], seed=run, resamples=400)
            passed[name] += found.verdict is Verdict.PASS
        flips = judge_flips(flip_share(*pair), FlipsBudget(1.0))
        passed["flips"] += flips.verdict is Verdict.PASS
    assert {name: count for name, count in passed.items() if count > 0.1 * RUNS} == {}


def test_a_nearly_identical_variant_of_grouped_rows_passes_still() -> None:
    """6,000 rows of some 1,000 files, as the embedded default has them; six rows turned."""
    rng = np.random.default_rng(1)
    groups = np.sort(rng.integers(0, 1000, 6000))
    groups = np.unique(groups, return_inverse=True)[1]
    teacher = outcomes(rng, groups)
    turned = rng.choice(6000, 6, replace=False)
    predictions = teacher.predictions.copy()
    predictions[turned] = 1 - predictions[turned]
    variant = replace(teacher, predictions=predictions)
    for metric in ("accuracy", "f1_macro"):
        for budget in (QualityBudget("drop_points", 1.0), QualityBudget("drop_relative", 0.01)):
            assert judge_quality(load_metric(metric), teacher, variant, [budget]).verdict is Verdict.PASS
    assert judge_flips(flip_share(teacher, variant), FlipsBudget(1.0)).verdict is Verdict.PASS


def test_the_effect_grows_with_what_the_margin_would_still_have_to_lose() -> None:
    """1,000 rows in groups of 5, 10 lost one by one: at 1 % nothing is missing, at 3 % twenty rows."""
    changes = np.zeros(1000)
    changes[::100] = 1
    found = clusters(changes, np.repeat(np.arange(200), 5))
    assert found.measured == 1.0
    assert found.at(0.01) == 1.0
    # 10 squared changes less their mean, as they vary, against 20 rows in groups of 5
    seen = (10 - 0.1) * 1000 / 999
    assert found.at(0.03) == pytest.approx((seen + 5 * 20) / (seen + 20))
    assert found.at(0.5) < 5


def test_rows_without_groups_have_the_plain_interval() -> None:
    hits = np.zeros(400)
    hits[:7] = 1
    found = clustered_share(hits, None)
    assert (found.share, found.interval, found.groups) == (7 / 400, exact_interval(7 / 400, 400), None)


def test_the_upper_bound_of_a_share_is_where_its_own_effect_stops_showing_it() -> None:
    hits = np.zeros(1000)
    hits[::100] = 1
    groups = np.repeat(np.arange(200), 5)
    found, account = clustered_share(hits, groups), clusters(hits, groups)
    high = found.interval[1]
    again = exact_interval(0.01, 1000, design_effect=account.at(high), quantile=account.quantile)
    assert again[1] == pytest.approx(high)
    assert high > exact_interval(0.01, 1000)[1]
