"""How often scores of logs and regression errors are judged wrongly where damage is rare and large.

python -m tools.simulations.score_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf, nan

import numpy as np

from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.capped import WORST
from slimgate.judge.metrics import load_metric
from slimgate.judge.metrics.base import Metric
from slimgate.judge.score_metric import make_score_metric, make_score_outcomes
from slimgate.outcomes import Floats, Outcomes
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
from tools.simulations.rounds import Rates, Simulated, format_worst_cells, simulate_cells

NAME = "score_verdicts"
ROWS = (100, 300, 1000, 3000)
EQUAL_ROWS = (300, 1000, 3000, 6000)
Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Scores:
    """The scores of a base, and of a target that is damaged in some rows.

    share: of damaged rows; lost: by such a row on average; small: by every row in addition.
    cap: the most that a row counts for; inf if the range of the score is declared.
    """

    label: str
    metric: Metric
    base: Draw
    share: float
    lost: float
    small: float = 0.0
    cap: float = inf

    @property
    def drop(self) -> float:
        """The true drop of the mean score, without a cap."""
        return self.share * self.lost + self.small


def _make_pair(low: Floats, damaged: Callable[[Floats], Floats]) -> Draw:
    """The base draws from a list of scores; a damaged row has damaged(its score)."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        base = rng.choice(low, n)
        return base, damaged(base)

    return draw


_WER = make_score_metric("wer", higher_is_better=False, zero_one=False, score_range=(0.0, inf), cap=1.0)
_GRADE = make_score_metric("grade", higher_is_better=True, zero_one=False, score_range=(1.0, 10.0))
_UNKNOWN = make_score_metric("grade", higher_is_better=True, zero_one=False, score_range=None)
_CHRF = make_score_metric("chrf", higher_is_better=True, zero_one=False, score_range=(0.0, 100.0))
_F1 = make_score_metric("f1", higher_is_better=True, zero_one=False, score_range=(0.0, 1.0))

# As the metrics of these names are judged where the gold scores are from 0 to 5.
_MAE = make_score_metric("mae", higher_is_better=False, zero_one=False, score_range=(0.0, inf), cap=5.0)
_MSE = make_score_metric("mse", higher_is_better=False, zero_one=False, score_range=(0.0, inf), cap=25.0)

_UTTERANCES = np.array([0.0, 0.0, 0.0, 0.1, 0.2, 0.5])
_GRADES = np.array([8.0, 9.0, 10.0])
_TRANSLATIONS = np.linspace(50.0, 80.0, 301)
_ANSWERS = np.linspace(0.5, 1.0, 51)
_ERRORS = np.linspace(0.0, 1.5, 151)


def _make_wer(lost: float) -> Draw:
    return _make_pair(_UTTERANCES, lambda base: base + lost)


def _make_error(error: float, usual: Floats) -> Draw:
    return _make_pair(usual, lambda base: np.full_like(base, error))


