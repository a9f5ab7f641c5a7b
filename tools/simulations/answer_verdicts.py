"""How often verdicts on answers are wrong: scores of written answers, changed answers, faults, choices.

python -m tools.simulations.answer_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.metrics import load_metric
from slimgate.outcomes import Floats, Outcomes
from tools.simulations.answers import CHOICE_METRICS, Choices, Loss, Population, Written
from tools.simulations.grouped_verdicts import Shares
from tools.simulations.outcomes import make_ids
from tools.simulations.page import (
    TARGET,
    Options,
    format_error_at_5,
    format_head,
    format_percent,
    format_table,
    run,
)
from tools.simulations.rounds import RUN_AGAIN, Rates, Simulated, format_worst_cells, simulate_cells

NAME = "answer_verdicts"
PROMPTS = (150, 500, 2000)
LITTLE: Loss = "all prompts a little"
WHOLLY: Loss = "some prompts wholly"
ANEW: Loss = "some anew, all a little"
POPULATIONS: tuple[Population, ...] = (
    *(Written("right or wrong", loss, drop, 1) for loss, drop in product((WHOLLY, ANEW), (0.01, 0.02, 0.05))),
    *(
        Written("easy and hard", loss, drop, repeats)
        for loss, drop, repeats in product((LITTLE, WHOLLY, ANEW), (0.01, 0.02, 0.05), (1, 4, 16))
    ),
    *(
        Written(kind, loss, drop, repeats)
        for kind in ("no noise", "noise floor 1 %", "noise floor 5 %")
        for loss, drop, repeats in product((LITTLE, WHOLLY), (0.02, 0.10), (1, 8))
    ),
    *(
        Written(kind, loss, drop, repeats)
        for kind in ("teacher never", "teacher 2 %", "teacher 5 %")
        for loss, drop, repeats in product((LITTLE, WHOLLY), (0.005, 0.02), (1, 8))
    ),
    *(Choices(metric, noise) for metric, noise in product(CHOICE_METRICS, (1.15, 1.5))),
)
# Limits of the value itself, on some of the populations.
OTHER_KINDS: tuple[tuple[str, Population], ...] = (
    ("floor", Written("easy and hard", LITTLE, 0.02, 8)),
    ("floor", Written("right or wrong", WHOLLY, 0.02, 1)),
    ("ceiling", Written("teacher 2 %", WHOLLY, 0.02, 8)),
    ("ceiling", Written("teacher 2 %", WHOLLY, 0.02, 1)),
)


@dataclass(frozen=True)
class Cell:
    """A population, a budget whose limit the worse variant has exactly, and a number of prompts."""

    population: Population
    kind: str
    prompts: int
    seed: tuple[int, ...]

    @property
    def limit(self) -> float:
        """The limit, in the unit of the budget."""
        before, after = self.population.values
        return 100 * abs(before - after) if self.kind == "drop_points" else after

    @property
    def rule(self) -> str:
        """The rule's name in the summary."""
        sampled = ", sampled answers" if self.population.repeats > 1 else ""
        return f"{self.population.metric} {self.kind}{sampled}"

    @property
    def label(self) -> str:
        """The cell's name in the summary."""
        answers = f", {self.population.repeats} each" if self.population.repeats > 1 else ""
        limit = f"{self.limit:.3g} points" if self.kind == "drop_points" else f"{self.limit:.3g}"
        return f"{self.population.label}, limit {limit}, {self.prompts:,} prompts{answers}"

    def simulate(self, reps: int, *, again: int = 0) -> Shares:
        """Simulates `reps` runs. again: the number of the round; each round draws other samples."""
        rng = np.random.default_rng((*self.seed, again))
        sums = np.zeros(5)
        for _ in range(reps):
            pair = self.population.draw(rng, self.prompts, worse=True)
            equal = self.population.draw(rng, self.prompts, worse=False)
            at_limit, at_equal = (
                self._judge(values.mean(axis=1), other.mean(axis=1)) for values, other in (pair, equal)
            )
            alone = (
                self._judge(*(values.ravel() for values in pair)) if self.population.repeats > 1 else at_limit
            )
            sums += (
                at_limit is Verdict.PASS,
                at_limit is Verdict.FAIL,
                alone is Verdict.PASS,
                at_equal is Verdict.PASS,
                at_equal is Verdict.FAIL,
            )
        return Shares(*(sums / reps).tolist())

    def _judge(self, before: Floats, after: Floats) -> Verdict:
        name, ids = self.population.metric, make_ids(len(before))
        teacher, variant = (Outcomes(ids, values={name: values}) for values in (before, after))
        budget = QualityBudget(self.kind, self.limit)
        [judged] = judge_quality(load_metric(name), teacher, variant, [budget]).budgets
        return judged.verdict


