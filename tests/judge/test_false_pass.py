"""By simulation: a variant whose true drop is the margin seldom passes."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import numpy as np
import pytest

from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.contrast import make_drop_contrast
from slimgate.judge.flips import compare_flips, judge_flips
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.base import compute_value
from slimgate.judge.perplexity import judge_perplexity
from slimgate.judge.random_weights import weigh_rows
from slimgate.outcomes import ClassOutcomes, Floats
from tools.simulations.documents import Documents

pytestmark = pytest.mark.slow

Pair = tuple[ClassOutcomes, ClassOutcomes]

K = 3
DROP = make_drop_contrast(higher_is_better=True)


def population(prior: list[float], psi: float, drop: float) -> Floats:
    """(label, teacher, variant) chances: teacher right 90 %, psi of the rows change, `drop` net."""
    chance = np.zeros((K, K, K))
    lost, won = (psi + drop) / 2, (psi - drop) / 2
    for label, share in enumerate(prior):
        chance[label, label, label] = share * (0.9 - lost)
        for wrong in {0, 1, 2} - {label}:
            chance[label, label, wrong] = share * lost / 2
            chance[label, wrong, label] = share * won / 2
            chance[label, wrong, wrong] = share * (0.1 - won) / 2
    return chance


@pytest.mark.parametrize(
    ("n", "psi", "points"),
    [
        pytest.param(310, 0.02, 0.02, id="nothing is won back"),
        pytest.param(500, 0.05, 0.02, id="some is won back"),
    ],
)
@pytest.mark.parametrize("name", ["f1_macro", "mcc"])
def test_a_drop_at_the_margin_passes_in_at_most_6_percent(
    name: str, n: int, psi: float, points: float
) -> None:
    metric = load_metric(name)
    assert metric.from_confusion is not None
    chance = population([0.4, 0.35, 0.25], psi, points)
    true = float(metric.from_confusion(chance.sum(axis=2)) - metric.from_confusion(chance.sum(axis=1)))
    labels, teacher, variant = np.indices((K, K, K)).reshape(3, -1)
    rng, passed, runs = np.random.default_rng(0), 0, 400
    for seed in range(runs):
        cell = np.repeat(np.arange(K**3), rng.multinomial(n, chance.ravel()))
        ids = np.arange(n).astype(np.str_)
        before = ClassOutcomes(ids, labels[cell], teacher[cell], ("a", "b", "c"))
        after = ClassOutcomes(ids, labels[cell], variant[cell], ("a", "b", "c"))
        high = weigh_rows(metric, before, after, seed=seed, resamples=1000).compute_interval(DROP)[1]
        passed += high < true
    # 6 % and two standard errors of 400 runs
    assert passed / runs <= 0.06 + 0.024


@pytest.mark.parametrize(
    ("name", "groups", "size"),
    [
        ("accuracy", 50, 40),
        ("accuracy", 150, 40),
        ("accuracy", 150, 5),
        ("flips", 50, 40),
        ("flips", 150, 40),
        ("f1_macro", 50, 40),
    ],
)
def test_groups_lost_whole_at_the_margin_seldom_pass(name: str, groups: int, size: int) -> None:
    """Each group with a chance of 2 %: of 50 groups 36 % of the samples have not lost one."""
    rng, member = np.random.default_rng(0), np.repeat(np.arange(groups), size)
    labels = np.arange(groups * size) % 2
    ids = np.arange(len(labels)).astype(np.str_)
    teacher = ClassOutcomes(ids, labels, labels, ("a", "b"), groups=member)
    passed, runs = 0, 200
    for seed in range(runs):
        lost = rng.random(groups)[member] < 0.02
        variant = replace(teacher, predictions=np.where(lost, 1 - labels, labels))
        passed += grouped_verdict(name, teacher, variant, seed) is Verdict.PASS
    # 5 % and two standard errors of 200 runs
    assert passed / runs <= 0.08


def grouped_verdict(
    name: str, teacher: ClassOutcomes, variant: ClassOutcomes, seed: int = 0
) -> Verdict | None:
    """At a budget of 2 points, or 2 % of flips."""
    if name == "flips":
        return judge_flips(compare_flips(teacher, variant), 2.0).verdict
    budget = QualityBudget("drop_points", 2.0)
    return judge_quality(load_metric(name), teacher, variant, [budget], seed=seed, resamples=400).verdict


@pytest.mark.parametrize("name", ["accuracy", "flips"])
def test_groups_of_which_none_is_lost_pass_where_they_are_enough(name: str) -> None:
    """0.98^148 is 5.03 %."""
    for groups, verdict in ((148, Verdict.INCONCLUSIVE), (149, Verdict.PASS)):
        member = np.repeat(np.arange(groups), 40)
        labels = np.arange(len(member)) % 2
        ids = np.arange(len(member)).astype(np.str_)
        same = ClassOutcomes(ids, labels, labels, ("a", "b"), groups=member)
        assert grouped_verdict(name, same, same) is verdict


def reversed_rows(rng: np.random.Generator, rows: int, share: float, sure: float | None) -> Pair:
    """A share of the rows is turned confidently wrong.

    sure: of the wrong answer; None for that of the right one before.
    """
    labels = np.arange(rows) % 2
    before = 1 / (1 + np.exp(-rng.normal(3.0, 1.3, rows)))
    wrong = 1 - before if sure is None else 1 - sure
    after = np.where(rng.random(rows) < share, wrong, before)
    ids = np.zeros(rows, dtype=np.str_)
    pair = []
    for p in (before, after):
        scores = np.where(labels[:, None] == np.arange(2), p[:, None], 1 - p[:, None])
        pair.append(ClassOutcomes(ids, labels, scores.argmax(axis=1), ("a", "b"), scores))
    return pair[0], pair[1]


@pytest.mark.parametrize("sure", [None, 0.999], ids=["as sure as before", "as sure as the surest"])
@pytest.mark.parametrize("name", ["log_loss", "brier"])
@pytest.mark.parametrize("share", [0.002, 0.003])
def test_few_rows_that_turn_confidently_wrong_do_not_pass_unseen(
    share: float, name: str, sure: float | None
) -> None:
    """500 rows, of which 22 to 37 % of the samples have not turned one."""
    metric = load_metric(name)
    before, after = (
        compute_value(metric, outcomes)
        for outcomes in reversed_rows(np.random.default_rng(1), 10**6, share, sure)
    )
    budget = QualityBudget("drop_points", 100 * (after - before))
    rng, passed, runs = np.random.default_rng(2), 0, 200
    for _ in range(runs):
        judged = judge_quality(metric, *reversed_rows(rng, 500, share, sure), [budget])
        passed += judged.verdict is Verdict.PASS
    assert passed / runs <= 0.08


def test_the_bound_of_log_loss_is_narrow_enough_to_pass() -> None:
    pair = reversed_rows(np.random.default_rng(3), 6000, 0.0, None)
    judged = judge_quality(load_metric("log_loss"), *pair, [QualityBudget("drop_points", 1.0)])
    assert judged.verdict is Verdict.PASS


@pytest.mark.parametrize("documents", [50, 200, 1000])
def test_a_few_documents_that_lose_much_do_not_pass_unseen(documents: int) -> None:
    """1 % of the documents lose 1 nat a token more: of 50 documents 60 % of the samples have none of them."""
    population = Documents(damaged=0.01, damage=1.0)
    budget = QualityBudget("increase_relative", exp(population.log_ratio) - 1)
    rng, passed, runs = np.random.default_rng(4), 0, 200
    for _ in range(runs):
        drawn = population.draw(rng, documents)
        judged = judge_perplexity(drawn.teacher, drawn.variant, drawn.tokens, [budget])
        passed += judged.verdict is Verdict.PASS
    assert passed / runs <= 0.08