_LOST_BY_12 = 144.0 - float((_ERRORS**2).mean())
SCORES = (
    Scores("WER, 1 % of the answers loop (5 more)", _WER, _make_wer(5.0), share=0.01, lost=5.0, cap=1.0),
    Scores("WER, 0.5 % of the answers loop (8 more)", _WER, _make_wer(8.0), share=0.005, lost=8.0, cap=1.0),
    Scores("WER, 2 % of the answers lose 1.5", _WER, _make_wer(1.5), share=0.02, lost=1.5, cap=1.0),
    Scores(
        "WER, all lose 0.01, 0.25 % loop (8 more)",
        _WER,
        _make_wer(8.0),
        share=0.0025,
        lost=8.0,
        small=0.01,
        cap=1.0,
    ),
    Scores(
        "WER, 3 % of the answers are empty (0.9 more)", _WER, _make_wer(0.9), share=0.03, lost=0.9, cap=1.0
    ),
    Scores(
        "grades 1 to 10, 1.5 % of the answers get 1",
        _GRADE,
        _make_pair(_GRADES, np.ones_like),
        share=0.015,
        lost=8.0,
    ),
    Scores(
        "grades 1 to 10, 0.5 % of the answers get 1",
        _GRADE,
        _make_pair(_GRADES, np.ones_like),
        share=0.005,
        lost=8.0,
    ),
    Scores(
        "grades of unknown range, 0.5 % get 1",
        _UNKNOWN,
        _make_pair(_GRADES, np.ones_like),
        share=0.005,
        lost=8.0,
    ),
    Scores(
        "chrF, 1 % of the answers are empty",
        _CHRF,
        _make_pair(_TRANSLATIONS, np.zeros_like),
        share=0.01,
        lost=65.0,
    ),
    Scores(
        "chrF, 0.3 % of the answers are empty",
        _CHRF,
        _make_pair(_TRANSLATIONS, np.zeros_like),
        share=0.003,
        lost=65.0,
    ),
    Scores(
        "MAE, 0.5 % of the rows are 20 off",
        _MAE,
        _make_error(20.0, _ERRORS),
        share=0.005,
        lost=20 - 0.75,
        cap=5.0,
    ),
    Scores(
        "MAE, 2 % of the rows are 4 off", _MAE, _make_error(4.0, _ERRORS), share=0.02, lost=4 - 0.75, cap=5.0
    ),
    Scores(
        "MSE, 1 % of the rows are 12 off",
        _MSE,
        _make_error(144.0, _ERRORS**2),
        share=0.01,
        lost=_LOST_BY_12,
        cap=25.0,
    ),
    Scores(
        "F1 0 to 1, 1 % of the answers are wrong",
        _F1,
        _make_pair(_ANSWERS, np.zeros_like),
        share=0.01,
        lost=0.75,
    ),
)


@dataclass(frozen=True)
class Cell:
    """A score whose true drop is the budget, on a number of rows."""

    scores: Scores
    rows: int
    seed: tuple[int, ...]

    @property
    def budget(self) -> QualityBudget:
        return QualityBudget("drop_points", 100 * self.scores.drop)

    @property
    def share_holds(self) -> bool:
        """Whether the share of rows above the cap is within the limit that is derived from the budget."""
        above = self.scores.share if self.scores.lost + self.scores.small > self.scores.cap else 0.0
        return above <= self.scores.drop / (WORST * self.scores.cap) or self.scores.cap == inf

    def simulate(self, reps: int, *, again: int = 0) -> Shares:
        rng = np.random.default_rng((*self.seed, again))
        passed = failed = 0
        for _ in range(reps):
            base, damaged = self.scores.base(rng, self.rows)
            sign = -1.0 if self.scores.metric.higher_is_better else 1.0
            hit = rng.random(self.rows) < self.scores.share
            verdict = _judge_scores(
                self.scores.metric, base, np.where(hit, damaged, base) + sign * self.scores.small, self.budget
            )
            passed, failed = passed + (verdict is Verdict.PASS), failed + (verdict is Verdict.FAIL)
        return Shares(passed / reps, failed / reps if self.share_holds else nan)


@dataclass(frozen=True)
class Shares:
    """Shares of PASS, and of FAIL where it is wrong."""

    passed: float
    failed: float

    @property
    def worst(self) -> float:
        return max(self.passed, 0.0 if np.isnan(self.failed) else self.failed)


def _judge_scores(metric: Metric, base: Floats, target: Floats, budget: QualityBudget) -> Verdict | None:
    ids = make_ids(len(base))
    before, after = (make_score_outcomes(ids, values, None, right=False) for values in (base, target))
    return judge_quality(metric, before, after, [budget]).verdict


def list_cells(seed: int) -> Iterator[Cell]:
    for number, scores in enumerate(SCORES):
        for rows in ROWS:
            yield Cell(scores, rows, (seed, number, rows))


def make_page(options: Options) -> str:
    simulated = simulate_cells(list_cells(options.seed), reps=options.reps)
    text = format_head(
        "Scores of logs: how often verdicts are wrong where damage is rare and large",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT,
    )
    text += format_worst_cells([_make_rates(cell) for cell in simulated])
    header = ["scores", "n", "budget, points", "PASS, %", "FAIL, %", "runs"]
    text += "\n## The true drop is the budget\n" + format_table(header, map(_format_row, simulated))
    columns = ["budget", *(f"{rows:,} rows" for rows in EQUAL_ROWS)]
    return (
        text
        + "\n## What an equal model passes\n"
        + _EQUAL
        + format_table(columns, _format_equal_rows(options))
    )


