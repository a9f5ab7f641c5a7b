"""The figures of a KL log of llama.cpp."""

from __future__ import annotations

from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.facts import Facts


class KlFigure(Facts):
    """A figure with its 90 % interval.

    uncapped: the value if no chunk is capped. In `value`, a chunk counts for at most 1 nat per token. None if
    no chunk has more.
    """

    value: float
    interval: tuple[float, float]
    uncapped: float | None = None


class KlLogFacts(Facts):
    """The figures that `llama-perplexity --kl-divergence` printed.

    chunks: how many chunks of text; they are the units of the intervals. figures: by the kind of budget that
    limits them: mean_max (mean KL in nats per token), floor (share of tokens with the same likeliest next
    token), increase_relative (growth of the perplexity). quantiles: of the KL of all tokens.
    """

    chunks: int
    figures: dict[str, KlFigure]
    quantiles: dict[str, float] = {}
    budgets: list[BudgetFacts] = []
    verdict: Verdict | None = None
    message: str | None = None
    measured: str
