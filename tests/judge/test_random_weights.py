from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from slimgate.errors import MeasureError
from slimgate.judge import QualityBudget, Verdict, judge_quality, random_weights
from slimgate.judge.extremes import add_pseudo_changes
from slimgate.judge.metrics import Metric, load_metric
from slimgate.judge.metrics.base import compute_value
from slimgate.judge.random_weights import (
    RandomWeights,
    _compute_corrected_bounds,
    draw_weights,
    make_columns,
    weigh_rows,
)
from slimgate.outcomes import ClassOutcomes, Floats

MakePair = Callable[..., tuple[ClassOutcomes, ClassOutcomes]]
RESAMPLED = [
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "f1_macro",
    "f1_weighted",
    "mcc",
    "log_loss",
    "brier",
    "ece",
    "roc_auc",
    "pr_auc",
]


def drop(before: Floats, after: Floats) -> Floats:
    return before - after


def as_rows(metric: Metric) -> Metric:
    """The same metric without the short cut by cells or sums."""
    return replace(metric, from_confusion=None, row_sums=None)


@pytest.mark.parametrize("name", ["f1_macro", "mcc"])
@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "grouped"])
def test_cells_give_the_interval_of_rows(drawn: MakePair, name: str, grouped: bool) -> None:
    groups = np.arange(600) // 4 if grouped else None
    teacher, variant = drawn(600, prior=[0.4, 0.3, 0.3], lost=0.06, won=0.03, groups=groups)
    metric = load_metric(name)
    cells = weigh_rows(metric, teacher, variant, seed=0).compute_interval(drop)
    weights = weigh_rows(as_rows(metric), teacher, variant, seed=1, resamples=10_000)
    rows = replace(weights, bias_corrected=False).compute_interval(drop)
    assert cells == pytest.approx(rows, abs=0.03 * (rows[1] - rows[0]))


@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "grouped"])
@pytest.mark.parametrize("name", ["log_loss", "brier", "ece"])
def test_sums_give_the_interval_of_rows(drawn: MakePair, name: str, grouped: bool) -> None:
    groups = np.arange(300) // 4 if grouped else None
    pair = drawn(300, prior=[0.4, 0.3, 0.3], lost=0.06, won=0.03, groups=groups)
    metric = load_metric(name)
    sums = weigh_rows(metric, *pair, seed=0, resamples=6000)
    rows = replace(weigh_rows(as_rows(metric), *pair, seed=1, resamples=6000), bias_corrected=False)
    assert sums.sample == pytest.approx([compute_value(metric, outcomes) for outcomes in pair], abs=1e-12)
    low, high = rows.compute_interval(drop)
    assert sums.compute_interval(drop) == pytest.approx((low, high), abs=0.04 * (high - low))


