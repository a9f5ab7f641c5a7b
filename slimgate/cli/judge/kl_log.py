"""`slimgate judge FILE` on a KL log, which holds base and target: budgets on KL."""

from __future__ import annotations

import argparse

from slimgate.cli.judge.budgets import read_budgets_of_targets
from slimgate.cli.judge.ending import finish
from slimgate.cli.judge.naming import name_targets
from slimgate.cli.judge.refused_options import refuse_options
from slimgate.cli.judge.tool_files_output import as_text
from slimgate.logs.file_budgets import KL
from slimgate.logs.judged_kl_log import JudgedKlLogs
from slimgate.plugins.reader import Log


def judge_kl_file(options: argparse.Namespace, log: Log) -> int:
    """Judges and prints. Raises SlimgateError for wrong input."""
    refuse_options(options, KL, "kl = { mean_max = 0.02 }")
    [name] = name_targets([options.teacher])
    budgets = read_budgets_of_targets(options, KL, [name])
    judged = JudgedKlLogs({name: log}, budgets, options.on_inconclusive)
    return finish(options, judged, lambda: as_text(judged, f", read as a KL log of {log.tool}"))
