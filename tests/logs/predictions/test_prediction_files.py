"""Prediction files of any tool: read in every format, and matched by id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.prediction_rows import shuffle_rows, write_predictions
from support.small_predictions import NAMES, PLAIN, SCORES, pair_rows, read_rows

from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics import load_metric
from slimgate.judge.quality import judge_quality
from slimgate.logs.predictions.columns import ColumnNames
from slimgate.logs.predictions.files import read_predictions
from slimgate.logs.predictions.pairs import Pair, pair_predictions, read_pair
from slimgate.outcomes import ClassOutcomes
from slimgate.record.outcome_files import write_outcomes
from slimgate.results.base import Verdict

BUDGET = QualityBudget("drop_points", 4.0)
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_says_the_same(tmp_path: Path, suffix: str) -> None:
    file = read_rows(
        tmp_path / f"rows{suffix}", **PLAIN, **SCORES, group=["g", "g", "h"], text=["1", "2", "3"]
    )
    assert file.ids.to_pylist() == PLAIN["id"]
    assert file.labels.to_pylist() == PLAIN["label"]
    assert file.predictions is not None
    assert file.predictions.to_pylist() == PLAIN["prediction"]
    assert file.groups is not None
    assert file.groups.to_pylist() == ["g", "g", "h"]
    assert file.classes == ("x", "y")
    assert file.probabilities is not None
    assert file.probabilities.tolist() == [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_ids_and_labels_are_text_as_written(tmp_path: Path, suffix: str) -> None:
    zeros = read_rows(
        tmp_path / f"zeros{suffix}", id=["007", "7", "NA"], label=["01", "1", "None"], prediction=["1"] * 3
    )
    assert zeros.ids.to_pylist() == ["007", "7", "NA"]
    assert zeros.labels.to_pylist() == ["01", "1", "None"]
    numbers = read_rows(tmp_path / f"numbers{suffix}", id=[7, 8, 9], label=[1, 0, 1], prediction=[1, 0, 0])
    assert numbers.ids.to_pylist() == ["7", "8", "9"]
    assert numbers.labels.to_pylist() == ["1", "0", "1"]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_whole_numbers_that_pandas_made_floats_are_whole(tmp_path: Path, suffix: str) -> None:
    file = read_rows(tmp_path / f"rows{suffix}", id=[7.0, 8.0], label=[1.0, 0.0], prediction=[1.5, 0.0])
    assert file.ids.to_pylist() == ["7", "8"]
    assert file.predictions is not None
    assert file.predictions.to_pylist() == ["1.5", "0"]


def test_a_tsv_with_quotes_byte_order_mark_and_carriage_returns(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_bytes('\ufeffid\tlabel\tprediction\r\n"a\tb"\t"say ""x"""\tü\r\n"c\nd"\ty\ty\r\n'.encode())
    file = read_predictions(path, NAMES)
    assert file.ids.to_pylist() == ["a\tb", "c\nd"]
    assert file.labels.to_pylist() == ['say "x"', "y"]


@pytest.mark.parametrize("scores", [{"prob_x": SCORES["p_x"], "prob_y": SCORES["p_y"]}, SCORES])
def test_without_predictions_the_most_probable_class_is_one(tmp_path: Path, scores: dict[str, Any]) -> None:
    rows = {"id": PLAIN["id"], "label": PLAIN["label"], **scores}
    paired = pair_rows(tmp_path, rows, shuffle_rows(rows))
    assert paired.teacher.classes == ("x", "y")
    assert paired.teacher.predictions.tolist() == paired.variant.predictions.tolist() == [0, 1, 1]
    assert [text.partition(":")[0] for text in paired.warnings] == ["all 3 answers are the same"]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_probabilities_as_a_mapping(tmp_path: Path, suffix: str) -> None:
    rows = [{"x": 0.75, "y": 0.25}, {"x": 0, "y": 1}, {"y": 0.5, "x": 0.5}]
    file = read_rows(
        tmp_path / f"rows{suffix}", id=["a", "b", "c"], label=["x", "y", "x"], probabilities=rows
    )
    assert dict(zip(file.classes, np.asarray(file.probabilities).T.tolist(), strict=True)) == {
        "x": [0.75, 0.0, 0.5],
        "y": [0.25, 1.0, 0.5],
    }


