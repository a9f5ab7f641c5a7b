"""How often ROC-AUC is judged wrongly, and how often its interval holds the truth.

python -m tools.simulations.roc_auc_verdicts [--reps N] [--seed S] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.simulations.judging import (
    HEADER,
    NOTE,
    Cell,
    format_identical_table,
    format_row,
    judge_cells,
    make_rates,
)
from tools.simulations.page import Options, format_errors, format_head, format_table, run
from tools.simulations.populations import AUC, Scores
from tools.simulations.rounds import format_worst_cells

NAME = "roc_auc_verdicts"
POSITIVES = {"half positive": 0.5, "10 % positive": 0.1}
MOVES: dict[str, dict[str, Any]] = {
    "1 % of the scores turned round": {"psi": 0.01},
    "2 % turned round": {"psi": 0.02},
    "5 % turned round": {"psi": 0.05},
    "5 % drawn anew and lower by 1": {"psi": 0.05, "moved": 1.0, "fresh": True},
    "20 % drawn anew and lower by 0.3": {"psi": 0.20, "moved": 0.3, "fresh": True},
    "noise on every score": {"jitter": 0.3},
}


def list_cells() -> Iterator[Cell]:
    """Every population at every number of rows."""
    for name, positives in POSITIVES.items():
        for change, moves in MOVES.items():
            for n in (200, 1000, 3000):
                yield Cell((name, change), Scores(positives, **moves), n, moves.get("psi", 1.0))


def make_page(options: Options) -> str:
    simulated = judge_cells(list_cells(), options)
    populations = {name: Scores(share, psi=0.001, moved=0.0, fresh=True) for name, share in POSITIVES.items()}
    identical = format_identical_table(populations, options)
    text = format_head(
        "ROC-AUC: how often verdicts are wrong",
        NAME,
        options,
        error=format_errors(options.reps),
        text=_TEXT + NOTE,
    )
    text += format_worst_cells([make_rates(cell) for cell in simulated])
    return (
        text
        + "\n## True drop = margin\n"
        + format_table(["rows", "variant", *HEADER], map(format_row, simulated))
        + identical
    )


_TEXT = f"""\
Verdicts of `judge_quality` itself on rows drawn from populations whose true drop is computed, not drawn; the
margin is that drop. Scores are normal around a centre for each class; the teacher's area is {AUC}.
"""

if __name__ == "__main__":
    run(NAME, make_page, reps=100)
