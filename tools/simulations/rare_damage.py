"""Few rows with large damage and rare classes: how often metrics that are not means are judged wrongly.

python -m tools.simulations.rare_damage [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slimgate.judge import QualityBudget, Verdict, judge_quality
from slimgate.judge.metrics import load_metric
from slimgate.outcomes import ClassOutcomes, Outcomes
from tools.simulations.changes import Case, Pair, make_two_classes
from tools.simulations.metric_verdicts import RESAMPLES, Cell, Shares, list_cells
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

NAME = "rare_damage"
_MACRO = ("f1_macro", "balanced_accuracy", "precision_macro", "f1_weighted", "mcc")
# Rows, budget in points, and runs of the table of power.
POWER_ROWS, POWER_POINTS, POWER_RUNS = 6000, 1.0, 40

Make = Callable[[np.random.Generator, int, np.ndarray, bool], Pair]


def lose_classes(shares: tuple[float, ...], rarest: int) -> Make:
    """The teacher is right on 90 % of the rows; changed rows of the last `rarest` classes go to the first."""
    prior = np.array(shares) / sum(shares)
    names = tuple(f"class {k}" for k in range(len(prior)))

    def make(rng: np.random.Generator, n: int, changed: np.ndarray, worse: bool) -> Pair:
        labels = rng.choice(len(prior), n, p=prior)
        teacher, redrawn = (
            np.where(rng.random(n) < 0.9, labels, rng.choice(len(prior), n, p=prior)) for _ in range(2)
        )
        is_lost = changed & (labels >= len(prior) - rarest) & (teacher == labels)
        variant = np.where(is_lost, 0, teacher) if worse else np.where(rng.random(n) < 0.02, redrawn, teacher)
        ids = make_ids(n)
        return ClassOutcomes(ids, labels, teacher, names), ClassOutcomes(ids, labels, variant, names)

    return make


def make_extra_spans(extra: int) -> Make:
    """Rows of 24 words and 1.7 spans, 90 % of which are predicted; a changed row has `extra` wrong spans."""

    def make(rng: np.random.Generator, n: int, changed: np.ndarray, worse: bool) -> Pair:
        gold = rng.poisson(1.7, n)
        right = rng.binomial(gold, 0.9).astype(np.float64)
        predicted = right + rng.poisson(0.17, n)
        ids, words = make_ids(n), np.maximum(24.0, predicted + extra)
        before, after = (
            Outcomes(
                ids,
                values={
                    "spans_right": right,
                    "spans_predicted": spans,
                    "spans_gold": gold.astype(np.float64),
                    "tags": words,
                },
            )
            for spans in (predicted, np.where(changed & worse, predicted + extra, predicted))
        )
        return before, after

    return make


def make_all_labels(count: int) -> Make:
    """Rows of 1.5 labels on average, 85 % of which are predicted; a changed row has every label."""

    def make(rng: np.random.Generator, n: int, changed: np.ndarray, worse: bool) -> Pair:
        gold = rng.random((n, count)) < 1.5 / count
        before = np.where(rng.random((n, count)) < 0.85, gold, rng.random((n, count)) < 0.1 / count)
        after = before | (changed & worse)[:, None]
        ids = make_ids(n)
        teacher, variant = (
            Outcomes(
                ids,
                values={
                    **{f"gold:{k}": gold[:, k].astype(np.float64) for k in range(count)},
                    **{f"said:{k}": labels[:, k].astype(np.float64) for k in range(count)},
                    "labels_wrong": (gold != labels).sum(axis=1).astype(np.float64),
                },
            )
            for labels in (before, after)
        )
        return teacher, variant

    return make


def make_heavy_scores(how: str) -> Make:
    """Log-normal gold scores. A changed row has the median as its score, or the teacher's score inverted."""

    def make(rng: np.random.Generator, n: int, changed: np.ndarray, worse: bool) -> Pair:
        logs = rng.standard_normal(n)
        before = logs + 0.2 * rng.standard_normal(n)
        damaged = np.zeros(n) if how == "median" else -before
        after = np.where(changed & worse, damaged, before + 0.02 * rng.standard_normal(n))
        ids, gold = make_ids(n), np.exp(logs)
        teacher, variant = (
            Outcomes(ids, values={"gold": gold, "score": np.exp(scores)}, given=("gold",))
            for scores in (before, after)
        )
        return teacher, variant

    return make


_TAIL = tuple(np.exp(-np.linspace(0, 3, 20)).tolist())
_BINARY = ("f1", "precision", "roc_auc", "pr_auc")
_SPANS = ("span_f1", "span_precision")
_LABELS = ("labels_f1_micro", "labels_f1_macro")
_CORRELATIONS = ("pearson", "spearman")
_EMOTIONS = (33.5, 29.0, 13.7, 12.4, 7.8, 3.6)
ROWS = (300,)
_THREE_RARE = (*(97 / 7,) * 7, 1.0, 1.0, 1.0)

