"""`slimgate judge TEACHER VARIANT`: a verdict on two prediction files, without building anything."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from slimgate.cli.judge.options import ROLES
from slimgate.cli.options import factor, points
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
    parser.description = DESCRIPTION
    parser.examples = EXAMPLES
    parser.add_argument(
        "teacher", type=Path, nargs="?", metavar="BASE", help="File or folder of the base model"
    )
    parser.add_argument(
        "variants",
        type=Path,
        nargs="*",
        metavar="TARGET",
        help="File or folder of the model to compare with the base (leave TARGET out if BASE is a KL "
        "log, such as the output of llama-perplexity --kl-divergence)",
    )
    parser.add_argument(
        "--base",
        type=Path,
        nargs="+",
        dest="base_runs",
        metavar="RUN",
        help="One or more runs of the base model, instead of BASE (only for logs and tables). With several "
        "runs, the intervals also include the variation between runs",
    )
    parser.add_argument(
        "--target",
        type=Path,
        nargs="+",
        action="append",
        dest="target_runs",
        metavar="RUN",
        help="One or more runs of a model to compare, instead of TARGET (only for logs and tables); repeat "
        "the option for each model",
    )
    parser.add_argument(
        "--metric",
        action="append",
        metavar="NAME",
        help="Metric to judge (repeatable). Predictions: a metric's name (default: the metrics with a "
        "budget, else accuracy). Logs: a pattern of tasks, metrics or task/metric (default: all), "
        "or pass@K or pass^K if samples have several answers",
    )
    parser.add_argument(
        "--drop-points",
        action="append",
        type=points,
        metavar="X",
        help="Largest drop in percentage points, above 0: give one value for each --metric, in order, or "
        "one value for all metrics",
    )
    parser.add_argument(
        "--equivalent-points",
        action="append",
        type=points,
        metavar="X",
        help="Largest change in percentage points, worse or better: give one value for each --metric, in "
        "order, or one value for all metrics",
    )
    parser.add_argument(
        "--budgets",
        type=Path,
        metavar="FILE.toml",
        help="TOML file with a table [budgets], as in a suite. Load tests need it, for example with "
        "latency = { speedup_min = 1.2 }, and KL logs, with kl = { mean_max = 0.02 }",
    )
    parser.add_argument(
        "--pooled-points",
        type=points,
        metavar="X",
        help="Logs: largest drop, in percentage points, of the mean over all samples of all tasks; "
        "slimgate uses the first metric of each task",
    )
    parser.add_argument(
        "--range",
        action="append",
        metavar="NAME=LOW:HIGH",
        help="Logs: lowest and highest score of a metric, such as grade=1:10 (repeatable). If the range "
        "of a metric is not known, its budget can FAIL but cannot PASS",
    )
    parser.add_argument(
        "--slice",
        action="append",
        dest="slices",
        metavar="FIELD",
        help="Logs: also judge the samples separately for each value of this field, such as category, "
        "metadata.language or prompt_length (repeatable)",
    )
    parser.add_argument(
        "--slice-points",
        type=points,
        metavar="X",
        help="Logs: limit on the drop in each slice, in percentage points; for limits on single slices, use "
        "--budgets",
    )
    parser.add_argument(
        "--answers",
        action="store_true",
        help="Logs: also compare how long the answers are, and which are truncated, empty or refusals",
    )
    for flag, limit in (("--length-ratio-max", "at most"), ("--length-ratio-min", "at least")):
        parser.add_argument(
            flag,
            type=factor,
            metavar="X",
            help=f"Logs: the mean length of the target's answers must be {limit} X times the base's",
        )
    parser.add_argument(
        "--tokenizer",
        type=Path,
        metavar="FILE",
        help="Logs: tokenizer that counts the tokens of answers if the logs have no such counts (a "
        "tokenizer.json, or its folder)",
    )
    parser.add_argument(
        "--refusals",
        metavar="WHAT",
        help="Logs: how to recognize refusals: a file with regular expressions, one per line, which "
        "slimgate adds to its own; or, instead of them, your function of an answer, "
        "package.module:function",
    )
    parser.add_argument(
        "--format", metavar="NAME", help="Logs: format of the logs (default: detected from the content)"
    )
    parser.add_argument(
        "--allow",
        action="append",
        metavar="WHAT",
        help="Logs: accept a difference between the logs in tasks, metrics, document, prompt, target, "
        "shots, limit, chat_template, version, generation, filters, task_args or scorers (for load "
        "tests, in load, prompt, answers or unfinished). Repeatable; the output names each accepted "
        "difference",
    )
    parser.add_argument(
        "--missing",
        choices=("fail", "drop", "as-wrong"),
        default="fail",
        help="Logs: what happens to samples without a score in one log or in both. fail: an error "
        "(default). drop: slimgate leaves these samples out. as-wrong: a sample that only the target "
        "lacks gets the worst score; slimgate leaves out a sample that the base lacks",
    )
    for flag, direction in (("--higher-is-better", "higher"), ("--lower-is-better", "lower")):
        parser.add_argument(
            flag,
            action="append",
            default=[],
            metavar="NAME",
            help=f"Logs: metric, or pattern of metrics, that is better when {direction} (repeatable); "
            "required if neither the log nor the metric's name shows the direction",
        )
    parser.add_argument(
        "--run",
        action="append",
        dest="runs",
        metavar="[SIDE=]RUN",
        help="Logs with several runs: the run to judge. RUN is latest (the newest run), the beginning of "
        "a run's time (2026-02-01T), each-task (the newest run of each task) or all (all runs, "
        "which must be of one model). SIDE is base, target or repeat (default: every side); "
        "repeatable. Default: the newest run, if it has every task of the other log",
    )
    parser.add_argument(
        "--model",
        action="append",
        dest="models",
        metavar="[SIDE=]NAME",
        help="Logs with answers of several models, such as the providers of promptfoo: the model to "
        "judge. SIDE is base, target or repeat (default: every side); repeatable. If only BASE is "
        "given, choose both models from BASE",
    )
    parser.add_argument(
        "--same-id",
        choices=("fail", "epochs", "runs"),
        default="fail",
        help="Logs: meaning of several rows with the same id. fail: an error (default). epochs: repeats "
        "of one sample within a run, in row order. runs: one row for each separate run; numbered "
        "epochs also count as separate runs",
    )
    parser.add_argument(
        "--repeat",
        action="append",
        type=Path,
        metavar="BASE2",
        help="Second log of the base model, to measure how much scores change from run to run",
    )
    parser.add_argument(
        "--looks",
        type=int,
        default=1,
        metavar="K",
        help="Logs: judge the target up to K times while it runs, each time after another 1/K of the "
        "base's samples (default 1)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="Write run.json, outcomes and the reports to this folder",
    )
    parser.add_argument(
        "--on-inconclusive",
        choices=("fail", "warn"),
        default="fail",
        help="Effect of an INCONCLUSIVE budget: fail (exit code 1, the default) or warn (the exit code "
        "does not change)",
    )
    parser.add_argument(
        "--require-budget", action="store_true", help="Exit with code 4 if a target has no budget"
    )
    parser.add_argument(
        "--explain-environment",
        action="store_true",
        help="Logs: also show how versions, settings, prompts, sampling and hardware differ between the "
        "runs; differences that usually change scores most come first",
    )
    parser.add_argument(
        "--json", action="store_true", help="Print JSON: for each target, the content of run.json"
    )
    parser.add_argument(
        "--seed", type=_seed, default=0, help="Seed of the bootstrap's random weights (default 0)"
    )
    parser.add_argument(
        "--labels",
        type=_labels,
        metavar="A,B,…",
        help="Predictions: all labels of the task; if probability columns are numbered, in the order of "
        "their numbers (default: the labels of the rows). A prediction that is none of the labels "
        "counts as wrong",
    )
    parser.add_argument(
        "--positive",
        metavar="LABEL",
        help="Predictions: which of two labels is the positive label, for precision, recall, f1 and "
        "pr_auc (default: chosen for common pairs, such as 1 for the labels 0 and 1)",
    )
    for role, meaning in ROLES.items():
        parser.add_argument(
            f"--{role}", metavar="COLUMN", dest=f"{role}_column", help=f"{meaning} (default {role})"
        )
    parser.set_defaults(run=run)


def _labels(text: str) -> tuple[str, ...]:
    """The labels of a list with commas. Raises ValueError for an empty one."""
    labels = tuple(label.strip() for label in text.split(","))
    if not all(labels):
        raise ValueError(text)
    return labels


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def run(options: argparse.Namespace) -> int:
    """Judges and prints. Raises SlimgateError for wrong input."""
    from slimgate._system.arrow_conversion import keep_pandas_unimported
    from slimgate._system.special_functions import import_functions_alone

    keep_pandas_unimported()
    import_functions_alone()
    from slimgate.cli.judge.logs import judge_log_files, reads_logs

    _ask_for_points("--drop-points", options.drop_points or [])
    _ask_for_points("--equivalent-points", options.equivalent_points or [])
    options.repeat = _only_repeat(options.repeat or [])
    if not options.variants and not options.target_runs and options.models:
        options.variants = [options.teacher]
    _take_sides(options)
    if not options.variants:
        return _judge_one_file(options)
    if reads_logs(options):
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


def _only_repeat(paths: Sequence[Path]) -> Path | None:
    from slimgate.errors import SuiteError

    if len(paths) > 1:
        raise SuiteError(
            f"--repeat was given {len(paths)} times ({', '.join(map(str, paths))}), expected one second log "
            "of the base"
        )
    return next(iter(paths), None)


def _ask_for_points(flag: str, limits: Sequence[float]) -> None:
    from slimgate.suite.budget_units import SMALL, format_points_question

    for limit in dict.fromkeys(limits):
        if 0 < limit < SMALL:
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
            "as the output of llama-perplexity --kl-divergence. It can also be a log of several models; "
            "then choose two with --model base=NAME --model target=NAME"
        )
    return judge_kl_file(options, log)
