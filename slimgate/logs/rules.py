"""The differences that the user allows in a comparison of two logs, and how a log is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from slimgate.errors import DataError, SuiteError, did_you_mean, format_suggestion
from slimgate.logs.answer_columns import AnswerChecks
from slimgate.plugins.reader import COMPARED

Missing = Literal["fail", "drop", "as-wrong"]
SameId = Literal["fail", "epochs", "runs"]


@dataclass(frozen=True)
class Rules:
    """What the user allows in a comparison of two logs, and how the logs are read.

    allow: the differences that are accepted (`--allow`).
    missing: what happens to samples without a score (`--missing`).
    analyses: how often the target's log is judged while it grows; samples after its last one are not run yet.
    directions: pattern of a comparison's name, task or metric -> whether it is better when higher.
    runs: which run of a log that holds several, from `parse_choices`.
    same_id: the meaning of several rows of one id: "fail" refuses them, "epochs" reads them as repeats of one
        sample, "runs" as separate runs, and also the epochs that the log numbers.
    models: which model of a log that holds several, from `parse_models`.
    slices: fields of the samples by which each comparison is sliced.
    checks: of the answers, if their behaviour is judged too.

    Raises SuiteError for an unknown value of missing or same_id.
    """

    allow: frozenset[str] = frozenset()
    missing: Missing = "fail"
    analyses: int = 1
    directions: Mapping[str, bool] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)
    same_id: SameId = "fail"
    models: Mapping[str, str] = field(default_factory=dict)
    slices: tuple[str, ...] = ()
    checks: AnswerChecks | None = None

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("missing", self.missing, get_args(Missing)),
            ("same_id", self.same_id, get_args(SameId)),
        ):
            if value not in choices:
                near = did_you_mean(str(value), choices)
                raise SuiteError(f"{name}={value!r}: expected one of {', '.join(choices)}{near}")


def check_allowed(allow: Collection[str]) -> None:
    """Raises DataError for a name that is not an allowed difference of logs."""
    for name in allow:
        if name not in COMPARED:
            raise DataError(
                f"--allow {name}: expected one of {', '.join(COMPARED)}{format_suggestion(name, COMPARED)}"
            )
