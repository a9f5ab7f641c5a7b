from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest

from slimgate.errors import MeasureError
from slimgate.judge import resampling
from slimgate.judge.bootstrap import PairedResamples, bca_interval, paired_resamples, paired_weights
from slimgate.judge.extremes import with_pseudo_changes
from slimgate.judge.group_resamples import GroupResamples, bias_corrected_bounds
from slimgate.judge.metrics import Metric, load_metric
from slimgate.judge.metrics.base import value_of
from slimgate.judge.resampling import resampler
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


def f1_drop(labels: Floats, teacher: Floats, variant: Floats, axis: int = -1) -> Any:
    def f1(predictions: Floats) -> Any:
        right = (labels * predictions).sum(axis=axis)
        return 2 * right / (labels + predictions).sum(axis=axis)

    return f1(teacher) - f1(variant)


def test_the_interval_is_that_of_scipy_on_the_same_rows(drawn: MakePair) -> None:
    from scipy.stats import bootstrap

    teacher, variant = drawn(150, prior=[0.5, 0.5], lost=0.08, won=0.03)
    metric = load_metric("f1")
    ours = paired_resamples(metric, teacher, variant, seed=0).interval(drop)
    teacher, variant = with_pseudo_changes(metric, teacher, variant)
    columns = [c.astype(np.float64) for c in (teacher.labels, teacher.predictions, variant.predictions)]
    theirs = bootstrap(
        columns, f1_drop, paired=True, vectorized=True, n_resamples=9999, confidence_level=0.9, method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)


def test_bca_of_given_resamples_is_scipys_to_the_last_digit() -> None:
    from scipy.stats import bootstrap

    rows = np.random.default_rng(0).exponential(size=60)
    result = bootstrap(
        (rows,), np.mean, n_resamples=2000, confidence_level=0.9, method="BCa", rng=np.random.default_rng(1)
    )
    left_out = (rows.sum() - rows) / 59
    ours = bca_interval(rows.mean(), result.bootstrap_distribution, left_out, np.ones(60, dtype=np.int64))
    assert ours == pytest.approx(tuple(result.confidence_interval), abs=1e-9)


def test_equal_jackknife_values_may_be_given_once_with_their_count() -> None:
    resampled = np.random.default_rng(0).gamma(2.0, size=500)
    once = bca_interval(2.0, resampled, np.array([1.0, 2.0, 4.0]), np.array([3, 2, 1]))
    spelt_out = bca_interval(2.0, resampled, np.array([1.0, 1, 1, 2, 2, 4]), np.ones(6, dtype=np.int64))
    assert once == pytest.approx(spelt_out, abs=1e-12)


@pytest.mark.parametrize("name", ["f1_macro", "mcc"])
@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "grouped"])
def test_cells_give_the_interval_of_rows(drawn: MakePair, name: str, grouped: bool) -> None:
    groups = np.arange(600) // 4 if grouped else None
    teacher, variant = drawn(600, prior=[0.4, 0.3, 0.3], lost=0.06, won=0.03, groups=groups)
    metric = load_metric(name)
    cells = paired_resamples(metric, teacher, variant, seed=0).interval(drop)
    rows = paired_resamples(as_rows(metric), teacher, variant, seed=1, resamples=10_000).interval(drop)
    assert cells == pytest.approx(rows, abs=0.03 * (rows[1] - rows[0]))