def test_a_class_a_mapping_lacks_is_0_also_in_earlier_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slimgate.logs.predictions.jsonl.BLOCK", 2)
    rows = [{"x": 1}, {"x": 1}, {"x": 0.5, "y": 0.5}, {"y": 1}, {"x": 1}]
    file = read_rows(tmp_path / "rows.jsonl", id=[*"abcde"], label=["x"] * 5, probabilities=rows)
    assert file.classes == ("x", "y")
    assert np.asarray(file.probabilities).tolist() == [[1, 0], [1, 0], [0.5, 0.5], [0, 1], [1, 0]]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize(
    ("labels", "classes"), [(["neg", "pos"], ("neg", "pos")), ([1, 2], ("1", "2")), ([0, 1], ("0", "1"))]
)
def test_a_list_of_probabilities_is_in_the_order_of_the_classes(
    tmp_path: Path, suffix: str, labels: list[Any], classes: tuple[str, ...]
) -> None:
    rows = {"id": ["a", "b"], "label": labels, "probabilities": [[0.75, 0.25], [0.4, 0.6]]}
    file = read_rows(tmp_path / f"rows{suffix}", **rows, prediction=labels)
    paired = pair_predictions(file, file)
    assert paired.teacher.classes == classes
    assert paired.teacher.labels.tolist() == [0, 1]
    assert np.asarray(paired.teacher.probabilities).tolist() == rows["probabilities"]
    *mapped, same = paired.warnings
    assert same.startswith("all 2 answers are the same")
    assert len(mapped) == (0 if classes == ("0", "1") else 2)


def test_the_number_of_classes_orders_them_as_numbers(tmp_path: Path) -> None:
    rows = {"id": [*range(11)], "label": [*range(11)], "probabilities": np.eye(11).tolist()}
    paired = pair_rows(tmp_path, rows, rows)
    assert paired.teacher.classes == tuple(map(str, range(11)))
    assert np.array_equal(paired.teacher.predictions, paired.teacher.labels)


def test_slimgates_own_outcomes_have_their_class_names(tmp_path: Path) -> None:
    outcomes = ClassOutcomes(
        np.array(["a", "b", "c"]),
        np.array([1, 0, 1]),
        np.array([1, 0, 0]),
        ("zebra", "ant"),
        np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4]]),
        groups=np.array([5, 5, 6]),
    )
    write_outcomes(outcomes, tmp_path / "own.parquet")
    rows = {"id": ["c", "a", "b"], "label": ["ant", "ant", "zebra"], "prediction": ["ant", "ant", "zebra"]}
    file = read_rows(tmp_path / "other.csv", **rows)
    paired = pair_predictions(read_predictions(tmp_path / "own.parquet", NAMES), file)
    assert paired.teacher.classes == ("ant", "zebra")
    assert paired.teacher.labels.tolist() == [0, 1, 0]
    assert paired.teacher.predictions.tolist() == [0, 1, 1]
    assert np.asarray(paired.teacher.probabilities).tolist() == [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]
    assert paired.variant.predictions.tolist() == [0, 1, 0]
    assert paired.teacher.groups is not None
    assert paired.teacher.groups.tolist() == [0, 0, 1]
    assert np.array_equal(np.asarray(paired.variant.groups), paired.teacher.groups)


