"""Which variants can be told apart: pairs by Holm's correction, and groups."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from slimgate.judge.metrics import load_metric
from slimgate.judge.paired import compute_exact_p_value
from slimgate.judge.separation import count_comparable_models, list_unseparated_groups, separate_models
from slimgate.outcomes import ClassOutcomes, Ints, Outcomes

Counted = Callable[..., tuple[ClassOutcomes, ClassOutcomes]]
ACCURACY = load_metric("accuracy")


def make_answers(right: Ints, sure: float = 0.8) -> ClassOutcomes:
    """Rows of two labels, of which these are right."""
    rows = np.arange(len(right))
    labels = rows % 2
    predictions = np.where(right, labels, 1 - labels)
    shares = np.full((len(rows), 2), 1 - sure)
    shares[rows, predictions] = sure
    return ClassOutcomes(rows.astype(np.str_), labels, predictions, ("a", "b"), shares)


@pytest.mark.parametrize(
    ("apart", "groups"),
    [
        ([], [["a", "b", "c"]]),
        ([("a", "c")], [["a", "b"], ["b", "c"]]),
        ([("a", "b"), ("a", "c")], [["a"], ["b", "c"]]),
        ([("a", "b"), ("b", "c")], [["a", "c"], ["b"]]),
        ([("a", "b"), ("a", "c"), ("b", "c")], [["a"], ["b"], ["c"]]),
    ],
)
def test_a_group_is_a_largest_set_without_a_pair_apart(
    apart: list[tuple[str, str]], groups: list[list[str]]
) -> None:
    assert list_unseparated_groups(["a", "b", "c"], apart) == groups


def test_a_better_variant_is_said_to_be_and_by_how_much(counted: Counted) -> None:
    _, worse = counted(2000, 80)
    separation = separate_models(
        ACCURACY, {"worse": worse, "even": counted(2000, 1)[1], "best": counted(2000)[1]}
    )
    assert separation is not None
    assert list(separation.values) == ["best", "even", "worse"]
    assert separation.groups == [["best", "even"], ["worse"]]
    first, second, _ = separation.pairs
    assert (first.better, first.worse, first.separable) == ("best", "even", False)
    assert (second.better, second.worse, second.separable) == ("best", "worse", True)
    assert second.by_points == pytest.approx(4.0)
    assert 0 < second.interval[0] < 4.0 < second.interval[1]
    # one row of difference: its exact p-value is above McNemar's, and the largest of three is not enlarged
    assert first.p_holm == pytest.approx(min(1.0, 2 * compute_exact_p_value(0, 1, 2000, 0.0)))
    assert first.p_holm > 2 * norm.sf(1)


def test_of_a_loss_less_is_better() -> None:
    right = np.ones(500, dtype=bool)
    surer, less_sure = make_answers(right, 0.9), make_answers(right, 0.6)
    separation = separate_models(load_metric("log_loss"), {"less sure": less_sure, "surer": surer})
    assert separation is not None
    assert list(separation.values) == ["surer", "less sure"]
    assert separation.pairs[0].separable
    assert separation.pairs[0].by_points > 0


def test_a_metric_without_an_interval_tells_nothing_apart(counted: Counted) -> None:
    teacher, variant = counted(100, 10)
    assert separate_models(load_metric("ece"), {"a": teacher, "b": variant}) is None


def test_a_perplexity_twice_as_high_is_worse_by_100_percent() -> None:
    # (documents,) of 10 tokens each, of perplexities near 20 and 40
    noise, ids = 0.1 * np.sin(np.arange(60)), np.arange(60).astype(np.str_)
    low, high = (
        Outcomes(ids, values={"nats": 10 * np.log(ppl) + noise * ppl / 20, "tokens": np.full(60, 10.0)})
        for ppl in (20.0, 40.0)
    )
    separation = separate_models(load_metric("perplexity"), {"high": high, "low": low})
    assert separation is not None
    (pair,) = separation.pairs
    assert (pair.better, pair.worse, pair.separable) == ("low", "high", True)
    growth = 100 * (separation.values["high"] / separation.values["low"] - 1)
    assert pair.by_points == pytest.approx(growth) == pytest.approx(100, abs=1)
    assert 0 < pair.interval[0] < pair.by_points < pair.interval[1]


def test_variants_of_a_resampled_metric_compare_with_the_best(
    counted: Counted,
) -> None:
    losses = {"a": 0, "b": 1, "c": 200, "d": 210}
    separation = separate_models(
        load_metric("f1_macro"), {name: counted(2000, lost)[1] for name, lost in losses.items()}
    )
    assert separation is not None
    assert [(pair.better, pair.worse, pair.separable) for pair in separation.pairs] == [
        ("a", "b", False),
        ("a", "c", True),
        ("a", "d", True),
    ]
    assert separation.groups == []
    # without a crossing the p-value is at least 1 / 10,001; twice that, times six pairs
    assert min(pair.p_holm for pair in separation.pairs) >= 2 * 6 / 10_001


def test_few_resamples_resolve_fewer_pairs() -> None:
    assert [count_comparable_models(load_metric(name)) for name in ("accuracy", "f1_macro", "pr_auc")] == [
        10,
        10,
        6,
    ]


def test_equal_variants_are_grouped_and_a_planted_one_is_not() -> None:
    rng, runs, together, planted = np.random.default_rng(0), 120, 0, 0
    for _ in range(runs):
        base = rng.random(1500) < 0.9
        chances = {"a": 0.03, "b": 0.03, "c": 0.03, "worse": 0.03}
        models = {name: base ^ (rng.random(1500) < chance) for name, chance in chances.items()}
        models["worse"] = models["worse"] & (rng.random(1500) >= 0.06)
        separation = separate_models(ACCURACY, {name: make_answers(right) for name, right in models.items()})
        assert separation is not None
        together += not any(
            pair.separable for pair in separation.pairs if "worse" not in (pair.better, pair.worse)
        )
        planted += all(pair.separable for pair in separation.pairs if pair.worse == "worse")
    assert together / runs >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / runs)
    assert planted / runs > 0.9
