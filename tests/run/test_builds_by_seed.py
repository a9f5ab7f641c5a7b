"""The spread between builds: each seed's own answers, against the teacher's."""

from __future__ import annotations

import pytest
from support.tiny_suite import make_tiny_run

from slimgate.judge import QualityBudget
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.judge.quality import judge_quality
from slimgate.plugin.gates.quality import describe_builds, list_further_builds
from slimgate.run.run import SuiteRun

pytest.importorskip("torch")

TRAINED = (
    "shorter = { steps = [{ keep_layers = [0, 2] }, { fine_tune = { epochs = 1, learning_rate = 1e-3 } }] }"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    changes = {
        "threads = 1\n": "threads = 1\nseeds = [0, 1, 2]\n",
        "shorter = { steps = [{ keep_layers = [0, 2] }] }": TRAINED,
    }
    return make_tiny_run(tmp_path_factory.mktemp("builds"), **changes)


@pytest.mark.parametrize("name", ["log_loss", "accuracy"])
def test_the_drop_of_each_build_is_of_its_own_answers(run: SuiteRun, name: str) -> None:
    variant, metric = run.make_handle("shorter"), load_metric(name)
    teacher = run.measure_outcomes("teacher")
    judged = judge_quality(metric, teacher, variant.outcomes, [], seed=0)
    spread = describe_builds(run.suite, run.measure_rebuilds("shorter"), metric, judged)
    assert spread is not None
    sign = 100 if metric.higher_is_better else -100
    values = [compute_value(metric, run.measure_outcomes("shorter", seed)) for seed in (0, 1, 2)]
    expected = [sign * (compute_value(metric, teacher) - value) for value in values]
    assert list(spread.drops_points) == pytest.approx(expected)
    if name == "log_loss":  # three trainings, three losses
        assert len({round(drop, 6) for drop in expected}) == 3


def test_a_variant_that_draws_nothing_has_no_builds(run: SuiteRun) -> None:
    variant, metric = run.make_handle("pruned"), load_metric("accuracy")
    judged = judge_quality(metric, run.measure_outcomes("teacher"), variant.outcomes, [], seed=0)
    assert describe_builds(run.suite, run.measure_rebuilds("pruned"), metric, judged) is None


def test_further_builds_are_made_only_for_a_budget_over_builds(run: SuiteRun) -> None:
    over = QualityBudget("drop_points", 50.0, over="builds")
    assert list_further_builds(run, "shorter", [QualityBudget("drop_points", 50.0)]) == ()
    builds = list_further_builds(run, "shorter", [over])
    assert len(builds) == 2
    assert list_further_builds(run, "pruned", [over]) == ()
    metric, teacher = load_metric("log_loss"), run.measure_outcomes("teacher")
    (budget,) = judge_quality(metric, teacher, run.measure_outcomes("shorter"), [over], builds=builds).budgets
    losses = [compute_value(metric, outcomes) for outcomes in (run.measure_outcomes("shorter"), *builds)]
    assert budget.builds == 3
    assert budget.value == pytest.approx(100 * (sum(losses) / 3 - compute_value(metric, teacher)))