def list_cells(seed: int) -> Iterator[Cell]:
    """Every cell, before it is simulated."""
    drops: tuple[tuple[str, Population], ...] = tuple(
        ("drop_points", population) for population in POPULATIONS
    )
    judged = (*drops, *OTHER_KINDS)
    for number, ((kind, population), prompts) in enumerate(product(judged, PROMPTS)):
        yield Cell(population, kind, prompts, (seed, number))


def make_page(options: Options) -> str:
    simulated = simulate_cells(list_cells(options.seed), reps=options.reps)
    text = format_head(
        "Answers: how often verdicts are wrong",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT.format(again=RUN_AGAIN),
    )
    text += format_worst_cells([_make_rates(cell) for cell in simulated])
    sampled = [cell for cell in simulated if cell.cell.population.repeats > 1]
    text += "\n## Sampled answers taken for rows of their own\n" + format_table(
        _SAMPLED, _format_repeat_rows(sampled)
    )
    return text + "\n## Every cell\n" + format_table(_HEADER, map(_format_row, simulated))


def _make_rates(simulated: Simulated[Cell, Shares]) -> Rates:
    return Rates(
        simulated.cell.rule,
        simulated.cell.label,
        simulated.result.passed,
        simulated.result.equal_failed,
        simulated.runs,
    )


def _format_repeat_rows(simulated: list[Simulated[Cell, Shares]]) -> Iterator[list[str]]:
    """The largest shares of PASS at the limit, by metric and answers of a prompt."""
    for metric, repeats in sorted(
        {(cell.cell.population.metric, cell.cell.population.repeats) for cell in simulated}
    ):
        results = [
            cell.result
            for cell in simulated
            if (cell.cell.population.metric, cell.cell.population.repeats) == (metric, repeats)
        ]
        clustered = max(result.passed for result in results)
        alone = max(result.as_if_alone for result in results)
        yield [metric, str(repeats), format_percent(clustered), format_percent(alone)]


def _format_row(simulated: Simulated[Cell, Shares]) -> list[str]:
    cell, shares = simulated.cell, simulated.result
    return [
        cell.population.metric,
        cell.kind,
        cell.population.label,
        str(cell.population.repeats),
        f"{cell.prompts:,}",
        f"{cell.limit:.3g}",
        format_percent(shares.passed, limit=TARGET, reps=simulated.runs),
        format_percent(shares.as_if_alone),
        format_percent(shares.failed, limit=TARGET, reps=simulated.runs),
        format_percent(shares.equal_passed),
        format_percent(shares.equal_failed, limit=TARGET, reps=simulated.runs),
        f"{simulated.runs:,}",
    ]


_SAMPLED = ("metric", "answers of a prompt", "PASS at the limit, %, at most", "taken for rows, %, at most")
_HEADER = (
    "metric",
    "budget",
    "answers",
    "each",
    "prompts",
    "limit",
    "PASS at the limit, %",
    "PASS as rows, %",
    "FAIL at the limit, %",
    "PASS if equal, %",
    "FAIL if equal, %",
    "runs",
)
_TEXT = """\
Verdicts of `judge_quality` itself on `text_generation` and `multiple_choice`. The variant is exactly at its
budget. Written answers: each prompt has its own chance of a good answer, and the variant's is lower: of all
prompts in proportion (`a little`), or 0 for some (`wholly`); `anew`: a fifth of the prompts get another
chance besides. Both models get the same noise in half of the answers. `looping` and `truncated`: the teacher
has that fault as often as the cell says. `same_answers`: the teacher's answers change by its noise floor.
`acc`, `acc_norm`, `acc_norm_tokens`: the likeliest of four choices, by log-likelihoods with more noise than
the teacher's.
An equal variant answers with the teacher's chances, and noise of its own. {again}
slimgate judges the mean of a prompt's answers; `as rows`: the same answers, each as a row of its own.
Bold: above 6 % by more than two standard errors.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=100)
