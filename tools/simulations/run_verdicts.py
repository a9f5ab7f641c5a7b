"""How often a verdict over several runs of two models is wrong, and how often it decides.

python -m tools.simulations.run_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from slimgate.judge.contrast import make_drop_contrast
from slimgate.judge.decision import ALPHA
from slimgate.judge.evidence import is_zero_or_one
from slimgate.judge.mean_evidence import PairedMeans
from slimgate.judge.over_runs import RunScores, combine_runs
from slimgate.judge.paired import compute_paired_p_value
from slimgate.judge.pass_k import PassMetric, compute_pass_scores
from slimgate.outcomes import Floats
from tools.simulations.page import (
    TARGET,
    Options,
    format_error_at_5,
    format_head,
    format_percent,
    format_table,
    run,
)
from tools.simulations.rounds import RUN_AGAIN, Rates, Simulated, format_worst_cells, simulate_in_rounds

NAME = "run_verdicts"
Kind = Literal["0/1", "continuous", "pass^3", "pass@3"]
# Runs of base and target.
RUNS = ((1, 1), (2, 2), (3, 3), (5, 5), (10, 10), (1, 3), (2, 5), (3, 10))
PASS_RUNS = ((3, 3), (5, 5), (10, 10))
# Samples with their budget in points; of pass^3 and pass@3 twice as much.
SAMPLES = ((100, 8.0), (500, 4.0))
# The share of a score's variance that its sample has in every run.
CORRELATIONS = {"none": 0.0, "medium": 0.5, "full": 1.0}
# The standard deviation of the shift of a whole run, in points.
SHIFTS = (0.0, 1.0)
RIGHT, GAINED, LOSS = 0.7, 0.02, 0.4
# The draws that the drop of pass@3 and pass^3 is estimated from if whole runs move.
_DRAWS = 2_000
DROP = make_drop_contrast(higher_is_better=True)


@dataclass(frozen=True)
class Cell:
    """runs: of base and target; shift: of whole runs, in points; margin: the budget, in points."""

    kind: Kind
    runs: tuple[int, int]
    n: int
    margin: float
    correlation: str
    shift: float

    @property
    def label(self) -> str:
        """The cell's name in the summary."""
        runs = f"{self.runs[0]} and {self.runs[1]} runs"
        return f"{runs}, n {self.n}, correlation {self.correlation}, sd of runs {self.shift:g}"


@dataclass(frozen=True)
class Shares:
    """Shares of PASS at the budget, of FAIL and PASS of an equal model, and of FAIL at twice the budget."""

    at_budget: float
    equal_fails: float
    equal_passes: float
    twice_fails: float

    @property
    def worst(self) -> float:
        """The larger share of wrong verdicts: PASS at the budget, FAIL of an equal model."""
        return max(self.at_budget, self.equal_fails)


def list_cells() -> Iterator[Cell]:
    """All cells: scores over every number of runs, and pass^3 and pass@3 where there are three."""
    scores: tuple[Kind, ...] = ("0/1", "continuous")
    for kind, runs, (n, margin), correlation, shift in product(scores, RUNS, SAMPLES, CORRELATIONS, SHIFTS):
        # one run of each model does not show how far whole runs move
        if runs != (1, 1) or shift == 0:
            yield Cell(kind, runs, n, margin, correlation, shift)
    pass_kinds: tuple[Kind, ...] = ("pass^3", "pass@3")
    for kind, runs, (n, margin), correlation, shift in product(
        pass_kinds, PASS_RUNS, SAMPLES, CORRELATIONS, SHIFTS
    ):
        yield Cell(kind, runs, n, 2 * margin, correlation, shift)


def draw_scores(rng: np.random.Generator, cell: Cell, drop: float) -> tuple[Floats, Floats]:
    """Draws (runs, n) scores of base and target, which loses `drop` on average, a fraction."""
    draw_kind = _draw_scores if cell.kind == "continuous" else _draw_answers
    return draw_kind(rng, cell, drop)


