from __future__ import annotations

import numpy as np
import pytest

from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.metrics import load_metric
from slimgate.outcomes import ClassOutcomes
from tools.simulations.groups import (
    GroupCounts,
    compute_follow_chance,
    draw_group_sizes,
    draw_groups,
    draw_lost_groups,
    judge_groups,
    judge_rows_alone,
)


def rows_of(counts: GroupCounts, run: int) -> tuple[ClassOutcomes, ClassOutcomes]:
    """The rows that one run's counts stand for."""
    groups = np.repeat(np.arange(len(counts.sizes)), counts.sizes)
    place = np.arange(len(groups)) - np.repeat(np.cumsum(counts.sizes) - counts.sizes, counts.sizes)
    lost = place < counts.lost[run][groups]
    won = ~lost & (place < (counts.lost + counts.won)[run][groups])
    labels = np.zeros(len(groups), dtype=np.int64)
    ids = np.arange(len(groups)).astype(np.str_)
    teacher, variant = (
        ClassOutcomes(ids, labels, wrong.astype(np.int64), ("x", "y"), groups=groups) for wrong in (won, lost)
    )
    return teacher, variant


def test_sizes_sum_to_the_rows_and_none_is_empty() -> None:
    sizes = draw_group_sizes(np.random.default_rng(0), 1000, 300, spread=0.7)
    assert (len(sizes), sizes.sum(), sizes.min() >= 1) == (300, 1000, True)
    assert np.ptp(draw_group_sizes(np.random.default_rng(0), 1000, 100, spread=0.0)) <= 1


@pytest.mark.slow
def test_a_chance_to_follow_gives_its_design_effect() -> None:
    rng = np.random.default_rng(1)
    sizes = draw_group_sizes(rng, 1000, 100, spread=0.7)
    for effect in (1.0, 4.0):
        counts = draw_groups(rng, sizes, 0.10, 0.02, compute_follow_chance(effect, sizes), runs=20_000)
        drops = (counts.lost - counts.won).sum(axis=1)
        assert drops.mean() == pytest.approx(1000 * 0.02, rel=0.05)
        assert drops.var() == pytest.approx(effect * 1000 * (0.10 - 0.02**2), rel=0.05)
    assert np.isnan(compute_follow_chance(8.0, np.full(200, 5)))


@pytest.mark.parametrize("effect", [1.0, 4.0])
def test_simulated_verdicts_are_those_of_judge_quality_on_rows(effect: float) -> None:
    rng = np.random.default_rng(2)
    sizes = draw_group_sizes(rng, 1600, 200, spread=0.3)
    counts = draw_groups(rng, sizes, 0.06, 0.02, compute_follow_chance(effect, sizes), runs=40)
    budget = [QualityBudget("drop_points", 5.0)]
    passed, failed = judge_groups(counts, 0.05)
    for run in range(40):
        verdict = judge_quality(load_metric("accuracy"), *rows_of(counts, run), budget).verdict
        assert (verdict is Verdict.PASS, verdict is Verdict.FAIL) == (passed[run], failed[run])
    assert 0 < passed.sum() < 40


def test_rows_judged_alone_pass_too_often_and_groups_do_not() -> None:
    rng = np.random.default_rng(3)
    sizes = draw_group_sizes(rng, 3000, 300, spread=0.0)
    counts = draw_groups(rng, sizes, 0.10, 0.02, compute_follow_chance(4.0, sizes), runs=1000)
    # 6 % and two standard errors of 1,000 runs
    assert judge_groups(counts, 0.02)[0].mean() <= 0.06 + 0.015
    assert judge_rows_alone(counts, 0.02).mean() >= 0.15


def test_lost_groups_pass_at_the_margin_in_at_most_6_percent() -> None:
    rng = np.random.default_rng(4)
    for spread, by_size in ((0.0, False), (1.0, False), (1.0, True)):
        sizes = draw_group_sizes(rng, 4000, 200, spread=spread)
        counts = draw_lost_groups(rng, sizes, 0.02, by_size=by_size, runs=1000)
        assert judge_groups(counts, 0.02)[0].mean() <= 0.06 + 0.014  # two standard errors of 1,000 runs
