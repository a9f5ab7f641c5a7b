"""`slimgate judge FILE` on what `llama-perplexity --kl-divergence` printed: budgets on KL, in one file."""

from __future__ import annotations

import argparse

from slimgate.cli.judge.budgets import read_budgets_of_targets
from slimgate.cli.judge.ending import finish
from slimgate.cli.judge.naming import name_targets
from slimgate.cli.judge.tool_files_output import as_text
from slimgate.errors import SuiteError
from slimgate.logs.file_budgets import KL
from slimgate.logs.judged_kl_log import JudgedKlLogs
from slimgate.logs.kl_log import read_kl_log

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
    budgets = read_budgets_of_targets(options, KL, [name])
    judged = JudgedKlLogs({name: read_kl_log(path)}, budgets, options.on_inconclusive)
    return finish(options, judged, lambda: as_text(judged, ", read as a KL log of llama.cpp"))
