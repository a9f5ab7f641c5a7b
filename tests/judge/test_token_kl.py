"""KL of tokens: figures worked by hand, order statistics, whole documents, verdicts."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from scipy.stats import beta, binom

from slimgate.errors import MeasureError
from slimgate.judge.behaviour import (
    BehaviourBudgets,
    judge_behaviour,
    list_actions_by_kind,
    make_behaviour_facts,
)
from slimgate.judge.behaviour_message import format_behaviour_message
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.token_kl import TokenKl, compute_quantile, judge_tokens, make_kl_facts
from slimgate.outcomes import Outcomes
from slimgate.results.base import Verdict
from slimgate.results.behaviour import BehaviourFacts


def documents(*kl: list[float], groups: list[int] | None = None, other_top_token: int = 0) -> TokenKl:
    """Documents of tokens; the first `other_top_token` tokens have another likeliest token."""
    values = np.concatenate([np.asarray(document, dtype=np.float64) for document in kl])
    same = np.arange(len(values)) >= other_top_token
    row_of = np.repeat(np.arange(len(kl)), [len(document) for document in kl])
    return TokenKl(values, same, row_of, None if groups is None else np.asarray(groups))


def single_tokens(values: np.ndarray) -> TokenKl:
    return TokenKl(values, np.ones(len(values), dtype=np.bool_), np.arange(len(values)))


def verdict(tokens: TokenKl, kind: str, limit: float, above_max: float | None = None) -> Verdict:
    return judge_tokens(tokens, [LimitBudget(kind, limit, above_cap_max=above_max)])[0].verdict


def test_figures_are_those_of_all_tokens_together() -> None:
    facts = make_kl_facts(documents([0.1, 0.2, 0.3], [0.4], other_top_token=1))
    assert facts.mean == pytest.approx(0.25)
    assert facts.median == 0.2
    assert (facts.p99, facts.p999, facts.maximum) == (0.4, 0.4, 0.4)
    assert facts.same_top1 == 0.75
    assert (facts.tokens, facts.documents, facts.groups) == (4, 2, None)
    low, high = facts.mean_interval
    assert 0 <= low < 0.25 < high


def test_four_documents_do_not_bound_the_largest_thousandth() -> None:
    """That one of four is above 0.3 has a chance of 0.4 % where one in a thousand is."""
    assert make_kl_facts(documents([0.1], [0.2], [0.3], [0.4])).p999_interval == (0.3, inf)


def test_a_quantile_of_tokens_is_between_order_statistics() -> None:
    """The exact bounds: Clopper and Pearson's of the share above each observed value."""
    values = np.sort(np.random.default_rng(0).exponential(size=1000))
    low, high = single_tokens(values).compute_quantile_interval(0.01)
    above = 999 - np.arange(1000)  # tokens above each value
    upper_share = beta.ppf(0.95, above + 1, 1000 - above)
    lower_share = np.where(above > 0, beta.ppf(0.05, np.maximum(above, 1), 1001 - above), 0.0)
    assert high == values[np.flatnonzero(upper_share <= 0.01)[0]]
    assert low == values[np.flatnonzero(lower_share >= 0.01)[-1]]
    assert low < compute_quantile(values, 0.99) < high


@pytest.mark.parametrize(("count", "expected"), [(298, Verdict.INCONCLUSIVE), (299, Verdict.PASS)])
def test_99_percent_takes_the_documents_of_the_rule_of_three(count: int, expected: Verdict) -> None:
    """0.99 ** 299 is the first under 5 %."""
    assert binom.pmf(0, 299, 0.01) < 0.05 < binom.pmf(0, 298, 0.01)
    assert verdict(single_tokens(np.full(count, 0.01)), "p99_max", 0.5) is expected


def test_tokens_of_one_document_are_no_evidence_of_their_own() -> None:
    alone = single_tokens(np.full(3000, 0.01))
    in_documents = documents(*[[0.01] * 30] * 100)
    assert verdict(alone, "p99_max", 0.5) is Verdict.PASS
    assert verdict(in_documents, "p99_max", 0.5) is Verdict.INCONCLUSIVE
    # of one document, what a group is: 100 documents in two files
    grouped = documents(*[[0.01] * 30] * 100, groups=[0] * 50 + [1] * 50)
    assert make_kl_facts(grouped).groups == 2
    assert grouped.mean.compute_interval()[1] > in_documents.mean.compute_interval()[1]


