"""The arguments of `slimgate judge`, in the groups of its help."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, count
from pathlib import Path

from slimgate.cli.parser import CommandParser, parse_multiple, parse_points, parse_seed
from slimgate.errors import DataError, SuiteError

# The columns of prediction files that the user may name -> their help.
ROLES = {
    "id": "Column of the row ids",
    "label": "Column of the right answer",
    "prediction": "Column of the model's answer",
    "group": "Column of the group, such as a document; rows of one group are judged as one unit",
}
OF_PREDICTIONS = ("id_column", "label_column", "prediction_column", "group_column", "labels", "positive")
OF_LOGS = (
    *("pooled_points", "allow", "repeat", "range", "higher_is_better", "lower_is_better", "runs", "models"),
    *("explain_environment", "slices", "slice_points", "answers", "tokenizer", "refusals"),
    *("length_ratio_max", "length_ratio_min", "same_id", "analyses"),
)
# Limits of scores. Load tests and KL logs take a file of budgets instead.
_LIMITS = (
    *("metric", "drop_points", "equivalent_points", "pooled_points", "range", "slice_points"),
    *("length_ratio_max", "length_ratio_min"),
)
_DEFAULTS = {"missing": "fail", "same_id": "fail", "analyses": 1}
_FLAGS = {"runs": "run", "models": "model", "slices": "slice"}


# Inspect names a log by its time, its task or model, and an id. The time and the id differ in each release.
_INSPECT_STEM = re.compile(r"\d{4}-\d\d-\d\dT[-+\d]+_(?P<name>.+)_[0-9A-Za-z]{18,24}")


def name_target(path: Path) -> str:
    """The name of a file or folder, as a record can have it."""
    stem = path.resolve().name if path.is_dir() else path.stem
    match = _INSPECT_STEM.fullmatch(stem)
    return make_name(match["name"] if match else stem)


def make_name(text: str) -> str:
    """The text with only the characters that a name in a record can have."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-") or "target"
    return "target" if name == "teacher" else name


def name_targets(paths: Iterable[Path]) -> dict[str, Path]:
    """The paths by their name in a record, in order, with a number if an earlier target has this name.

    Raises DataError for a path that is given twice.
    """
    paths_by_name: dict[str, Path] = {}
    for path in paths:
        if path.resolve() in {earlier.resolve() for earlier in paths_by_name.values()}:
            raise DataError(f"{path}: this target was given twice, expected each target once; leave one out")
        base_name = name_target(path)
        numbered_names = (f"{base_name}-{number}" for number in count(2))
        name = next(name for name in chain([base_name], numbered_names) if name not in paths_by_name)
        paths_by_name[name] = path
    return paths_by_name


def format_flag(name: str) -> str:
    """The flag of an option: `--slice` for slices."""
    return f"--{_FLAGS.get(name, name).removesuffix('_column').replace('_', '-')}"


def list_changed(options: argparse.Namespace, names: Iterable[str]) -> Iterator[str]:
    """The options among `names` whose value differs from their default. A limit of 0 does."""
    for name in names:
        value = getattr(options, name)
        is_set = value is not None and value is not False and value != []
        if is_set and value != _DEFAULTS.get(name):
            yield name


def refuse_options(
    options: argparse.Namespace, noun: str, example: str, *, accepted: Collection[str] = ()
) -> None:
    """Raises SuiteError for an option that only logs of answers and predictions use: it would be ignored.

    Args:
        options: Of the command line.
        noun: The name of the kind of files.
        example: A budget for such files.
        accepted: Options of logs that these files also use.
    """
    names = dict.fromkeys((*_LIMITS, *OF_LOGS, *OF_PREDICTIONS, *_DEFAULTS))
    for name in list_changed(options, (name for name in names if name not in accepted)):
        remedy = f"write --budgets FILE.toml, such as {example}" if name in _LIMITS else "leave it out"
        raise SuiteError(f"{format_flag(name)} cannot be used with {noun}; {remedy}")


def add_all(parser: CommandParser) -> None:
    """Adds every argument, except --help."""
    _add_models(parser)
    _add_budgets(parser)
    _add_log_options(parser)
    _add_prediction_options(parser)
    _add_output(parser)


