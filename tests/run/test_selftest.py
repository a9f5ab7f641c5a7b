"""slimgate.run.selftest: the copy changes nothing; a planted fault is as large as it says and never
passes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_suite import make_tiny_run

from slimgate.judge.budget_kinds import QualityBudget, compute_allowed_drop
from slimgate.judge.metrics import Metric, load_metric
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import ClassOutcomes, Outcomes
from slimgate.results.base import Verdict
from slimgate.run import planted_fault
from slimgate.run.damaged_layer import NothingToDamage, damage_largest_matrix_
from slimgate.run.planted_fault import (
    is_decidable,
    judge_damaged_layer,
    judge_exchanged_answers,
    judge_exchanged_gain,
    judge_fault,
)
from slimgate.run.selftest import (
    make_default_budget,
    plant_fault,
    predict_damaged_copy,
    predict_identical_copy,
)
from slimgate.runtimes.eager import EagerPredictor
from slimgate.store.prune import describe_entry, list_entries

METRICS = [
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1_micro",
    "mcc",
    "roc_auc",
    "pr_auc",
    "log_loss",
    "brier",
]

BUDGET = make_default_budget(load_metric("accuracy"))


def outcomes_of(rows: int, *, classes: int = 2, accuracy: float = 0.9, seed: int = 0) -> ClassOutcomes:
    """Rows of a teacher that is right on this share of them, with probabilities that say so."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % classes)
    wrong = rng.permutation(rows) >= round(accuracy * rows)
    predictions = np.where(wrong, (labels + 1) % classes, labels)
    scores = rng.uniform(0, 1, (rows, classes))
    scores[np.arange(rows), predictions] += 1.0
    return ClassOutcomes(
        ids=np.arange(rows).astype(np.str_),
        labels=labels,
        predictions=predictions,
        classes=tuple(f"c{k}" for k in range(classes)),
        probabilities=scores / scores.sum(axis=1, keepdims=True),
    )


@pytest.mark.parametrize("gate", [60, 9])
def test_a_copy_of_the_teacher_has_no_flips(tmp_path: Path, gate: int) -> None:
    teacher = make_tiny_run(tmp_path, gate=gate).make_handle("teacher")
    stored, copy = predict_identical_copy(teacher, seed=0)
    assert len(stored) == gate
    assert stored.ids.tolist() == copy.ids.tolist()
    assert stored.predictions.tolist() == copy.predictions.tolist()
    assert stored.probabilities is not None
    assert copy.probabilities is not None
    assert np.abs(stored.probabilities - copy.probabilities).max() < 1e-5
    judged = judge_quality(load_metric("accuracy"), stored, copy, [BUDGET], seed=0)
    assert judged.drop_points == 0
    assert judged.verdict is not Verdict.FAIL


def test_a_second_run_reads_both_copies_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slimgate.run import selftest

    first = make_tiny_run(tmp_path).make_handle("teacher")
    _, copy = predict_identical_copy(first, seed=0)
    _, damaged, layer = predict_damaged_copy(first, strength=2.0, seed=0)
    predict = selftest.predict_outcomes
    monkeypatch.setattr(selftest, "predict_outcomes", lambda *_, **__: pytest.fail("it predicts again"))
    second = make_tiny_run(tmp_path).make_handle("teacher")
    assert_same_scores(copy, predict_identical_copy(second, seed=0)[1])
    _, damaged_again, layer_again = predict_damaged_copy(second, strength=2.0, seed=0)
    assert_same_scores(damaged, damaged_again)
    assert layer == layer_again == "bert.encoder.layer.0.intermediate.dense"
    descriptions = [describe_entry(entry, {}) for entry in list_entries(second.run.store.root)]
    assert sum(text.startswith("60 rows") for text in descriptions) == 3  # the teacher and both copies
    monkeypatch.setattr(selftest, "predict_outcomes", predict)
    _, more_damaged, _ = predict_damaged_copy(second, strength=8.0, seed=0)
    assert np.abs(scores_of(more_damaged) - scores_of(damaged)).max() > 1e-3