def test_a_group_missing_in_the_sample_widens_the_side_it_counts(drawn: MakePair) -> None:
    """Nothing changed in 40 groups of 10: up to 7 % of such groups may be lost, or won."""
    teacher, _ = drawn(400, prior=[0.5, 0.5], lost=0.0, won=0.0, groups=np.arange(400) // 10)
    low, high = weigh_rows(as_rows(load_metric("accuracy")), teacher, teacher, seed=0).compute_interval(drop)
    assert high == pytest.approx(1 - 0.05 ** (1 / 40), rel=0.05)
    assert low == pytest.approx(-high, rel=0.1)


def test_unchanged_rows_have_the_rule_of_three_as_bound(counted: MakePair) -> None:
    """Of 60 rows one class alone: the made-up row is a lost row of accuracy, Clopper and Pearson's bound."""
    teacher, variant = counted(60)
    low, high = weigh_rows(
        load_metric("accuracy"), teacher, variant, seed=0, resamples=40_000
    ).compute_interval(drop)
    assert high == pytest.approx(1 - 0.05 ** (1 / 60), rel=0.02)
    assert low == pytest.approx(-high, rel=0.03)


def test_equal_rows_share_one_gamma_weight() -> None:
    """The sum of 40 exponential weights: mean and variance of a weighted count are 40."""
    weights = draw_weights(
        "count",
        lambda drawn: np.stack([drawn[:, 0], drawn[:, 1]]),
        np.array([40.0, 1.0, 1.0, 1.0]),
        widest=4,
        rng=np.random.default_rng(0),
        resamples=20_000,
    )
    assert weights.sample.tolist() == [40.0, 1.0]
    assert weights.with_lost.mean(axis=1) == pytest.approx([40.0, 1.0], rel=0.03)
    assert weights.with_lost.var(axis=1) == pytest.approx([40.0, 1.0], rel=0.06)


def test_standard_error_of_an_accuracy_drop_is_the_closed_form(drawn: MakePair) -> None:
    teacher, variant = drawn(2000, prior=[0.5, 0.5], lost=0.06, won=0.04)
    drawn_from = weigh_rows(load_metric("accuracy"), teacher, variant, seed=0)
    changes = (teacher.predictions == teacher.labels) * 1.0 - (variant.predictions == variant.labels)
    # a made-up row beside about 200 changed rows is under 1 % of the variance
    assert drawn_from.compute_standard_error(drop) == pytest.approx(changes.std() / sqrt(2000), rel=0.03)


def test_groups_that_change_together_widen_by_their_sizes_root(drawn: MakePair) -> None:
    teacher, variant = drawn(500, prior=[0.5, 0.5], lost=0.06, won=0.04)
    repeated = np.repeat(np.arange(500), 4)
    teacher, variant = teacher.take(repeated), variant.take(repeated)
    alone = weigh_rows(load_metric("accuracy"), teacher, variant, seed=0)
    teacher, variant = (replace(outcomes, groups=repeated) for outcomes in (teacher, variant))
    grouped = weigh_rows(load_metric("accuracy"), teacher, variant, seed=0)
    assert grouped.compute_standard_error(drop) / alone.compute_standard_error(drop) == pytest.approx(
        2, rel=0.05
    )


@pytest.mark.parametrize("name", ["roc_auc", "f1_macro"])
def test_all_rows_of_a_group_have_its_weight(counted: MakePair, name: str) -> None:
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    columns = make_columns(as_rows(load_metric(name)), *counted(10, 2, 1, groups=groups))
    assert columns.members is not None
    assert columns.members.toarray().tolist() == [[float(g == group) for g in groups] for group in range(3)]
    assert columns.counts.tolist() == [1.0, 1.0, 1.0]


def test_made_up_rows_are_cells_of_their_own(counted: MakePair) -> None:
    metric = load_metric("f1")
    columns = make_columns(metric, *add_pseudo_changes(metric, *counted(60, 6, 2)))
    assert columns.counts.sum() == 62
    assert columns.counts[-2:].tolist() == [1.0, 1.0]
    made_up = [
        outcomes.predictions[-2:] == outcomes.labels[-2:] for outcomes in (columns.teacher, columns.variant)
    ]
    assert [row.tolist() for row in made_up] == [[True, False], [False, True]]


def test_chunks_of_memory_do_not_change_the_draws(counted: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, variant = counted(40, 3, 1)
    at_once = weigh_rows(load_metric("roc_auc"), teacher, variant, seed=3, resamples=50)
    monkeypatch.setattr(random_weights, "_CHUNK_BYTES", 8 * 42 * 7)
    in_chunks = weigh_rows(load_metric("roc_auc"), teacher, variant, seed=3, resamples=50)
    assert (in_chunks.with_lost == at_once.with_lost).all()


def test_the_seed_decides_the_interval(drawn: MakePair) -> None:
    teacher, variant = drawn(300, prior=[0.5, 0.5], lost=0.06, won=0.04)
    same = [weigh_rows(load_metric("f1"), teacher, variant, seed=7).compute_interval(drop) for _ in range(2)]
    other = weigh_rows(load_metric("f1"), teacher, variant, seed=8).compute_interval(drop)
    assert same[0] == same[1] != other


@pytest.mark.parametrize("name", RESAMPLED)
def test_without_a_change_the_interval_still_has_some_width(counted: MakePair, name: str) -> None:
    teacher, variant = counted(60, both_wrong=9)
    low, high = weigh_rows(load_metric(name), teacher, variant, seed=0).compute_interval(drop)
    assert low < -0.005
    assert high > 0.005


def test_pseudo_changes_are_one_lost_one_won_in_the_rarest_class(drawn: MakePair) -> None:
    teacher, variant = drawn(400, prior=[0.6, 0.3, 0.1], lost=0.03, won=0.03)
    more_teacher, more_variant = add_pseudo_changes(load_metric("f1_macro"), teacher, variant)
    added = more_teacher.labels[400:].tolist()
    assert added == [2, 2]
    assert (more_teacher.predictions[400:] == added).tolist() == [True, False]
    assert (more_variant.predictions[400:] == added).tolist() == [False, True]
    assert (more_teacher.take(np.arange(400)).predictions == teacher.predictions).all()


def test_pseudo_changes_avoid_a_class_that_the_metric_ignores(drawn: MakePair) -> None:
    teacher, variant = drawn(400, prior=[0.1, 0.9], lost=0.0, won=0.0)
    more, _ = add_pseudo_changes(load_metric("recall"), teacher, variant)
    assert more.labels[400:].tolist() == [1, 1]


def even_classes(classes: int, rows: int) -> ClassOutcomes:
    """Classes of as many rows each, all of them right."""
    labels = np.repeat(np.arange(classes), rows)
    names = tuple(f"c{k}" for k in range(classes))
    scores = 0.9 * np.eye(classes)[labels] + 0.1 / classes
    return ClassOutcomes(np.arange(len(labels)).astype(np.str_), labels, labels, names, scores)


@pytest.mark.parametrize(("rows", "changes"), [(1, 4), (2, 3), (5, 2), (20, 1)])
@pytest.mark.parametrize("name", ["balanced_accuracy", "roc_auc", "pr_auc"])
def test_rows_of_several_classes_change_if_classes_are_small(name: str, rows: int, changes: int) -> None:
    """If nothing is lost of 20 classes of one row, 3 of them may be: more than any one class can lose."""
    same = even_classes(20, rows)
    teacher, variant = add_pseudo_changes(load_metric(name), same, same)
    added = teacher.labels[20 * rows :]
    assert len(added) == 2 * changes
    assert added[:changes].tolist() == added[changes:].tolist()
    assert len(set(added.tolist())) == changes
    right = [outcomes.predictions[20 * rows :] == added for outcomes in (teacher, variant)]
    assert [flags.tolist() for flags in right] == [
        [True] * changes + [False] * changes,
        [False] * changes + [True] * changes,
    ]


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 12, 20])
@pytest.mark.parametrize("name", ["balanced_accuracy", "f1_macro", "precision_macro", "mcc"])
def test_unseen_losses_in_small_classes_follow_the_rule_of_three(name: str, rows: int) -> None:
    """No row is lost: with a chance of 6 % that is so at a loss of 2.8 rows of all."""
    same = even_classes(20, rows)
    weights = weigh_rows(load_metric(name), same, same, seed=0, resamples=4000)
    assert weights.compute_interval(drop)[1] >= 2.65 / len(same)


