"""Options of `slimgate judge` that some kinds of files do not use, and that would otherwise be ignored."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from slimgate.errors import SuiteError

OF_PREDICTIONS = ("id_column", "label_column", "prediction_column", "group_column", "labels", "positive")
OF_LOGS = (
    *("pooled_points", "allow", "repeat", "range", "higher_is_better", "lower_is_better", "runs", "models"),
    *("explain_environment", "slices", "slice_points", "answers", "tokenizer", "refusals"),
    *("length_ratio_max", "length_ratio_min"),
)
# Limits of scores. Load tests and KL logs take a file of budgets instead.
_LIMITS = (
    *("metric", "drop_points", "equivalent_points", "pooled_points", "range", "slice_points"),
    *("length_ratio_max", "length_ratio_min"),
)
_DEFAULTS = {"missing": "fail", "same_id": "fail", "looks": 1}
_FLAGS = {"runs": "run", "models": "model", "slices": "slice"}


def flag_of(name: str) -> str:
    """`--slice` for slices."""
    return f"--{_FLAGS.get(name, name).removesuffix('_column').replace('_', '-')}"


def list_stated(options: argparse.Namespace, names: Iterable[str]) -> Iterator[str]:
    """The options among `names` whose value differs from their default."""
    for name in names:
        value = getattr(options, name)
        if value and value != _DEFAULTS.get(name):
            yield name


def refuse_options(
    options: argparse.Namespace, noun: str, example: str, *, accepted: Iterable[str] = ()
) -> None:
    """Raises SuiteError for an option of logs of answers or of predictions.

    Args:
        options: Of the command line.
        noun: The name of the kind of files.
        example: A budget for such files.
        accepted: Options of logs that these files also use.
    """
    names = dict.fromkeys((*_LIMITS, *OF_LOGS, *OF_PREDICTIONS, *_DEFAULTS))
    for name in list_stated(options, (name for name in names if name not in tuple(accepted))):
        remedy = f"write --budgets FILE.toml, such as {example}" if name in _LIMITS else "leave it out"
        raise SuiteError(f"{flag_of(name)} cannot be used with {noun}; {remedy}")