def test_rows_are_matched_by_id_in_the_order_of_the_teacher(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    scores = rng.dirichlet(np.ones(3), 200)
    names = np.array(["a", "b", "c"])
    rows = {
        "id": [f"{i:03}" for i in range(200)],
        "label": names[rng.integers(0, 3, 200)].tolist(),
        **{f"p_{name}": scores[:, k].tolist() for k, name in enumerate(names)},
    }
    paired = pair_rows(tmp_path, rows, shuffle_rows(rows))
    assert paired.teacher.ids.tolist() == rows["id"]
    for outcomes in (paired.teacher, paired.variant):
        assert np.array_equal(np.asarray(outcomes.probabilities), scores)
        assert np.array_equal(outcomes.predictions, scores.argmax(axis=1))
        assert names[outcomes.labels].tolist() == rows["label"]


def test_a_class_of_one_file_only_is_a_class_of_both(tmp_path: Path) -> None:
    three = {**PLAIN, "p_x": [0.9, 0.2, 0.4], "p_y": [0.1, 0.7, 0.6], "p_z": [0, 0.1, 0]}
    paired = pair_rows(tmp_path, {**PLAIN, **SCORES}, {**three, "prediction": ["x", "z", "y"]})
    assert paired.teacher.classes == paired.variant.classes == ("x", "y", "z")
    assert np.asarray(paired.teacher.probabilities)[:, 2].tolist() == [0, 0, 0]
    predicted, unsure = paired.warnings
    assert predicted.endswith('v.jsonl predicts "z", which is not a label, in 1 rows: counted as wrong')
    assert paired.teacher.label_set == ("x", "y")
    assert "in 1 rows the prediction is not the most probable class" in unsure


def test_long_ids_match_in_full_and_are_shown_short(tmp_path: Path) -> None:
    ids = ["x" * 100 + end for end in "abc"]
    rows = {**PLAIN, "id": ids}
    paired = pair_rows(tmp_path, rows, shuffle_rows(rows))
    assert paired.variant.predictions.tolist() == [0, 1, 1]
    assert paired.teacher.ids.tolist() == ["x" * 64] * 3


def test_columns_of_other_names(tmp_path: Path) -> None:
    rows = {"key": ["a"], "gold": ["x"], "answer": ["y"], "doc": ["d"], "id": ["?"]}
    names = ColumnNames("key", "gold", "answer", "doc", frozenset({"id", "label", "prediction", "group"}))
    file = read_predictions(write_predictions(tmp_path / "rows.csv", rows), names)
    assert (file.ids[0].as_py(), file.labels[0].as_py()) == ("a", "x")
    assert file.groups is not None
    assert file.groups.to_pylist() == ["d"]


def _pair_repeated_texts(folder: Path, suffix: str, **columns: list[Any]) -> Pair:
    """3,000 rows of 100 texts. The target is wrong about all rows of three texts."""
    rows = {"id": list(range(3000)), "label": ["x", "y"] * 1500, "prediction": ["x", "y"] * 1500, **columns}
    damaged = {**rows, "prediction": ["xy"[(k + (k % 100 < 3)) % 2] for k in range(3000)]}
    files = [
        write_predictions(folder / f"{name}{suffix}", columns)
        for name, columns in (("base", rows), ("target", damaged))
    ]
    return read_pair(files[0], files[1], ColumnNames())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("column", ["text", "question"])
def test_rows_with_the_same_text_are_a_group(tmp_path: Path, suffix: str, column: str) -> None:
    """3,000 independent rows would show that a drop of 3.0 points is within 4 points."""
    pair = _pair_repeated_texts(tmp_path, suffix, **{column: [f"t{k % 100}" for k in range(3000)]})
    judged = judge_quality(load_metric("accuracy"), pair.teacher, pair.variant, (BUDGET,), seed=0)
    assert (judged.groups, judged.verdict) == (100, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize(
    "columns",
    [
        {"text": [f"t{k}" for k in range(3000)]},
        {"text": ["t0", "t0", *(f"t{k}" for k in range(2, 3000))]},
        {"text": [" "] * 3000},
        {"text": [["t"]] * 3000},
        {"text": ["t"] * 3000, "group": list(range(3000))},
        {"premise": ["p"] * 3000, "hypothesis": list(range(3000))},
        {"premise": ["p"] * 3000},
    ],
    ids=[
        *("all differ", "one text twice", "no texts", "no text or number", "groups are stated"),
        *("pairs that share a text", "one text of a pair"),
    ],
)
def test_other_rows_are_independent(tmp_path: Path, columns: dict[str, list[Any]]) -> None:
    pair = _pair_repeated_texts(tmp_path, ".parquet", **columns)
    judged = judge_quality(load_metric("accuracy"), pair.teacher, pair.variant, (BUDGET,), seed=0)
    assert (judged.groups, judged.verdict) == (None, Verdict.PASS)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("names", [("premise", "hypothesis"), ("sentence1", "sentence2")], ids=" ".join)
def test_rows_with_the_same_two_texts_are_a_group(
    tmp_path: Path, suffix: str, names: tuple[str, str]
) -> None:
    """Rows of 100 pairs; ten premises have ten hypotheses each, and pairs that share one text differ."""
    columns = {names[0]: [f"p{k % 10}" for k in range(3000)], names[1]: [f"h{k % 100}" for k in range(3000)]}
    pair = _pair_repeated_texts(tmp_path, suffix, **columns)
    judged = judge_quality(load_metric("accuracy"), pair.teacher, pair.variant, (BUDGET,), seed=0)
    assert (judged.groups, judged.verdict) == (100, Verdict.INCONCLUSIVE)


def test_one_file_may_lack_the_texts(tmp_path: Path) -> None:
    """The rows of the target are in another order."""
    columns = {**PLAIN, "text": ["t", "t", "u"]}
    order = [2, 0, 1]
    shuffled = {name: [values[k] for k in order] for name, values in columns.items()}
    groups = pair_rows(tmp_path, PLAIN, shuffled).teacher.groups
    assert groups is not None
    assert groups[0] == groups[1] != groups[2]


def test_a_group_in_another_spelling_is_the_same_group(tmp_path: Path) -> None:
    rows = {"id": ["a", "b", "c", "d"], "label": ["x", "y"] * 2, "prediction": ["x", "y"] * 2}
    files = [
        write_predictions(tmp_path / f"{name}.csv", {**rows, "group": groups})
        for name, groups in (("t", ["1", "1.0", "g ", "G"]), ("v", ["1.0", "1", "g", " g"]))
    ]
    groups = read_pair(*files, ColumnNames()).teacher.groups
    assert groups is not None
    assert groups.tolist() == [0, 0, 1, 1]
