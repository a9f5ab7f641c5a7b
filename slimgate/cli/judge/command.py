"""`slimgate judge TEACHER VARIANT`: a verdict on two prediction files, without building anything."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slimgate.cli.options import factor, points

if TYPE_CHECKING:
    from slimgate.logs.predictions.columns import ColumnNames
    from slimgate.logs.predictions.judge import JudgedPair

DESCRIPTION = """\
Judges the answers of a target against those of a base, sample by sample. Each is a log of an evaluation tool
(lm-eval --log_samples, Inspect, lighteval, promptfoo, deepeval, mteb, HELM; its format is found by itself),
a load test of a server (vllm bench serve --save-detailed, guidellm),
a table with the columns id and score, or a prediction file with id, label, and prediction or probabilities
(p_<class>, prob_<class>). Logs that do not compare are refused, with what differs. Exit codes: 0 all budgets
hold, 1 one does not or cannot be decided, 4 wrong usage or input.
"""
ROLES = {
    "id": "what names a row",
    "label": "the right answer",
    "prediction": "the model's answer",
    "group": "equal for rows that belong together, such as those of one document",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument("teacher", type=Path, metavar="BASE", help="file or folder of the base model")
    parser.add_argument(
        "variants",
        type=Path,
        nargs="*",
        metavar="TARGET",
        help="of a model to compare with it; none for the output of llama-perplexity --kl-divergence",
    )
    parser.add_argument(
        "--metric",
        action="append",
        metavar="NAME",
        help="repeatable; of predictions default accuracy, or those with a budget; of logs a pattern of "
        "tasks, metrics or task/metric, default all",
    )
    parser.add_argument(
        "--drop-points",
        action="append",
        type=points,
        metavar="X",
        help="budget in percentage points, above 0: one for each --metric in order, or one for all",
    )
    parser.add_argument(
        "--equivalent-points",
        action="append",
        type=points,
        metavar="X",
        help="budget on both sides: at most so many percentage points worse or better; one for each --metric "
        "in order, or one for all",
    )
    parser.add_argument("--budgets", type=Path, metavar="FILE.toml", help="its [budgets], as in a suite")
    parser.add_argument(
        "--pooled-points",
        type=points,
        metavar="X",
        help="of logs: one budget on the mean over all samples of all tasks, of each task its first metric",
    )
    parser.add_argument(
        "--range",
        action="append",
        metavar="NAME=LOW:HIGH",
        help="of logs, repeatable: the lowest and the highest score of a metric (grade=1:10); a metric whose "
        "range is not known can fail, and does not pass",
    )
    parser.add_argument(
        "--slice",
        action="append",
        dest="slices",
        metavar="FIELD",
        help="of logs, repeatable: judge each group of samples that share a value of a field too, such as "
        "category, metadata.language or prompt_length",
    )
    parser.add_argument(
        "--slice-points",
        type=points,
        metavar="X",
        help="of logs: budget in percentage points of every slice; those of single slices are in --budgets",
    )
    parser.add_argument(
        "--answers",
        action="store_true",
        help="of logs: also compare how answers behave: answer_length, truncated, empty and refused",
    )
    for flag, limit in (("--length-ratio-max", "at most"), ("--length-ratio-min", "at least")):
        parser.add_argument(
            flag,
            type=factor,
            metavar="X",
            help=f"of logs: budget on the mean length of answers, {limit} X times that of the base",
        )
    parser.add_argument(
        "--tokenizer",
        type=Path,
        metavar="FILE",
        help="of logs without completion tokens: a tokenizer.json, or its folder, that counts answers",
    )
    parser.add_argument(
        "--refusals",
        metavar="WHAT",
        help="of logs: a file with further patterns of refusals, one a line, or a function of the answer, "
        "package.module:function",
    )
    parser.add_argument("--format", metavar="NAME", help="of logs; default: found from their content")
    parser.add_argument(
        "--allow",
        action="append",
        metavar="WHAT",
        help="of logs, repeatable: accept that they differ in tasks, metrics, document, prompt, target, "
        "shots, limit, chat_template, version, generation or filters (load tests: load or prompt); the "
        "output says so",
    )
    parser.add_argument(
        "--missing",
        choices=("fail", "drop", "as-wrong"),
        default="fail",
        help="of logs: what samples without a score in one of them or both do (default fail)",
    )
    for flag, direction in (("--higher-is-better", "higher"), ("--lower-is-better", "lower")):
        parser.add_argument(
            flag,
            action="append",
            default=[],
            metavar="NAME",
            help=f"of logs, repeatable: a metric, or a pattern, that is better when {direction}, if neither "
            "the log nor its name says so",
        )
    parser.add_argument(
        "--run",
        action="append",
        dest="runs",
        metavar="[SIDE=]RUN",
        help="of logs that hold several runs: latest, the beginning of a time (2026-02-01T), or each-task "
        "(the newest run of each task); SIDE is base, target or repeat, default each; repeatable. Default: "
        "the newest run, if it has every task of the other log",
    )
    parser.add_argument(
        "--model",
        action="append",
        dest="models",
        metavar="[SIDE=]NAME",
        help="of logs with answers of several models, such as the providers of promptfoo: the one to judge; "
        "SIDE is base, target or repeat, default each; repeatable. BASE alone is also the target then",
    )
    parser.add_argument(
        "--same-id",
        choices=("fail", "epochs"),
        default="fail",
        help="of logs: what several rows of one id are; epochs: repeats of one sample, in the order they "
        "stand (default fail)",
    )
    parser.add_argument(
        "--repeat",
        action="append",
        type=Path,
        metavar="BASE2",
        help="a second log of the base: how much it changes by itself",
    )
    parser.add_argument(
        "--looks",
        type=int,
        default=1,
        metavar="K",
        help="of logs: judge the target up to K times while it runs, at each K-th of the base's samples",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write run.json, outcomes and the reports there",
    )
    parser.add_argument(
        "--on-inconclusive",
        choices=("fail", "warn"),
        default="fail",
        help="what a budget that the rows cannot decide does to the exit code (default fail)",
    )
    parser.add_argument(
        "--require-budget", action="store_true", help="end with exit code 4 where nothing was gated"
    )
    parser.add_argument(
        "--explain-environment",
        action="store_true",
        help="of logs: show in what the runs differ besides their answers: versions, settings, prompts, "
        "sampling, hardware; what usually moves a score most comes first",
    )
    parser.add_argument("--json", action="store_true", help="print what the run record holds of each target")
    parser.add_argument("--seed", type=_seed, default=0, help="Seed of the random weights (default 0)")
    parser.add_argument(
        "--labels",
        type=_labels,
        metavar="A,B,…",
        help="of predictions: all labels of the task, in the order of numbered probabilities; default those "
        "of the rows. Any other prediction is wrong",
    )
    parser.add_argument(
        "--positive",
        metavar="LABEL",
        help="of predictions: the label that precision, recall, f1 and pr_auc of two labels are of; default "
        "that of a usual pair, such as 1 of 0 and 1",
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

    keep_pandas_unimported()
    from slimgate.cli.judge.logs import judge_log_files, reads_logs

    _ask_for_points("--drop-points", options.drop_points or [])
    _ask_for_points("--equivalent-points", options.equivalent_points or [])
    options.repeat = _only_repeat(options.repeat or [])
    if not options.variants and options.models:
        options.variants = [options.teacher]
    if not options.variants:
        return _judge_one_file(options)
    if reads_logs(options):
        return judge_log_files(options)
    return _judge_predictions(options)


def _only_repeat(paths: Sequence[Path]) -> Path | None:
    from slimgate.errors import SuiteError

    if len(paths) > 1:
        raise SuiteError(
            f"--repeat came {len(paths)} times ({', '.join(map(str, paths))}), expected one second log of "
            "the base"
        )
    return next(iter(paths), None)


def _ask_for_points(flag: str, limits: Sequence[float]) -> None:
    from slimgate.suite.budget_units import SMALL, format_points_question

    for limit in dict.fromkeys(limits):
        if 0 < limit < SMALL:
            question = format_points_question(flag, limit)
            sys.stderr.write(f"slimgate judge: {flag} {limit:g}: {question}\n")


def _judge_one_file(options: argparse.Namespace) -> int:
    from slimgate.cli.judge.kl_log import judge_kl_file
    from slimgate.errors import DataError
    from slimgate.logs.kl_log import is_kl_log

    if not is_kl_log(options.teacher):
        raise DataError(
            f"{options.teacher}: came without a TARGET to compare it with; alone stands only what "
            "llama-perplexity --kl-divergence prints, and a file with answers of several models, of which "
            "--model base=NAME --model target=NAME choose two"
        )
    return judge_kl_file(options)


def _judge_predictions(options: argparse.Namespace) -> int:
    """Judges each target and prints. Raises SlimgateError for wrong input."""
    from slimgate._system.escape import visible
    from slimgate.cli.judge.ending import finish
    from slimgate.cli.judge.naming import name_targets
    from slimgate.cli.judge.output import as_text
    from slimgate.errors import SuiteError
    from slimgate.logs.predictions.judge import JudgedPredictions

    if options.explain_environment:
        raise SuiteError(
            "--explain-environment came with prediction files, which say nothing of how they were made"
        )
    pairs = {
        name: _judge_file(argparse.Namespace(**{**vars(options), "variant": path}))
        for name, path in name_targets(options.variants).items()
    }
    judged = JudgedPredictions(pairs, options.teacher.as_posix())
    if options.json:
        warnings = dict.fromkeys(line for pair in pairs.values() for line in pair.warnings)
        sys.stderr.writelines(f"warning: {visible(line)}\n" for line in warnings)
    return finish(
        options,
        judged,
        lambda: "\n\n".join(as_text(pair, judged.verdict_of(name)) for name, pair in pairs.items()),
    )


def _judge_file(options: argparse.Namespace) -> JudgedPair:
    from slimgate.cli.judge.budgets import read_request
    from slimgate.logs.predictions.judge import judge_pair
    from slimgate.logs.predictions.pairs import read_pair

    request = read_request(options)
    pair = read_pair(
        options.teacher,
        options.variant,
        _column_names(options),
        labels=options.labels or (),
        positive=options.positive,
    )
    return judge_pair(
        options.variant.stem,
        (options.teacher, options.variant),
        pair,
        request,
        seed=options.seed,
        on_inconclusive=options.on_inconclusive,
    )


def _column_names(options: argparse.Namespace) -> ColumnNames:
    from slimgate.logs.predictions.columns import ColumnNames

    stated = {role: column for role in ROLES if (column := getattr(options, f"{role}_column")) is not None}
    return ColumnNames(**stated, by_user=frozenset(stated))