def draw_small_classes(rng: np.random.Generator, lost: float) -> tuple[ClassOutcomes, ClassOutcomes]:
    """Ten classes of two rows. In a lost row, the scores of its label and of another class are swapped."""
    same = even_classes(10, 2)
    assert same.probabilities is not None
    rows = np.flatnonzero(rng.random(20) < lost)
    labels = same.labels[rows]
    wrong = (labels + rng.integers(1, 10, len(rows))) % 10
    scores = same.probabilities + 1e-3 * rng.random((20, 10))
    damaged = scores.copy()
    damaged[rows, labels], damaged[rows, wrong] = scores[rows, wrong], scores[rows, labels]
    return replace(same, probabilities=scores), replace(
        same, probabilities=damaged, predictions=damaged.argmax(axis=1)
    )


@pytest.mark.parametrize("name", ["roc_auc", "pr_auc"])
def test_a_drop_at_the_budget_seldom_passes_in_small_classes(name: str) -> None:
    """With one made-up row, 28 % of the samples of PR-AUC passed."""
    metric, rng = load_metric(name), np.random.default_rng(0)
    values = [[compute_value(metric, rows) for rows in draw_small_classes(rng, 0.15)] for _ in range(1000)]
    budget = QualityBudget("drop_points", 100 * float(-np.diff(values).mean()))
    verdicts = [
        judge_quality(metric, *draw_small_classes(rng, 0.15), [budget], resamples=200).verdict
        for _ in range(100)
    ]
    assert verdicts.count(Verdict.PASS) <= 5


