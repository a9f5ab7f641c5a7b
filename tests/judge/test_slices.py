from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from slimgate.errors import SuiteError
from slimgate.judge import Verdict
from slimgate.judge.budget_tables import SliceBudget, SliceName
from slimgate.judge.evidence import gather_evidence, gather_evidence_of_parts
from slimgate.judge.metrics import load_metric
from slimgate.judge.paired import compute_paired_interval, compute_paired_p_value
from slimgate.judge.slices import (
    Slice,
    decide_all_slices,
    decide_named_slice,
    format_slice_counts,
    judge_slices,
    list_label_slices,
)
from slimgate.outcomes import ClassOutcomes, Ints

pytestmark = pytest.mark.slow

Make = Callable[..., tuple[ClassOutcomes, ClassOutcomes]]
ACCURACY = load_metric("accuracy")
BUDGET = 5.0


def pair(
    *parts: tuple[int, int, int], groups: Ints | None = None
) -> tuple[ClassOutcomes, ClassOutcomes, list[Slice]]:
    """Slices of (rows, lost, won), all of one label."""
    teacher, variant, slices, start = [], [], [], 0
    for k, (n, b, c) in enumerate(parts):
        before, after = np.zeros(n, np.int64), np.zeros(n, np.int64)
        after[:b], before[b : b + c] = 1, 1
        teacher.append(before)
        variant.append(after)
        slices.append(Slice("part", f"p{k}", np.arange(start, start + n)))
        start += n
    ids, labels = np.arange(start).astype(np.str_), np.zeros(start, np.int64)
    models = (
        ClassOutcomes(ids, labels, np.concatenate(predictions), ("a", "b"), groups=groups)
        for predictions in (teacher, variant)
    )
    return (*models, slices)


def test_slices_are_judged_apart_and_the_worst_stands_first() -> None:
    teacher, variant, slices = pair((100, 2, 1), (60, 12, 0), (40, 0, 3))
    facts = judge_slices(ACCURACY, teacher, variant, slices)
    assert [(fact.value, fact.n) for fact in facts] == [("p1", 60), ("p0", 100), ("p2", 40)]
    assert [fact.drop_points for fact in facts] == pytest.approx([20.0, 1.0, -7.5])
    assert (facts[0].teacher, facts[0].variant) == (1.0, pytest.approx(0.8))
    assert facts[0].interval == pytest.approx([100 * x for x in compute_paired_interval(12, 0, 60)])
    assert [fact.few_rows for fact in facts] == [False, False, True]
    assert {fact.verdict for fact in facts} == {None}
    assert facts[0].p_holm is None
    by_size = judge_slices(ACCURACY, *pair((50, 2, 0), (49, 0, 0)))
    assert [fact.few_rows for fact in by_size] == [False, True]


def test_of_equal_drops_the_slice_of_fewest_rows_is_named() -> None:
    facts = judge_slices(ACCURACY, *pair((80, 8, 0), (40, 4, 0), (60, 6, 0)), BUDGET)
    assert [part.verdict for part in facts] == [Verdict.INCONCLUSIVE] * 3
    assert [part.n for part in facts] == [80, 60, 40]
    assert "(worst: part p1, drop 10.0 " in format_slice_counts(facts, BUDGET)


def test_slices_of_the_labels_sum_up_to_the_whole(drawn: Make) -> None:
    teacher, variant = drawn(900, prior=[0.6, 0.3, 0.1], lost=0.08, won=0.03)
    slices = list_label_slices(teacher)
    assert [label_slice.value for label_slice in slices] == ["c0", "c1", "c2"]
    assert sorted(np.concatenate([label_slice.rows for label_slice in slices]).tolist()) == list(range(900))
    facts = judge_slices(ACCURACY, teacher, variant, slices)
    drop = np.mean(teacher.predictions == teacher.labels) - np.mean(variant.predictions == variant.labels)
    assert sum(fact.n * fact.drop_points for fact in facts) / 900 == pytest.approx(100 * drop)


def test_a_label_without_rows_is_no_slice() -> None:
    teacher, _, _ = pair((3, 0, 0))
    assert [label_slice.value for label_slice in list_label_slices(teacher)] == ["a"]


