"""Gaffke's bound against Clopper and Pearson's, the rule of three, and weightings drawn at random."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import ceil, log, sqrt
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from slimgate.judge import mean_bound
from slimgate.judge.decision import ALPHA, POWER
from slimgate.judge.mean_bound import UnitLosses, compute_share_above_zero, estimate_unseen_size, sum_by_unit
from slimgate.outcomes import Floats

pytestmark = pytest.mark.slow

DRAWS = 400_000
Z_POWER = 0.8416212335729143


def rows(losses: Floats | list[float], *, best: float = 0.0, worst: float = 1.0) -> UnitLosses:
    """Each row is a unit of its own."""
    values = np.asarray(losses, dtype=np.float64)
    return sum_by_unit(values, np.ones(len(values)), None, best=best, worst=worst)


def zero_or_one(lost: int, n: int) -> UnitLosses:
    return rows(np.r_[np.ones(lost), np.zeros(n - lost)])


def equal_groups(groups: int, size: int, lost: int = 0) -> UnitLosses:
    """So many groups are lost as a whole."""
    member = np.repeat(np.arange(groups), size)
    hits = (member < lost).astype(np.float64)
    return sum_by_unit(hits, np.ones(len(hits)), member, best=0.0, worst=1.0)


def random_units(seed: int, kind: str) -> UnitLosses:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(5, 60))
    sizes = rng.integers(1, 30, count).astype(np.float64)
    if kind == "changes":
        rates = rng.choice([-1.0, 0.0, 0.0, 0.0, 1.0], count) * rng.random(count)
        return sum_by_unit(rates * sizes, sizes, None, best=-1.0, worst=1.0)
    if kind == "rare":
        return sum_by_unit((rng.random(count) < 0.1) * sizes, sizes, None, best=0.0, worst=1.0)
    return sum_by_unit(rng.beta(0.4, 2, count) * sizes, sizes, None, best=0.0, worst=1.0)


def drawn_share(units: UnitLosses, margin: float, seed: int, *, at_most: bool = False) -> float:
    """Of weightings drawn at random: how many have a mean loss of at least (or at most) the margin.

    The definition, without a saddlepoint. 1,000 gamma weights of whole number stand for equal units.
    """
    rng = np.random.default_rng(seed)
    excess, of_unseen = units.losses - margin * units.sizes, units.unseen_size * (units.worst - margin)
    if at_most:
        excess, of_unseen = -excess, units.unseen_size * (margin - units.best)
    above = 0
    for _ in range(10):
        weights = rng.standard_gamma(units.repeats, size=(DRAWS // 10, len(excess)))
        above += int((weights @ excess + rng.exponential(size=DRAWS // 10) * of_unseen > 0).sum())
    return above / DRAWS


@pytest.mark.parametrize(
    ("lost", "n"), [(0, 1), (1, 1), (0, 10), (1, 10), (3, 10), (10, 10), (7, 400), (200, 400), (31, 6000)]
)
def test_of_0_1_losses_it_is_clopper_and_pearsons_bound(lost: int, n: int) -> None:
    theirs = binomtest(lost, n).proportion_ci(confidence_level=0.9, method="exact")
    assert zero_or_one(lost, n).compute_interval() == pytest.approx((theirs.low, theirs.high), abs=1e-10)


@pytest.mark.parametrize("margin", [0.001, 0.02, 0.3, 0.9])
@pytest.mark.parametrize(("lost", "n"), [(0, 10), (3, 10), (10, 10), (7, 400), (395, 400)])
def test_p_values_of_0_1_losses_are_the_exact_binomial_tests(lost: int, n: int, margin: float) -> None:
    units = zero_or_one(lost, n)
    below, above = binomtest(lost, n, margin, "less").pvalue, binomtest(lost, n, margin, "greater").pvalue
    assert units.p_at_least(margin) == pytest.approx(below, rel=1e-9)
    assert units.p_at_most(margin) == pytest.approx(above, rel=1e-9)


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
@pytest.mark.parametrize(("groups", "shown"), [(50, False), (148, False), (149, True), (150, True)])
def test_groups_without_a_loss_show_what_the_rule_of_three_says(
    groups: int, size: int, *, shown: bool
) -> None:
    """0.98^148 is 5.03 %, 0.98^149 is 4.93 %: however large the groups are."""
    p_value = equal_groups(groups, size).p_at_least(0.02)
    assert p_value == pytest.approx(0.98**groups, rel=1e-9)
    assert (p_value <= ALPHA) is shown


@pytest.mark.parametrize("lost", [0, 1, 5])
def test_groups_lost_as_a_whole_tell_as_much_as_single_rows(lost: int) -> None:
    grouped, single = equal_groups(80, 25, lost), zero_or_one(lost, 80)
    assert grouped.compute_interval() == pytest.approx(single.compute_interval(), abs=1e-9)


@pytest.mark.parametrize("kind", ["changes", "rates", "rare"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_is_the_share_of_weightings_drawn_at_random(seed: int, kind: str) -> None:
    units = random_units(seed, kind)
    for margin in (units.mean + 0.02, units.mean + 0.1, units.mean + 0.25):
        drawn, formula = drawn_share(units, margin, seed), units.p_at_least(margin)
        # three standard errors, and 1 % for the saddlepoint formula
        assert formula == pytest.approx(
            drawn, abs=3 * sqrt(drawn * (1 - drawn) / DRAWS) + 0.01 * drawn + 1e-5
        )
    for margin in (units.mean - 0.02, units.mean - 0.1):
        drawn, formula = drawn_share(units, margin, seed, at_most=True), units.p_at_most(margin)
        assert formula == pytest.approx(
            drawn, abs=3 * sqrt(drawn * (1 - drawn) / DRAWS) + 0.01 * drawn + 1e-5
        )


@pytest.mark.parametrize("terms", [3, 5, 40])
def test_a_gamma_sum_of_two_values_is_a_beta_by_the_saddlepoint(terms: int) -> None:
    """A third value of next to nothing takes the sum from the exact branch to the formula."""
    for loss in (1.0, 2.0, 3.5):
        exact = compute_share_above_zero(np.array([1.0, -loss]), np.array([2.0, float(terms)]))
        near = compute_share_above_zero(np.array([1.0, -loss, 1e-9]), np.array([2.0, float(terms), 1.0]))
        assert near == pytest.approx(exact, rel=0.02)


def test_row_order_and_group_names_change_nothing() -> None:
    rng = np.random.default_rng(4)
    losses, sizes, groups = (
        rng.random(300),
        rng.integers(1, 9, 300).astype(np.float64),
        rng.integers(0, 60, 300),
    )
    losses *= sizes
    order, names = rng.permutation(300), rng.permutation(1000)[:60]
    first = sum_by_unit(losses, sizes, groups, best=0.0, worst=1.0)
    other = sum_by_unit(losses[order], sizes[order], names[groups][order], best=0.0, worst=1.0)
    for margin in (0.4, 0.5, 0.6):
        assert other.p_at_least(margin) == pytest.approx(first.p_at_least(margin), rel=1e-9)
        assert other.p_at_most(margin) == pytest.approx(first.p_at_most(margin), rel=1e-9)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e4, 1e9])
def test_the_unit_of_the_values_changes_nothing(scale: float) -> None:
    values = np.random.default_rng(5).normal(0.0, 1.0, 200)
    values -= values.mean()
    for shift in (-0.3, -1e-5, 0.0, 1e-5, 0.2):
        plain, scaled = (compute_share_above_zero(by * (values + shift), np.ones(200)) for by in (1.0, scale))
        assert scaled == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("size", [1e20, 1e200, 1e300])
def test_an_outlier_beyond_all_others_has_a_share(size: float) -> None:
    """The score of a broken model may be of any size, and squares of the others are then 0."""
    values = np.append(np.random.default_rng(5).normal(-0.3, 1.0, 200), size)
    assert compute_share_above_zero(values, np.ones(201)) == pytest.approx(1.0, abs=0.03)
    assert compute_share_above_zero(-values, np.ones(201)) == pytest.approx(0.0, abs=0.03)


def test_the_saddlepoint_is_found_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Near a pole too, and also where the last digits of the slope are rounding."""
    slopes, calls = mean_bound._compute_slopes, 0

    def counted(*arguments: Any) -> tuple[float, float]:
        nonlocal calls
        calls += 1
        return slopes(*arguments)

    monkeypatch.setattr(mean_bound, "_compute_slopes", counted)
    rng = np.random.default_rng(9)
    for count, mean, largest in product((3, 60, 3000), (-2.0, -0.3, 0.0, 0.3), (1.0, 30.0)):
        values, repeats = np.append(rng.normal(mean, 0.1, count), [largest, -largest]), np.ones(count + 2)
        calls = 0
        at = mean_bound._find_saddlepoint(values, repeats)
        assert calls <= 12
        slope, rise = slopes(values, repeats, at)
        assert abs(slope / rise) <= 1e-12 * max(abs(at), 1e-3)