@pytest.mark.parametrize("name", ["roc_auc", "balanced_accuracy", "f1_macro"])
def test_a_label_of_a_single_row_does_not_pass(name: str) -> None:
    """One row does not show how much rows vary: 18 % of the samples of ROC-AUC passed, 16 % of recalls."""
    same = even_classes(10, 3).take(np.arange(28))
    judged = judge_quality(load_metric(name), same, same, [QualityBudget("drop_points", 90.0)], resamples=200)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.withheld == "a single gate row has the label c9: add rows of it"
    same = even_classes(10, 3)
    judged = judge_quality(load_metric(name), same, same, [QualityBudget("drop_points", 90.0)], resamples=200)
    assert judged.verdict is Verdict.PASS


@pytest.mark.parametrize(("labels", "rows", "passes"), [(11, 9, False), (10, 9, True), (11, 10, True)])
@pytest.mark.parametrize("name", ["balanced_accuracy", "f1_macro", "pr_auc"])
def test_many_labels_of_few_rows_do_not_pass(name: str, labels: int, rows: int, passes: bool) -> None:
    """Of drops at the budget in 30 labels of two or three rows, 9 to 13 % passed."""
    same = even_classes(labels, rows)
    judged = judge_quality(load_metric(name), same, same, [QualityBudget("drop_points", 90.0)], resamples=200)
    reason = f"{labels} labels have under 10 gate rows, which hardly show how rows vary: add rows of them"
    assert (judged.verdict is Verdict.PASS, judged.withheld) == (passes, None if passes else reason)


def test_an_interval_without_width_does_not_pass() -> None:
    """With rows of one label the precision of this label is 1, even if most answers are wrong."""
    rows, labels = np.arange(100), np.zeros(100, np.int64)
    teacher, variant = (
        ClassOutcomes(rows.astype(np.str_), labels, (rows < wrong).astype(np.int64), ("no", "yes"))
        for wrong in (2, 90)
    )
    judged = judge_quality(
        load_metric("precision_weighted"), teacher, variant, [QualityBudget("drop_points", 2.0)]
    )
    assert judged.interval == (0.0, 0.0)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.withheld == "one more wrong answer does not change it on these rows"


def test_each_pseudo_change_is_a_group_of_the_usual_size(counted: MakePair) -> None:
    """Groups of 1, 2 and 3 rows: that of a lost row has (1 + 8 + 27) / (1 + 4 + 9) rows on average, so 3."""
    teacher, variant = counted(6, groups=np.array([4, 9, 9, 7, 7, 7]))
    more, other = add_pseudo_changes(load_metric("f1"), teacher, variant)
    assert more.groups is not None
    assert more.groups.tolist() == [0, 2, 2, 1, 1, 1, 3, 3, 3, 4, 4, 4]
    right = [outcomes.predictions[6:] == outcomes.labels[6:] for outcomes in (more, other)]
    assert [flags.tolist() for flags in right] == [[True] * 3 + [False] * 3, [False] * 3 + [True] * 3]