def _add_models(parser: CommandParser) -> None:
    group = parser.add_argument_group("models")
    group.add_argument(
        "teacher", type=Path, nargs="?", metavar="BASE", help="File or folder of the base model"
    )
    group.add_argument(
        "variants",
        type=Path,
        nargs="*",
        metavar="TARGET",
        help="File or folder of the model to compare with the base (leave TARGET out if BASE is a KL "
        "log, such as the output of llama-perplexity --kl-divergence)",
    )
    group.add_argument(
        "--base",
        type=Path,
        nargs="+",
        dest="base_runs",
        metavar="RUN",
        help="One or more runs of the base model, instead of BASE (only for logs and tables). With several "
        "runs, the intervals also include the variation between runs",
    )
    group.add_argument(
        "--target",
        type=Path,
        nargs="+",
        action="append",
        dest="target_runs",
        metavar="RUN",
        help="One or more runs of a model to compare, instead of TARGET (only for logs and tables); repeat "
        "the option for each model",
    )
    group.add_argument(
        "--repeat",
        action="append",
        type=Path,
        metavar="BASE2",
        help="Second log of the base model, to measure how much scores change from run to run",
    )


def _add_budgets(parser: CommandParser) -> None:
    group = parser.add_argument_group("metrics and budgets")
    group.add_argument(
        "--metric",
        action="append",
        metavar="NAME",
        help="Metric to judge (repeatable). Predictions: a metric's name (default: the metrics with a "
        "budget, else accuracy). Logs: a pattern of tasks, metrics or task/metric (default: all), "
        "or pass@K or pass^K if samples have several answers",
    )
    for flag, limit in (
        ("--drop-points", "drop in percentage points, above 0"),
        ("--equivalent-points", "change in percentage points, worse or better"),
    ):
        group.add_argument(
            flag,
            action="append",
            type=parse_points,
            metavar="X",
            help=f"Largest {limit}: give one value for each --metric, in order, or one value for all metrics",
        )
    group.add_argument(
        "--budgets",
        type=Path,
        metavar="FILE.toml",
        help="TOML file with a table [budgets], as in a suite. Load tests need it, for example with "
        "latency = { speedup_min = 1.2 }, and KL logs, with kl = { mean_max = 0.02 }",
    )
    _add_log_budgets(group)
    group.add_argument(
        "--on-inconclusive",
        choices=("fail", "warn"),
        default="fail",
        help="Effect of an INCONCLUSIVE budget: fail (exit code 1, the default) or warn (the exit code "
        "does not change)",
    )
    group.add_argument(
        "--require-budget", action="store_true", help="Exit with code 4 if a target has no budget"
    )


def _add_log_budgets(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--pooled-points",
        type=parse_points,
        metavar="X",
        help="Logs: largest drop, in percentage points, of the mean over all samples of all tasks; "
        "slimgate uses the first metric of each task",
    )
    group.add_argument(
        "--slice",
        action="append",
        dest="slices",
        metavar="FIELD",
        help="Logs: also judge the samples separately for each value of this field, such as category, "
        "metadata.language or prompt_length (repeatable)",
    )
    group.add_argument(
        "--slice-points",
        type=parse_points,
        metavar="X",
        help="Logs: limit on the drop in each slice, in percentage points; for limits on single slices, use "
        "--budgets",
    )
    group.add_argument(
        "--answers",
        action="store_true",
        help="Logs: also compare how long the answers are, and which are truncated, empty or refusals",
    )
    for flag, limit in (("--length-ratio-max", "at most"), ("--length-ratio-min", "at least")):
        group.add_argument(
            flag,
            type=parse_multiple,
            metavar="X",
            help=f"Logs: the mean length of the target's answers must be {limit} X times the base's",
        )


def _add_log_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("logs")
    group.add_argument(
        "--format", metavar="NAME", help="Format of the logs (default: detected from the content)"
    )
    group.add_argument(
        "--run",
        action="append",
        dest="runs",
        metavar="[SIDE=]RUN",
        help="With several runs in a log: the run to judge. RUN is latest (the newest run), the beginning of "
        "a run's time (2026-02-01T), each-task (the newest run of each task) or all (all runs, "
        "which must be of one model). SIDE is base, target or repeat (default: every side); "
        "repeatable. Default: the newest run, if it has every task of the other log",
    )
    group.add_argument(
        "--model",
        action="append",
        dest="models",
        metavar="[SIDE=]NAME",
        help="With several models in a log, such as the providers of promptfoo: the model to "
        "judge. SIDE is base, target or repeat (default: every side); repeatable. If only BASE is "
        "given, choose both models from BASE",
    )
    _add_sample_options(group)
    _add_score_options(group)
    group.add_argument(
        "--analyses",
        type=int,
        default=1,
        metavar="K",
        help="Judge the target up to K times while it runs, each time after another 1/K of the "
        "base's samples (default 1)",
    )