def test_copies_answer_again_beside_new_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They show whether this process still gives the answers of the teacher, which are from the store."""
    predict_identical_copy(make_tiny_run(tmp_path).make_handle("teacher"), seed=0)
    later = make_tiny_run(tmp_path)
    later.measure_outcomes("shorter")
    fetch = EagerPredictor.fetch
    monkeypatch.setattr(EagerPredictor, "fetch", lambda self, scores: -fetch(self, scores))
    stored, copy = predict_identical_copy(later.make_handle("teacher"), seed=0)
    assert stored.changed_rows(copy).all()


def scores_of(outcomes: Outcomes) -> np.ndarray:
    """The probabilities of a classification."""
    assert isinstance(outcomes, ClassOutcomes)
    assert outcomes.probabilities is not None
    return outcomes.probabilities


def assert_same_scores(first: Outcomes, second: Outcomes) -> None:
    """Both have the same rows and probabilities."""
    assert first.ids.tolist() == second.ids.tolist()
    assert scores_of(first).tolist() == scores_of(second).tolist()


def test_the_copy_predicts_only_some_500_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from slimgate.run import selftest

    monkeypatch.setattr(selftest, "ROWS", 20)
    teacher = make_tiny_run(tmp_path).make_handle("teacher")
    stored, copy = predict_identical_copy(teacher, seed=0)
    assert len(stored) == len(copy) == 20
    assert set(stored.ids.tolist()) < set(teacher.outcomes.ids.tolist())


def test_the_copy_predicts_in_another_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that depend on the other rows of their batch are not repeatable, and the copy shows it."""
    forward = EagerPredictor.forward

    def beside_others(self: EagerPredictor, inputs: Any) -> Any:
        logits = forward(self, inputs)
        return logits - logits.mean(dim=0)

    monkeypatch.setattr(EagerPredictor, "forward", beside_others)
    teacher = make_tiny_run(tmp_path).make_handle("teacher")  # fewer rows than ROWS: the same rows in both
    stored, copy = predict_identical_copy(teacher, seed=0)
    assert stored.probabilities is not None
    assert copy.probabilities is not None
    assert np.abs(stored.probabilities - copy.probabilities).max() > 1e-3


def test_a_copy_of_the_teacher_with_a_damaged_layer_fails(tmp_path: Path) -> None:
    teacher = make_tiny_run(tmp_path, gate=400).make_handle("teacher")
    (fault,) = judge_damaged_layer(teacher, {"accuracy": BUDGET}, seed=0)
    assert (fault.verdict, fault.wrong) == (Verdict.FAIL, False)
    assert fault.damage == "teacher with noise on bert.encoder.layer.0.intermediate.dense"
    assert fault.drop_points is not None
    assert fault.drop_points > 4
    # the teacher itself is as it was
    stored, copy = predict_identical_copy(teacher, seed=0)
    assert stored.predictions.tolist() == copy.predictions.tolist()


def test_noise_that_changes_no_answer_is_followed_by_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = make_tiny_run(tmp_path, gate=400).make_handle("teacher")
    monkeypatch.setattr(planted_fault, "STRENGTHS", (1e-6,))
    assert judge_damaged_layer(teacher, {"accuracy": BUDGET}, seed=0)[0].is_unchanged
    monkeypatch.setattr(planted_fault, "STRENGTHS", (1e-6, 2.0))
    (fault,) = judge_damaged_layer(teacher, {"accuracy": BUDGET}, seed=0)
    assert (fault.verdict, fault.wrong) == (Verdict.FAIL, False)