def test_p_values_are_those_of_the_paired_test_at_the_budget() -> None:
    teacher, variant, slices = pair((60, 12, 0), (100, 2, 1))
    worst, other = judge_slices(ACCURACY, teacher, variant, slices, BUDGET)
    expected = compute_paired_p_value(0, 12, 60, -0.05), compute_paired_p_value(1, 2, 100, -0.05)
    assert (worst.p_value, other.p_value) == pytest.approx(expected)
    assert (worst.p_holm, other.p_holm) == pytest.approx((2 * expected[0], expected[1]))


def test_grouped_rows_have_a_wider_interval_and_a_larger_p_value() -> None:
    groups = np.repeat(np.arange(30), 4)
    grouped = judge_slices(ACCURACY, *pair((120, 24, 0), groups=groups), BUDGET)[0]
    alone = judge_slices(ACCURACY, *pair((120, 24, 0)), BUDGET)[0]
    assert (grouped.method, grouped.groups) == ("Gaffke's bound, grouped", 30)
    assert grouped.interval[0] < alone.interval[0]
    assert grouped.p_value is not None
    assert alone.p_value is not None
    assert grouped.p_value > 10 * alone.p_value
    # six of 30 groups of four turn as one, and a made-up one is won: the share of random weightings in which
    # the mean drop is under the budget
    draw = np.random.default_rng(0).standard_gamma
    unchanged, lost, won = draw(24, 1_000_000), draw(6, 1_000_000), draw(1, 1_000_000)
    share = np.mean(0.95 * lost - 0.05 * unchanged - 1.05 * won < 0)
    assert grouped.p_value == pytest.approx(share, rel=0.03)


def test_what_one_slice_shows_alone_is_no_proof_among_many() -> None:
    parts = [(40, 8, 0)] + [(40, 0, 0)] * 30
    alone = judge_slices(ACCURACY, *pair(parts[0]), BUDGET)
    among = judge_slices(ACCURACY, *pair(*parts), BUDGET)
    assert alone[0].verdict is Verdict.FAIL
    assert among[0].verdict is Verdict.INCONCLUSIVE
    assert among[0].p_value == alone[0].p_value
    assert among[0].p_holm == pytest.approx(31 * (alone[0].p_value or 0))


def test_a_large_loss_fails_among_many_and_names_the_budget() -> None:
    facts = judge_slices(ACCURACY, *pair((40, 20, 0), *[(40, 0, 0)] * 30), BUDGET)
    assert [fact.verdict for fact in facts][:2] == [Verdict.FAIL, Verdict.INCONCLUSIVE]
    judged = decide_all_slices("accuracy", facts, BUDGET)
    assert (judged.kind, judged.limit, judged.verdict) == ("slices.accuracy", 5.0, Verdict.FAIL)


def test_a_budget_with_an_undecided_slice_is_inconclusive() -> None:
    facts = judge_slices(ACCURACY, *pair((10, 2, 0), (500, 2, 2)), BUDGET)
    assert [fact.verdict for fact in facts] == [Verdict.INCONCLUSIVE, Verdict.PASS]
    assert decide_all_slices("accuracy", facts, BUDGET).verdict is Verdict.INCONCLUSIVE


def test_a_budget_passes_only_if_every_slice_is_shown_inside() -> None:
    facts = judge_slices(ACCURACY, *pair((500, 2, 2), (400, 1, 0)), BUDGET)
    assert [fact.verdict for fact in facts] == [Verdict.PASS, Verdict.PASS]
    assert decide_all_slices("accuracy", facts, BUDGET).verdict is Verdict.PASS


def test_a_label_that_lost_12_of_40_rows_among_77_is_no_pass() -> None:
    """Holm's correction makes no FAIL of it; before, that was a PASS."""
    facts = judge_slices(ACCURACY, *pair((40, 12, 0), *[(40, 0, 0)] * 76), BUDGET)
    assert facts[0].drop_points == pytest.approx(30)
    assert {fact.verdict for fact in facts} == {Verdict.INCONCLUSIVE}
    assert decide_all_slices("accuracy", facts, BUDGET).verdict is Verdict.INCONCLUSIVE
    assert (
        format_slice_counts(facts, 5.0)
        == "0 inside, 77 undecided (worst: part p0, drop 30.0 [18.2, 44.0], n=40)"
    )


