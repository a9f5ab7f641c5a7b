"""`slimgate judge FILE` on what `llama-perplexity --kl-divergence` printed: budgets on KL, in one file."""

from __future__ import annotations

import argparse

from slimgate.cli.judge.ending import finish
from slimgate.cli.judge.naming import name_targets
from slimgate.cli.judge.tool_files_output import as_text
from slimgate.errors import SuiteError
from slimgate.logs.judged_kl_log import JudgedKlLogs, KlBudgets, read_kl_budgets
from slimgate.logs.kl_log import read_kl_log
from slimgate.suite.file import read_suite_text

_REFUSED = (
    "metric",
    "drop_points",
    "equivalent_points",
    "pooled_points",
    "allow",
    "range",
    "repeat",
    "format",
)


def judge_kl_file(options: argparse.Namespace) -> int:
    """Judges and prints. Raises SlimgateError for wrong input."""
    for flag in _REFUSED:
        if getattr(options, flag):
            raise SuiteError(
                f"--{flag.replace('_', '-')} does not go with a KL log; write --budgets FILE.toml"
            )
    if options.looks != 1:
        raise SuiteError("--looks does not go with a KL log, whose chunks are all there")
    path = options.teacher
    [name] = name_targets([path])
    tables = None if options.budgets is None else read_suite_text(options.budgets, str(options.budgets)).data
    budgets = KlBudgets() if tables is None else read_kl_budgets(tables, path.stem, str(options.budgets))
    judged = JudgedKlLogs({name: read_kl_log(path)}, {name: budgets}, options.on_inconclusive)
    return finish(options, judged, lambda: as_text(judged, ", read as a KL log of llama.cpp"))
