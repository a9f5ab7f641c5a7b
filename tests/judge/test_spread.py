from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, sqrt

import pytest

from slimgate.errors import MeasureError
from slimgate.judge import judge_quality
from slimgate.judge.facts import compute_sampling_se, make_builds_facts
from slimgate.judge.metrics import load_metric
from slimgate.outcomes import ClassOutcomes
from slimgate.results.quality import BuildsFacts

MakePair = Callable[..., tuple[ClassOutcomes, ClassOutcomes]]


def test_mean_and_spread_of_three_builds() -> None:
    spread = make_builds_facts([0, 1, 2], [1.0, 2.0, 3.0], sampling_se_points=0.4)
    assert spread == BuildsFacts(
        seeds=[0, 1, 2],
        drops_points=[1.0, 2.0, 3.0],
        mean_points=2.0,
        sd_points=1.0,
        sampling_se_points=0.4,
    )


def test_a_single_build_has_no_spread() -> None:
    assert make_builds_facts([7], [1.5], sampling_se_points=0.4).sd_points is None


def test_the_sampling_error_is_that_of_the_interval(counted: MakePair) -> None:
    judged = judge_quality(load_metric("accuracy"), *counted(2000, 60, 20), [])
    # 80 changed rows of 2,000, 40 net
    closed_form = 100 * sqrt((80 / 2000 - 0.02**2) / 2000)
    assert compute_sampling_se(judged) == pytest.approx(closed_form, rel=0.03)


def test_a_metric_without_an_interval_has_no_sampling_error(counted: MakePair) -> None:
    judged = judge_quality(replace(load_metric("accuracy"), resampled=False), *counted(100, 3, 1), [])
    assert compute_sampling_se(judged) is None


@pytest.mark.parametrize(
    ("seeds", "drops", "message"),
    [
        ([0, 1], [1.0], "2 seeds and 1 drops, expected the same number"),
        ([], [], "0 seeds and 0 drops"),
        ([0, 0], [1.0, 2.0], r"seeds \[0, 0\] repeat: equal seeds build the same weights"),
        ([0, 1], [1.0, inf], "not all finite"),
    ],
)
def test_what_is_no_spread_is_an_error(seeds: list[int], drops: list[float], message: str) -> None:
    with pytest.raises(MeasureError, match=message):
        make_builds_facts(seeds, drops, sampling_se_points=None)
