"""A verdict as an assertion, for tests that already have the answers of both models."""

from __future__ import annotations

from pathlib import Path

from slimgate.data.predictions.columns import ColumnNames
from slimgate.data.predictions.pairs import read_pair
from slimgate.errors import MeasureError, SuiteError
from slimgate.judge.message import message
from slimgate.judge.metrics import load_metric
from slimgate.judge.quality import judge_quality
from slimgate.judge.verdict import QualityBudget, QualityJudgement, Verdict
from slimgate.outcomes import ClassOutcomes, Outcomes


def assert_within(
    teacher: Outcomes | str | Path,
    variant: Outcomes | str | Path,
    *,
    metric: str = "accuracy",
    drop_points: float = 1.0,
    seed: int = 0,
) -> QualityJudgement:
    """Asserts that the variant is at most `drop_points` percentage points worse than the teacher.

    teacher, variant: the answers of both on the same rows, as Outcomes (see `class_outcomes`), or two
    prediction files as `slimgate judge` reads them. The rows are a sample: the assertion holds where the
    one-sided 95 % bound of the drop is within the budget. metric: one of slimgate's, "hub:NAME", or your own
    "package.module:object". seed: of the bootstrap, which some metrics need.

    Returns the judgement. Raises AssertionError with the verdict's line where it is FAIL, or INCONCLUSIVE
    because there are too few rows (the line says how many would tell); SuiteError for a budget or a metric
    that does not exist; DataError for files that do not match; MeasureError for outcomes of other rows.
    """
    if isinstance(teacher, str | Path) and isinstance(variant, str | Path):
        pair = read_pair(Path(teacher), Path(variant), ColumnNames())
        teacher, variant = pair.teacher, pair.variant
    if not (isinstance(teacher, Outcomes) and isinstance(variant, Outcomes)):
        came = f"{type(teacher).__name__} and {type(variant).__name__}"
        raise SuiteError(f"assert_within: {came} came, expected two Outcomes or two paths")
    _check_classes(teacher, variant)
    budget = QualityBudget("drop_points", drop_points)
    judged = judge_quality(load_metric(metric), teacher, variant, [budget], seed=seed)
    if judged.verdict is not Verdict.PASS:
        raise AssertionError(message("variant", judged))
    return judged


def _check_classes(teacher: Outcomes, variant: Outcomes) -> None:
    if isinstance(teacher, ClassOutcomes) and isinstance(variant, ClassOutcomes):
        for name in sorted(set(teacher.classes) ^ set(variant.classes)):
            raise MeasureError(
                f'assert_within: only one of the two has class "{name}"; '
                "give class_outcomes the same classes for both"
            )