@pytest.mark.parametrize("kind", ["changes", "rates", "rare"])
def test_the_p_values_fall_and_rise_with_the_margin(kind: str) -> None:
    units = random_units(6, kind)
    margins = np.linspace(units.best - 0.1, units.worst + 0.1, 400)
    assert (np.diff([units.p_at_least(float(at)) for at in margins]) <= 1e-9).all()
    assert (np.diff([units.p_at_most(float(at)) for at in margins]) >= -1e-9).all()


@pytest.mark.parametrize("kind", ["changes", "rates", "rare"])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_at_the_ends_of_the_interval_the_p_values_are_alpha(kind: str, alpha: float) -> None:
    for seed in range(7, 12):
        units = random_units(seed, kind)
        low, high = units.compute_interval(alpha)
        assert units.best <= low <= units.mean <= high <= units.worst
        if high < units.worst:
            assert units.p_at_least(high) == pytest.approx(alpha, rel=1e-6)
        if low > units.best:
            assert units.p_at_most(low) == pytest.approx(alpha, rel=1e-6)


def test_near_its_mean_a_sum_has_a_share_without_a_jump() -> None:
    """There the formula is 0 / 0 and another one takes its place."""
    values = np.random.default_rng(8).gamma(0.5, 1.0, 80)
    values -= values.mean()
    shifts = np.linspace(-3e-5, 3e-5, 601)
    shares = np.array([compute_share_above_zero(values + shift, np.ones(80)) for shift in shifts])
    steps = np.diff(shares)
    assert (steps > 0).all()
    # in 601 steps of 5e-7
    assert steps == pytest.approx(np.full(600, steps.mean()), abs=1e-6)