def test_pseudo_changes_turn_a_row_the_teacher_was_sure_of(counted: MakePair) -> None:
    teacher, variant = counted(60, 0, 6)
    assert teacher.probabilities is not None
    surer = np.where(np.arange(60)[:, None] < 54, teacher.probabilities, [[0.45, 0.55]])
    more_teacher, more_variant = add_pseudo_changes(
        load_metric("roc_auc"), replace(teacher, probabilities=surer), variant
    )
    assert more_teacher.probabilities is not None
    assert more_variant.probabilities is not None
    assert more_teacher.probabilities[60:] == pytest.approx(np.array([[0.8, 0.2], [0.2, 0.8]]))
    assert more_variant.probabilities[60:] == pytest.approx(np.array([[0.2, 0.8], [0.8, 0.2]]))


def test_a_lost_row_of_a_rare_class_ranks_with_the_other_class(counted: MakePair) -> None:
    """No row of class b has 0.5. Swapped scores, 0.3, would still rank above every row of class a."""
    teacher, _ = counted(60)
    labels = (np.arange(60) >= 50).astype(np.int64)
    b = np.where(labels == 1, 0.3, np.where(np.arange(60) < 10, 0.05, 0.01))
    teacher = replace(
        teacher, labels=labels, predictions=np.zeros(60, np.int64), probabilities=np.stack([1 - b, b], axis=1)
    )
    more_teacher, more_variant = add_pseudo_changes(load_metric("roc_auc"), teacher, teacher)
    assert more_teacher.labels[60:].tolist() == [1, 1]
    assert more_teacher.probabilities is not None
    assert more_variant.probabilities is not None
    assert more_teacher.probabilities[60:, 1].tolist() == pytest.approx([0.7, 0.01])
    assert more_variant.probabilities[60:, 1].tolist() == pytest.approx([0.01, 0.7])


def test_pseudo_changes_have_the_scores_of_their_own_model(counted: MakePair) -> None:
    """0.2 is wrong by the teacher's scores, but would rank above half of the variant's."""
    teacher, variant = counted(60)
    assert variant.probabilities is not None
    surer = np.where(variant.probabilities > 0.5, 0.999, 0.001)
    more_teacher, more_variant = add_pseudo_changes(
        load_metric("roc_auc"), teacher, replace(variant, probabilities=surer)
    )
    assert more_teacher.probabilities is not None
    assert more_variant.probabilities is not None
    assert more_teacher.probabilities[60:] == pytest.approx(np.array([[0.8, 0.2], [0.2, 0.8]]))
    assert more_variant.probabilities[60:] == pytest.approx(np.array([[0.001, 0.999], [0.999, 0.001]]))


def test_pseudo_changes_of_a_never_hit_class_start_reversed(counted: MakePair) -> None:
    teacher, variant = counted(60, both_wrong=60)
    more_teacher, _ = add_pseudo_changes(load_metric("log_loss"), teacher, variant)
    assert more_teacher.probabilities is not None
    assert more_teacher.probabilities[60:] == pytest.approx(np.array([[0.8, 0.2], [0.2, 0.8]]))


def _right(outcomes: ClassOutcomes) -> Floats:
    return np.asarray(outcomes.predictions == outcomes.labels, dtype=np.float64)


@pytest.mark.parametrize(
    "statistic",
    [
        lambda outcomes, weights: np.full(weights.shape[:-1], _right(outcomes).mean()),
        lambda outcomes, weights: weights[..., :50] @ _right(outcomes)[:50] / weights[..., :50].sum(axis=-1),
    ],
    ids=["forgets-the-weights", "reads-the-first-rows-alone"],
)
def test_a_metric_that_does_not_follow_its_weights_is_refused(
    statistic: Callable[[ClassOutcomes, Floats], Floats], counted: MakePair
) -> None:
    metric = replace(load_metric("f1_macro"), name="own", statistic=statistic, from_confusion=None)
    with pytest.raises(MeasureError, match=r"own does not follow its weights: .* see `statistic` in"):
        weigh_rows(metric, *counted(200, 20, 5), seed=0, resamples=100)


