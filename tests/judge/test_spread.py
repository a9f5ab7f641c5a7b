from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, sqrt

import pytest

from slimgate.errors import MeasureError
from slimgate.judge import judge_quality
from slimgate.judge.spread import BuildSpread, build_spread, sampling_se_points, spread_of
from slimgate.metrics import load_metric
from slimgate.outcomes import ClassOutcomes

MakePair = Callable[..., tuple[ClassOutcomes, ClassOutcomes]]


def test_mean_and_spread_of_three_builds() -> None:
    spread = build_spread([0, 1, 2], [1.0, 2.0, 3.0], sampling_se_points=0.4)
    assert spread == BuildSpread((0, 1, 2), (1.0, 2.0, 3.0), 2.0, 1.0, 0.4)


def test_a_single_build_has_no_spread() -> None:
    assert build_spread([7], [1.5], sampling_se_points=0.4).sd_points is None


def test_the_sampling_error_is_that_of_the_first_build(counted: MakePair) -> None:
    accuracy = load_metric("accuracy")
    builds = [judge_quality(accuracy, *counted(2000, b, 20), []) for b in (60, 40, 20)]
    spread = spread_of([0, 1, 2], builds)
    assert spread.drops_points == pytest.approx((2.0, 1.0, 0.0))
    assert (spread.mean_points, spread.sd_points) == pytest.approx((1.0, 1.0))
    # 80 changed rows of 2,000, 40 net
    closed_form = 100 * sqrt((80 / 2000 - 0.02**2) / 2000)
    assert spread.sampling_se_points == pytest.approx(closed_form, rel=0.03)


def test_a_metric_without_an_interval_has_no_sampling_error(counted: MakePair) -> None:
    judged = judge_quality(replace(load_metric("accuracy"), resampled=False), *counted(100, 3, 1), [])
    assert sampling_se_points(judged) is None


@pytest.mark.parametrize(
    ("seeds", "drops", "said"),
    [
        ([0, 1], [1.0], "2 seeds and 1 drops, expected as many"),
        ([], [], "0 seeds and 0 drops"),
        ([0, 0], [1.0, 2.0], r"seeds \[0, 0\] repeat: equal seeds build the same weights"),
        ([0, 1], [1.0, inf], "not all finite"),
    ],
)
def test_what_is_no_spread_is_an_error(seeds: list[int], drops: list[float], said: str) -> None:
    with pytest.raises(MeasureError, match=said):
        build_spread(seeds, drops, sampling_se_points=None)


def test_judgements_of_two_metrics_are_an_error(counted: MakePair) -> None:
    pair = counted(100, 3, 1)
    judged = [judge_quality(load_metric(name), *pair, []) for name in ("accuracy", "f1")]
    with pytest.raises(MeasureError, match="of accuracy, f1, expected a single metric"):
        spread_of([0, 1], judged)
