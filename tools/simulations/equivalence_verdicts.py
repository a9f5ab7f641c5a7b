"""How often a budget on both sides (equivalent_points) is judged wrongly, and the rows that it takes.

python -m tools.simulations.equivalence_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.metrics import load_metric
from slimgate.judge.power import simulate_analyses
from slimgate.judge.rows_needed import count_planned_rows
from slimgate.outcomes import ClassOutcomes
from tools.simulations.changes import CASES, Case
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
from tools.simulations.rounds import Rates, format_worst_cells

EQUIVALENT_POINTS = "equivalent_points"

NAME = "equivalence_verdicts"
ROWS = (200, 1000, 3000)
PSI = (0.01, 0.02, 0.05, 0.10, 0.20)
MARGINS = (0.01, 0.02, 0.05)
# One metric for each way to an interval: counts in groups, the bootstrap of confusion counts, Gaffke's bound
# of single rows and of groups, influence values, the bootstrap of pairs; and whether its rows are grouped.
METRICS = (
    ("accuracy", True),
    ("f1", False),
    ("brier", False),
    ("brier", True),
    ("roc_auc", False),
    ("mrr", False),
    ("spearman", False),
)
RESAMPLES = 300
POWER_RUNS = 20_000


@dataclass(frozen=True)
class Shares:
    """Shares of PASS and FAIL of a variant that is worse by the margin, better by it, or equal."""

    worse: tuple[float, float]
    better: tuple[float, float]
    equal: tuple[float, float]

    @property
    def false_pass(self) -> float:
        return max(self.worse[0], self.better[0])


@dataclass(frozen=True)
class CountCell:
    """Accuracy by counts of rows lost and won; margin: a fraction."""

    n: int
    psi: float
    margin: float
    known: dict[tuple[int, int], Verdict | None] = field(default_factory=dict, compare=False, repr=False)

    rule = f"accuracy {EQUIVALENT_POINTS}"

    @property
    def label(self) -> str:
        return f"margin ±{100 * self.margin:g}, psi {100 * self.psi:g} %, n {self.n:,}"

    def simulate(self, reps: int, seed: int) -> Shares:
        rng = np.random.default_rng(seed)
        return Shares(*(self._count_shares(rng, drop, reps) for drop in (self.margin, -self.margin, 0.0)))

    def _count_shares(self, rng: np.random.Generator, drop: float, reps: int) -> tuple[float, float]:
        chances = [(self.psi + drop) / 2, (self.psi - drop) / 2, max(0.0, 1 - self.psi)]
        counts = rng.multinomial(self.n, chances, size=reps)
        verdicts = [self._judge(int(lost), int(won)) for lost, won, _ in counts]
        return verdicts.count(Verdict.PASS) / reps, verdicts.count(Verdict.FAIL) / reps

    def _judge(self, lost: int, won: int) -> Verdict | None:
        if (lost, won) not in self.known:
            pair = make_pair(self.n, lost, won)
            budget = QualityBudget(EQUIVALENT_POINTS, 100 * self.margin)
            self.known[lost, won] = judge_quality(load_metric("accuracy"), *pair, [budget]).verdict
        return self.known[lost, won]


def make_pair(n: int, lost: int, won: int) -> tuple[ClassOutcomes, ClassOutcomes]:
    """Makes a teacher and a variant of n rows: the variant alone is wrong on `lost`, the teacher on `won`."""
    labels, ids = np.zeros(n, np.int64), make_ids(n)
    teacher, variant = labels.copy(), labels.copy()
    variant[:lost] = 1
    teacher[lost : lost + won] = 1
    before, after = (ClassOutcomes(ids, labels, answers, ("a", "b")) for answers in (teacher, variant))
    return before, after


@dataclass(frozen=True)
class CaseCell:
    """Another metric, on rows of `metric_verdicts`; the margin is the loss of the worse variant."""

    case: Case
    metric: str
    n: int

    @property
    def rule(self) -> str:
        return f"{self.metric} {EQUIVALENT_POINTS}{', groups' if self.case.grouped else ''}"

    @property
    def margin(self) -> float:
        before, after = self.case.values[self.metric]
        return abs(before - after)

    @property
    def label(self) -> str:
        return f"margin ±{100 * self.margin:.3g}, {self.case.label}, n {self.n:,}"

    def simulate(self, reps: int, seed: int) -> Shares:
        rng = np.random.default_rng(seed)
        return Shares(
            *(self._count_shares(rng, side, reps, seed) for side in ("worse", "better", "equal")),
        )

    def _count_shares(self, rng: np.random.Generator, side: str, reps: int, seed: int) -> tuple[float, float]:
        """Judges pairs. For a better variant, the teacher and the worse variant change places."""
        metric, budget = load_metric(self.metric), QualityBudget(EQUIVALENT_POINTS, 100 * self.margin)
        verdicts = []
        for number in range(reps):
            pair = self.case.draw(rng, self.n, worse=side != "equal")
            before, after = pair[::-1] if side == "better" else pair
            judged = judge_quality(metric, before, after, [budget], seed=seed + number, resamples=RESAMPLES)
            verdicts.append(judged.verdict)
        return verdicts.count(Verdict.PASS) / reps, verdicts.count(Verdict.FAIL) / reps


Cell = CountCell | CaseCell


def list_cells(
    *,
    rows: Sequence[int] = ROWS,
    psis: Sequence[float] = PSI,
    margins: Sequence[float] = MARGINS,
    metrics: Sequence[tuple[str, bool]] = METRICS,
) -> Iterator[Cell]:
    """The cells of accuracy in which a drop of the margin is possible, and the first case of each metric."""
    for margin in margins:
        for psi in psis:
            for n in rows:
                if psi >= margin:
                    yield CountCell(n, psi, margin)
    for metric, grouped in metrics:
        case = next(known for known in CASES if metric in known.metrics and known.grouped == grouped)
        for n in (300, 1000):
            yield CaseCell(case, metric, n)


def make_page(options: Options) -> str:
    simulated = [
        (cell, cell.simulate(options.reps, options.seed + number)) for number, cell in enumerate(list_cells())
    ]
    text = format_head(
        "Budgets on both sides: how often they are judged wrongly",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT,
    )
    text += format_worst_cells([_make_rates(cell, shares, options.reps) for cell, shares in simulated])
    text += "\n## The rows that both sides take\n" + _format_power_table(options.seed)
    return (
        text
        + "\n## Every cell\n"
        + format_table(_HEADER, [_format_row(*result, options.reps) for result in simulated])
    )


def _make_rates(cell: Cell, shares: Shares, reps: int) -> Rates:
    return Rates(cell.rule, cell.label, shares.false_pass, shares.equal[1], reps)


def _format_row(cell: Cell, shares: Shares, reps: int) -> list[str]:
    return [
        cell.rule.removesuffix(f" {EQUIVALENT_POINTS}"),
        cell.label,
        *(
            format_percent(share, limit=TARGET, reps=reps)
            for share in (shares.worse[0], shares.better[0], shares.worse[1], shares.better[1])
        ),
        format_percent(shares.equal[0]),
        format_percent(shares.equal[1], limit=TARGET, reps=reps),
    ]


def _format_power_table(seed: int) -> str:
    """Rows that are planned to pass an equal model 80 % of the time, and the share that passes on them."""
    rng, rows = np.random.default_rng(seed), []
    for margin in (0.01, 0.02):
        for psi in (0.02, 0.05, 0.10):
            drop_rows, equivalent_rows = (
                count_planned_rows(margin, discordance=psi, two_sided=two) for two in (False, True)
            )
            rows.append(
                [
                    f"{100 * margin:g}",
                    f"{100 * psi:g}",
                    f"{drop_rows:,}",
                    format_percent(_simulate_power(rng, drop_rows, psi, margin, two_sided=False)),
                    format_percent(_simulate_power(rng, drop_rows, psi, margin, two_sided=True)),
                    f"{equivalent_rows:,}",
                    format_percent(_simulate_power(rng, equivalent_rows, psi, margin, two_sided=True)),
                ]
            )
    return format_table(_POWER_HEADER, rows)


def _simulate_power(rng: np.random.Generator, n: int, psi: float, margin: float, *, two_sided: bool) -> float:
    """The share of equal models that passes, as `slimgate power` simulates it."""
    return simulate_analyses(rng, [n], psi, margin, 0.0, POWER_RUNS, two_sided=two_sided).passes


_HEADER = (
    "metric",
    "cell",
    "worse by the margin: PASS, %",
    "better by it: PASS, %",
    "worse by it: FAIL, %",
    "better by it: FAIL, %",
    "equal: PASS, %",
    "equal: FAIL, %",
)
_POWER_HEADER = (
    "margin, points",
    "psi, %",
    "drop_points: rows",
    "PASS if equal, %",
    "equivalent_points on these, %",
    "equivalent_points: rows",
    "PASS if equal, %",
)
_TEXT = f"""\
Verdicts of `judge_quality` itself. PASS takes two one-sided tests at 5 %, so that a variant which is worse or
better by exactly the margin passes in at most 5 % of the runs. FAIL takes the doubled smaller p-value, so
that it is at most 5 % even where both limits are near. psi of the rows change. The variant that is better by
the margin is, of other metrics than accuracy, the worse pair with teacher and variant exchanged. Bootstraps
have {RESAMPLES} resamples. The cells of other metrics are the first of `metric_verdicts`. The rows are
planned in closed form; the shares beside them are of {POWER_RUNS:,} simulated models. Bold: above 6 %
by more than two standard errors.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=1000)