def _add_sample_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--same-id",
        choices=("fail", "epochs", "runs"),
        default="fail",
        help="Meaning of several rows with the same id. fail: an error (default). epochs: repeats "
        "of one sample within a run, in row order. runs: one row for each separate run; numbered "
        "epochs also count as separate runs",
    )
    group.add_argument(
        "--missing",
        choices=("fail", "drop", "as-wrong"),
        default="fail",
        help="Treatment of samples without a score in one log or in both. fail: an error "
        "(default). drop: slimgate leaves these samples out. as-wrong: a sample that only the target "
        "lacks gets the worst score; slimgate leaves out a sample that the base lacks",
    )
    group.add_argument(
        "--allow",
        action="append",
        metavar="WHAT",
        help="Accept a difference between the logs in tasks, metrics, document, prompt, target, "
        "shots, limit, chat_template, version, generation, filters, task_args or scorers (for load "
        "tests, in load, prompt, answers or unfinished). Repeatable; the output names each accepted "
        "difference",
    )


def _add_score_options(group: argparse._ArgumentGroup) -> None:
    for flag, direction in (("--higher-is-better", "higher"), ("--lower-is-better", "lower")):
        group.add_argument(
            flag,
            action="append",
            default=[],
            metavar="NAME",
            help=f"Metric, or pattern of metrics, that is better when {direction} (repeatable); "
            "required if neither the log nor the metric's name shows the direction",
        )
    group.add_argument(
        "--range",
        action="append",
        metavar="NAME=LOW:HIGH",
        help="Lowest and highest score of a metric, such as grade=1:10 (repeatable). If the range "
        "of a metric is not known, its budget can FAIL but cannot PASS",
    )
    group.add_argument(
        "--tokenizer",
        type=Path,
        metavar="FILE",
        help="Tokenizer that counts the tokens of answers if the logs have no such counts (a "
        "tokenizer.json, or its folder)",
    )
    group.add_argument(
        "--refusals",
        metavar="WHAT",
        help="Recognize refusals also by the regular expressions of this file, one per line; or only by "
        "your function of an answer, package.module:function",
    )


def _add_prediction_options(parser: CommandParser) -> None:
    group = parser.add_argument_group("prediction files")
    group.add_argument(
        "--labels",
        type=_parse_labels,
        metavar="A,B,…",
        help="All labels of the task; if probability columns are numbered, in the order of "
        "their numbers (default: the labels of the rows). A prediction that is none of the labels "
        "counts as wrong",
    )
    group.add_argument(
        "--positive",
        metavar="LABEL",
        help="Which of two labels is the positive label, for precision, recall, f1 and "
        "pr_auc (default: chosen for common pairs, such as 1 for the labels 0 and 1)",
    )
    for role, meaning in ROLES.items():
        group.add_argument(
            f"--{role}", metavar="COLUMN", dest=f"{role}_column", help=f"{meaning} (default {role})"
        )


def _add_output(parser: CommandParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="Write run.json, outcomes and the reports to this folder",
    )
    group.add_argument(
        "--json", action="store_true", help="Print JSON: for each target, the content of run.json"
    )
    group.add_argument(
        "--explain-environment",
        action="store_true",
        help="Logs: also show how versions, settings, prompts, sampling and hardware differ between the "
        "runs; differences that usually change scores most come first",
    )
    group.add_argument(
        "--seed", type=parse_seed, default=0, help="Seed of the bootstrap's random weights (default 0)"
    )


def _parse_labels(text: str) -> tuple[str, ...]:
    """Parses labels that commas separate. Raises argparse's error, with the expected form."""
    labels = tuple(label.strip() for label in text.split(","))
    if not all(labels):
        raise argparse.ArgumentTypeError(
            f"{text!r} was given, expected labels that are not empty, with commas between them"
        )
    return labels
