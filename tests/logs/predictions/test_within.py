"""A verdict as an assertion in somebody's own test."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support.lm_eval_logs import write_lm_eval

from slimgate import ClassOutcomes, DataError, MeasureError, SuiteError, assert_within, class_outcomes
from slimgate.results.base import Verdict

LABELS = np.tile(["cold", "warm"], 1000)


def make_answers(wrong: int) -> ClassOutcomes:
    """Outcomes with the first `wrong` rows wrong."""
    predictions = LABELS.copy()
    predictions[:wrong] = np.where(predictions[:wrong] == "cold", "warm", "cold")
    return class_outcomes(LABELS, predictions)


def test_a_variant_that_loses_little_passes_with_its_judgement() -> None:
    judged = assert_within(make_answers(100), make_answers(104))
    assert judged.verdict is Verdict.PASS
    assert judged.drop_points == pytest.approx(0.2)
    assert judged.n == 2000


@pytest.mark.parametrize(
    ("wrong", "budget", "line"),
    [
        (200, 1.0, "variant: accuracy 0.900 vs 0.950, drop 5.0 points .* budget 1.0 .*: FAIL"),
        (116, 1.0, "variant: accuracy 0.942 vs 0.950, drop 0.8 points .* budget 1.0 .*: INCONCLUSIVE"),
    ],
)
def test_a_variant_that_does_not_pass_is_an_error_with_its_line(wrong: int, budget: float, line: str) -> None:
    with pytest.raises(AssertionError, match=line):
        assert_within(make_answers(100), make_answers(wrong), drop_points=budget)


def test_prediction_files_are_read_as_the_command_reads_them(tmp_path: Path) -> None:
    for name, wrong in (("teacher", 100), ("student", 104), ("broken", 300)):
        outcomes = make_answers(wrong)
        rows = "".join(
            f"{number},{LABELS[number]},{outcomes.classes[predicted]}\n"
            for number, predicted in enumerate(outcomes.predictions)
        )
        (tmp_path / f"{name}.csv").write_text("id,label,prediction\n" + rows)
    judged = assert_within(tmp_path / "teacher.csv", str(tmp_path / "student.csv"), metric="f1_macro")
    assert judged.metric == "f1_macro"
    with pytest.raises(AssertionError, match=re.escape("drop 10.0 points")):
        assert_within(tmp_path / "teacher.csv", tmp_path / "broken.csv")
    with pytest.raises(SuiteError, match=r"no such file; in the same folder: broken.csv"):
        assert_within(tmp_path / "teacher.csv", tmp_path / "nowhere.csv")


def test_a_file_is_not_held_against_itself(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("id,label,prediction\n0,a,a\n1,b,b\n")
    with pytest.raises(DataError, match="are the same file, expected the predictions of two models"):
        assert_within(tmp_path / "one.csv", tmp_path / "one.csv")


OF_LOGS: list[dict[str, Any]] = [
    {"missing": "drop"},
    {"allow": ["prompt"]},
    {"higher_is_better": ["accuracy"]},
    {"lower_is_better": ["accuracy"]},
    {"run": "latest"},
    {"model": "small"},
    {"same_id": "epochs"},
    {"ranges": {"accuracy": (0, 1)}},
]
OF_PREDICTIONS: list[dict[str, Any]] = [{"labels": ["cold", "warm"]}, {"positive": "warm"}]


def name_option(option: dict[str, Any]) -> str:
    return next(iter(option))


@pytest.mark.parametrize("option", OF_LOGS, ids=name_option)
def test_options_of_logs_are_not_ignored(tmp_path: Path, option: dict[str, Any]) -> None:
    for name in ("teacher", "student"):
        rows = "".join(f"{number},{label},{label}\n" for number, label in enumerate(LABELS))
        (tmp_path / f"{name}.csv").write_text("id,label,prediction\n" + rows)
    expected = f"^assert_within: {name_option(option)}=.* is only for logs; leave it out$"
    for pair in ((tmp_path / "teacher.csv", tmp_path / "student.csv"), (make_answers(1), make_answers(1))):
        with pytest.raises(SuiteError, match=expected):
            assert_within(*pair, **option)


@pytest.mark.parametrize("option", OF_PREDICTIONS, ids=name_option)
def test_options_of_predictions_are_not_ignored(tmp_path: Path, option: dict[str, Any]) -> None:
    for name, score in (("base", 1), ("target", 0)):
        (tmp_path / f"{name}.csv").write_text(f"id,score\n0,{score}\n1,1\n")
    expected = f"^assert_within: {name_option(option)}=.* is only for prediction files; leave it out$"
    for pair in ((tmp_path / "base.csv", tmp_path / "target.csv"), (make_answers(1), make_answers(1))):
        with pytest.raises(SuiteError, match=expected):
            assert_within(*pair, **option)


def test_wrong_use_is_reported() -> None:
    with pytest.raises(SuiteError, match="expected two Outcomes or two paths"):
        assert_within(make_answers(0), "student.csv")
    with pytest.raises(SuiteError, match="Did you mean accuracy"):
        assert_within(make_answers(0), make_answers(0), metric="acuracy")
    with pytest.raises(SuiteError, match=r"drop_points is 0\.0, expected a finite number above 0"):
        assert_within(make_answers(0), make_answers(0), drop_points=0.0)
    with pytest.raises(SuiteError, match=r"drop_points is '1\.0', expected a finite number above 0"):
        assert_within(make_answers(0), make_answers(0), drop_points="1.0")  # type: ignore[arg-type]
    with pytest.raises(SuiteError, match=r"metric=\['accuracy'\] was given, expected one name or pattern"):
        assert_within(make_answers(0), make_answers(0), metric=["accuracy"])  # type: ignore[arg-type]
    with pytest.raises(SuiteError, match=r"^None was given, expected the path of a file or folder"):
        assert_within(None, None)  # type: ignore[arg-type]
    other = class_outcomes(LABELS, LABELS, classes=["cold", "mild", "warm"])
    with pytest.raises(
        MeasureError, match='only one of the two has class "mild"; give class_outcomes the same'
    ):
        assert_within(make_answers(0), other)


def test_outcomes_are_made_of_lists_of_any_labels() -> None:
    outcomes = class_outcomes([3, 10, 3], [3, 3, 10], groups=["a", "b", "a"])
    assert outcomes.classes == ("3", "10")
    assert outcomes.labels.tolist() == [0, 1, 0]
    assert outcomes.predictions.tolist() == [0, 0, 1]
    assert outcomes.groups is not None
    assert outcomes.groups.tolist() == [0, 1, 0]
    assert outcomes.ids.tolist() == ["0", "1", "2"]
    chances = [[0.2, 0.8], [0.6, 0.4]]
    by_chance = class_outcomes(["no", "no"], probabilities=chances, classes=["no", "yes"], ids=["x", "y"])
    assert by_chance.predictions.tolist() == [1, 0]
    assert by_chance.probabilities is not None
    np.testing.assert_array_equal(by_chance.probabilities, chances)


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        (["no"], {}, "give predictions, or probabilities and classes"),
        (
            ["no"],
            {"predictions": ["yes"], "classes": ["maybe", "yes"]},
            '"no" is not one of the classes maybe, yes',
        ),
        (
            ["no", "yes"],
            {"predictions": ["no", " Yes"]},
            'prediction " Yes" is the label "yes" in another spelling',
        ),
        (
            ["yes", "Yes", "no"],
            {"predictions": ["yes", "yes", "no"]},
            'the labels "Yes" and "yes" differ only in case, spaces or the writing of a number',
        ),
        (["", "no"], {"predictions": [" ", "no"]}, 'prediction " " is the label "" in another spelling'),
        (
            [0, 1],
            {"predictions": [False, True]},
            'prediction "False" is the label "0" in another spelling',
        ),
        (["no", "yes"], {"predictions": ["no"]}, "predictions has shape"),
        (["no", None], {"predictions": ["no", "no"]}, "label 1 is None, expected a name or a number"),
        ([1.0, float("nan")], {"predictions": [1.0, 1.0]}, "label 1 is nan, expected"),
        ([1, pd.NA], {"predictions": [1, 1]}, "label 1 is <NA>, expected"),
        ([[1, 0]], {"predictions": [[1, 0]]}, "label 0 is [1, 0], expected a name or a number"),
        ([b"a"], {"predictions": ["a"]}, "label 0 is b'a', expected a name or a number"),
        (["a"], {"predictions": [{"a"}]}, "prediction 0 is {'a'}, expected a name or a number"),
        (np.array([[1, 0]]), {"predictions": [[1, 0]]}, "label has 2 dimensions, expected one"),
        (pd.DataFrame({"a": [1]}), {"predictions": [1]}, "label has 2 dimensions, expected one"),
        (["no"], {"predictions": ["no"], "classes": ["no", "no"]}, 'class "no" was given more than once'),
        (["no", "no"], {"predictions": ["no", "no"], "ids": ["x", "x"]}, 'id "x" was given more than once'),
        (["no"], {"probabilities": [0.5], "classes": ["no", "yes"]}, "shape (1,), expected (1, 2)"),
        (
            ["no"],
            {"probabilities": [[0.9, 0.9]], "classes": ["no", "yes"]},
            "rows are below 0 or do not sum to 1",
        ),
        (
            ["no"],
            {"probabilities": [[1.5, -0.5]], "classes": ["no", "yes"]},
            "rows are below 0 or do not sum",
        ),
        (["no"], {"probabilities": [[1.0, float("nan")]], "classes": ["no", "yes"]}, "(first: row 0)"),
    ],
)
def test_outcomes_that_cannot_be_are_refused(
    labels: list[Any], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(MeasureError, match=re.escape(message)):
        class_outcomes(labels, **arguments)


@pytest.mark.parametrize(
    "make",
    [
        np.array,
        pd.Series,
        lambda values: [*np.array(values)],
        lambda values: pytest.importorskip("torch").tensor(values),
        lambda values: [*pytest.importorskip("torch").tensor(values)],
        pa.array,
        lambda values: pa.table({"label": values})["label"],
        lambda values: [Decimal(int(value)) for value in values],
    ],
    ids=[
        "array",
        "series",
        "list of scalars",
        "tensor",
        "list of tensors",
        "arrow",
        "column of a table",
        "decimals",
    ],
)
def test_arrays_tensors_and_series_give_the_same_outcomes(make: Callable[[list[float]], Any]) -> None:
    stated = class_outcomes([0, 1, 0], [0, 1, 1], positive=1)
    outcomes = class_outcomes(make([0.0, 1.0, 0.0]), make([0, 1, 1]), positive=make([1.0])[0])
    assert (outcomes.classes, outcomes.positive, outcomes.labels.tolist(), outcomes.predictions.tolist()) == (
        stated.classes,
        "1",
        [0, 1, 0],
        [0, 1, 1],
    )


def test_members_of_an_enum_are_their_values() -> None:
    class Label(Enum):
        COLD = "cold"
        WARM = "warm"

    outcomes = class_outcomes([Label.COLD, Label.WARM], ["cold", "cold"])
    assert (outcomes.classes, outcomes.strays) == (("cold", "warm"), 0)


def test_ids_and_groups_may_be_objects() -> None:
    days, ids = [date(2026, 1, 1), date(2026, 1, 2)], [UUID(int=1), UUID(int=2)]
    outcomes = class_outcomes(["no", "yes"], ["no", "no"], ids=ids, groups=days)
    assert outcomes.ids.tolist() == [str(name) for name in ids]
    assert outcomes.groups is not None
    assert outcomes.groups.tolist() == [0, 1]


@pytest.mark.filterwarnings("ignore::UserWarning")  # the notes of `slimgate judge`
def test_logs_are_asserted_as_slimgate_judge_judges_them(tmp_path: Path) -> None:
    right = [1.0] * 270 + [0.0] * 30
    base = write_lm_eval(tmp_path / "base", {"arc": right, "gsm8k": right})
    good = write_lm_eval(tmp_path / "good", {"arc": right, "gsm8k": [0.0, *right[1:]]})
    bad = write_lm_eval(tmp_path / "bad", {"arc": right, "gsm8k": [0.0] * 60 + right[60:]})
    judged = assert_within(base, good, drop_points=3)
    assert (judged.metric, round(judged.drop_points, 2)) == ("gsm8k/acc", 0.33)
    with pytest.raises(AssertionError, match=r"bad: gsm8k/acc 0\.700 vs 0\.900, drop 20\.0 points .*: FAIL"):
        assert_within(base, bad, drop_points=3)
    assert assert_within(base, bad, metric="arc", drop_points=3).drop_points == 0
    other = write_lm_eval(tmp_path / "other", {"arc": right, "gsm8k": right}, prompt="{id}")
    with pytest.raises(DataError, match=r'accept it by allow = \["prompt"\]'):
        assert_within(base, other, drop_points=3)
    assert_within(base, other, drop_points=3, allow=["prompt"])


def test_a_variant_that_is_better_is_not_equivalent(tmp_path: Path) -> None:
    assert assert_within(make_answers(220), make_answers(100)).verdict is Verdict.PASS
    with pytest.raises(AssertionError, match=r"drop -6.0 points .* budget ±1.0 .*: FAIL"):
        assert_within(make_answers(220), make_answers(100), equivalent_points=1.0)
    judged = assert_within(make_answers(100), make_answers(104), equivalent_points=1.0)
    assert [budget.kind for budget in judged.budgets] == ["equivalent_points"]
    judged = assert_within(make_answers(100), make_answers(104), equivalent_points=2.0, drop_points=1.0)
    assert [budget.kind for budget in judged.budgets] == ["drop_points", "equivalent_points"]
    for name, wrong in (("base", 220), ("target", 100)):
        write_lm_eval(tmp_path / name, {"arc": [0.0] * wrong + [1.0] * (2000 - wrong)})
    with pytest.raises(AssertionError, match=r"budget ±1\.0"):
        assert_within(tmp_path / "base", tmp_path / "target", equivalent_points=1.0)