def _draw_answers(rng: np.random.Generator, cell: Cell, drop: float) -> tuple[Floats, Floats]:
    """Draws answers. A damaged sample is never right, and a share of the others always is."""
    shared = CORRELATIONS[cell.correlation]
    if shared == 0:
        chances = np.full(cell.n, RIGHT)
    elif shared == 1:
        chances = (rng.random(cell.n) < RIGHT).astype(np.float64)
    else:
        size = 1 / shared - 1
        chances = rng.beta(RIGHT * size, (1 - RIGHT) * size, cell.n)
    right = _compute_true_value(cell.kind, shared, RIGHT)
    fate = rng.random(cell.n)
    lost = (drop + GAINED * (1 - right)) / right
    after = np.where(fate < lost, 0.0, np.where(fate > 1 - GAINED, 1.0, chances))
    base, target = (
        _draw_moved_answers(rng, side, count, cell)
        for side, count in zip((chances, after), cell.runs, strict=True)
    )
    return base, target


def _compute_true_value(kind: Kind, shared: float, right: float) -> float:
    """The mean of the metric over samples of the base, without the shifts of whole runs."""
    if kind not in ("pass^3", "pass@3"):
        return right
    chance = right if kind == "pass^3" else 1 - right
    if shared == 0:
        value = chance**3
    elif shared == 1:
        value = chance
    else:
        size = 1 / shared - 1
        value = float(np.prod([(chance * size + k) / (size + k) for k in range(3)]))
    return value if kind == "pass^3" else 1 - value


def _draw_moved_answers(rng: np.random.Generator, chances: Floats, count: int, cell: Cell) -> Floats:
    answers = rng.random((count, cell.n)) < chances
    moved = rng.normal(0, cell.shift / 100, (count, 1))
    fates = rng.random((count, cell.n))
    lost, won = fates < np.maximum(-moved, 0) / RIGHT, fates < np.maximum(moved, 0) / (1 - RIGHT)
    return np.where(answers, ~lost, won).astype(np.float64)


def _draw_scores(rng: np.random.Generator, cell: Cell, drop: float) -> tuple[Floats, Floats]:
    """Draws scores between 0 and 1. A damaged sample loses 0.4 in every run."""
    shared = CORRELATIONS[cell.correlation]
    quality = 0.65 + 0.2 * np.sqrt(shared) * rng.uniform(-1, 1, cell.n)
    after = quality - LOSS * (rng.random(cell.n) < drop / LOSS)
    base, target = (
        side
        + 0.2 * np.sqrt(1 - shared) * rng.uniform(-1, 1, (count, cell.n))
        + rng.normal(0, cell.shift / 100, (count, 1))
        for side, count in zip((quality, after), cell.runs, strict=True)
    )
    return base.clip(0, 1), target.clip(0, 1)


def estimate_true_drop(rng: np.random.Generator, cell: Cell, drop: float) -> float:
    """The drop of a target that is drawn for `drop`, as a fraction.

    Runs that move by chance also answer some damaged samples, which lowers the drop of pass@3. Its estimator
    has no bias, so the mean of the estimates is the drop.
    """
    pass_metric = PassMetric.parse(cell.kind)
    if pass_metric is None or cell.shift == 0:
        return drop
    estimates = [
        [_compute_pass_values(pass_metric, side).mean() for side in draw_scores(rng, cell, drop)]
        for _ in range(_DRAWS)
    ]
    before, after = np.mean(estimates, axis=0)
    return float(before - after)


def _compute_pass_values(pass_metric: PassMetric, side: Floats) -> Floats:
    runs = np.full(side.shape[1], len(side), np.float64)
    return compute_pass_scores(pass_metric, side.sum(axis=0), runs)[0]


