"""Perplexity against a hand calculation, weightings of documents drawn at random, and simulation."""

from __future__ import annotations

from math import exp, inf, log, nan, sqrt

import numpy as np
import pytest

from slimgate.errors import MeasureError, SuiteError
from slimgate.judge import QualityBudget, QualityJudgement, Verdict
from slimgate.judge.message import format_message
from slimgate.judge.perplexity import judge_perplexity
from slimgate.outcomes import Floats, Ints


def documents(rng: np.random.Generator, n: int, *, log_ratio: float = 0.0) -> tuple[Floats, Floats, Ints]:
    """Sums of nats of documents that differ in length, in difficulty, and in what the variant costs them."""
    tokens = np.maximum(1, rng.lognormal(5, 0.8, n)).astype(np.int64)
    level = rng.normal(3.0, 0.4, n)
    cost = log_ratio + rng.gamma(2.0, 0.02, n) - 0.04
    noise = rng.normal(0, 0.3, n) * np.sqrt(tokens)
    return level * tokens, (level + cost) * tokens + noise, tokens


def judged(
    columns: tuple[Floats, Floats, Ints], limit: float, kind: str = "increase_relative"
) -> QualityJudgement:
    return judge_perplexity(*columns, [QualityBudget(kind, limit)])


def test_values_are_perplexities_and_the_drop_is_percent() -> None:
    teacher, variant = np.array([30.0, 10.0] * 10), np.array([32.0, 11.0] * 10)
    tokens = np.array([10, 5] * 10)
    judgement = judged((teacher, variant, tokens), 0.5)
    assert judgement.teacher == pytest.approx(exp(40 / 15))
    assert judgement.value == pytest.approx(exp(43 / 15))
    # the log ratio is 3 / 15
    assert judgement.drop_points == pytest.approx(100 * (exp(0.2) - 1))
    assert judgement.budgets[0].value == pytest.approx(exp(0.2) - 1)
    assert judgement.n == 20
    assert judgement.method == "Gaffke's bound over documents"


def test_the_bounds_are_where_5_percent_of_weightings_go_beyond() -> None:
    """Weights drawn at random; one made-up document has lost, or won, 1 nat a token, more than any other."""
    rng = np.random.default_rng(0)
    teacher, variant, tokens = documents(rng, 80, log_ratio=0.02)
    lost = variant - teacher
    assert np.abs(lost / tokens).max() < 1
    unseen = (tokens**3.0).sum() / (tokens**2.0).sum()
    low, high = (log(1 + bound / 100) for bound in judge_perplexity(teacher, variant, tokens, []).interval)
    weights, extra = rng.exponential(size=(400_000, 80)), rng.exponential(size=400_000)
    above = weights @ (lost - high * tokens) + extra * unseen * (1 - high) > 0
    below = weights @ (lost - low * tokens) + extra * unseen * (-1 - low) < 0
    # three standard errors of 400,000 draws
    assert (above.mean(), below.mean()) == pytest.approx((0.05, 0.05), abs=0.001)


@pytest.mark.slow
def test_an_interval_of_many_documents_is_the_moved_normal_one() -> None:
    teacher, variant, tokens = documents(np.random.default_rng(0), 100_000, log_ratio=0.02)
    ratio = (variant - teacher).sum() / tokens.sum()
    error = np.sqrt(((variant - teacher - ratio * tokens) ** 2).sum()) / tokens.sum()
    judgement = judge_perplexity(teacher, variant, tokens, [])
    ours = [log(1 + bound / 100) for bound in judgement.interval or ()]
    # by 1 nat for each of its tokens, over all tokens; its weight varies by as much
    moved = (tokens**3.0).sum() / (tokens**2.0).sum() / tokens.sum()
    half = 1.6449 * np.hypot(error, moved) + moved
    assert ours == pytest.approx([ratio - half, ratio + half], abs=0.03 * error)
    assert judgement.verdict is None
    assert judgement.variance == pytest.approx(100_000 * error**2)