def test_one_row_shows_next_to_nothing() -> None:
    """It rules out a mean above 95 % if it was not lost, as Clopper and Pearson's bound does."""
    assert zero_or_one(0, 1).compute_interval() == pytest.approx((0.0, 0.95))
    assert zero_or_one(1, 1).compute_interval() == pytest.approx((0.05, 1.0))
    # (0.3 - m) a + (1 - m) b > 0 of two exponentials: (1 - m) / 0.7 where m is above 0.3
    assert rows([0.3]).p_at_least(0.9) == pytest.approx(0.1 / 0.7)


def test_one_group_alone_is_one_row() -> None:
    assert equal_groups(1, 500).compute_interval() == pytest.approx((0.0, 0.95))


def test_a_margin_at_the_end_of_the_range_is_always_kept() -> None:
    for units in (zero_or_one(0, 20), zero_or_one(20, 20), random_units(0, "rates")):
        assert units.p_at_least(1.0) == units.p_at_least(1.5) == 0.0
        assert units.p_at_most(0.0) == units.p_at_most(-0.2) == 0.0
    # and the other way round nothing is shown
    assert zero_or_one(20, 20).p_at_least(0.999) > 0.9
    assert zero_or_one(0, 20).p_at_most(0.001) > 0.9


def test_rows_of_no_size_change_nothing() -> None:
    losses, sizes = np.array([3.0, 0.0, 2.0, 1.0]), np.array([4.0, 9.0, 5.0, 1.0])
    plain = sum_by_unit(losses, sizes, None, best=0.0, worst=1.0)
    padded = sum_by_unit(
        np.append(losses, [0.0, 0.0]), np.append(sizes, [0.0, 0.0]), None, best=0.0, worst=1.0
    )
    assert padded.mean == plain.mean
    assert padded.unseen_size == plain.unseen_size
    assert padded.compute_interval() == pytest.approx(plain.compute_interval())
    assert padded.standard_error == pytest.approx(plain.standard_error)


def test_the_made_up_group_has_the_size_of_equal_groups() -> None:
    assert equal_groups(30, 17).unseen_size == pytest.approx(17)
    assert estimate_unseen_size(np.full(12, 2.5)) == pytest.approx(2.5)


def test_a_made_up_group_exceeds_the_mean_where_groups_differ() -> None:
    # (10³ + 9 · 1³) / (10² + 9 · 1²)
    sizes = np.r_[10.0, np.ones(9)]
    assert estimate_unseen_size(sizes) == pytest.approx(1009 / 109)
    assert estimate_unseen_size(np.array([10.0, 1.0]), np.array([1.0, 9.0])) == pytest.approx(1009 / 109)


def test_the_standard_error_is_that_of_a_ratio_worked_by_hand() -> None:
    # mean 3 / 6, so the units are off by 1 - 1, 2 - 1.5, 0 - 0.5
    units = sum_by_unit(np.array([1.0, 2.0, 0.0]), np.array([2.0, 3.0, 1.0]), None, best=0.0, worst=1.0)
    assert units.standard_error == pytest.approx(sqrt(0.5) / 6)