def test_an_undecided_slice_says_the_rows_that_would_decide_it() -> None:
    """2 of 40 rows lost: z² 0.05 / 0.05² at a drop of 5 points is its limit; 12 of 40 are far beyond it."""
    judged = judge_slices(ACCURACY, *pair((40, 12, 0), *[(40, 0, 0)] * 76), BUDGET)
    (needed,) = {part.n_needed for part in judged[1:]}
    assert needed is not None
    assert needed > 40
    verdict = decide_all_slices("accuracy", judged, BUDGET)
    rows = max(part.n_needed or 0 for part in judged)
    assert verdict.n_needed == rows * 77  # each slice keeps its share of the gate
    equal = judge_slices(ACCURACY, *pair((40, 2, 0), (900, 0, 0)), BUDGET)
    assert (equal[0].n_needed, decide_all_slices("accuracy", equal, BUDGET).n_needed) == (None, None)
    mixed = judge_slices(ACCURACY, *pair((40, 2, 0), (40, 0, 0)), BUDGET)
    assert [part.n_needed is None for part in mixed] == [True, False]
    assert decide_all_slices("accuracy", mixed, BUDGET).n_needed is None


def test_a_named_slice_has_a_budget_and_a_verdict_of_its_own() -> None:
    parts = pair((500, 12, 0), (500, 0, 0), *[(40, 0, 0)] * 30)
    limits = {("part", "p0"): 1.0, ("part", "p1"): 2.0}
    judged = judge_slices(ACCURACY, *parts, None, own_limits=limits)
    verdicts = {part.value: part.own_verdict for part in judged if part.own_verdict}
    assert verdicts == {"p0": Verdict.FAIL, "p1": Verdict.PASS}
    assert {part.verdict for part in judged} == {None}
    name, budget = SliceName("part", "p0", "accuracy"), SliceBudget(drop_points=1.0, reason="served most")
    verdict = decide_named_slice(name, judged, budget)
    assert (verdict.kind, verdict.limit, verdict.reason) == ("slices.accuracy[part=p0]", 1.0, "served most")
    assert (verdict.verdict, verdict.value, verdict.n_needed) == (Verdict.FAIL, pytest.approx(2.4), None)


def test_named_slices_are_a_family_beside_all_slices() -> None:
    """One that is named is not corrected for the 30 that are not."""
    parts = pair((40, 8, 0), *[(40, 0, 0)] * 30)
    (lost, *_) = judge_slices(ACCURACY, *parts, BUDGET, own_limits={("part", "p0"): BUDGET})
    assert (lost.verdict, lost.own_verdict) == (Verdict.INCONCLUSIVE, Verdict.FAIL)
    assert lost.worst is Verdict.FAIL


def test_a_named_slice_without_rows_is_inconclusive() -> None:
    judged = judge_slices(ACCURACY, *pair((500, 0, 0)), None, own_limits={("part", "gone"): 1.0})
    verdict = decide_named_slice(SliceName("part", "gone", "accuracy"), judged, SliceBudget(drop_points=1.0))
    assert (verdict.verdict, verdict.n_needed) == (Verdict.INCONCLUSIVE, None)


@pytest.mark.parametrize("slices", [1, 5])
def test_slices_with_one_at_its_budget_pass_in_5_percent_at_most(
    slices: int,
) -> None:
    generator, passed, runs = np.random.default_rng(11), 0, 400
    for _ in range(runs):
        at_limit = (300, *_drawn(generator, 300, lost=0.06, won=0.01))
        intact = [(300, *_drawn(generator, 300, lost=0.0, won=0.0)) for _ in range(slices - 1)]
        facts = judge_slices(ACCURACY, *pair(at_limit, *intact), BUDGET)
        passed += decide_all_slices("accuracy", facts, BUDGET).verdict is Verdict.PASS
    assert passed <= binom.ppf(0.999, runs, 0.06)


def _drawn(generator: np.random.Generator, rows: int, *, lost: float, won: float) -> tuple[int, int]:
    """Rows that turn from right to wrong, and from wrong to right."""
    turned = generator.multinomial(rows, [lost, won, 1 - lost - won])
    return int(turned[0]), int(turned[1])


