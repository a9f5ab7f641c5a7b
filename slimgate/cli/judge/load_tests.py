"""`slimgate judge BASE TARGET` on load tests of other tools: how much faster the target's server is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slimgate.cli.judge.exit_code import exit_code
from slimgate.cli.judge.judged_loads import PART_OF_LIMIT, Budget, JudgedLoads, judge_pairs
from slimgate.cli.judge.load_output import as_json, as_text
from slimgate.errors import DataError, SuiteError
from slimgate.judge.load_tests import PART_OF_SPEEDUP
from slimgate.logs.find import check_repeat_files, read_any_log
from slimgate.logs.load_tests import check_load_options, pair_loads
from slimgate.plugins.reader import Log

_REFUSED = ("metric", "drop_points", "equivalent_points", "pooled_points", "report", "range")


def judge_load_tests(options: argparse.Namespace, base: Log) -> int:
    """Judges and prints. Raises SlimgateError for wrong input."""
    _refuse_options(options)
    repeat = None if options.repeat is None else _read(options.repeat, options)
    if options.repeat is not None:
        check_repeat_files(options.repeat, options.teacher, options.variants)
    judged: dict[str, JudgedLoads] = {}
    for path in options.variants:
        target = _read(path, options)
        budgets = () if options.budgets is None else _budgets(options.budgets, path.stem)
        pairs = pair_loads(base, target, repeat, options.allow or ())
        judged[str(path)] = judge_pairs(path.stem, pairs, budgets, options.on_inconclusive)
    render = as_json if options.json else as_text
    sys.stdout.write(render(base, judged, repeated=repeat is not None) + "\n")
    return exit_code(options, {name: loads.run_verdict for name, loads in judged.items()})


def _refuse_options(options: argparse.Namespace) -> None:
    """Raises SuiteError for what is of logs of answers."""
    for flag in _REFUSED:
        if getattr(options, flag):
            raise SuiteError(
                f"--{flag.replace('_', '-')} does not go with load tests; write --budgets FILE.toml, such as "
                "latency = { speedup_min = 1.2 }"
            )
    if options.runs or options.same_id != "fail":
        raise SuiteError("--run and --same-id do not go with load tests; they are of logs of answers")
    if options.looks != 1:
        raise SuiteError("--looks does not go with load tests, whose requests are all there")
    check_load_options(options.allow or ())


def _read(path: Path, options: argparse.Namespace) -> Log:
    log = read_any_log(path, options.format)
    if not log.loads:
        raise DataError(
            f"{path}: it is a log of answers and {options.teacher} a load test; expected load tests"
        )
    if path.samefile(options.teacher):
        raise DataError(f"{path}: it is the base itself, expected another run")
    return log


def _budgets(path: Path, name: str) -> tuple[Budget, ...]:
    from slimgate.suite.budgets import resolve_budgets
    from slimgate.suite.file import read_suite_text

    budgets = resolve_budgets(read_suite_text(path, str(path)).data, (name,), str(path))[name].on_times
    if not budgets:
        raise SuiteError(
            f"{path} [budgets]: load tests are judged by latency, such as latency = {{ speedup_min = 1.2 }}"
        )
    able = (*PART_OF_SPEEDUP, *PART_OF_LIMIT)
    for budget in budgets:
        if budget.kind not in able:
            raise SuiteError(f"{path} [budgets] latency {budget.kind}: load tests take {', '.join(able)}")
    return budgets
