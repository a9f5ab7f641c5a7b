"""How often a verdict over several builds of a recipe is wrong, and how often it decides.

python -m tools.simulations.build_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.contrast import make_drop_contrast
from slimgate.judge.decision import ALPHA, Z_ALPHA
from slimgate.judge.mean_evidence import PairedMeans
from slimgate.judge.metrics import load_metric
from slimgate.judge.over_builds import OverBuilds
from slimgate.judge.paired import compute_tango_z
from slimgate.outcomes import ClassOutcomes, Floats
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
from tools.simulations.rounds import RUN_AGAIN, Rates, Simulated, format_worst_cells, simulate_in_rounds

NAME = "build_verdicts"
PSI = 0.05
RIGHT = 0.9
BUILDS = (2, 3, 5)
SPREADS = (0.0, 0.3, 0.6, 1.0)
SHARED = (0.0, 0.8)
# Rows with their budget in points; groups of ten rows, which share a tenth of their changes.
ROWS = ((1_000, 2.0), (3_000, 1.0))
GROUPED, GROUP_MARGIN, GROUP_ROWS, FOLLOW = 3_000, 2.0, 10, sqrt(0.1)
F1_ROWS, F1_MARGIN, F1_BUILDS = 1_000, 2.0, 3
# Points that a broken build loses more than the others, the share of broken builds, and numbers of builds.
BROKEN, BROKEN_SHARE, BROKEN_BUILDS = 10.0, 0.1, (3, 5, 10)
# Shares of the variance that are between builds, and runs of the comparison of rules.
BETWEEN, NORMALS = (0.25, 0.5, 0.75, 0.9), 400_000
DROP = make_drop_contrast(higher_is_better=True)

Changes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Cell:
    """A recipe and its budget.

    spread: the standard deviation between builds, and margin: the budget, both in points. shared: the share
    of the changes that all builds have in common.
    """

    builds: int
    spread: float
    shared: float
    n: int
    margin: float
    grouped: bool = False

    @property
    def label(self) -> str:
        rows = f"n {self.n:,}" + (" in groups" if self.grouped else "")
        return f"{self.builds} builds, sd {self.spread:g}, {100 * self.shared:.0f} % shared, {rows}"


@dataclass(frozen=True)
class Shares:
    """Shares of the runs.

    at_budget, first_at_budget: a recipe at its budget passes, over builds and by its first build alone.
    equal_fails, equal_passes: of a recipe that is as good as the teacher. twice_fails: a recipe that loses
    twice its budget fails.
    """

    at_budget: float
    first_at_budget: float
    equal_fails: float
    equal_passes: float
    twice_fails: float

    @property
    def worst(self) -> float:
        return max(self.at_budget, self.equal_fails)


def list_cells() -> Iterator[Cell]:
    for n, margin in ROWS:
        for shared in SHARED:
            for spread in SPREADS:
                yield from (Cell(builds, spread, shared, n, margin) for builds in BUILDS)
    for spread in SPREADS:
        yield from (Cell(builds, spread, SHARED[1], GROUPED, GROUP_MARGIN, grouped=True) for builds in BUILDS)


def draw_changes(
    rng: np.random.Generator, cell: Cell, drops: Floats
) -> tuple[npt.NDArray[np.bool_], Changes]:
    """Draws (n,) whether the teacher is right, and (builds, n) changes: +1 lost, -1 won.

    drops: (builds,) the true drop of each build, a fraction.
    """
    right = rng.random(cell.n) < RIGHT
    fates = rng.random((cell.builds, cell.n))
    if cell.grouped:
        member = np.arange(cell.n) // GROUP_ROWS
        follows = rng.random(cell.n) < FOLLOW
        group_fates = rng.random((cell.builds, member[-1] + 1))[:, member]
        fates = np.where(follows, group_fates, fates)
        right = np.where(follows, (rng.random(member[-1] + 1) < RIGHT)[member], right)
    common = rng.random(cell.n) < cell.shared
    fates = np.where(common, fates[0], fates)
    psi = np.maximum(PSI, np.abs(drops))[:, None]
    lost, won = (psi + drops[:, None]) / 2 / RIGHT, (psi - drops[:, None]) / 2 / (1 - RIGHT)
    return right, np.where(right, fates < lost, -(fates < won).astype(np.int8)).astype(np.int8)


def draw_drops(rng: np.random.Generator, cell: Cell, drop: float) -> Floats:
    """Draws (builds,) true drops, as fractions, of a recipe that loses `drop` points on average."""
    return rng.normal(drop, cell.spread, cell.builds) / 100


def make_evidence(cell: Cell, right: npt.NDArray[np.bool_], changes: Changes) -> OverBuilds:
    """The evidence that `over_builds` has of these answers."""
    before = right.astype(np.float64)
    groups = np.arange(cell.n) // GROUP_ROWS if cell.grouped else None
    means = PairedMeans(
        before=before,
        after=before - changes.mean(axis=0),
        sizes=np.ones(cell.n),
        groups=groups,
        ends=(0.0, 1.0),
        most_lost=1.0,
    )
    after = before.mean() - changes.mean(axis=1)
    return OverBuilds(before=float(before.mean()), after=after, rows=[means], n=cell.n)


def simulate_cell(cell: Cell, seed: int, runs: int, number: int) -> Shares:
    """Simulates a cell. number: of the round; each round draws other samples."""
    drawn = (cell.builds, round(10 * cell.spread), round(10 * cell.shared), cell.n, int(cell.grouped))
    rng = np.random.default_rng([seed, number, *drawn])
    margin, sums = cell.margin / 100, np.zeros(5)
    for _ in range(runs):
        at_budget, equal, twice = (
            draw_changes(rng, cell, draw_drops(rng, cell, drop))
            for drop in (cell.margin, 0.0, 2 * cell.margin)
        )
        equal_evidence = make_evidence(cell, *equal)
        sums += (
            make_evidence(cell, *at_budget).excludes(DROP, margin, ALPHA, above=True),
            not cell.grouped and _has_first_passed(at_budget[1][0], margin),
            equal_evidence.excludes(DROP, margin, ALPHA, above=False),
            equal_evidence.excludes(DROP, margin, ALPHA, above=True),
            make_evidence(cell, *twice).excludes(DROP, margin, ALPHA, above=False),
        )
    shares = (sums / runs).tolist()
    return Shares(*shares) if not cell.grouped else replace(Shares(*shares), first_at_budget=float("nan"))


def _has_first_passed(changes: Changes, margin: float) -> bool:
    lost, won = int((changes > 0).sum()), int((changes < 0).sum())
    return compute_tango_z(lost, won, len(changes), margin) <= -Z_ALPHA


def simulate_f1_passes(spread: float, runs: int, seed: int) -> float:
    """The share of recipes at a budget on macro F1 that pass. The rows are resampled."""
    cell = Cell(F1_BUILDS, spread, shared=SHARED[1], n=F1_ROWS, margin=F1_MARGIN)
    rng = np.random.default_rng([seed, 1, round(10 * spread)])
    budgets = [QualityBudget("drop_points", F1_MARGIN, over="builds")]
    metric, passed = load_metric("f1_macro"), 0
    for number in range(runs):
        right, changes = draw_changes(rng, cell, draw_drops(rng, cell, F1_MARGIN))
        labels = rng.integers(0, 2, cell.n)
        models = [
            _make_class_outcomes(labels, right),
            *(_make_class_outcomes(labels, right & (change < 1) | (change < 0)) for change in changes),
        ]
        judged = judge_quality(
            metric, models[0], models[1], budgets, builds=models[2:], seed=number, resamples=500
        )
        passed += judged.verdict is Verdict.PASS
    return passed / runs


def _make_class_outcomes(labels: npt.NDArray[np.int64], right: npt.NDArray[np.bool_]) -> ClassOutcomes:
    ids = make_ids(len(labels))
    return ClassOutcomes(ids, labels, np.where(right, labels, 1 - labels), ("a", "b"))


def simulate_broken_passes(builds: int, runs: int, seed: int) -> float:
    """The share of recipes at their budget that pass, if one build in ten is broken."""
    n, margin = ROWS[1]
    cell = Cell(builds, spread=0.0, shared=SHARED[1], n=n, margin=margin)
    rng = np.random.default_rng([seed, 2, builds])
    passed = 0
    for _ in range(runs):
        broken = rng.random(builds) < BROKEN_SHARE
        drops = cell.margin / 100 + (broken - BROKEN_SHARE) * BROKEN / 100
        evidence = make_evidence(cell, *draw_changes(rng, cell, drops))
        passed += evidence.excludes(DROP, cell.margin / 100, ALPHA, above=True)
    return passed / runs


def simulate_normal_rules(builds: int, share: float, seed: int) -> tuple[float, float]:
    """How often a normal mean is beyond its 5 % bound, by Satterthwaite's rule and by Banerjee's.

    share: the part of the variance that is between builds. The variance of the rows is known.
    """
    from scipy.stats import t

    rng = np.random.default_rng([seed, 3, builds, round(100 * share)])
    rows_variance, builds_variance = 1 - share, share * rng.chisquare(builds - 1, NORMALS) / (builds - 1)
    mean, error = rng.standard_normal(NORMALS), np.sqrt(rows_variance + builds_variance)
    degrees = (rows_variance + builds_variance) ** 2 * (builds - 1) / builds_variance**2
    satterthwaite = mean > t.ppf(1 - ALPHA, degrees) * error
    student = t.ppf(1 - ALPHA, builds - 1)
    banerjee = mean > np.sqrt(Z_ALPHA**2 * rows_variance + student**2 * builds_variance)
    return float(satterthwaite.mean()), float(banerjee.mean())


def make_page(options: Options) -> str:
    simulated = simulate_in_rounds(
        list_cells(),
        lambda cell, runs, number: simulate_cell(cell, options.seed, runs, number),
        lambda shares: shares.worst,
        reps=options.reps,
    )
    f1 = [(spread, simulate_f1_passes(spread, options.reps, options.seed)) for spread in (0.0, 0.6)]
    broken = [(k, simulate_broken_passes(k, options.reps, options.seed)) for k in BROKEN_BUILDS]
    text = format_head(
        "Verdicts over several builds of a recipe",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT,
    )
    rates = [_make_rates(cell) for cell in simulated]
    f1_rule = "f1_macro drop_points over builds"
    rates += [
        Rates(f1_rule, f"{F1_BUILDS} builds, sd {spread:g}, n {F1_ROWS:,}", share, float("nan"), options.reps)
        for spread, share in f1
    ]
    text += format_worst_cells(rates)
    text += f"\n## Every cell\n\n{RUN_AGAIN}\n" + format_table(_HEADER, map(_format_row, simulated))
    rows = [[f"{k}", format_percent(share)] for k, share in broken]
    text += _ASSUMED + format_table(["builds", "at the budget: PASS, %"], rows)
    lines = [
        [f"{k}", f"{100 * share:g}", *map(format_percent, simulate_normal_rules(k, share, options.seed))]
        for k in BUILDS
        for share in BETWEEN
    ]
    return (
        text + _RULES + format_table(["builds", "of the builds, %", "Satterthwaite, %", "Banerjee, %"], lines)
    )


def _make_rates(simulated: Simulated[Cell, Shares]) -> Rates:
    cell, shares = simulated.cell, simulated.result
    rule = "drop_points over builds" + (", grouped rows" if cell.grouped else "")
    return Rates(rule, cell.label, shares.at_budget, shares.equal_fails, simulated.runs)


def _format_row(simulated: Simulated[Cell, Shares]) -> list[Any]:
    cell, shares = simulated.cell, simulated.result
    return [
        cell.builds,
        f"{cell.spread:g}",
        f"{100 * cell.shared:.0f}",
        f"{cell.n:,}" + (f" in {cell.n // GROUP_ROWS} groups" if cell.grouped else ""),
        f"{cell.margin:g}",
        format_percent(shares.at_budget, limit=TARGET, reps=simulated.runs),
        format_percent(shares.first_at_budget),
        format_percent(shares.equal_fails, limit=TARGET, reps=simulated.runs),
        format_percent(shares.equal_passes),
        format_percent(shares.twice_fails),
        f"{simulated.runs:,}",
    ]


_HEADER = (
    "builds",
    "sd of builds, points",
    "changes shared, %",
    "n",
    "margin, points",
    "at the margin: PASS, %",
    "by the first build alone, %",
    "equal: FAIL, %",
    "equal: PASS, %",
    "twice the margin: FAIL, %",
    "runs",
)
_TEXT = f"""\
A recipe loses exactly the margin, which is the budget, on average. The drops of its builds are drawn from a
normal distribution with the given standard deviation. Each build changes {100 * PSI:g} % of the rows; a
share of the rows changes alike in all builds. With `over = "builds"`, this recipe should pass in at most 5
% of the runs. A recipe that is as good as the teacher ("equal") should fail in at most 5 %. The column "by
the first build alone" shows Tango's test of the first build, taken as a verdict on the recipe; Tango's test
is not made for this. Power is how often a recipe as good as the teacher passes, and how often a recipe that
loses twice the margin fails.
"""
_ASSUMED = f"""
## What is assumed: builds that differ by chance, not one that breaks

One build in ten loses {BROKEN:g} points more than the others, and the mean over all builds is at the
budget of {ROWS[1][1]:g} point. Three builds are all good in 73 % of the runs, ten in 35 %, and good builds
cannot show what a broken one would lose.
"""

_RULES = f"""
## Why not Satterthwaite's degrees of freedom

Normal means whose variance is partly of the builds, partly of the rows: how often the true mean is beyond its
5 % bound, in {NORMALS:,} runs. Satterthwaite's bound is too short where few builds happen to agree.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=500)