def is_excluded(cell: Cell, base: Floats, target: Floats, limit: float, *, above: bool) -> bool:
    """Whether the verdict rejects "the drop is at least `limit`" (above), or "at most"."""
    runs = RunScores(base, target)
    values = base.mean(axis=0), target.mean(axis=0)
    if cell.kind in ("pass^3", "pass@3"):
        pass_metric = PassMetric.parse(cell.kind)
        assert pass_metric is not None
        (before, base_slopes), (after, target_slopes) = (
            compute_pass_scores(pass_metric, side.sum(axis=0), np.full(cell.n, len(side), np.float64))
            for side in (base, target)
        )
        values, runs = (before, after), RunScores(base * base_slopes, target * target_slopes)
    elif all(is_zero_or_one(side) for side in values) and cell.runs == (1, 1):
        lost, won = int((values[0] > values[1]).sum()), int((values[0] < values[1]).sum())
        pair = (lost, won) if above else (won, lost)
        return compute_paired_p_value(*pair, cell.n, limit if above else -limit) <= ALPHA
    rows = PairedMeans(*values, sizes=np.ones(cell.n), groups=None, ends=(0.0, 1.0), most_lost=1.0)
    if cell.runs == (1, 1):
        return (rows.p_at_least if above else rows.p_at_most)(DROP, limit) <= ALPHA
    return combine_runs(rows, runs).excludes(DROP, limit, ALPHA, above=above)


def simulate_cell(cell: Cell, seed: int, reps: int, number: int) -> Shares:
    """Simulates a cell. number: of the round; each round draws other samples."""
    drawn = (*cell.runs, cell.n, len(cell.kind), len(cell.correlation), int(cell.shift))
    rng = np.random.default_rng([seed, number, *drawn, ord(cell.kind[-2])])
    margin, sums = cell.margin / 100, np.zeros(4)
    limit = estimate_true_drop(rng, cell, margin)
    for _ in range(reps):
        at_budget, equal, twice = (draw_scores(rng, cell, drop) for drop in (margin, 0.0, 2 * margin))
        sums += (
            is_excluded(cell, *at_budget, limit, above=True),
            is_excluded(cell, *equal, margin, above=False),
            is_excluded(cell, *equal, margin, above=True),
            is_excluded(cell, *twice, margin, above=False),
        )
    return Shares(*(sums / reps).tolist())


def make_page(options: Options) -> str:
    simulated = simulate_in_rounds(
        list_cells(),
        lambda cell, reps, number: simulate_cell(cell, options.seed, reps, number),
        lambda shares: shares.worst,
        reps=options.reps,
    )
    text = format_head(
        "Verdicts over several runs",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT,
    )
    text += format_worst_cells([_make_rates(cell) for cell in simulated])
    return text + f"\n## Every cell\n\n{RUN_AGAIN}\n" + format_table(_HEADER, map(_format_row, simulated))


def _make_rates(simulated: Simulated[Cell, Shares]) -> Rates:
    cell, shares = simulated.cell, simulated.result
    rule = f"{cell.kind} over runs"
    return Rates(rule, cell.label, shares.at_budget, shares.equal_fails, simulated.runs)


def _format_row(simulated: Simulated[Cell, Shares]) -> list[Any]:
    cell, shares = simulated.cell, simulated.result
    return [
        cell.kind,
        f"{cell.runs[0]} / {cell.runs[1]}",
        f"{cell.n}",
        cell.correlation,
        f"{cell.shift:g}",
        f"{cell.margin:g}",
        format_percent(shares.at_budget, limit=TARGET, reps=simulated.runs),
        format_percent(shares.equal_fails, limit=TARGET, reps=simulated.runs),
        format_percent(shares.equal_passes),
        format_percent(shares.twice_fails),
        f"{simulated.runs:,}",
    ]


_HEADER = (
    "scores",
    "runs",
    "n",
    "correlation of runs",
    "sd of runs, points",
    "margin, points",
    "at the margin: PASS, %",
    "equal: FAIL, %",
    "equal: PASS, %",
    "twice the margin: FAIL, %",
    "simulated",
)
_TEXT = f"""\
Runs of two models on the same samples, crossed. The correlation is the share of a score's variance that
comes from the sample and is the same in every run. If it is 0, each answer is drawn anew. If it is 1, all
runs of a model give the same answers. All scores of one run are also shifted together, by a normally
distributed amount with the given standard deviation. A server or a judge can cause such a shift. The target
loses the margin on average, in damaged samples that no run answers. Right answers: {100 * RIGHT:g} %. PASS
at the margin is wrong, and so is FAIL of an equal model. If each model has only one run, the data do not
show how much whole runs differ by chance, and a note says so. Bold: above 6 % by more than two standard
errors.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=400)