def test_a_gate_that_ignores_the_damaged_weights_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted bug: a model is loaded from where the teacher lies, not from where it was saved."""
    teacher = make_tiny_run(tmp_path).make_handle("teacher")
    runtime, load = teacher.variant.runtime.object, teacher.variant.runtime.object.load
    original = teacher.built.artifact.folder
    monkeypatch.setattr(runtime, "load", lambda _, *args, **more: load(original, *args, **more))
    (fault,) = judge_damaged_layer(teacher, {"accuracy": BUDGET}, seed=0)
    assert fault.wrong


def test_a_teacher_no_better_than_its_damaged_copy_tests_nothing() -> None:
    """A teacher that is never right has nothing to lose, and that is no failure of the gate."""
    teacher, damaged = outcomes_of(400, classes=3, accuracy=0.0), outcomes_of(400, classes=3, accuracy=0.0)
    damaged = replace(damaged, predictions=(damaged.labels + 2) % 3)
    fault = judge_fault("how", load_metric("accuracy"), teacher, damaged, BUDGET, seed=0)
    assert (fault.verdict, fault.wrong) == (None, False)
    assert fault.line == "how: accuracy drop 0.0 points of a budget of 2, 400 rows: no test"


def test_a_graph_has_no_weights_to_damage_here(tmp_path: Path) -> None:
    teacher = make_tiny_run(tmp_path).make_handle("teacher")
    teacher.built.artifact.manifest["kind"] = "onnx"
    with pytest.raises(NothingToDamage, match="a teacher of kind onnx has no weights to damage here"):
        judge_damaged_layer(teacher, {"accuracy": BUDGET}, seed=0)


def test_a_network_without_a_float_matrix_has_nothing_to_damage() -> None:
    network = torch.nn.Sequential(torch.nn.Embedding(4, 2), torch.nn.LayerNorm(2))
    with pytest.raises(NothingToDamage, match="no float matrix"):
        damage_largest_matrix_(network, strength=1.0, seed=0)


def test_the_largest_matrix_is_damaged_and_nothing_else() -> None:
    network = torch.nn.Sequential(torch.nn.Embedding(900, 4), torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert damage_largest_matrix_(network, strength=1.0, seed=0) == "1"
    changed = {name for name, value in network.state_dict().items() if not value.equal(before[name])}
    assert changed == {"1.weight"}


def grouped(groups: int, rows: int) -> ClassOutcomes:
    """As outcomes_of, in groups of as many rows."""
    return replace(outcomes_of(groups * rows, accuracy=1.0), groups=np.repeat(np.arange(groups), rows))


def test_a_planted_fault_takes_whole_groups() -> None:
    outcomes = grouped(50, 40)
    damaged = plant_fault(outcomes, load_metric("accuracy"), 0.04, seed=0)
    lost = outcomes.predictions != damaged.predictions
    assert sorted(np.bincount(np.repeat(np.arange(50), 40), weights=lost))[-3:] == [0, 40, 40]


@pytest.mark.parametrize(("groups", "rows", "must_fail"), [(50, 40, False), (2000, 1, True), (800, 3, True)])
def test_a_group_counts_as_one_row_of_what_must_be_decided(groups: int, rows: int, must_fail: bool) -> None:
    """Twice a budget of 2 points by whole groups takes 2.487² 0.04 / 0.02² = 619 of them."""
    outcomes, accuracy = grouped(groups, rows), load_metric("accuracy")
    damaged = plant_fault(outcomes, accuracy, 0.04, seed=0)
    assert is_decidable(accuracy, outcomes, damaged, BUDGET, 0.02) is must_fail
    fault = judge_exchanged_answers(outcomes, "accuracy", BUDGET, seed=0)
    assert not fault.wrong
    assert fault.verdict is (Verdict.FAIL if must_fail else Verdict.INCONCLUSIVE)


def test_an_undecided_fault_is_wrong_where_the_rows_can_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: a judge that never decides. Before, its self-test was green."""

    def undecided(*args: Any, **more: Any) -> Any:
        judged = judge_quality(*args, **more)
        budgets = (replace(budget, verdict=Verdict.INCONCLUSIVE) for budget in judged.budgets)
        return replace(judged, budgets=tuple(budgets))

    monkeypatch.setattr("slimgate.run.planted_fault.judge_quality", undecided)
    large, small = outcomes_of(5000), outcomes_of(60)
    assert judge_exchanged_answers(large, "accuracy", BUDGET, seed=0).wrong
    assert not judge_exchanged_answers(small, "accuracy", BUDGET, seed=0).wrong


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("classes", [2, 4])
def test_a_planted_fault_reaches_the_drop_and_hardly_more(metric: str, classes: int) -> None:
    outcomes = outcomes_of(2000, classes=classes)
    judged = load_metric(metric)
    weights = np.ones(2000)
    sign = 1 if judged.higher_is_better else -1
    damaged = plant_fault(outcomes, judged, 0.04, seed=0)
    drop = sign * float(judged.statistic(outcomes, weights) - judged.statistic(damaged, weights))
    assert 0.04 <= drop < 0.045
    assert damaged.ids.tolist() == outcomes.ids.tolist()
    assert damaged.labels.tolist() == outcomes.labels.tolist()
    assert damaged.probabilities is not None
    np.testing.assert_allclose(damaged.probabilities.sum(axis=1), 1.0)
    assert (damaged.probabilities.argmax(axis=1) == damaged.predictions).all()


def test_a_planted_fault_by_hand() -> None:
    """10 rows, 9 right: 0.2 lost are 2 rows, both right before."""
    outcomes = outcomes_of(10)
    damaged = plant_fault(outcomes, load_metric("accuracy"), 0.2, seed=0)
    changed = np.flatnonzero(damaged.predictions != outcomes.predictions)
    assert len(changed) == 2
    assert (outcomes.predictions[changed] == outcomes.labels[changed]).all()
    assert (damaged.predictions[changed] != outcomes.labels[changed]).all()


@pytest.mark.parametrize("metric", [name for name in METRICS if load_metric(name).resampled])
@pytest.mark.parametrize("rows", [12, 40, 200, 2000])
@pytest.mark.parametrize("limit", [0.5, 2.0, 10.0])
def test_a_planted_fault_never_passes(metric: str, rows: int, limit: float) -> None:
    budget = QualityBudget(kind="drop_points", limit=limit)
    judged = judge_exchanged_answers(outcomes_of(rows), metric, budget, seed=0)
    assert judged.drop_points >= 2 * limit - 1e-9
    assert judged.verdict is not Verdict.PASS