@pytest.mark.parametrize(
    ("log_ratio", "verdict"),
    [(0.0, Verdict.PASS), (0.021, Verdict.INCONCLUSIVE), (0.06, Verdict.FAIL)],
)
def test_three_verdicts(log_ratio: float, verdict: Verdict) -> None:
    judgement = judged(documents(np.random.default_rng(2), 9000, log_ratio=log_ratio), 0.02)
    assert judgement.verdict is verdict
    assert (judgement.n_needed is not None) == (verdict is Verdict.INCONCLUSIVE)


def test_the_documents_needed_decide() -> None:
    first = judged(documents(np.random.default_rng(3), 400), 0.02)
    assert first.verdict is Verdict.INCONCLUSIVE
    assert first.n_needed is not None
    again = [
        judged(documents(np.random.default_rng(seed), first.n_needed), 0.02).verdict for seed in range(20)
    ]
    # 80 % and two standard errors of 20 samples
    assert again.count(Verdict.PASS) >= 13


def test_a_ceiling_is_on_the_variants_own_perplexity() -> None:
    columns = documents(np.random.default_rng(4), 200)
    verdicts = [judged(columns, limit, "ceiling").verdict for limit in (15.0, 20.0, 30.0)]
    # exp(3) is 20.1
    assert verdicts == [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]


def test_the_standard_error_is_that_of_simulated_documents() -> None:
    rng = np.random.default_rng(11)
    errors, ratios = [], []
    for _ in range(300):
        teacher, variant, tokens = documents(rng, 300)
        errors.append(sqrt(judge_perplexity(teacher, variant, tokens, []).variance / 300))
        ratios.append((variant.sum() - teacher.sum()) / tokens.sum())
    assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.15)


@pytest.mark.parametrize(("n", "verdict"), [(1208, Verdict.INCONCLUSIVE), (1209, Verdict.PASS)])
def test_an_equal_model_passes_by_the_rule_of_three(n: int, verdict: Verdict) -> None:
    """Documents of one length: (1 - log 1.02 / 8) to the power of their number is to be at most 5 %."""
    nats, tokens = np.full(n, 900.0), np.full(n, 300)
    assert judged((nats, nats, tokens), 0.02).verdict is verdict


def test_one_long_document_is_nearly_all_that_there_is() -> None:
    """However many short ones stand beside it: made-up documents are as long as it, and its weight is one."""
    tokens = np.append(np.full(1000, 10), 100_000)
    nats = 3.0 * tokens
    judgement = judged((nats, nats, tokens), 0.02)
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.interval[1] > 100


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_handful_of_documents_decides_nothing(n: int) -> None:
    """Of n documents with one fate, and one made up with the other, a weighting turns 1 in 2^n times."""
    nats, tokens = np.full(n, 900.0), np.full(n, 300)
    for worse in (nats, 1.25 * nats):
        judgement = judged((nats, worse, tokens), 0.01)
        assert judgement.verdict is Verdict.INCONCLUSIVE
        assert judgement.n_needed is not None
        assert judgement.n_needed > n


@pytest.mark.parametrize(
    ("kind", "limit", "message"),
    [
        ("drop_points", 1.0, "has no points; perplexity takes increase_relative, ceiling"),
        ("floor", 1.0, "floor does not suit perplexity: .* higher is better"),
        ("increase_relative", nan, "expected a finite number above 0"),
        ("ceiling", 0.5, "ceiling is 0.5, expected a value of perplexity, between 1 and inf"),
    ],
)
def test_a_budget_that_does_not_suit_is_refused(kind: str, limit: float, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        judged(documents(np.random.default_rng(0), 20), limit, kind)


def test_columns_that_do_not_fit_are_named() -> None:
    teacher, variant, tokens = documents(np.random.default_rng(0), 20)
    with pytest.raises(
        MeasureError, match=r"shapes \(19,\), \(20,\) and \(20,\), expected one number per doc"
    ):
        judged((teacher[:-1], variant, tokens), 0.01)
    with pytest.raises(MeasureError, match="document 3 of the variant has inf nats, so the model is broken"):
        judged((teacher, np.where(np.arange(20) == 3, inf, variant), tokens), 0.01)
    with pytest.raises(MeasureError, match="document 0 has 0 tokens, expected at least 1"):
        judged((teacher, variant, np.where(np.arange(20) == 0, 0, tokens)), 0.01)
    with pytest.raises(MeasureError, match="at least one document"):
        judged((np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64)), 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100])