@pytest.mark.parametrize(
    ("units", "margin"),
    [
        (zero_or_one(3, 300), 0.02),
        (zero_or_one(12, 300), 0.02),
        (equal_groups(50, 40), 0.02),
        (random_units(3, "rates"), 0.21),
        (random_units(4, "changes"), 0.1),
    ],
    ids=["below", "above", "groups", "rates", "changes"],
)
def test_with_copies_as_needed_an_unlucky_sample_is_at_the_level(units: UnitLosses, margin: float) -> None:
    """One sample in five has a mean that is 0.84 standard errors or more nearer to the margin."""
    copies = units.compute_copies_needed(margin)
    assert copies is not None

    def p_value(times: float) -> float:
        nearer = 1.0 if units.mean < margin else -1.0
        deviations = units.losses - units.mean * units.sizes
        spread = sqrt(times * (units.repeats @ deviations**2))
        weights = 1 + (nearer * Z_POWER / spread * deviations if spread else 0.0)
        unlucky = replace(units, repeats=units.repeats * weights)
        test = unlucky.p_at_least if units.mean < margin else unlucky.p_at_most
        return test(margin, copies=times)

    assert p_value(copies) <= ALPHA < p_value(copies / 1.01)


def test_copies_are_as_many_units_of_the_same_kinds() -> None:
    lost = zero_or_one(3, 100)
    assert lost.p_at_least(0.06, copies=5) == pytest.approx(zero_or_one(15, 500).p_at_least(0.06))
    assert lost.p_at_most(0.01, copies=5) == pytest.approx(zero_or_one(15, 500).p_at_most(0.01))


def test_fifty_groups_without_a_loss_need_three_times_as_many() -> None:
    """0.98^g is 5 % at g = 148.3, and groups that lose nothing have no unlucky sample."""
    copies = equal_groups(50, 40).compute_copies_needed(0.02)
    assert copies == pytest.approx(log(ALPHA) / log(0.98) / 50, rel=0.006)


def test_small_changes_need_as_few_copies_as_simulated() -> None:
    """By simulation: 0.82 of the samples of that size, where a stricter level asked for 1.6 times as many."""
    rng = np.random.default_rng(0)
    changes = rng.normal(0, 0.02, 100)
    copies = rows(changes, best=-1.0).compute_copies_needed(0.02)
    assert copies is not None
    n = ceil(100 * copies)
    passes = [rows(rng.choice(changes, n), best=-1.0).p_at_least(0.02) <= ALPHA for _ in range(1_000)]
    assert np.mean(passes) == pytest.approx(POWER, abs=0.08)


def test_the_copies_needed_decide_four_times_of_five() -> None:
    """Exact: the chance that a sample of that size rules a loss of 2 % out, if the true one is 1 %."""
    copies = zero_or_one(10, 1000).compute_copies_needed(0.02)
    assert copies is not None
    n = ceil(1000 * copies)
    largest = next(k for k in range(n) if zero_or_one(k, n).p_at_least(0.02) > ALPHA) - 1
    assert binom.cdf(largest, n, 0.01) == pytest.approx(POWER, abs=0.04)


def test_no_number_of_copies_decides_a_mean_at_the_margin() -> None:
    assert zero_or_one(2, 100).compute_copies_needed(0.02) is None


@pytest.mark.parametrize("values", [[-0.5, -0.4, 0.001], [-0.5, 0.3, 36.0], [-0.02, -0.01, 0.98]])
def test_of_a_million_copies_the_share_is_nothing_or_all(values: list[float]) -> None:
    repeats = np.array([1e15, 5e14, 1.0])
    assert compute_share_above_zero(np.array(values), repeats) == 0.0
    assert compute_share_above_zero(-np.array(values), repeats) == 1.0


def test_units_in_runs_vary_as_fewer_but_leave_as_little_unseen() -> None:
    units = rows(np.random.default_rng(5).beta(8, 72, 600))
    alike = replace(units, run_length=4.0)
    assert alike.mean == units.mean
    assert alike.standard_error == pytest.approx(2 * units.standard_error)
    low, high = alike.compute_interval()
    # twice as far down, as with a quarter of the units
    quarter = replace(units, repeats=units.repeats / 4).compute_interval()
    assert units.mean - low == pytest.approx(2 * (units.mean - units.compute_interval()[0]), rel=0.1)
    assert units.compute_interval()[1] < high < quarter[1]
    # if no unit lost anything, three of all units are unseen, and not three runs
    assert replace(zero_or_one(0, 600), run_length=4.0).compute_interval()[1] == pytest.approx(
        0.005, rel=0.05
    )
