"""A model that gets no row right, or is not shown to beat the most frequent label."""

from __future__ import annotations

import numpy as np
import pytest

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics import load_metric
from slimgate.judge.near_chance import describe_near_chance, describe_useless_pass
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import RIGHT, ClassOutcomes, Outcomes


def answers(labels: list[int], right: int, classes: tuple[str, ...] = ("neg", "pos")) -> ClassOutcomes:
    """Rows of these labels, the first `right` of which are answered with their label, the others wrongly."""
    truth = np.asarray(labels)
    predictions = truth.copy()
    predictions[right:] = (truth[right:] + 1) % len(classes)
    ids = np.asarray([f"r{k}" for k in range(len(labels))], dtype=np.str_)
    return ClassOutcomes(ids, truth, predictions, classes)


@pytest.mark.parametrize(("right", "near"), [(400, False), (330, False), (310, True), (200, True), (0, True)])
def test_accuracy_must_be_shown_to_be_above_the_largest_label(right: int, near: bool) -> None:
    """300 of 400 rows are neg: 330 right (82.5 %) are shown to be above 75 %, 310 (77.5 %) are not."""
    message = describe_near_chance(answers([0] * 300 + [1] * 100, right))
    assert (message is not None) is near
    if message is not None:
        assert f"its accuracy {right / 400:.3f} [" in message
        assert message.endswith("not shown to be above 0.750, the share of the most frequent label (neg)")


def test_chance_of_balanced_labels_is_the_same_rule() -> None:
    labels = [0, 1, 2, 3] * 100
    classes = ("a", "b", "c", "d")
    assert "above 0.250" in str(describe_near_chance(answers(labels, 110, classes)))
    assert describe_near_chance(answers(labels, 160, classes)) is None


def test_some_written_answer_must_be_right() -> None:
    ids = np.asarray(["a", "b"])
    no_answer, second = (
        Outcomes(ids, values={RIGHT: np.asarray(right)}) for right in ([0.0, 0.0], [0.0, 1.0])
    )
    assert describe_near_chance(no_answer) == "none of its 2 answers is right"
    assert describe_near_chance(second) is None
    assert describe_near_chance(Outcomes(ids, values={"rouge": np.zeros(2)})) is None


def test_rows_of_one_label_tell_nothing() -> None:
    assert describe_near_chance(answers([1] * 50, 50)) == "all gate rows have the label pos"


@pytest.mark.parametrize(
    ("metric", "limit", "teacher_right", "variant_right", "useless"),
    [
        pytest.param("accuracy", 5.0, 1000, 980, True, id="passes as a constant answer would"),
        pytest.param("accuracy", 1.0, 1000, 980, False, id="fails"),
        pytest.param("accuracy", 5.0, 1000, 998, False, id="passes above chance"),
        pytest.param("accuracy", 5.0, 980, 980, False, id="the warning is about the teacher"),
        pytest.param("balanced_accuracy", 60.0, 1000, 980, False, id="another metric"),
    ],
)
def test_a_variant_may_pass_near_chance(
    metric: str, limit: float, teacher_right: int, variant_right: int, useless: bool
) -> None:
    """980 of 1,000 rows are neg. A model that always answers neg loses 2 points against a perfect teacher."""
    labels = [0] * 980 + [1] * 20
    teacher, variant = answers(labels, teacher_right), answers(labels, variant_right)
    judged = judge_quality(load_metric(metric), teacher, variant, [QualityBudget("drop_points", limit)])
    reason = describe_useless_pass(judged, teacher, variant)
    assert (reason is not None) is useless
    if reason is not None:
        assert "its accuracy 0.980 [" in reason
        assert reason.endswith("choose a smaller limit, or a budget on slices or on balanced_accuracy")