def test_a_metric_that_is_nan_is_not_blamed_on_a_class(counted: MakePair) -> None:
    metric = replace(
        load_metric("f1_macro"),
        name="own",
        statistic=lambda _outcomes, weights: np.full(weights.shape[:-1], np.nan),
        from_confusion=None,
    )
    with pytest.raises(MeasureError, match="own is nan although every row counts, so nothing can be judged"):
        weigh_rows(metric, *counted(200, 20, 5), seed=0, resamples=100)


@pytest.mark.parametrize(
    ("statistic", "shape"),
    [
        (lambda outcomes, _weights: _right(outcomes).mean(), "()"),
        (lambda outcomes, weights: weights * _right(outcomes), "(2, 200)"),
    ],
    ids=["one-value", "a-value-for-each-row"],
)
def test_a_statistic_of_another_shape_is_refused(
    statistic: Callable[[ClassOutcomes, Floats], Floats], shape: str, counted: MakePair
) -> None:
    metric = replace(load_metric("f1_macro"), name="own", statistic=statistic, from_confusion=None)
    words = (
        f"own: its statistic returned the shape {shape} for weights of the shape (2, 200), expected (2,), "
    )
    with pytest.raises(MeasureError, match=re.escape(words)):
        weigh_rows(metric, *counted(200, 20, 5), seed=0, resamples=100)


@pytest.mark.parametrize("scale", [-1.0, 100.0], ids=["below", "above"])
def test_a_value_outside_of_its_range_is_refused(scale: float, counted: MakePair) -> None:
    f1 = load_metric("f1_macro")

    def scaled(outcomes: ClassOutcomes, weights: Floats) -> Floats:
        return np.asarray(scale * f1.statistic(outcomes, weights))

    percent = replace(f1, statistic=scaled, from_confusion=None)
    with pytest.raises(MeasureError, match=r"f1_macro is -?\d.*, outside of its value_range 0 to 1; correct"):
        judge_quality(percent, *counted(200, 20, 5), [QualityBudget("drop_points", 2.0)], resamples=100)


def test_a_function_of_the_confusion_matrix_is_the_statistic(counted: MakePair) -> None:
    """The interval is computed from it: a drop of 50 points passed with the interval 0 to 0."""
    constant = replace(
        load_metric("accuracy"), per_row=None, from_confusion=lambda counts: counts[..., 0, 0] * 0
    )
    with pytest.raises(MeasureError, match="accuracy is 1 by its statistic, but 0 by its from_confusion"):
        judge_quality(constant, *counted(200, 100, 0), [QualityBudget("drop_points", 2.0)], resamples=100)


def test_a_function_of_one_confusion_matrix_alone_is_refused(counted: MakePair) -> None:
    """The judge passes many matrices at once: a drop of 80 points passed with the interval 0 to 0."""
    of_one = replace(
        load_metric("accuracy"), per_row=None, from_confusion=lambda counts: np.trace(counts) / counts.sum()
    )
    with pytest.raises(MeasureError, match=r"accuracy is 1 by its statistic, but 0.* by its from_confusion"):
        judge_quality(of_one, *counted(200, 100, 0), [QualityBudget("drop_points", 2.0)], resamples=100)


def test_a_value_of_a_further_build_outside_of_its_range(counted: MakePair) -> None:
    accuracy = load_metric("accuracy")

    def doubled(outcomes: ClassOutcomes, weights: Floats) -> Floats:
        return np.asarray(2.0 * accuracy.statistic(outcomes, weights))

    metric = replace(load_metric("f1_macro"), name="doubled", statistic=doubled, from_confusion=None)
    wrong, right = counted(200, 180, 0)[1], counted(200, 0, 0)[1]
    assert (compute_value(metric, wrong) <= 1, compute_value(metric, right) > 1) == (True, True)
    budgets = [QualityBudget("drop_points", 2.0, over="builds")]
    with pytest.raises(MeasureError, match="outside of its value_range 0 to 1"):
        judge_quality(metric, wrong, wrong, budgets, builds=[right], resamples=100)


