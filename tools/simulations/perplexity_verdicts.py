"""How often verdicts on perplexity are wrong, and how often its interval contains the true value.

python -m tools.simulations.perplexity_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, expm1, isnan, log1p, nan

import numpy as np

from slimgate.judge import QualityBudget, Verdict
from slimgate.judge.capped import WORST
from slimgate.judge.metrics.language_model import CAP
from slimgate.judge.perplexity import judge_perplexity
from tools.simulations.documents import TEACHER_NATS, Documents
from tools.simulations.judging import Shares
from tools.simulations.page import (
    TARGET,
    Options,
    format_coverage,
    format_errors,
    format_head,
    format_percent,
    format_table,
    run,
)
from tools.simulations.rounds import Rates, Simulated, format_worst_cells, simulate_in_rounds

NAME = "perplexity_verdicts"
DOCUMENTS = (50, 200, 1000, 3000)
CASES = {
    "tokens alone": Documents(document=0.0),
    "documents differ": Documents(),
    "documents differ, lengths very much": Documents(spread=1.5),
    "long documents lose more": Documents(by_length=0.02),
    "5 % of the documents lose 0.2 more": Documents(damaged=0.05, damage=0.2),
    "1 % of the documents lose 1.0 more": Documents(damaged=0.01, damage=1.0),
    "0.3 % of the documents lose 3.0 more": Documents(damaged=0.003, damage=3.0),
    "1 % lose exactly 8.0": Documents(mean=0.0, damaged=0.01, damage=8.0, fixed=True),
    "0.5 % lose exactly 8.0": Documents(mean=0.0, damaged=0.005, damage=8.0, fixed=True),
    "0.25 % lose exactly 5.0": Documents(mean=0.0, damaged=0.0025, damage=5.0, fixed=True),
    "1 % lose exactly 3.0": Documents(mean=0.0, damaged=0.01, damage=3.0, fixed=True),
    "all lose 0.01, 0.1 % lose 8.0": Documents(damaged=0.001, damage=8.0, fixed=True),
    "0.5 % lose 4.0, exponential": Documents(mean=0.0, damaged=0.005, damage=4.0),
}
# Populations for budgets in which the user states the limit of the share above the cap.
STATED_SHARE_CASES = {
    "1 % lose exactly 8.0": Documents(mean=0.0, damaged=0.01, damage=8.0, fixed=True),
    "all lose 0.02, 0.5 % lose 3.0": Documents(mean=0.02, damaged=0.005, damage=3.0, fixed=True),
}
EQUAL_LIMITS, EQUAL_DOCUMENTS = (0.02, 0.03, 0.05, 0.1), (200, 500, 1000, 2000, 3000)
# The cases in which a ceiling is simulated too.
CEILINGS = ("documents differ", "1 % of the documents lose 1.0 more")


@dataclass(frozen=True)
class Cell:
    """A population of documents, and a budget whose limit is exactly the true value.

    at: the value that is at its limit. "mean": the mean without a cap; slimgate derives the limit of the
    share above the cap. "capped mean", "share above": only this value; the user states the limits, and the
    other value is within its limit.
    """

    name: str
    population: Documents
    documents: int
    kind: str
    at: str = "mean"

    @property
    def limit(self) -> float:
        if self.kind == "ceiling":
            return exp(TEACHER_NATS + self.population.log_ratio)
        if self.at == "share above":
            return 4 * expm1(self.population.compute_capped_log_ratio(CAP))
        return expm1(
            self.population.log_ratio if self.at == "mean" else self.population.compute_capped_log_ratio(CAP)
        )

    @property
    def above_max(self) -> float | None:
        if self.at == "mean":
            return None
        return self.population.compute_share_above(CAP) * (1 if self.at == "share above" else 4)

    @property
    def share_holds(self) -> bool:
        """Whether the share above the cap is within its limit, so that FAIL is wrong."""
        limit = self.above_max or log1p(self.limit) / (WORST * CAP)
        return self.kind == "ceiling" or self.population.compute_share_above(CAP) <= limit

    def simulate(self, reps: int, *, seed: int) -> Shares:
        """The shares of PASS, of FAIL, and of intervals that contain the true increase."""
        rng = np.random.default_rng((seed, self.documents))
        budget = QualityBudget(self.kind, self.limit, above_cap_max=self.above_max)
        sums, increase = np.zeros(3), expm1(self.population.compute_capped_log_ratio(CAP))
        for _ in range(reps):
            drawn = self.population.draw(rng, self.documents)
            judged = judge_perplexity(drawn.teacher, drawn.variant, drawn.tokens, [budget])
            low, high = judged.interval or (np.nan, np.nan)
            sums += (
                judged.verdict is Verdict.PASS,
                judged.verdict is Verdict.FAIL,
                low <= 100 * increase <= high,
            )
        passed, failed, covered = (sums / reps).tolist()
        return Shares(passed, failed if self.share_holds else nan, covered, refused=0.0)


def list_cells() -> Iterator[Cell]:
    """Every population at every number of documents. Only the cases of CEILINGS have a ceiling too."""
    for name, population in CASES.items():
        for documents in DOCUMENTS:
            yield Cell(name, population, documents, "increase_relative")
    for name in CEILINGS:
        for documents in DOCUMENTS:
            yield Cell(name, CASES[name], documents, "ceiling")
    for name, population in STATED_SHARE_CASES.items():
        for at in ("capped mean", "share above"):
            for documents in DOCUMENTS:
                yield Cell(name, population, documents, "increase_relative", at)


def make_page(options: Options) -> str:
    simulated = simulate_in_rounds(
        list_cells(),
        lambda cell, reps, number: cell.simulate(reps, seed=options.seed + number * 1_000_003),
        lambda shares: shares.passed if isnan(shares.failed) else shares.worst,
        reps=options.reps,
    )
    text = format_head(
        "Perplexity: how often verdicts are wrong",
        NAME,
        options,
        error=format_errors(options.reps),
        text=_TEXT,
    )
    text += format_worst_cells([_make_rates(cell) for cell in simulated])
    header = ["variant", "documents", "budget", "at its limit", "limit", "PASS, %", "FAIL, %", "coverage, %"]
    text += "\n## The variant is at its limit\n" + format_table(
        [*header, "runs"], map(_format_row, simulated)
    )
    columns = ["increase_relative", *(f"{count:,} documents" for count in EQUAL_DOCUMENTS)]
    return (
        text
        + "\n## What an equal model passes\n"
        + _EQUAL
        + format_table(columns, _format_equal_rows(options))
    )


def _make_rates(simulated: Simulated[Cell, Shares]) -> Rates:
    cell, shares = simulated.cell, simulated.result
    rule = f"perplexity {cell.kind}, {cell.at} at the limit"
    where = f"{cell.name}, {cell.documents:,} documents"
    return Rates(rule, where, shares.passed, shares.failed, simulated.runs)


def _format_equal_rows(options: Options) -> Iterator[list[str]]:
    """For each limit, the share of PASS in percent by number of documents."""
    population, runs = Documents(mean=0.0, document=0.005, token=0.05, spread=0.3), max(1, options.reps // 4)
    for limit in EQUAL_LIMITS:
        row = [f"{limit:g}"]
        for documents in EQUAL_DOCUMENTS:
            rng, passed = np.random.default_rng((options.seed, documents)), 0
            for _ in range(runs):
                drawn = population.draw(rng, documents)
                budget = QualityBudget("increase_relative", limit)
                judged = judge_perplexity(drawn.teacher, drawn.variant, drawn.tokens, [budget])
                passed += judged.verdict is Verdict.PASS
            row.append(format_percent(passed / runs))
        yield row


def _format_row(simulated: Simulated[Cell, Shares]) -> list[str]:
    cell, shares, runs = simulated.cell, simulated.result, simulated.runs or 1
    return [
        cell.name,
        f"{cell.documents:,}",
        cell.kind,
        cell.at,
        f"{cell.limit:.4g}",
        format_percent(shares.passed, limit=TARGET, reps=runs),
        format_percent(shares.failed, limit=TARGET, reps=runs),
        format_coverage(shares.covered, runs, is_nominal=False),
        f"{runs:,}",
    ]


_TEXT = """\
Verdicts of `judge_perplexity` itself on documents of log-normal length (median 100 tokens, spread of the
logarithm 0.8) whose true increase of perplexity is computed, not drawn; the limit is that increase without a
cap, or for a ceiling the variant's true perplexity. Tokens lose 0.01 nats on average with a standard
deviation of 0.3; all tokens of a document share an effect with a standard deviation of 0.03 nats. In some
populations few documents lose much, exponentially distributed or exactly so much. At the limit is the mean
without a cap; where the user states the limit of the share above the cap, the capped mean or that share
alone. FAIL is left out where the share above the cap is over its limit, so that FAIL is right. Coverage is
that of the two-sided 90 % interval of the capped increase. Bold: PASS or FAIL above 6 %, coverage below 87 %,
each by more than two standard errors.
"""
_EQUAL = """
PASS in percent of a variant in the same weights but for rounding: documents of similar length (spread 0.3),
whose tokens change by 0.05 nats with a shared part of 0.005.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=100)