def test_groups_of_one_row_each_are_no_groups() -> None:
    tokens = documents([0.1, 0.2], [0.3], groups=[4, 9])
    assert make_kl_facts(tokens).groups is None
    assert make_kl_facts(tokens) == make_kl_facts(documents([0.1, 0.2], [0.3]))


@pytest.mark.parametrize(
    ("kind", "passes", "fails"),
    [("mean_max", 0.05, 0.009), ("p99_max", 0.5, 0.009), ("p999_max", 0.5, 0.009), ("floor", 0.9, 0.999)],
)
def test_a_clear_budget_passes_or_fails(kind: str, passes: float, fails: float) -> None:
    rng = np.random.default_rng(1)
    tokens = TokenKl(rng.exponential(0.02, 12_000), rng.random(12_000) < 0.98, np.repeat(np.arange(4000), 3))
    assert verdict(tokens, kind, passes) is Verdict.PASS
    assert verdict(tokens, kind, fails) is Verdict.FAIL


def test_a_verdict_agrees_with_its_interval() -> None:
    rng = np.random.default_rng(2)
    tokens = TokenKl(rng.exponential(0.02, 9000), rng.random(9000) < 0.98, np.repeat(np.arange(3000), 3))
    for kind in ("mean_max", "p99_max", "p999_max"):
        [judged] = judge_tokens(tokens, [LimitBudget(kind, 0.4)])
        assert judged.interval is not None
        low, high = judged.interval
        assert low < (judged.value or 0) < high
        assert verdict(tokens, kind, 0.999 * low) is Verdict.FAIL
        assert verdict(tokens, kind, 1.001 * high, 0.01) is Verdict.PASS
        assert verdict(tokens, kind, judged.value or 0) is Verdict.INCONCLUSIVE


def test_no_order_of_the_documents_changes_a_figure() -> None:
    rng = np.random.default_rng(3)
    kl, same, row_of = rng.exponential(size=900), rng.random(900) < 0.9, np.repeat(np.arange(300), 3)
    order = rng.permutation(900)
    other = TokenKl(kl[order], same[order], row_of[order])
    before, after = make_kl_facts(TokenKl(kl, same, row_of)).model_dump(), make_kl_facts(other).model_dump()
    for name, figure in before.items():
        assert after[name] == (figure if figure is None else pytest.approx(figure)), name


@pytest.mark.parametrize(
    ("kl", "message"),
    [([], "no tokens"), ([0.1, float("nan")], "nan nats at token 1"), ([-0.1], "-0.1 nats at token 0")],
)
def test_what_is_no_kl_is_an_error(kl: list[float], message: str) -> None:
    with pytest.raises(MeasureError, match=message):
        documents(kl)


# --- in the judgement of behaviour

ROWS = 400
OUTCOMES = Outcomes(np.asarray([f"{row}" for row in range(ROWS)]), values={"nats": np.ones(ROWS)})
MEAN = LimitBudget("mean_max", 0.02)


def judged(tokens: TokenKl | None, *budgets: LimitBudget) -> tuple[str, BehaviourFacts]:
    limits = BehaviourBudgets(tokens={"kl": budgets})
    result = judge_behaviour(OUTCOMES, OUTCOMES, limits, metrics={}, tokens=tokens)
    line = format_behaviour_message("int8", result)
    return line, make_behaviour_facts(
        BehaviourFacts(n=ROWS), result, line, list_actions_by_kind(limits, "fail")
    )


def test_the_line_says_mean_interval_budget_and_verdict() -> None:
    line, facts = judged(documents(*[[0.05, 0.06]] * ROWS), MEAN)
    assert line.startswith("int8: mean KL 0.055 nats [0.0")
    assert line.endswith("budget 0.02, above the cap of 1: 0 % [0, 0.75], limit 0.25 % (n=400): FAIL")
    assert facts.verdict == "FAIL"


def test_a_warning_budget_does_not_fail_where_it_is_undecided() -> None:
    tokens = documents([0.001], [0.002])
    for action in ("fail", "warn"):
        line, facts = judged(tokens, LimitBudget("mean_max", 0.02, None, action))  # type: ignore[arg-type]
        assert facts.verdict == "INCONCLUSIVE"
        assert "rows would decide" in line
        assert [budget.on_inconclusive for budget in facts.budgets] == [action]


def test_a_budget_of_models_that_do_not_compare_is_an_error() -> None:
    with pytest.raises(MeasureError, match="have different tokens"):
        judged(None, MEAN)