def test_a_growth_at_its_limit_passes_in_at_most_6_percent(n: int) -> None:
    population = documents(np.random.default_rng(7), 2_000_000, log_ratio=0.03)
    true = exp((population[1].sum() - population[0].sum()) / population[2].sum()) - 1
    rng, runs, passed, failed = np.random.default_rng(8), 800, 0, 0
    for _ in range(runs):
        columns = documents(rng, n, log_ratio=0.03)
        budget = QualityBudget("increase_relative", true)
        verdict = judge_perplexity(*columns, [budget]).verdict
        passed += verdict is Verdict.PASS
        failed += verdict is Verdict.FAIL
    # 6 % and two standard errors of 800 runs
    assert passed / runs <= 0.06 + 0.017
    assert failed / runs <= 0.06 + 0.017


def test_a_perplexity_below_one_nat_a_token_is_in_its_bounds() -> None:
    tokens = np.full(60, 10)
    judgement = judged((5.0 + np.arange(60) / 100, 5.0 + np.arange(60) / 100, tokens), 2.0, "ceiling")
    low, high = judgement.budgets[0].interval or (nan, nan)
    assert 1 < low < exp(0.5295) < high
    assert judgement.budgets[0].value == pytest.approx(exp(0.5295))


def test_rows_needed_are_only_of_what_is_undecided() -> None:
    columns = documents(np.random.default_rng(4), 200)
    needed = [judged(columns, limit, "ceiling").budgets[0].n_needed for limit in (15.0, 20.0, 30.0)]
    assert (needed[0], needed[2]) == (None, None)
    assert (needed[1] or 0) > 200


def test_at_the_upper_bound_the_p_value_is_5_percent() -> None:
    judgement = judge_perplexity(*documents(np.random.default_rng(4), 200, log_ratio=0.2), [])
    assert judgement.interval is not None
    assert judgement.p_at_least is not None
    assert judgement.p_at_least(judgement.interval[1]) == pytest.approx(0.05, abs=1e-6)


def test_the_line_says_that_only_the_share_is_undecided() -> None:
    """400 equal documents leave a share of 0.75 % open, and 2 % growth allows 0.25 %."""
    nats, tokens = np.full(400, 300.0), np.full(400, 100)
    undecided = judged((nats, nats, tokens), 0.02)
    assert undecided.verdict is Verdict.INCONCLUSIVE
    assert "INCONCLUSIVE, the mean is inside, and the share above the cap (above_cap_max) is undecided: " in (
        format_message("int8", undecided)
    )
    # 1,300 show the share, but not the mean of rows with up to 8 caps
    nats, tokens = np.full(1300, 300.0), np.full(1300, 100)
    together = format_message("int8", judged((nats, nats + np.tile([0.5, 0.0], 650), tokens), 0.02))
    assert "[0, 0.23], limit 0.25 %" in together
    assert (
        "INCONCLUSIVE, the mean and the share above the cap are inside, but not the mean in which a row "
        "counts for up to 8 caps: about " in together
    )
    nats, tokens = np.full(400, 300.0), np.full(400, 100)
    # a mean that is undecided itself is not said to be inside
    changes = np.tile([91.0, -89.0], 200)
    noisy = judged((nats, nats + changes, tokens), 0.02)
    assert noisy.verdict is Verdict.INCONCLUSIVE
    assert "the mean is inside" not in format_message("int8", noisy)
