"""How often accuracy is judged wrongly, by slimgate's Tango test and by the rules of other tools.

python -m tools.simulations.accuracy_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tools.simulations.exact import compute_fail_chance, compute_pass_chance
from tools.simulations.page import (
    TARGET,
    Options,
    format_error_at_5,
    format_head,
    format_percent,
    format_table,
    run,
)
from tools.simulations.peers import (
    ACCURACY,
    LM_EVAL,
    RECOVERY,
    RECOVERY_DEFAULT,
    compute_threshold,
    simulate_pass_shares,
)
from tools.simulations.rounds import Rates, format_worst_cells
from tools.simulations.rules import PAIRED, TANGO

NAME = "accuracy_verdicts"
ROWS = (50, 200, 500, 1000, 3000, 10_000)
PSI = (0.01, 0.02, 0.05, 0.10, 0.20, 0.30)
MARGINS = (0.01, 0.02, 0.05, 0.10)
PEERS = (LM_EVAL, RECOVERY, RECOVERY_DEFAULT)
RULES = (*(rule.name for rule in PAIRED), *PEERS)
# The thresholds of llm-compressor that come nearest to margins of 1 and 2 points.
_NEAREST = (compute_threshold(0.01), compute_threshold(0.02))
# Headers of the columns that `_format_key` fills.
_KEY = ("margin, points", "psi, %", "n")


@dataclass(frozen=True)
class Cell:
    """Chances of wrong verdicts by rule: false_pass at a true drop of the margin, false_fail at no drop."""

    n: int
    psi: float
    margin: float
    false_pass: dict[str, float]
    false_fail: dict[str, float]
    tango_fails_at_margin: float
    tango_passes_at_none: float


def list_cells(
    options: Options,
    *,
    rows: Sequence[int] = ROWS,
    psis: Sequence[float] = PSI,
    margins: Sequence[float] = MARGINS,
) -> Iterator[Cell]:
    """Every cell in which a drop of the margin is possible."""
    rng = np.random.default_rng(options.seed)
    for margin in margins:
        for psi in psis:
            for n in rows:
                if psi >= margin:
                    yield _simulate_cell(rng, n, psi, margin, reps=options.reps)


def _simulate_cell(rng: np.random.Generator, n: int, psi: float, margin: float, *, reps: int) -> Cell:
    at_margin = simulate_pass_shares(rng, n, psi, margin, margin, reps=reps)
    at_none = simulate_pass_shares(rng, n, psi, 0.0, margin, reps=reps)
    return Cell(
        n=n,
        psi=psi,
        margin=margin,
        false_pass={rule.name: compute_pass_chance(rule, n, psi, margin, margin) for rule in PAIRED}
        | dict(at_margin),
        false_fail={rule.name: compute_fail_chance(rule, n, psi, 0.0, margin) for rule in PAIRED}
        | {name: 1 - share for name, share in at_none.items()},
        tango_fails_at_margin=compute_fail_chance(TANGO, n, psi, margin, margin),
        tango_passes_at_none=compute_pass_chance(TANGO, n, psi, 0.0, margin),
    )


def make_page(options: Options) -> str:
    all_cells = list(list_cells(options))
    text = format_head(
        "Accuracy: how often each rule is wrong",
        NAME,
        options,
        error="none for Tango, the point rule, Wald and the percentile bootstrap, whose chances are exact "
        f"sums over all (b, c); for the others {format_error_at_5(options.reps)}.",
        text=_TEXT,
    )
    text += format_worst_cells([_make_rates(cell) for cell in all_cells])
    text += "\n## PASS at a true drop of the margin, %\n"
    text += _format_rule_table(all_cells, "false_pass", options)
    text += "\n## FAIL at a true drop of 0, %\n"
    text += _format_rule_table(all_cells, "false_fail", options)
    return (
        text
        + "\n## Tango's three verdicts, %\n"
        + _format_verdict_table(all_cells)
        + "\n"
        + _format_worst_table(all_cells)
    )


def _make_rates(cell: Cell) -> Rates:
    margin, psi, n = _format_key(cell)
    where = f"margin {margin}, psi {psi} %, n {n}"
    false_pass, false_fail = cell.false_pass[TANGO.name], cell.false_fail[TANGO.name]
    return Rates("accuracy drop_points, single rows", where, false_pass, false_fail, None)


def _format_rule_table(all_cells: Sequence[Cell], kind: str, options: Options) -> str:
    rows = [
        [
            *_format_key(cell),
            *(
                format_percent(getattr(cell, kind)[rule], limit=TARGET, reps=_count_reps(rule, options))
                for rule in RULES
            ),
        ]
        for cell in all_cells
    ]
    return format_table([*_KEY, *RULES], rows)


def _count_reps(rule: str, options: Options) -> int | None:
    """The number of runs behind a rule's share; None for an exact share."""
    return options.reps if rule in PEERS else None


def _format_verdict_table(all_cells: Sequence[Cell]) -> str:
    header = [*_KEY, "drop = margin: PASS", "FAIL", "INCONCLUSIVE", "drop 0: PASS", "FAIL", "INCONCLUSIVE"]
    rows = []
    for cell in all_cells:
        at_margin = cell.false_pass[TANGO.name], cell.tango_fails_at_margin
        at_none = cell.tango_passes_at_none, cell.false_fail[TANGO.name]
        shares = (*at_margin, 1 - sum(at_margin), *at_none, 1 - sum(at_none))
        rows.append([*_format_key(cell), *map(format_percent, shares)])
    return format_table(header, rows)


def _format_worst_table(all_cells: Sequence[Cell]) -> str:
    """The worst cell of each rule."""
    rows = []
    for rule in RULES:
        passing = max(all_cells, key=lambda cell: cell.false_pass[rule])
        failing = max(all_cells, key=lambda cell: cell.false_fail[rule])
        rows.append(
            [
                rule,
                format_percent(passing.false_pass[rule]),
                ", ".join(_format_key(passing)),
                format_percent(failing.false_fail[rule]),
                ", ".join(_format_key(failing)),
            ]
        )
    header = [
        "rule",
        "PASS at the margin",
        "at (points, psi %, n)",
        "FAIL at drop 0",
        "at (points, psi %, n)",
    ]
    return "## The worst cell of each rule, %\n" + format_table(header, rows)


def _format_key(cell: Cell) -> list[str]:
    return [f"{100 * cell.margin:g}", f"{100 * cell.psi:g}", f"{cell.n:,}"]


_TEXT = f"""\
psi of the rows change; where the true drop is the margin, (psi + margin) / 2 of them are lost and
(psi - margin) / 2 won. Bold: above 6 %, where
it is simulated by more than two standard errors.

- Tango: slimgate's rule, PASS at z(margin) <= -1.6449, FAIL at z(margin) >= 1.6449, else INCONCLUSIVE.
- point rule: the observed drop is at most the margin.
- Wald, percentile bootstrap: the bound of the two-sided 90 % interval is inside the margin (PASS) or beyond
  it (FAIL).
- lm-evaluation-harness: the z of `scripts/model_comparator.py` from two standard errors as if the models
  had rows of their own; fails a variant that is worse with a two-sided p < 0.05. It has no margin to be
  told.
- llm-compressor: `tests/lmeval/test_lmeval.py`, variant / teacher rounded to two digits is at least a
  threshold. The teacher's accuracy here is {ACCURACY}, so that the nearest thresholds of two digits are
  {_NEAREST[0]:.2f} for 1 point (an exact 0.9882) and {_NEAREST[1]:.2f} for 2 (0.9765); beside it
  its default 0.95, which allows 4.25 points before rounding. It has no third verdict.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=20_000)
