from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from slimgate.errors import MeasureError
from slimgate.judge import Verdict
from slimgate.judge.behaviour import judge_behaviour, make_behaviour_facts, measure_behaviour
from slimgate.judge.behaviour_message import format_behaviour_message
from slimgate.judge.budget_tables import BehaviourBudgets, FlipsBudget, SliceBudget, SliceName
from slimgate.judge.metrics import load_metric
from slimgate.judge.slices import Slice
from slimgate.outcomes import ClassOutcomes, Outcomes
from slimgate.results.behaviour import BehaviourFacts, Flips

Make = Callable[..., tuple[ClassOutcomes, ClassOutcomes]]
ACCURACY = {"accuracy": load_metric("accuracy")}
NO_BUDGET = BehaviourBudgets()
BOTH = BehaviourBudgets(
    FlipsBudget(flips_max_percent=1.0, reason="customers notice"), {"accuracy": SliceBudget(drop_points=5.0)}
)


def format_judged_line(pair: tuple[ClassOutcomes, ClassOutcomes], budgets: BehaviourBudgets) -> str:
    return format_behaviour_message("int8", judge_behaviour(*pair, budgets, metrics=ACCURACY))


def test_flips_are_counted_and_lost_rows_quoted(counted: Make) -> None:
    teacher, variant = counted(40, 12, 3, both_wrong=2)
    requests = []

    def texts(rows: object) -> list[str]:
        requests.append(list(rows))  # type: ignore[call-overload]
        return [f"text {row}" for row in requests[0]]

    facts = measure_behaviour(teacher, variant, texts=texts)
    flips = facts.flips
    assert flips is not None
    assert (flips.right_to_wrong, flips.wrong_to_right, flips.changed) == (12, 3, 15)
    assert facts.agreement == 1 - 15 / 40
    assert requests == [list(range(10))]
    assert flips.quoted[1].model_dump() == {
        "id": "1",
        "label": "c1",
        "teacher": "c1",
        "teacher_confidence": 0.8,
        "variant": "c0",
        "variant_confidence": 0.8,
        "text": "text 1",
    }


def test_every_figure_of_both_models_is_there(drawn: Make) -> None:
    teacher, variant = drawn(300, prior=[0.5, 0.3, 0.2], lost=0.05, won=0.02)
    facts = measure_behaviour(teacher, variant)
    assert np.array(facts.confusion).sum() == np.array(facts.confusion_teacher).sum() == 300
    assert np.trace(facts.confusion) == (variant.predictions == variant.labels).sum()
    assert [len(getattr(facts, name)) for name in ("reliability", "reliability_teacher", "tradeoff")] == [
        15,
        15,
        9,
    ]
    assert facts.kl_to_teacher > 0
    assert facts.ece == pytest.approx(abs(0.7 - np.mean(variant.predictions == variant.labels)))
    assert 0 < facts.brier_teacher < 2


def test_without_probabilities_only_their_figures_are_none(counted: Make) -> None:
    bare = [ClassOutcomes(o.ids, o.labels, o.predictions, o.classes) for o in counted(40, 3, 1)]
    facts = measure_behaviour(*bare)
    assert {name for name, value in facts if value is None} == {
        *("kl_to_teacher", "ece", "ece_teacher", "brier", "brier_teacher"),
        *("reliability", "reliability_teacher", "tradeoff", "tradeoff_teacher"),
        *("kl", "fault_location", "confusion_cells", "slices", "slice_gaps"),
        *("verdict", "message", "measured"),
    }
    assert facts.flips is not None
    assert (facts.flips.quoted[0].variant_confidence, facts.flips.quoted[0].text) == (None, None)


def test_many_classes_have_their_confusion_in_cells(counted: Make) -> None:
    facts = measure_behaviour(*counted(200, 5, 0, classes=31))
    assert facts.confusion is None
    assert sum(cell[2] for cell in facts.confusion_cells) == 200
    assert measure_behaviour(*counted(200, 5, 0, classes=30)).confusion is not None


