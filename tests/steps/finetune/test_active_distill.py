"""The step active_distill: the teacher is asked about few rows, and about no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import load_tiny, make_tiny_context, make_tiny_rows
from slimgate.errors import BuildError
from slimgate.plugins.context import BuildContext
from slimgate.plugins.rows import Rows
from slimgate.steps.finetune import active_distill
from slimgate.tasks import text_regression

pytestmark = pytest.mark.slow

QUICK: dict[str, Any] = {"precision": "float32", "learning_rate": 1e-3, "batch_size": 8}


class Watched:
    """A teacher, with the texts that it was asked about and a student of its own shape, of two blocks."""

    def __init__(self, folder: Path, **options: Any) -> None:
        big = write_tiny_classifier(folder / "big")
        small = write_tiny_classifier(folder / "small", seed=1, num_hidden_layers=2)
        self.context = make_tiny_context(folder / "rows", **options)
        self.student = load_tiny(small, self.context)
        self.teacher = load_tiny(big, make_tiny_context(folder / "rows"))
        self.context.load_teacher = lambda: self.teacher
        self.seen: list[tuple[int, ...]] = []
        self.teacher.network.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, _module: Any, _args: Any, inputs: dict[str, torch.Tensor]) -> None:
        rows = zip(inputs["input_ids"].tolist(), inputs["attention_mask"].tolist(), strict=True)
        self.seen += [tuple(i for i, m in zip(ids, mask, strict=True) if m) for ids, mask in rows]

    def run(self, **options: Any) -> dict[str, Any]:
        params = active_distill.Params(**{**QUICK, **options})
        active_distill.step.apply(self.student, params, self.context)
        log: dict[str, Any] = self.context.log["active"]
        return log


@pytest.mark.parametrize("strategy", ["random", "entropy", "k_center"])
def test_the_teacher_sees_no_more_rows_than_it_may_be_asked(tmp_path: Path, strategy: str) -> None:
    watched = Watched(tmp_path)
    log = watched.run(rows=14, rounds=3, strategy=strategy)
    assert log["asked"] == len(watched.seen) == len(set(watched.seen)) == 14
    assert log["pool_rows"] == 48
    assert [entry["asked"] for entry in log["rounds"]] == ([14] if strategy == "random" else [5, 5, 4])
    assert log["rounds"][0]["chosen"] == "random"
    assert {entry["chosen"] for entry in log["rounds"][1:]} <= {strategy}
    assert [sum(entry["answers"].values()) for entry in log["rounds"]] == [
        entry["asked"] for entry in log["rounds"]
    ]
    assert watched.context.log["rows"] == 14
    assert watched.context.log["loss_parts"].keys() == {"soft"}


def test_inside_the_teacher_too_only_asked_rows_are_looked_at(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.run(rows=6, rounds=2, hidden_weight=0.1, keep_best=False)
    assert len(set(watched.seen)) == 6
    assert len(watched.seen) > 6  # once for its answers, then beside the student


def test_the_rows_chosen_are_the_students_least_certain(tmp_path: Path) -> None:
    log = Watched(tmp_path).run(rows=12, rounds=2, strategy="entropy", first="strategy")
    for entry in log["rounds"]:
        assert entry["mean_of_chosen"] > entry["mean_of_pool"]


def test_the_first_random_rows_are_the_same_for_every_strategy(tmp_path: Path) -> None:
    first, other = (Watched(tmp_path / name) for name in ("first", "other"))
    first.run(rows=8, rounds=2, strategy="entropy")
    other.run(rows=8, strategy="random")
    assert set(first.seen[:4]) <= set(other.seen)


def test_labels_count_only_where_they_are_kept(tmp_path: Path) -> None:
    usual, turned = Watched(tmp_path / "kept"), Watched(tmp_path / "turned")
    rows = turned.context.rows("train").table
    labels = pa.array(["pos" if label == "neg" else "neg" for label in rows["label"].to_pylist()])
    other = rows.set_column(rows.column_names.index("label"), "label", labels)
    turned.context.splits = {**turned.context.splits, "train": Rows(other)}
    for watched in (usual, turned):
        watched.run(rows=12, rounds=2)
    assert torch.equal(usual.student.network.classifier.weight, turned.student.network.classifier.weight)
    usual.run(rows=12, rounds=1, keep_labels=True)
    assert usual.context.log["loss_parts"].keys() == {"soft", "labels"}


def test_the_pool_may_be_the_split_without_labels(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    split = make_tiny_rows(tmp_path / "rows", 30, seed=9)
    watched.context.splits = {
        **watched.context.splits,
        "unlabelled": Rows(split.table.drop_columns(["label"])),
    }
    log = watched.run(rows=8, rounds=2, unlabelled=True)
    assert log["pool"] == "transfer set"
    assert log["pool_rows"] == watched.context.log["transfer"]["rows"] <= 30
    assert active_distill.step.also_reads(active_distill.Params(rows=8, unlabelled=True)) == ("unlabelled",)


def test_each_round_starts_from_the_weights_before_the_step(tmp_path: Path) -> None:
    single, three = Watched(tmp_path / "one"), Watched(tmp_path / "three")
    single.run(rows=48, rounds=1, keep_best=False, batch_size=48)
    three.run(rows=48, rounds=3, keep_best=False, batch_size=48)
    # all rows of the pool in one batch: only the rounds before could make a difference
    weights = [w.student.network.classifier.weight for w in (single, three)]
    assert torch.allclose(weights[0], weights[1], atol=1e-5)


def test_more_rows_than_the_pool_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"rows = 49 was given, but the pool \(train\) has 48 rows"):
        Watched(tmp_path).run(rows=49)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 2, "rounds": 3}, "rounds = 3 was given, expected at most rows = 2"),
        ({"rows": 9, "keep_labels": True, "unlabelled": True}, "rows of a transfer set have no labels"),
        ({"rows": 0}, "greater than or equal to 1"),
        ({"rows": 9, "strategy": "entropie"}, "'random', 'least_confidence', 'margin'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        active_distill.Params(**options)


def test_a_task_without_classes_is_reported(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    context: BuildContext = watched.context
    context.task = text_regression.task
    with pytest.raises(BuildError, match="by class probabilities, and this task has none; use distill"):
        watched.run(rows=4)
