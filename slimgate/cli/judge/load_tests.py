"""`slimgate judge BASE TARGET` for load tests of other tools: it judges how much faster the target is."""

from __future__ import annotations

import argparse
from typing import Any

from slimgate.cli.judge.budgets import read_budgets_of_targets
from slimgate.cli.judge.ending import finish
from slimgate.cli.judge.environment import add_environments, explain_environment
from slimgate.cli.judge.naming import name_targets
from slimgate.cli.judge.tool_files_output import as_text
from slimgate.errors import SuiteError
from slimgate.logs.file_budgets import LOADS
from slimgate.logs.find import check_repeat_files, read_any_log
from slimgate.logs.judged_loads import judge_load_tests, require_load_test
from slimgate.logs.load_tests import check_load_options
from slimgate.plugins.reader import Log

_REFUSED = ("metric", "drop_points", "equivalent_points", "pooled_points", "range")


def judge_load_files(options: argparse.Namespace, base: Log) -> int:
    """Judges load tests and prints the result. Raises SlimgateError for wrong input."""
    _refuse_options(options)
    repeat = None
    if options.repeat is not None:
        repeat = require_load_test(
            read_any_log(options.repeat, options.format), options.repeat, options.teacher
        )
        check_repeat_files(options.repeat, options.teacher, options.variants)
    paths = name_targets(options.variants)
    targets = {
        name: require_load_test(read_any_log(path, options.format), path, options.teacher)
        for name, path in paths.items()
    }
    budgets = read_budgets_of_targets(options, LOADS, paths)
    judged = judge_load_tests(base, targets, repeat, budgets, options.allow or (), options.on_inconclusive)
    details: dict[str, dict[str, Any]] = {}
    if options.explain_environment:
        changes = {name: explain_environment(options, name, base, target) for name, target in targets.items()}
        details = add_environments({}, changes)
    origin = f" against {base.shown}, read as load tests of {base.tool}"
    return finish(options, judged, lambda: as_text(judged, origin), details)


def _refuse_options(options: argparse.Namespace) -> None:
    """Raises SuiteError for options that only logs of answers can have."""
    for flag in _REFUSED:
        if getattr(options, flag):
            raise SuiteError(
                f"--{flag.replace('_', '-')} does not go with load tests; write --budgets FILE.toml, such as "
                "latency = { speedup_min = 1.2 }"
            )
    if options.runs or options.models or options.same_id != "fail":
        raise SuiteError(
            "--run, --model and --same-id do not go with load tests; they are for logs of answers"
        )
    if options.looks != 1:
        raise SuiteError("--looks does not go with load tests, because all of their requests are done")
    check_load_options(options.allow or ())