def test_facts_are_read_back_from_json_as_written(counted: Make) -> None:
    pair = counted(400, 30, 2, groups=np.arange(400) // 4)
    columns = [Slice("half", "first", np.arange(200)), Slice("half", "second", np.arange(200, 400))]
    judged = judge_behaviour(*pair, BOTH, metrics=ACCURACY, column_slices=columns)
    facts = make_behaviour_facts(measure_behaviour(*pair), judged, format_behaviour_message("x", judged))
    assert BehaviourFacts.model_validate_json(facts.model_dump_json()) == facts
    assert facts.flips is not None
    assert (facts.flips.percent, facts.flips.groups) == (7.5, 100)
    assert [part.value for part in facts.slices or ()] == ["first", "c0", "c1", "second"]
    assert [budget.kind for budget in facts.budgets] == ["flips_max_percent", "slices.accuracy"]
    assert facts.verdict == "FAIL"


def test_flips_are_in_percent_and_keep_their_on_inconclusive(counted: Make) -> None:
    pair = counted(400, 30, 2, groups=np.arange(400) // 4)
    judged = judge_behaviour(*pair, BOTH, metrics=ACCURACY)
    share = judged.flips
    assert share is not None
    flips = Flips(right_to_wrong=30, wrong_to_right=2, changed=32)
    measured = BehaviourFacts(n=400, flips=flips)
    facts = make_behaviour_facts(measured, judged, "the line", {"flips_max_percent": "warn"})
    assert facts.flips is not None
    assert facts.flips.interval == (100 * share.interval[0], 100 * share.interval[1])
    assert (facts.flips.quoted, facts.flips.percent, facts.flips.groups) == ([], 7.5, 100)
    assert [budget.on_inconclusive for budget in facts.budgets] == ["warn", None]
    assert (facts.message, facts.n) == ("the line", 400)
    assert [(part.value, part.verdict) for part in facts.slices or ()] == [
        ("c0", "INCONCLUSIVE"),
        ("c1", "INCONCLUSIVE"),
    ]


def test_a_metric_is_known_by_the_name_that_its_budget_has(counted: Make) -> None:
    metrics = {"ours.metrics:right": load_metric("accuracy")}
    budgets = BehaviourBudgets(slices={"ours.metrics:right": SliceBudget(drop_points=5.0)})
    judged = judge_behaviour(*counted(400, 60, 2), budgets, metrics=metrics)
    assert [budget.kind for budget in judged.budgets] == ["slices.ours.metrics:right"]
    assert judged.verdict is Verdict.FAIL
    assert "; ours.metrics:right on 2 slices, budget 5 points" in format_behaviour_message("int8", judged)


def test_without_a_budget_there_is_no_verdict(counted: Make) -> None:
    judged = judge_behaviour(*counted(400, 30, 2), NO_BUDGET, metrics=ACCURACY)
    assert (judged.budgets, judged.verdict) == ((), None)
    assert len(judged.slices) == 2
    assert format_behaviour_message("int8", judged) == (
        "int8: 7.5 % of rows right to wrong [5.4, 10.0] (n=400): not gated"
    )


def test_the_line_of_grouped_rows_counts_the_groups(counted: Make) -> None:
    judged = judge_behaviour(*counted(400, 30, 2, groups=np.arange(400) // 4), NO_BUDGET, metrics=ACCURACY)
    assert "(n=400 in 100 groups): not gated" in format_behaviour_message("int8", judged)


def test_a_failing_line_names_the_slices_that_lost(counted: Make) -> None:
    line = format_judged_line(counted(400, 60, 2), BOTH)
    assert line == (
        "int8: 15.0 % of rows right to wrong [12.1, 18.3], budget 1 % (n=400): FAIL; "
        "accuracy on 2 slices, budget 5 points: FAIL in label c0 (drop 14.5 points "
        "[10.5, 19.3], n=200), label c1 (drop 14.5 points [10.5, 19.3], n=200)"
    )


def test_three_slices_that_lost_are_all_named(counted: Make) -> None:
    line = format_judged_line(counted(900, 400, 0, classes=3), BehaviourBudgets(slices=BOTH.slices))
    assert line.count("(drop ") == 3
    assert "more" not in line


def test_more_than_three_slices_that_lost_are_counted(counted: Make) -> None:
    line = format_judged_line(counted(1000, 400, 0, classes=5), BehaviourBudgets(slices=BOTH.slices))
    assert line.endswith(", 2 more")
    assert "right to wrong [37.4, 42.6] (n=1000): not gated; accuracy on 5 slices" in line


def test_undecided_flips_say_how_many_rows_would_decide(counted: Make) -> None:
    line = format_judged_line(counted(90, 0, 0), BOTH)
    assert line == (
        "int8: 0.0 % of rows right to wrong [0.0, 3.3], budget 1 % (n=90): INCONCLUSIVE, about 300 "
        "rows would decide; accuracy on 2 slices, budget 5 points: INCONCLUSIVE, 0 "
        "inside, 2 undecided (worst: label c0, drop 0.0 [-6.6, 6.6], n=45), about 120 rows would decide"
    )
    judged = judge_behaviour(*counted(90, 0, 0), BOTH, metrics=ACCURACY)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert [budget.verdict for budget in judged.budgets] == [Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE]


def test_a_pass_of_flips_does_not_pass_undecided_slices(counted: Make) -> None:
    judged = judge_behaviour(
        *counted(90, 0, 0),
        BehaviourBudgets(FlipsBudget(flips_max_percent=5.0), BOTH.slices),
        metrics=ACCURACY,
    )
    assert [budget.verdict for budget in judged.budgets] == [Verdict.PASS, Verdict.INCONCLUSIVE]
    assert judged.verdict is Verdict.INCONCLUSIVE


def test_no_number_of_rows_decides_a_share_at_its_budget(counted: Make) -> None:
    line = format_judged_line(counted(1000, 10, 0), BehaviourBudgets(FlipsBudget(flips_max_percent=1.0)))
    assert line.endswith("INCONCLUSIVE, the share equals its budget: no number of rows would decide")


def test_a_bound_is_never_rounded_onto_the_budget(counted: Make) -> None:
    line = format_judged_line(counted(1000, 3, 0), BehaviourBudgets(FlipsBudget(flips_max_percent=0.8)))
    assert "0.30 % of rows right to wrong [0.08, 0.77], budget 0.8 %" in line


def test_rows_that_are_not_paired_or_none_are_an_error(counted: Make) -> None:
    (teacher, variant), (other, _) = counted(40, 1, 0), counted(41, 1, 0)
    with pytest.raises(MeasureError, match="not paired"):
        measure_behaviour(teacher, other)
    with pytest.raises(MeasureError, match="not paired"):
        judge_behaviour(
            teacher, variant.take(np.array([2, 1, 0, *range(3, 40)])), NO_BUDGET, metrics=ACCURACY
        )
    none = np.array([], dtype=np.int64)
    with pytest.raises(MeasureError, match=r"^behaviour: there are no gate rows to compare$"):
        judge_behaviour(teacher.take(none), variant.take(none), NO_BUDGET, metrics=ACCURACY)


def test_six_thousand_rows_of_77_classes_take_under_a_second() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 77, 6000)
    logits = rng.normal(0, 1.5, (6000, 77))
    logits[np.arange(6000), labels] += 6
    pair = []
    for noise in (0.0, 0.6):
        scores = np.exp(logits + rng.normal(0, noise, logits.shape))
        probabilities = scores / scores.sum(axis=1, keepdims=True)
        names = tuple(f"intent {k}" for k in range(77))
        ids = np.arange(6000).astype(np.str_)
        pair.append(ClassOutcomes(ids, labels, scores.argmax(axis=1), names, probabilities))
    judge_behaviour(*pair, BOTH, metrics=ACCURACY)  # imports what it needs, which is not timed
    start = time.process_time()
    judged = judge_behaviour(*pair, BOTH, metrics=ACCURACY)
    facts = make_behaviour_facts(measure_behaviour(*pair), judged, format_behaviour_message("x", judged))
    assert time.process_time() - start < 1
    assert len(facts.model_dump_json(indent=1)) < 150_000


def test_rows_that_are_neither_right_nor_wrong_have_no_flips() -> None:
    ranked = Outcomes(np.array(["a", "b"]), values={"rank": np.array([1.0, 2.0])})
    assert measure_behaviour(ranked, ranked) == BehaviourFacts(n=2)
    judged = judge_behaviour(ranked, ranked, NO_BUDGET, metrics={})
    assert (judged.flips, judged.slices, judged.budgets, judged.verdict) == (None, (), (), None)
    with pytest.raises(MeasureError, match="neither right nor wrong"):
        judge_behaviour(ranked, ranked, BehaviourBudgets(FlipsBudget(flips_max_percent=1.0)), metrics={})


def test_a_line_of_rows_neither_right_nor_wrong_says_so() -> None:
    bare = Outcomes(np.arange(3).astype(np.str_), values={"rank": np.ones(3)})
    line = format_behaviour_message("int8", judge_behaviour(bare, bare, NO_BUDGET, metrics={}))
    assert line == "int8: rows are neither right nor wrong, not gated"


def test_a_slice_that_has_a_budget_is_judged_and_named(counted: Make) -> None:
    """Of 400 rows it loses 40: 20 of each label."""
    pair = counted(400, 40, 0)
    names = [SliceName("label", label, "accuracy") for label in ("c0", "c1", "c7")]
    budgets = BehaviourBudgets(
        named_slices={name: SliceBudget(drop_points=2.0, reason=name.value) for name in names}
    )
    judged = judge_behaviour(*pair, budgets, metrics=ACCURACY)
    labels = {part.value: part for part in judged.slices if part.column == "label"}
    assert judged.verdict is Verdict.FAIL
    assert {budget.kind for budget in judged.budgets} == {
        f"slices.accuracy[label={label}]" for label in ("c0", "c1", "c7")
    }
    assert {label: part.own_verdict for label, part in labels.items()} == dict.fromkeys(
        ("c0", "c1"), Verdict.FAIL
    )
    line = format_behaviour_message("int8", judged)
    lost = labels["c1"]
    low, high = lost.interval
    assert (
        f"accuracy of label c1: drop {lost.drop_points:.1f} points [{low:.1f}, {high:.1f}], budget 2 "
        f"(n={lost.n}): FAIL" in line
    )
    assert "slices accuracy[label=c7], budget 2 points: INCONCLUSIVE, no gate row is in such a slice" in line


def test_a_label_without_rows_is_a_slice_that_does_not_pass(counted: Make) -> None:
    budgets = BehaviourBudgets(slices={"accuracy": SliceBudget(drop_points=5.0)})
    for lost, before, after in ((0, "PASS", "INCONCLUSIVE"), (60, "FAIL", "FAIL")):
        pair = counted(400, lost, 0)
        more = [
            replace(outcomes, classes=(*outcomes.classes, "rare"), probabilities=None) for outcomes in pair
        ]
        judged, of_more = (judge_behaviour(*rows, budgets, metrics=ACCURACY) for rows in (pair, more))
        assert (judged.verdict, of_more.verdict) == (before, after)
        line = format_behaviour_message("int8", of_more)
        assert ("INCONCLUSIVE, all 2 inside; no gate row has the label rare" in line) is (lost == 0)


def test_an_undecided_slice_says_how_many_rows_would_decide(counted: Make) -> None:
    budgets = BehaviourBudgets(
        named_slices={SliceName("label", "c1", "accuracy"): SliceBudget(drop_points=2.0)}
    )
    line = format_behaviour_message("int8", judge_behaviour(*counted(300, 6, 2), budgets, metrics=ACCURACY))
    assert ": INCONCLUSIVE, " in line
    assert "rows of it would decide" in line


def test_a_budget_on_all_slices_names_metric_count_and_limit(counted: Make) -> None:
    budgets = BehaviourBudgets(slices={"accuracy": SliceBudget(drop_points=5.0)})
    judged = judge_behaviour(*counted(400, 60, 0), budgets, metrics=ACCURACY)
    slices = len(judged.slices)
    assert f"accuracy on {slices} slices, budget 5 points: FAIL in label" in format_behaviour_message(
        "int8", judged
    )
