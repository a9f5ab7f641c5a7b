"""How far a variant's next-token probabilities are from its teacher's, token by token.

KL(teacher || variant) in nats at each token, and whether both find the same token likeliest. Tokens of a
document are not independent, so documents (or groups of them) are the units of every bound.

| budget                | the hypothesis that must be rejected to pass                                    |
|-----------------------|---------------------------------------------------------------------------------|
| mean_max              | the mean KL of a token, of a document at most the cap, is at least the limit     |
| p99_max, p999_max     | at least 1 % (0.1 %) of the tokens have a KL above the limit                     |
| top1_agreement floor  | at least 1 - floor of the tokens have another likeliest token                    |

All are rates over tokens, by the bound of `mean_bound`. KL has no upper end, so a document counts for at most
`cap` nats a token, and the share of the tokens in documents above it is judged too (`capped`). The bounds of
shares need no cap, and assume no more than whole documents: if none of G equal documents differs, a
share of about 3 / G cannot be ruled out. So p99_max takes about 300 documents to pass, and p999_max 3,000.
reports/simulations/token_kl_verdicts.md has the error rates.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

import numpy as np
import numpy.typing as npt

from slimgate.errors import MeasureError
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.capped import CappedRows, choose_cap, judge_capped_mean, judge_with_share_above
from slimgate.judge.contrast import Interval
from slimgate.judge.decision import ALPHA, choose_verdict, make_budget_facts
from slimgate.judge.mean_bound import UnitLosses, sum_by_unit
from slimgate.judge.metrics.language_model import CAP
from slimgate.judge.perplexity import compute_log_ratio
from slimgate.judge.rows_needed import count_rows
from slimgate.outcomes import Floats, Ints, Outcomes
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.behaviour import BehaviourFacts, KlFacts

MEAN_MAX = "mean_max"
# The share of the tokens that may be above a quantile.
SHARE_ABOVE = {"p99_max": 0.01, "p999_max": 0.001}


@dataclass(frozen=True, eq=False)
class TokenKl:
    """The measurements at each predicted token.

    kl: (tokens,) nats, not below 0; same_top: (tokens,) whether the likeliest token is the same; row_of:
    (tokens,) the position of each token's row; groups: (rows,) ids of rows that are not independent. rest:
    the mean probability of the tokens of which only a sample was compared; None: no such tokens.
    """

    kl: Floats
    same_top: npt.NDArray[np.bool_]
    row_of: Ints
    groups: Ints | None = None
    rest: float | None = None

    def __post_init__(self) -> None:
        bad = np.flatnonzero(~np.isfinite(self.kl) | (self.kl < 0))
        if not len(self.kl) or len(bad):
            problem = f"{self.kl[bad[0]]} nats at token {bad[0]}" if len(bad) else "no tokens"
            raise MeasureError(
                f"kl: {problem} was given, expected a finite number of nats not below 0 at each token"
            )

    @cached_property
    def documents(self) -> int:
        return len(np.unique(self.row_of))

    @cached_property
    def group_count(self) -> int | None:
        """The number of groups; None if each row is a unit."""
        return None if self._units[1] is self._row_sizes else len(self._units[1])

    @cached_property
    def mean(self) -> UnitLosses:
        """The mean KL of a token, in which a document counts for at most CAP nats a token."""
        return self.make_capped_rows(CAP).capped

    def make_capped_rows(self, cap: float) -> CappedRows:
        """The sums of KL of the rows, with the cap to apply."""
        groups = None if self.groups is None else self.groups[np.unique(self.row_of)]
        sums = np.bincount(self._row, weights=self.kl).astype(np.float64)
        return CappedRows(sums, self._row_sizes, groups, cap, lowest=0.0)

    @cached_property
    def other_top_token(self) -> UnitLosses:
        """The share of tokens with another likeliest token."""
        return self._make_losses(~self.same_top)

    def make_losses_above(self, limit: float) -> UnitLosses:
        """The share of tokens with a KL above a limit."""
        return self._make_losses(self.kl > limit)

    def compute_quantile_interval(self, share: float) -> Interval:
        """The 90 % interval of the KL that a share of the tokens exceeds; its upper end may be infinite."""
        # between the values that too few tokens and too many tokens are shown to exceed
        ordered = np.unique(self.kl)

        def has_few_above(limit: float) -> bool:
            return self.make_losses_above(limit).p_at_least(share) <= ALPHA

        def may_have_few_above(limit: float) -> bool:
            return self.make_losses_above(limit).p_at_most(share) > ALPHA

        low = bisect_left(ordered, True, key=may_have_few_above)
        high = bisect_left(ordered, True, key=has_few_above)
        return (
            float(ordered[low - 1]) if low else 0.0,
            float(ordered[high]) if high < len(ordered) else inf,
        )

    @cached_property
    def _row(self) -> Ints:
        """(tokens,) the place of each token's row among the rows that have tokens."""
        return np.unique(self.row_of, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def _row_sizes(self) -> Floats:
        return np.bincount(self._row).astype(np.float64)

    @cached_property
    def _units(self) -> tuple[Ints, Floats]:
        """(tokens,) the unit of each token, and (units,) their tokens."""
        if self.groups is None:
            return self._row, self._row_sizes
        unit = np.unique(self.groups[self.row_of], return_inverse=True)[1].astype(np.int64)
        if unit.max() == self._row.max():  # every group is one row
            return self._row, self._row_sizes
        return unit, np.bincount(unit).astype(np.float64)

    def _make_losses(self, is_lost: npt.NDArray[np.bool_]) -> UnitLosses:
        unit, sizes = self._units
        lost = np.bincount(unit, weights=is_lost).astype(np.float64)
        return sum_by_unit(lost, sizes, None, best=0.0, worst=1.0)


def judge_tokens(tokens: TokenKl, budgets: Sequence[LimitBudget]) -> tuple[BudgetFacts, ...]:
    """A verdict for each budget on KL or on the same likeliest token; n_needed: documents."""
    return tuple(_judge_budget(tokens, budget) for budget in budgets)


def choose_token_verdict(tokens: TokenKl, budget: LimitBudget) -> Verdict:
    """The verdict alone."""
    if budget.kind == MEAN_MAX:
        return _judge_mean(tokens, budget).verdict
    losses, limit = _select_losses_and_limit(tokens, budget)
    return choose_verdict(inside=losses.p_at_least(limit) <= ALPHA, outside=losses.p_at_most(limit) <= ALPHA)


def _judge_budget(tokens: TokenKl, budget: LimitBudget) -> BudgetFacts:
    if budget.kind == MEAN_MAX:
        return _judge_mean(tokens, budget)
    (losses, limit), verdict = _select_losses_and_limit(tokens, budget), choose_token_verdict(tokens, budget)
    copies = losses.compute_copies_needed(limit) if verdict is Verdict.INCONCLUSIVE else None
    value, interval = _measure_figure(tokens, budget.kind)
    return make_budget_facts(
        budget,
        verdict,
        value=value,
        interval=interval,
        n_needed=count_rows(copies, tokens.documents),
        p_value=losses.p_at_least(limit),
    )


def _judge_mean(tokens: TokenKl, budget: LimitBudget) -> BudgetFacts:
    return judge_mean(budget, tokens.make_capped_rows(choose_mean_cap(budget)))


def choose_mean_cap(budget: LimitBudget) -> float:
    """Nats a token that a document counts for at most."""
    return choose_cap(CAP, budget.limit) if budget.cap is None else budget.cap


def judge_mean(budget: LimitBudget, rows: CappedRows) -> BudgetFacts:
    """The verdict on a budget on a mean KL in nats; n_needed: rows."""
    judged = judge_with_share_above(
        judge_capped_mean(budget, rows, budget.limit),
        rows,
        budget.limit,
        allowed=budget.limit,
        above_max=budget.above_cap_max,
        uncapped=rows.mean,
    )
    return replace(judged, value=rows.capped.mean, interval=rows.capped.compute_interval())


def _select_losses_and_limit(tokens: TokenKl, budget: LimitBudget) -> tuple[UnitLosses, float]:
    """The losses of the units, and the largest mean that the budget allows."""
    if budget.kind == "floor":
        return tokens.other_top_token, 1 - budget.limit
    return tokens.make_losses_above(budget.limit), SHARE_ABOVE[budget.kind]


def _measure_figure(tokens: TokenKl, kind: str) -> tuple[float, Interval]:
    """The figure that a kind of budget limits, and its 90 % interval."""
    if kind == "floor":
        low, high = tokens.other_top_token.compute_interval()
        return 1 - tokens.other_top_token.mean, (1 - high, 1 - low)
    if kind in SHARE_ABOVE:
        share = SHARE_ABOVE[kind]
        return compute_quantile(tokens.kl, 1 - share), tokens.compute_quantile_interval(share)
    return tokens.mean.mean, tokens.mean.compute_interval()


def compute_quantile(values: Floats, at: float) -> float:
    """The smallest observed value that at least a share `at` of the values does not exceed."""
    return float(np.quantile(values, at, method="inverted_cdf"))


def make_kl_facts(tokens: TokenKl, log_ratio: UnitLosses | None = None) -> KlFacts:
    """All figures, for the record. log_ratio: of the perplexities, in nats a token."""
    agreement, agreement_interval = _measure_figure(tokens, "floor")
    p99, p99_interval = _measure_figure(tokens, "p99_max")
    p999, p999_interval = _measure_figure(tokens, "p999_max")
    above = tokens.make_capped_rows(CAP).above
    return KlFacts(
        tokens=len(tokens.kl),
        documents=tokens.documents,
        groups=tokens.group_count,
        mean=tokens.mean.mean,
        mean_interval=tokens.mean.compute_interval(),
        cap=CAP,
        uncapped_mean=float(tokens.kl.mean()),
        above_cap=above.mean,
        above_cap_interval=above.compute_interval(),
        median=compute_quantile(tokens.kl, 0.5),
        p99=p99,
        p99_interval=p99_interval,
        p999=p999,
        p999_interval=p999_interval,
        maximum=float(tokens.kl.max()),
        same_top1=agreement,
        same_top1_interval=agreement_interval,
        log_perplexity_ratio=None if log_ratio is None else log_ratio.mean,
        log_perplexity_ratio_interval=None if log_ratio is None else log_ratio.compute_interval(),
        rest=tokens.rest,
    )


def add_kl(
    behaviour: BehaviourFacts, tokens: TokenKl, teacher: Outcomes, variant: Outcomes
) -> BehaviourFacts:
    """The behaviour with its figures on tokens. teacher, variant: with nats and tokens of each row."""
    facts = make_kl_facts(tokens, compute_log_ratio(teacher, variant))
    return behaviour.replace(kl_to_teacher=facts.mean, agreement=facts.same_top1, kl=facts)