def test_a_budget_of_everything_is_never_broken() -> None:
    facts = judge_slices(ACCURACY, *pair((40, 40, 0)), 100.0)
    assert (facts[0].p_value, facts[0].verdict) == (1.0, Verdict.PASS)


def test_a_metric_that_is_better_when_lower_turns_the_sign() -> None:
    error = replace(
        ACCURACY,
        name="error",
        higher_is_better=False,
        per_row=lambda outcomes: (outcomes.predictions != outcomes.labels).astype(np.float64),
    )
    fact = judge_slices(error, *pair((60, 12, 0)), BUDGET)[0]
    same = judge_slices(ACCURACY, *pair((60, 12, 0)), BUDGET)[0]
    assert (fact.teacher, fact.variant) == (0.0, pytest.approx(0.2))
    assert (fact.drop_points, fact.interval, fact.p_value) == (
        pytest.approx(20.0),
        same.interval,
        same.p_value,
    )


def test_a_metric_that_is_not_zero_or_one_per_row_is_refused() -> None:
    with pytest.raises(SuiteError, match="f1_macro is not 0 or 1 per row"):
        judge_slices(load_metric("f1_macro"), *pair((60, 12, 0)), BUDGET)


@pytest.mark.parametrize("together", [1, 5], ids=["alone", "grouped"])
@pytest.mark.parametrize("won", [0.0, 0.1])
def test_slices_all_at_their_budget_fail_in_5_percent_at_most(won: float, together: int) -> None:
    """30 slices of 100 rows at a true drop of 5 points; grouped rows share one fate more often than not."""
    rng = np.random.default_rng(4)
    slices = [Slice("part", str(k), np.arange(100 * k, 100 * (k + 1))) for k in range(30)]
    ids, labels, group = (
        np.arange(3000).astype(np.str_),
        np.zeros(3000, np.int64),
        np.arange(3000) // together,
    )
    groups = group if together > 1 else None
    failed, runs = 0, 120
    for _ in range(runs):
        fate = np.where(rng.random(3000) < 0.6, rng.random(3000)[group], rng.random(3000))
        before, after = (fate > 1 - won).astype(np.int64), (fate < won + 0.05).astype(np.int64)
        models = (
            ClassOutcomes(ids, labels, predictions, ("a", "b"), groups=groups)
            for predictions in (before, after)
        )
        facts = judge_slices(ACCURACY, *models, slices, BUDGET)
        failed += any(fact.verdict is Verdict.FAIL for fact in facts)
    # 5 % of 120 is 6, with a standard deviation of 2.4
    assert failed <= 12


def test_parts_of_a_metric_without_an_interval_have_none(counted: Make) -> None:
    bare = replace(ACCURACY, resampled=False)
    (part,) = gather_evidence_of_parts(bare, *counted(100, 5, 1), [np.arange(50)])
    assert (part.n, part.interval) == (50, None)
    assert (part.p_at_least(0.5), part.p_at_most(0.5), part.count_rows_needed(0.5, 0.1)) == (1.0, 1.0, None)


@pytest.mark.parametrize("grouped", [False, True])
def test_parts_are_judged_as_rows_that_were_taken_out(drawn: Make, *, grouped: bool) -> None:
    groups = np.arange(600) // 7 if grouped else None
    teacher, variant = drawn(600, prior=[0.5, 0.3, 0.2], lost=0.06, won=0.02, groups=groups)
    parts = [label_slice.rows for label_slice in list_label_slices(teacher)] + [np.arange(0, 600, 7)]
    gathered = gather_evidence_of_parts(ACCURACY, teacher, variant, parts)
    for rows, part in zip(parts, gathered, strict=True):
        alone = gather_evidence(ACCURACY, teacher.take(rows), variant.take(rows), seed=0, resamples=None)
        assert (part.n, part.interval, part.method, part.groups) == (
            alone.n,
            alone.interval,
            alone.method,
            alone.groups,
        )
        assert part.shows_below(0.05) == alone.shows_below(0.05)


def test_a_slice_of_a_metric_without_interval_may_be_anything() -> None:
    teacher, variant, slices = pair((100, 2, 1))
    bare = replace(ACCURACY, resampled=False)
    fact = judge_slices(bare, teacher, variant, slices)[0]
    assert (fact.interval, fact.method, fact.n) == ((-100.0, 100.0), "no interval", 100)