CASES: tuple[Case, ...] = (
    Case("5 classes, rarest 1 %, never", _MACRO, 1.0, lose_classes((40, 30, 20, 9, 1), 1), rows=(1000, 3000)),
    Case("4 classes, rarest 0.5 %, never", _MACRO, 1.0, lose_classes((50, 30, 19.5, 0.5), 1), rows=(2000,)),
    Case("10 classes, three of 1 %, never", _MACRO, 1.0, lose_classes(_THREE_RARE, 3), rows=(1000,)),
    Case("3 classes, rarest 3 %, loses 20 %", _MACRO, 0.2, lose_classes((48.5, 48.5, 3), 1), rows=(300,)),
    Case("6 classes, rarest 3.6 %, loses half", _MACRO, 0.5, lose_classes(_EMOTIONS, 1), rows=(500,)),
    Case("20 classes, 1 to 1/20, two never", _MACRO, 1.0, lose_classes(_TAIL, 2), rows=(2000,)),
    Case("10 equal classes, each loses 10 %", _MACRO, 0.1, lose_classes((1,) * 10, 10), rows=(50, 100)),
    Case("30 equal classes, each loses 10 %", _MACRO, 0.1, lose_classes((1,) * 30, 30), rows=(150, 300, 600)),
    *(
        Case(
            f"{share:.0%} positive, {psi:.1%} turned",
            _BINARY,
            psi,
            make_two_classes(share, "turned"),
            rows=ROWS,
        )
        for share in (0.05, 0.3)
        for psi in (0.003, 0.01)
    ),
    Case("5 extra spans on 1 %", _SPANS, 0.01, make_extra_spans(5), rows=(300,)),
    Case("20 extra spans on 0.3 %", _SPANS, 0.003, make_extra_spans(20), rows=(500, 2000)),
    Case("all 12 labels on 0.5 %", _LABELS, 0.005, make_all_labels(12), rows=(300, 1000)),
    Case("2 % have the median score", _CORRELATIONS, 0.02, make_heavy_scores("median"), rows=(500,)),
    Case("0.5 % upside down", _CORRELATIONS, 0.005, make_heavy_scores("turned"), rows=(300, 1000)),
)  # fmt: skip


def make_page(options: Options) -> str:
    simulated = simulate_cells(list_cells(options.seed, CASES), reps=options.reps)
    text = format_head(
        "Few rows with large damage, and rare classes",
        NAME,
        options,
        error=f"{format_error_at_5(options.reps)}.",
        text=_TEXT.format(resamples=RESAMPLES, again=RUN_AGAIN, rows=POWER_ROWS, points=POWER_POINTS),
    )
    text += format_worst_cells([_make_rates(result) for result in simulated])
    text += "\n## Every cell\n" + format_table(_HEADER, map(_format_row, simulated))
    return text + "\n## Power\n" + format_table(_POWER_HEADER, _format_power_rows(options.seed))


def _make_rates(result: Simulated[Cell, Shares]) -> Rates:
    cell = result.cell
    where = f"{cell.case.label}, n {cell.n:,}"
    return Rates(
        f"{cell.metric}, rare damage", where, result.result.passed, result.result.equal_failed, result.runs
    )


def _format_row(result: Simulated[Cell, Shares]) -> list[str]:
    cell, shares = result.cell, result.result
    return [
        cell.metric,
        cell.case.label,
        f"{cell.n:,}",
        f"{cell.limit:.3g}",
        format_percent(shares.passed, limit=TARGET, reps=result.runs),
        format_percent(shares.failed, limit=TARGET, reps=result.runs),
        format_percent(shares.equal_failed, limit=TARGET, reps=result.runs),
        format_percent(shares.refused),
        f"{result.runs:,}",
    ]


def _format_power_rows(seed: int) -> list[list[str]]:
    """How often an equal variant passes, by metric and case."""
    rows, budget = [], QualityBudget("drop_points", POWER_POINTS)
    for case in CASES:
        rng = np.random.default_rng((seed, 99))
        pairs = [case.make(rng, POWER_ROWS, rng.random(POWER_ROWS) < 0.02, False) for _ in range(POWER_RUNS)]
        for name in case.metrics:
            metric = load_metric(name)
            judged = [judge_quality(metric, *pair, [budget], resamples=RESAMPLES) for pair in pairs]
            passed = float(np.mean([judgement.verdict is Verdict.PASS for judgement in judged]))
            rows.append([name, case.label, format_percent(passed)])
    return rows


_HEADER = (
    "metric",
    "population",
    "n",
    "budget = true drop, points",
    "PASS at the limit, %",
    "FAIL at the limit, %",
    "FAIL if equal, %",
    "refused, %",
    "runs",
)
_POWER_HEADER = ("metric", "population", "PASS if equal, %")
_TEXT = """\
Verdicts of `judge_quality` itself, with {resamples:,} weightings. The variant is exactly at its budget: the
true values are those of 1,000,000 rows. Damage is rare, so many samples contain little of it or none.
`never`: the variant never predicts the rare classes. `turned`: the scores of those rows change their sign.
Rows have 24 words where spans are counted. {again} Bold: above 6 % by more than two standard errors.

Power: an equal variant that answers 2 % of {rows:,} rows afresh, with a budget of {points:g} point. A class
of 0.5 % has 30 of these rows: if none of them is lost, up to 10 % of the class still can be.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=1000)