@pytest.mark.parametrize("name", ["log_loss", "brier", "ece"])
def test_sums_give_the_weightings_of_groups_of_rows(drawn: MakePair, name: str) -> None:
    pair = drawn(300, prior=[0.4, 0.3, 0.3], lost=0.06, won=0.03, groups=np.arange(300) // 4)
    metric = load_metric(name)
    sums = paired_resamples(metric, *pair, seed=0, resamples=300)
    rows = paired_resamples(as_rows(metric), *pair, seed=0, resamples=300)
    assert isinstance(sums, GroupResamples)
    assert isinstance(rows, GroupResamples)
    assert sums.with_lost == pytest.approx(rows.with_lost, abs=1e-12)
    assert sums.with_won == pytest.approx(rows.with_won, abs=1e-12)
    assert sums.sample == pytest.approx([value_of(metric, one) for one in pair], abs=1e-12)


def test_a_group_that_the_sample_lacks_widens_the_side_on_which_it_counts(drawn: MakePair) -> None:
    """Nothing changed in 40 groups of 10: up to 7 % of such groups may be lost, or won."""
    teacher, _ = drawn(400, prior=[0.5, 0.5], lost=0.0, won=0.0, groups=np.arange(400) // 10)
    low, high = paired_resamples(as_rows(load_metric("accuracy")), teacher, teacher, seed=0).interval(drop)
    assert high == pytest.approx(1 - 0.05 ** (1 / 40), rel=0.05)
    assert low == pytest.approx(-high, rel=0.1)


@pytest.mark.parametrize("name", ["log_loss", "brier", "ece"])
def test_sums_give_the_resamples_of_rows(drawn: MakePair, name: str) -> None:
    teacher, variant = drawn(300, prior=[0.4, 0.3, 0.3], lost=0.06, won=0.03)
    metric = load_metric(name)
    sums = paired_resamples(metric, teacher, variant, seed=0, resamples=300)
    rows = paired_resamples(as_rows(metric), teacher, variant, seed=0, resamples=300)
    assert isinstance(sums, PairedResamples)
    assert isinstance(rows, PairedResamples)
    assert sums.resampled == pytest.approx(rows.resampled, abs=1e-12)
    assert sums.sample == pytest.approx(rows.sample, abs=1e-12)
    assert np.sort(sums.left_out) == pytest.approx(np.sort(rows.left_out), abs=1e-12)


def test_standard_error_of_an_accuracy_drop_is_the_closed_form(drawn: MakePair) -> None:
    teacher, variant = drawn(2000, prior=[0.5, 0.5], lost=0.06, won=0.04)
    drawn_from = paired_resamples(load_metric("accuracy"), teacher, variant, seed=0)
    changes = (teacher.predictions == teacher.labels) * 1.0 - (variant.predictions == variant.labels)
    # two pseudo-changes beside about 200 real ones are 1 % of variance
    assert drawn_from.standard_error(drop) == pytest.approx(changes.std() / sqrt(2000), rel=0.03)


def test_groups_that_change_together_widen_the_interval_by_the_root_of_their_size(drawn: MakePair) -> None:
    teacher, variant = drawn(500, prior=[0.5, 0.5], lost=0.06, won=0.04)
    repeated = np.repeat(np.arange(500), 4)
    teacher, variant = teacher.take(repeated), variant.take(repeated)
    alone = paired_resamples(load_metric("accuracy"), teacher, variant, seed=0)
    teacher, variant = (replace(outcomes, groups=repeated) for outcomes in (teacher, variant))
    grouped = paired_resamples(load_metric("accuracy"), teacher, variant, seed=0)
    assert grouped.standard_error(drop) / alone.standard_error(drop) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("name", ["roc_auc", "f1_macro"])
def test_groups_are_drawn_whole(counted: MakePair, name: str) -> None:
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    teacher, variant = counted(10, 2, 1, groups=groups)
    metric = as_rows(load_metric(name))
    for weights in resampler(metric, teacher, variant).draws(np.random.default_rng(0), 20):
        multiplicities = weights[:, [0, 3, 5]]
        assert (weights == multiplicities[:, groups]).all()
        assert (multiplicities.sum(axis=1) == 3).all()


def test_draws_are_the_same_however_memory_cuts_the_rest(
    counted: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, variant = counted(40, 3, 1)
    whole = paired_resamples(load_metric("roc_auc"), teacher, variant, seed=3, resamples=50)
    monkeypatch.setattr(resampling, "_CHUNK_BYTES", 8 * 42 * 7)
    cut = paired_resamples(load_metric("roc_auc"), teacher, variant, seed=3, resamples=50)
    assert (cut.resampled == whole.resampled).all()


def test_the_seed_decides_the_interval(drawn: MakePair) -> None:
    teacher, variant = drawn(300, prior=[0.5, 0.5], lost=0.06, won=0.04)
    same = [paired_resamples(load_metric("f1"), teacher, variant, seed=7).interval(drop) for _ in range(2)]
    other = paired_resamples(load_metric("f1"), teacher, variant, seed=8).interval(drop)
    assert same[0] == same[1] != other


def test_blocks_of_rows_give_the_acceleration_of_single_rows(
    drawn: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, variant = drawn(1200, prior=[0.9, 0.1], lost=0.05, won=0.01)
    blocks = paired_resamples(load_metric("roc_auc"), teacher, variant, seed=0, resamples=2000)
    monkeypatch.setattr(resampling, "_MAX_LEFT_OUT", 10_000)
    single = paired_resamples(load_metric("roc_auc"), teacher, variant, seed=0, resamples=2000)
    assert (blocks.left_out.shape, single.left_out.shape) == ((2, 400), (2, 1202))
    low, high = single.interval(drop)
    assert blocks.interval(drop) == pytest.approx((low, high), abs=0.02 * (high - low))


def test_blocks_of_cells_give_the_acceleration_of_single_cells(
    drawn: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, variant = drawn(3000, prior=[0.04] * 25, lost=0.08, won=0.03)
    metric = load_metric("f1_macro")
    blocks = paired_resamples(metric, teacher, variant, seed=0, resamples=2000)
    monkeypatch.setattr(resampling, "_MAX_LEFT_OUT", 10_000)
    single = paired_resamples(metric, teacher, variant, seed=0, resamples=2000)
    assert blocks.left_out.shape[1] == 400 < single.left_out.shape[1]
    assert single.left_out_counts.sum() == 3002
    low, high = single.interval(drop)
    assert blocks.interval(drop) == pytest.approx((low, high), abs=0.02 * (high - low))


@pytest.mark.parametrize("name", RESAMPLED)
def test_a_variant_without_a_change_has_an_interval_of_some_width(counted: MakePair, name: str) -> None:
    teacher, variant = counted(60, both_wrong=9)
    low, high = paired_resamples(load_metric(name), teacher, variant, seed=0).interval(drop)
    assert low < -0.005
    assert high > 0.005


def test_pseudo_changes_are_one_lost_and_one_won_in_the_smallest_class(drawn: MakePair) -> None:
    teacher, variant = drawn(400, prior=[0.6, 0.3, 0.1], lost=0.03, won=0.03)
    more_teacher, more_variant = with_pseudo_changes(load_metric("f1_macro"), teacher, variant)
    added = more_teacher.labels[400:].tolist()
    assert added == [2, 2]
    assert (more_teacher.predictions[400:] == added).tolist() == [True, False]
    assert (more_variant.predictions[400:] == added).tolist() == [False, True]
    assert (more_teacher.take(np.arange(400)).predictions == teacher.predictions).all()


def test_pseudo_changes_fall_where_the_metric_looks_and_not_in_a_class_it_ignores(drawn: MakePair) -> None:
    teacher, variant = drawn(400, prior=[0.1, 0.9], lost=0.0, won=0.0)
    more, _ = with_pseudo_changes(load_metric("recall"), teacher, variant)
    assert more.labels[400:].tolist() == [1, 1]


def test_each_pseudo_change_is_a_group_of_the_usual_size(counted: MakePair) -> None:
    """Groups of 1, 2 and 3 rows: that of a lost row has (1 + 8 + 27) / (1 + 4 + 9) rows on average, so 3."""
    teacher, variant = counted(6, groups=np.array([4, 9, 9, 7, 7, 7]))
    more, other = with_pseudo_changes(load_metric("f1"), teacher, variant)
    assert more.groups is not None
    assert more.groups.tolist() == [4, 9, 9, 7, 7, 7, 10, 10, 10, 11, 11, 11]
    right = [outcomes.predictions[6:] == outcomes.labels[6:] for outcomes in (more, other)]
    assert [one.tolist() for one in right] == [[True] * 3 + [False] * 3, [False] * 3 + [True] * 3]


def test_pseudo_changes_turn_a_row_round_that_the_teacher_was_sure_of(counted: MakePair) -> None:
    teacher, variant = counted(60, 0, 6)
    assert teacher.probabilities is not None
    surer = np.where(np.arange(60)[:, None] < 54, teacher.probabilities, [[0.45, 0.55]])
    more_teacher, more_variant = with_pseudo_changes(
        load_metric("roc_auc"), replace(teacher, probabilities=surer), variant
    )
    assert more_teacher.probabilities is not None
    assert more_variant.probabilities is not None
    assert more_teacher.probabilities[60:] == pytest.approx(np.array([[0.8, 0.2], [0.2, 0.8]]))
    assert more_variant.probabilities[60:] == pytest.approx(np.array([[0.2, 0.8], [0.8, 0.2]]))


def test_pseudo_changes_of_a_class_the_teacher_never_hits_start_from_its_reverse(counted: MakePair) -> None:
    teacher, variant = counted(60, both_wrong=60)
    more_teacher, _ = with_pseudo_changes(load_metric("log_loss"), teacher, variant)
    assert more_teacher.probabilities is not None
    assert more_teacher.probabilities[60:] == pytest.approx(np.array([[0.8, 0.2], [0.2, 0.8]]))


def test_a_stricter_level_never_brings_a_bound_nearer() -> None:
    """One unit moves everything, and hardly a resample has it: the correction is as large as it can be."""
    resampled = np.linspace(0.0, 1.0, 1000)
    left_out, counts = np.append(np.zeros(50), -1.0), np.ones(51, dtype=np.int64)
    levels = (0.9, 0.99, 0.999, 0.9999)
    for sample, sign in ((0.9995, 1), (0.0005, -1)):
        found = [bca_interval(sample, resampled, sign * left_out, counts, level=level) for level in levels]
        lows, highs = ([one[side] for one in found] for side in (0, 1))
        assert lows == sorted(lows, reverse=True)
        assert highs == sorted(highs)


def test_a_unit_without_which_the_metric_is_undefined_does_not_count_for_the_skewness() -> None:
    rng = np.random.default_rng(0)
    resampled, left_out = rng.normal(size=500), rng.exponential(size=50)
    counts = np.ones(51, dtype=np.int64)
    found = bca_interval(0.0, resampled, np.append(left_out, np.nan), counts)
    assert found == bca_interval(0.0, resampled, left_out, counts[:50])
    assert found != bca_interval(0.0, resampled, -left_out, counts[:50])


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
    own = replace(load_metric("f1_macro"), name="own", statistic=statistic, from_confusion=None)
    with pytest.raises(MeasureError, match=r"own does not follow its weights: .* see `statistic` in"):
        paired_resamples(own, *counted(200, 20, 5), seed=0, resamples=100)


@pytest.mark.parametrize("sample", [-1.0, 2.0])
def test_a_sample_beyond_all_of_its_resamples_has_finite_bounds(sample: float) -> None:
    resampled, counts = np.linspace(0.0, 1.0, 1000), np.ones(20, dtype=np.int64)
    low, high = bca_interval(sample, resampled, np.linspace(0.0, 1.0, 20), counts)
    assert 0 <= low <= high <= 1


def test_a_statistic_alone_has_the_wider_of_quantile_and_bias_corrected_quantile() -> None:
    weighted = np.linspace(0.0, 1.0, 1001)
    lost, won = np.stack([weighted, 0 * weighted]), np.stack([weighted - 0.2, 0 * weighted])
    plain = GroupResamples(np.array([0.6, 0.0]), lost, won)
    corrected = replace(plain, bias_corrected=True)
    assert plain.bounds(np.subtract, 0.05) == pytest.approx((-0.15, 0.95))
    # of the weightings 0.6 are below the sample: 2 * 0.2533 + 1.6449 is the 98.4 % quantile
    low, high = corrected.bounds(np.subtract, 0.05)
    assert low == pytest.approx(-0.15)  # the corrected bound lies above it
    assert high == pytest.approx(0.9843, abs=1e-3)
    assert bias_corrected_bounds(0.5, weighted, 0.05) == pytest.approx((0.05, 0.95))


def test_pr_auc_is_so_corrected(drawn: MakePair) -> None:
    pair = drawn(300, prior=[0.7, 0.3], lost=0.06, won=0.03)
    assert paired_weights(load_metric("pr_auc"), *pair, seed=0, resamples=50).bias_corrected
