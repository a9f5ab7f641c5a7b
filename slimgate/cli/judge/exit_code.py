"""What `slimgate judge` ends with: the same rule for predictions, logs, load tests and KL logs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from slimgate.errors import SuiteError
from slimgate.record import RunVerdict
from slimgate.record.run_verdict import NOTHING_GATED


def exit_code(options: argparse.Namespace, verdicts: Mapping[str, RunVerdict]) -> int:
    """1 where a budget of a target does not hold, else 0. verdicts: by target.

    Raises SuiteError, which is exit code 4, where --require-budget came and a target had no budget.
    """
    bare = [name for name, verdict in verdicts.items() if not verdict.gated]
    if bare and options.require_budget:
        raise SuiteError(
            f"--require-budget: {NOTHING_GATED} of {', '.join(bare)}; give --drop-points X, or --budgets "
            "FILE.toml with a budget on what is judged"
        )
    return int(any(verdict.fails for verdict in verdicts.values()))