def test_a_lone_statistic_has_the_wider_of_two_quantiles() -> None:
    weighted = np.linspace(0.0, 1.0, 1001)
    lost, won = np.stack([weighted, 0 * weighted]), np.stack([weighted - 0.2, 0 * weighted])
    plain = RandomWeights(np.array([0.6, 0.0]), lost, won)
    corrected = replace(plain, bias_corrected=True)
    assert plain.compute_bounds(np.subtract, 0.05) == pytest.approx((-0.15, 0.95))
    # of the weightings 0.6 are below the sample: 2 * 0.2533 + 1.6449 is the 98.4 % quantile
    low, high = corrected.compute_bounds(np.subtract, 0.05)
    assert low == pytest.approx(-0.15)  # the corrected bound lies above it
    assert high == pytest.approx(0.9843, abs=1e-3)
    assert _compute_corrected_bounds(0.5, weighted, 0.05) == pytest.approx((0.05, 0.95))


def test_pr_auc_is_so_corrected(drawn: MakePair) -> None:
    pair = drawn(300, prior=[0.7, 0.3], lost=0.06, won=0.03)
    assert weigh_rows(load_metric("pr_auc"), *pair, seed=0, resamples=50).bias_corrected


def test_a_lost_rare_class_does_not_pass_at_its_cost() -> None:
    """A class of 1 % that the variant never predicts costs 18.2 points; by a bootstrap 18 % passed."""
    prior, metric = np.array([0.4, 0.3, 0.2, 0.09, 0.01]), load_metric("f1_macro")
    passed = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        labels = rng.choice(5, 1000, p=prior)
        teacher = np.where(rng.random(1000) < 0.9, labels, rng.choice(5, 1000, p=prior))
        variant = np.where((labels == 4) & (teacher == 4), 0, teacher)
        ids, names = np.arange(1000).astype(str), ("a", "b", "c", "d", "e")
        pair = [ClassOutcomes(ids, labels, answers, names) for answers in (teacher, variant)]
        judged = judge_quality(metric, *pair, [QualityBudget("drop_points", 18.23)], seed=seed, resamples=400)
        passed += judged.verdict is Verdict.PASS
    assert passed <= 0.06 * 120


def test_unseen_extra_spans_are_in_the_bound() -> None:
    """20 wrong spans on 0.3 % of 500 rows cost 1.57 points; 22 % of the samples have no such row."""
    from slimgate.outcomes import Outcomes

    metric, passed = load_metric("span_f1"), 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        gold = rng.poisson(1.7, 500).astype(float)
        right = rng.binomial(gold.astype(int), 0.9).astype(float)
        predicted = right + rng.poisson(0.17, 500)
        extra = np.where(rng.random(500) < 0.003, predicted + 20, predicted)
        pair = [
            Outcomes(
                np.arange(500).astype(str),
                values={
                    "spans_right": right,
                    "spans_predicted": answers,
                    "spans_gold": gold,
                    "tags": np.full(500, 24.0),
                },
            )
            for answers in (predicted, extra)
        ]
        judged = judge_quality(metric, *pair, [QualityBudget("drop_points", 1.57)], seed=seed, resamples=400)
        passed += judged.verdict is Verdict.PASS
    assert passed <= 0.06 * 60


def test_spans_of_rows_of_unknown_length_decide_nothing() -> None:
    from slimgate.outcomes import Outcomes

    counts = {"spans_right": np.ones(6000), "spans_predicted": np.ones(6000), "spans_gold": np.ones(6000)}
    outcomes = Outcomes(np.arange(6000).astype(str), values=counts)
    judged = judge_quality(
        load_metric("span_f1"), outcomes, outcomes, [QualityBudget("drop_points", 5.0)], resamples=400
    )
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "no column tags" in judged.warnings[0]
