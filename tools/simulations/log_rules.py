"""How often rules of other tools pass simulated logs, compared with slimgate.

python -m tools.simulations.log_rules [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

import numpy as np

from slimgate.judge.decision import Z_ALPHA
from slimgate.judge.paired import compute_tango_z
from slimgate.outcomes import Floats, Ints
from tools.simulations.page import Options, format_error_at_5, format_head, format_percent, format_table, run

NAME = "log_rules"
ACCURACY, FLIPS, MARGIN = 0.75, 0.08, 0.02
ROWS = (100, 500, 1_319, 14_042)
HEADER = (
    "samples",
    "true drop",
    "slimgate PASS",
    "slimgate FAIL",
    "recovery rounded to 0.97",
    "constant − 0.02",
    "constant − 0.08",
    "unpaired z",
)
_TEXT = f"""\
A benchmark of 0/1 scores on which the base has {100 * ACCURACY:g} %. The target changes {100 * FLIPS:g} %
of the samples and has a true drop of nothing, of the budget ({100 * MARGIN:g} points), or of twice that. Each
column but slimgate FAIL is the share of the runs that a rule passes. The recovery is target / base, rounded
to two digits (llm-compressor). A constant is the base's true value minus a tolerance; 0.08 is vLLM's. The
unpaired z is lm-eval's model_comparator: it passes what differs by less than 1.96 standard errors.
"""


def draw_counts(rng: np.random.Generator, n: int, drop: float, runs: int) -> tuple[Ints, Floats, Floats]:
    """(runs, 2) rows lost and won, and the accuracies of base and target."""
    lost, won = (FLIPS + drop) / 2, (FLIPS - drop) / 2
    counts = rng.multinomial(n, [lost, won, ACCURACY - lost, 1 - ACCURACY - won], size=runs)
    return counts[:, :2], (counts[:, 0] + counts[:, 2]) / n, (counts[:, 1] + counts[:, 2]) / n


def compute_pass_shares(rng: np.random.Generator, n: int, drop: float, runs: int) -> list[float]:
    """The share of runs that each rule passes; slimgate's FAIL comes after its PASS."""
    lost_and_won, base, target = draw_counts(rng, n, drop, runs)
    # many runs have the same counts, so each pair of counts is tested once
    pairs, pair_of_run = np.unique(lost_and_won, axis=0, return_inverse=True)
    z = np.array([compute_tango_z(int(lost), int(won), n, MARGIN) for lost, won in pairs])[
        pair_of_run.ravel()
    ]
    error = np.sqrt((base * (1 - base) + target * (1 - target)) / (n - 1))
    rules = (
        z <= -Z_ALPHA,
        z >= Z_ALPHA,
        np.round(target / base, 2) >= 0.97,  # llm-compressor rounds the recovery to two digits
        target >= ACCURACY - 0.02,
        target >= ACCURACY - 0.08,  # vLLM
        np.abs(base - target) <= 1.96 * error,  # lm-eval's model_comparator: no significant difference
    )
    return [float(np.mean(rule)) for rule in rules]


def make_page(options: Options) -> str:
    rng = np.random.default_rng(options.seed)
    rows = [
        [f"{n:,}", f"{100 * drop:g}", *map(format_percent, compute_pass_shares(rng, n, drop, options.reps))]
        for n in ROWS
        for drop in (0.0, MARGIN, 2 * MARGIN)
    ]
    error = f"{format_error_at_5(options.reps)}."
    text = format_head("What other rules say on the same logs", NAME, options, error=error, text=_TEXT)
    return text + "\n## Runs that each rule passes, %\n" + format_table(HEADER, rows)


if __name__ == "__main__":
    run(NAME, make_page, reps=20_000)
