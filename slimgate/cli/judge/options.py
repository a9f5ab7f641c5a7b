"""Arguments of `slimgate judge`: the names of targets, and options that some kinds of files do not use."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, count
from pathlib import Path

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


def name_target(path: Path) -> str:
    """The name of a file or folder, as a record can have it."""
    stem = path.resolve().name if path.is_dir() else path.stem
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-") or "target"
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