def _make_rates(simulated: Simulated[Cell, Shares]) -> Rates:
    rule = f"logs {simulated.cell.scores.metric.name} drop_points"
    where = f"{simulated.cell.scores.label}, n {simulated.cell.rows:,}"
    return Rates(rule, where, simulated.result.passed, simulated.result.failed, simulated.runs)


def _format_row(simulated: Simulated[Cell, Shares]) -> list[str]:
    cell, runs = simulated.cell, simulated.runs or 1
    return [
        cell.scores.label,
        f"{cell.rows:,}",
        f"{100 * cell.scores.drop:.3g}",
        format_percent(simulated.result.passed, limit=TARGET, reps=runs),
        format_percent(simulated.result.failed, limit=TARGET, reps=runs),
        f"{runs:,}",
    ]


def _format_equal_rows(options: Options) -> Iterator[list[str]]:
    """PASS in percent of a target that changes 1 % of the rows a little either way."""
    kinds = (
        ("WER, 1 point", _WER, _UTTERANCES, 1.0),
        ("WER, 2 points", _WER, _UTTERANCES, 2.0),
        ("grades 1 to 10, 0.1 of a grade", _GRADE, _GRADES, 10.0),
        ("chrF, 1 of 100", _CHRF, _TRANSLATIONS, 100.0),
        ("F1, 1 point", _F1, _ANSWERS, 1.0),
    )
    rng, runs = np.random.default_rng((options.seed, 99)), max(1, options.reps // 5)
    for label, metric, values, limit in kinds:
        yield [label, *(_simulate_passes(rng, metric, values, limit, rows, runs) for rows in EQUAL_ROWS)]
    for name in ("mae", "mse"):
        yield [
            f"{name}, {20 if name == 'mae' else 50} % more, gold 0 to 5",
            *(
                _simulate_error_passes(rng, name, 0.2 if name == "mae" else 0.5, rows, runs)
                for rows in EQUAL_ROWS
            ),
        ]


def _simulate_passes(
    rng: np.random.Generator, metric: Metric, values: Floats, limit: float, rows: int, runs: int
) -> str:
    passed = 0
    for _ in range(runs):
        base = rng.choice(values, rows)
        moved = rng.permutation(np.flatnonzero(rng.random(rows) < 0.01))
        target = base.copy()
        target[moved] = rng.choice(values, len(moved))
        passed += _judge_scores(metric, base, target, QualityBudget("drop_points", limit)) is Verdict.PASS
    return format_percent(passed / runs)


def _simulate_error_passes(rng: np.random.Generator, name: str, limit: float, rows: int, runs: int) -> str:
    passed, ids = 0, make_ids(rows)
    for _ in range(runs):
        gold = rng.uniform(0, 5, rows)
        score = gold + rng.normal(0, 0.7, rows)
        near = score + rng.normal(0, 0.01, rows)
        before, after = (Outcomes(ids, values={"score": scores, "gold": gold}) for scores in (score, near))
        budget = QualityBudget("increase_relative", limit)
        passed += judge_quality(load_metric(name), before, after, [budget]).verdict is Verdict.PASS
    return format_percent(passed / runs)


_TEXT = f"""\
Verdicts of `judge_quality` on scores that another tool gave. The target loses much in a few rows, and its
true drop, without any cap, is the budget: PASS is wrong. FAIL is wrong too, except where the rows above the
cap are over their own limit, the budget / {WORST:g} caps: it is left out there. WER, MAE and MSE have no
upper end: a row counts for 1, and with gold scores from 0 to 5 for 5 and 25. A score of unknown range never
passes. Bold: above 6 % by more than two standard errors.
"""
_EQUAL = """
PASS in percent of a target that gives 1 % of the rows another score of the same kind; of mae and mse, one
whose scores are 0.01 off.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=200)