@pytest.mark.parametrize(
    ("metric", "kind", "limit"),
    [
        ("accuracy", "drop_relative", 0.02),
        ("accuracy", "error_increase_relative", 0.1),
        ("accuracy", "floor", 0.85),
        ("f1_macro", "floor", 0.85),
        ("log_loss", "increase_relative", 0.1),
        ("log_loss", "ceiling", 0.7),
    ],
)
def test_a_planted_fault_takes_twice_what_any_budget_allows(metric: str, kind: str, limit: float) -> None:
    outcomes, measured = outcomes_of(4000), load_metric(metric)
    budget = QualityBudget(kind, limit)
    teacher = float(measured.statistic(outcomes, np.ones(4000)))
    judged = judge_exchanged_answers(outcomes, metric, budget, seed=0)
    assert judged.drop_points == pytest.approx(200 * compute_allowed_drop(budget, teacher), rel=0.05)
    assert judged.verdict is Verdict.FAIL


def test_with_many_rows_a_planted_fault_fails() -> None:
    judged = judge_exchanged_answers(outcomes_of(5000), "accuracy", BUDGET, seed=0)
    assert judged.verdict is Verdict.FAIL


def test_outcomes_without_probabilities_can_be_damaged() -> None:
    damaged = plant_fault(replace(outcomes_of(50), probabilities=None), load_metric("accuracy"), 0.1, seed=0)
    assert damaged.probabilities is None
    assert int((damaged.predictions != outcomes_of(50).predictions).sum()) == 5


BLIND = Metric(
    name="blind",
    higher_is_better=True,
    value_range=(0.0, 1.0),
    needs="prediction",
    statistic=lambda outcomes, weights: np.full(weights.shape[:-1], 0.9),  # noqa: ARG005
)


def test_a_metric_that_no_wrong_answer_moves_fails_the_self_test() -> None:
    fault = judge_exchanged_answers(outcomes_of(400), "tests.run.test_selftest:BLIND", BUDGET, seed=0)
    assert (fault.verdict, fault.wrong) == (Verdict.PASS, True)
    assert "blind does not change, although" in fault.line


WRONG_WAY = Metric(
    name="error_rate",
    higher_is_better=True,
    value_range=(0.0, 1.0),
    needs="prediction",
    statistic=lambda outcomes, weights: weights @ (1 - outcomes.right) / weights.sum(axis=-1),
)


def test_a_metric_that_wrong_answers_improve_fails_the_self_test() -> None:
    """A variant with every answer wrong passed a budget on it."""
    fault = judge_exchanged_answers(outcomes_of(400), "tests.run.test_selftest:WRONG_WAY", BUDGET, seed=0)
    assert (fault.verdict, fault.wrong) == (Verdict.PASS, True)
    assert "so its higher_is_better may be wrong, although" in fault.line
    assert "give it a two-sided budget (equivalent_points)" in fault.line
    two_sided = QualityBudget("equivalent_points", 2.0)
    fault = judge_exchanged_answers(outcomes_of(400), "tests.run.test_selftest:WRONG_WAY", two_sided, seed=0)
    assert (fault.verdict, fault.wrong) == (Verdict.FAIL, False)


def test_a_planted_gain_fails_both_sides_and_passes_one() -> None:
    outcomes = outcomes_of(5000)
    both_sides = QualityBudget("equivalent_points", 2.0)
    gain = judge_exchanged_gain(outcomes, "accuracy", both_sides, seed=0)
    assert (gain.verdict, gain.wrong) == (Verdict.FAIL, False)
    assert gain.drop_points == pytest.approx(-4.0, abs=0.05)
    assert (
        gain.line
        == "answers exchanged, as a gain: accuracy drop -4.0 points of a budget of ±2, 5,000 rows: FAIL"
    )
    loss = judge_exchanged_answers(outcomes, "accuracy", both_sides, seed=0)
    assert (loss.verdict, loss.wrong) == (Verdict.FAIL, False)


def test_a_judge_that_passes_a_gain_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_sided(metric: Any, before: Any, after: Any, budgets: Any, **more: Any) -> Any:
        return judge_quality(
            metric, before, after, [replace(budget, kind="drop_points") for budget in budgets], **more
        )

    monkeypatch.setattr("slimgate.run.planted_fault.judge_quality", one_sided)
    both_sides = QualityBudget("equivalent_points", 2.0)
    assert judge_exchanged_gain(outcomes_of(5000), "accuracy", both_sides, seed=0).wrong
    assert not judge_exchanged_answers(outcomes_of(5000), "accuracy", both_sides, seed=0).wrong


def test_few_rows_leave_a_planted_gain_undecided() -> None:
    gain = judge_exchanged_gain(outcomes_of(60), "accuracy", QualityBudget("equivalent_points", 2.0), seed=0)
    assert (gain.verdict, gain.wrong) == (Verdict.INCONCLUSIVE, False)
