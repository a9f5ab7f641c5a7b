"""`slimgate judge TEACHER VARIANT`: a verdict on two prediction files, without building anything."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from slimgate.cli.judge.arguments import add_all
from slimgate.cli.parser import CommandParser

DESCRIPTION = """\
Compares the answers of a target with those of a base, sample by sample. Both may be logs of an evaluation
tool (lm-eval --log_samples, Inspect, lighteval, promptfoo, deepeval, mteb, HELM; the format is found from the
content), load tests of a server (vllm bench serve --save-detailed, guidellm), tables with the columns id and
score, or prediction files with id, label, and prediction or probabilities (p_<class>, prob_<class>). If two
logs cannot be compared, the error lists their differences. Exit codes: 0 all budgets hold; 1 a budget does
not hold or cannot be decided; 4 wrong usage or input.
"""
EXAMPLES = """\
two logs of an evaluation tool, at most 2 points worse:
  slimgate judge logs/base logs/int4 --drop-points 2
two files with the columns id, label and prediction:
  slimgate judge teacher.csv small.csv --metric accuracy --drop-points 2
"""


def add_arguments(parser: CommandParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.usage = "slimgate judge [OPTIONS] BASE TARGET [TARGET …]"
    parser.description = DESCRIPTION
    parser.examples = EXAMPLES
    add_all(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Judges and prints. Raises SlimgateError for wrong input."""
    from slimgate._system.arrow_conversion import keep_pandas_unimported
    from slimgate._system.special_functions import import_functions_alone

    keep_pandas_unimported()
    import_functions_alone()
    from slimgate.cli.judge.logs import has_log_files, judge_log_files

    _ask_for_points("--drop-points", options.drop_points or [])
    _ask_for_points("--equivalent-points", options.equivalent_points or [])
    options.repeat = _find_only_repeat(options.repeat or [])
    if not options.variants and not options.target_runs and options.models:
        options.variants = [options.teacher]
    _take_sides(options)
    if not options.variants:
        return _judge_one_file(options)
    if has_log_files(options):
        return judge_log_files(options)
    from slimgate.cli.judge.predictions import judge_prediction_files

    return judge_prediction_files(options)


def _take_sides(options: argparse.Namespace) -> None:
    """Sets teacher, base_runs, variants and target_runs, however they were given. Raises SuiteError."""
    from slimgate.errors import SuiteError

    if options.base_runs and options.teacher is not None:
        # `--base A1 A2 B`: argparse gives a first argument without an option to BASE
        raise SuiteError(
            f"{options.teacher} was given together with --base; with --base, write the runs of each model "
            "after --target"
        )
    if options.target_runs and options.variants:
        raise SuiteError(
            f"{options.variants[0]} was given together with --target; write the runs of each model after "
            "a separate --target"
        )
    if options.teacher is None and not options.base_runs:
        raise SuiteError("no BASE was given; expected BASE TARGET, or --base RUN … --target RUN …")
    if options.base_runs and not options.target_runs:
        raise SuiteError("--base was given without --target; expected --base RUN … --target RUN …")
    options.base_runs = options.base_runs or [options.teacher]
    options.teacher = options.base_runs[0]
    options.target_runs = options.target_runs or [[path] for path in options.variants]
    options.variants = [paths[0] for paths in options.target_runs]


def _find_only_repeat(paths: Sequence[Path]) -> Path | None:
    from slimgate.errors import SuiteError

    if len(paths) > 1:
        raise SuiteError(
            f"--repeat was given {len(paths)} times ({', '.join(map(str, paths))}), expected one second log "
            "of the base"
        )
    return next(iter(paths), None)


def _ask_for_points(flag: str, limits: Sequence[float]) -> None:
    from slimgate.suite.budget_units import SMALL_POINTS, format_points_question

    for limit in dict.fromkeys(limits):
        if 0 < limit < SMALL_POINTS:
            question = format_points_question(flag, limit)
            sys.stderr.write(f"slimgate judge: {flag} {limit:g}: {question}\n")


def _judge_one_file(options: argparse.Namespace) -> int:
    from slimgate.cli.judge.tool_files import judge_kl_file
    from slimgate.errors import DataError
    from slimgate.logs.find import find_kl_log

    log = find_kl_log(options.teacher, options.format)
    if log is None:
        raise DataError(
            f"{options.teacher}: expected two files, BASE and TARGET. A single file can be a KL log, such "
            "as the output of llama-perplexity --kl-divergence. It can also be a log of several models or "
            "prompts; then choose two with --model base=NAME --model target=NAME"
        )
    return judge_kl_file(options, log)
