"""`slimgate judge BASE TARGET` for load tests of other tools: it judges how much faster the target is."""

from __future__ import annotations

import argparse
from typing import Any

from slimgate.cli.judge.budgets import read_budgets_of_targets
from slimgate.cli.judge.ending import finish
from slimgate.cli.judge.environment import add_environments, explain_environment
from slimgate.cli.judge.naming import name_targets
from slimgate.cli.judge.refused_options import refuse_options
from slimgate.cli.judge.tool_files_output import as_text
from slimgate.logs.file_budgets import LOADS
from slimgate.logs.find import check_repeat_files, read_any_log
from slimgate.logs.judged_loads import judge_load_tests, require_load_test
from slimgate.logs.load_tests import check_load_options
from slimgate.plugins.reader import Log


def judge_load_files(options: argparse.Namespace, base: Log) -> int:
    """Judges load tests and prints the result. Raises SlimgateError for wrong input."""
    accepted = ("allow", "repeat", "explain_environment")
    refuse_options(options, LOADS, "latency = { speedup_min = 1.2 }", accepted=accepted)
    check_load_options(options.allow or ())
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
