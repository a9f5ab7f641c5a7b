"""slimgate.steps.training.teacher_answers: computed once, kept for every student, never another's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_suite import make_tiny_run

from fixtures.models.architectures import write_tiny, write_tiny_classifier
from fixtures.models.building import load_tiny, make_tiny_context
from slimgate.errors import BuildError
from slimgate.plugins.context import BuildContext
from slimgate.run.step_context import SharedBySteps
from slimgate.steps.finetune.distill import Params
from slimgate.steps.training import teacher_answers as module
from slimgate.steps.training.distillation import DistillationLoss, ReadRows
from slimgate.steps.training.teacher_answers import (
    KIND,
    TeacherAnswers,
    compute_teacher_answers,
    count_stored_bytes,
    has_all_labels,
)
from slimgate.store.store import Store
from slimgate.tasks.parts.objectives import (
    NO_ANSWER,
    UNLABELLED,
    ClassObjective,
    TokenObjective,
    TokenTargets,
    encode_training_rows,
)

pytestmark = pytest.mark.slow

LABELS = ("neg", "pos")


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    return make_tiny_context(tmp_path / "rows")


@pytest.fixture
def teacher(tmp_path: Path, context: BuildContext) -> Any:
    return load_tiny(write_tiny_classifier(tmp_path / "big", initializer_range=0.3), context)


def test_answers_are_those_of_any_batch_and_read_by_memory_map(teacher: Any, context: BuildContext) -> None:
    encoded, _ = encode_training_rows(teacher, context)
    answers = compute_teacher_answers(teacher, encoded, None, ClassObjective(), context, precision="float32")
    assert isinstance(answers.values, np.memmap)
    assert context.scratch in Path(str(answers.values.filename)).parents
    assert answers.values.shape == (48, 2)
    assert answers.source == "computed once, read by memory map"
    for positions in ([7, 0, 30], [5]):
        batch = {k: torch.from_numpy(v) for k, v in encoded.batch(positions).items()}
        with torch.no_grad():
            expected = teacher.network(**batch).logits
        torch.testing.assert_close(
            torch.from_numpy(answers.select_answers(positions)), expected, atol=1e-5, rtol=1e-5
        )


@pytest.fixture
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that computes bfloat16 natively, as it seems."""
    monkeypatch.setattr("slimgate.models.precision._has_cpu_bf16", lambda: True)


def in_both(teacher: Any, context: BuildContext, tmp_path: Path) -> tuple[list[TeacherAnswers], list[str]]:
    """The answers as "auto" and in float32, and the formats that the store tells."""
    store = Store(tmp_path / "store")
    context.share = SharedBySteps(store, {"teacher": "a", "task": {"code": {}}})
    encoded, _ = encode_training_rows(teacher, context)
    versions = [
        compute_teacher_answers(teacher, encoded, None, ClassObjective(), context, precision=precision)
        for precision in ("auto", "float32")
    ]
    folders = [Path(str(version.values.filename)).parent for version in versions]
    return versions, [json.loads((folder / "manifest.json").read_text())["precision"] for folder in folders]


@pytest.mark.usefixtures("bfloat16")
def test_answers_are_in_bfloat16_where_they_agree(
    teacher: Any, context: BuildContext, tmp_path: Path
) -> None:
    (fast, exact), formats = in_both(teacher, context, tmp_path)
    assert formats == ["bfloat16", "float32"]
    errors = np.abs(fast.values - exact.values)
    assert 0 < errors.mean() < 0.05 * exact.values.std()


def shift_answers_(network: Any) -> None:
    with torch.no_grad():
        network.classifier.bias[0] += 1000  # steps of bfloat16 are 4 there


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize(
    "change", [shift_answers_, torch.nn.Module.double], ids=["bfloat16 is too coarse", "float64 weights"]
)
def test_other_answers_are_computed_as_without_bfloat16(
    teacher: Any, context: BuildContext, tmp_path: Path, change: Callable[[torch.nn.Module], object]
) -> None:
    change(teacher.network)
    (fast, exact), formats = in_both(teacher, context, tmp_path)
    assert formats == ["float32", "float32"]
    np.testing.assert_array_equal(fast.values, exact.values)


class Tokens:
    """A teacher that answers each token with (its number, 10 times its number)."""

    class Network(torch.nn.Module):
        config = None

        def forward(self, input_ids: torch.Tensor, **_more: Any) -> Any:
            class Output:
                logits = torch.stack([input_ids, 10 * input_ids], -1).float()

            return Output

    network = Network()


def test_of_tokens_those_that_count_are_kept_row_by_row(context: BuildContext) -> None:
    from slimgate.tasks.parts.encoding import EncodedTexts

    ids = [[1, 2, 3], [4], [5, 6, 7, 8]]
    encoded = EncodedTexts({"input_ids": ids}, {"input_ids": 0}, "right", np.asarray([3, 1, 4]))
    labels = [[0, NO_ANSWER, 1], [0], [NO_ANSWER, 1, 1, NO_ANSWER]]
    targets, objective = TokenTargets(labels, side="right"), TokenObjective(shifted=False)
    answers = compute_teacher_answers(Tokens(), encoded, targets, objective, context)
    assert answers.starts.tolist() == [0, 2, 3, 5]
    assert answers.select_answers([2, 0])[:, 0].tolist() == [6, 7, 1, 3]
    assert answers.select_answers([1]).tolist() == [[4, 40]]
    assert count_stored_bytes(Tokens(), encoded, targets, objective, "cpu") == 5 * 2 * 4
    shifted = compute_teacher_answers(Tokens(), encoded, targets, TokenObjective(shifted=True), context)
    assert shifted.select_answers([0, 1, 2])[:, 0].tolist() == [
        2,
        5,
        6,
    ]  # what stands before a token that counts


def test_the_same_inputs_are_found_again_and_others_are_not(
    teacher: Any, context: BuildContext, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    context.share = SharedBySteps(store, {"teacher": "a", "task": {"code": {}}})
    encoded, _ = encode_training_rows(teacher, context)

    def source(rows: Any = encoded) -> str:
        return compute_teacher_answers(teacher, rows, None, ClassObjective(), context).source

    computed, reused = module.COMPUTED, module.TAKEN
    assert [source(), source()] == [computed, reused]
    assert source(encoded.take(range(47))) == computed
    assert source(encoded.take([1, 0, *range(2, 48)])) == computed  # the same texts in another order
    changed = encoded.take(range(48))
    changed.columns["input_ids"][5] = [*changed.columns["input_ids"][5][:-1], 7]
    assert source(changed) == computed
    context.share = SharedBySteps(store, {"teacher": "b", "task": {"code": {}}})
    assert source() == computed
    assert len(list((tmp_path / "store" / KIND).iterdir())) == 5


def test_answers_of_a_step_without_a_store_are_its_own(teacher: Any, context: BuildContext) -> None:
    encoded, _ = encode_training_rows(teacher, context)
    versions = [compute_teacher_answers(teacher, encoded, None, ClassObjective(), context) for _ in range(2)]
    assert [version.source for version in versions] == [module.COMPUTED] * 2
    np.testing.assert_array_equal(versions[0].values, versions[1].values)


def test_labels_that_are_missing_are_seen() -> None:
    objective = ClassObjective()
    assert has_all_labels(np.asarray([0, 1, 1]), objective)
    assert not has_all_labels(np.asarray([0, 1, UNLABELLED]), objective)
    tokens = TokenObjective(shifted=False)
    assert has_all_labels(TokenTargets([[0, NO_ANSWER], [1]], side="right"), tokens)
    assert not has_all_labels(TokenTargets([[0, UNLABELLED], [1]], side="right"), tokens)


def test_a_teacher_from_whom_nothing_is_learnt_does_not_run(teacher: Any, context: BuildContext) -> None:
    data = encode_training_rows(teacher, context)
    calls: list[int] = []
    teacher.network.register_forward_hook(lambda *_: calls.append(1))
    student = load_tiny(
        write_tiny(context.scratch / "small", "bert", seed=3, labels=LABELS, num_hidden_layers=2), context
    )
    batch = {k: torch.from_numpy(v) for k, v in data[0].batch([0, 1, 2]).items()}
    labels = torch.from_numpy(np.asarray(data[1])[:3])

    def value(targets: Any, **options: Any) -> float:
        sides = (ReadRows(model, data[0]) for model in (student, teacher))
        loss = DistillationLoss(*sides, Params(precision="float32", **options), context, targets=targets)
        with torch.no_grad():
            return float(loss(student.network, batch, labels, [0, 1, 2]))

    without = value(data[1], alpha=1.0)
    assert calls == []
    assert context.log["teacher_logits"] == "not needed: all is learnt by labels"
    assert without == value(None, alpha=1.0)
    assert len(calls) == 1  # one batch of 48 rows
    for options, targets in (
        ({"alpha": 1.0, "mse_weight": 0.1}, data[1]),
        ({"alpha": 1.0, "hidden_weight": 0.1}, data[1]),
        ({"alpha": 0.9}, data[1]),
        ({"alpha": 1.0}, np.append(np.asarray(data[1])[:-1], UNLABELLED)),
    ):
        before = len(calls)
        value(targets, **options)
        assert len(calls) == before + 1, options


def test_token_answers_past_the_limit_are_computed_live(
    teacher: Any, context: BuildContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, _ = encode_training_rows(teacher, context)
    loss = DistillationLoss(*[ReadRows(teacher, encoded)] * 2, Params(), context)
    loss._objective = TokenObjective(shifted=False)
    ids = encoded.columns["input_ids"]
    targets = TokenTargets([[0] * len(row) for row in ids], side="right")
    monkeypatch.setattr("slimgate.steps.training.distillation.count_stored_bytes", lambda *_: 3 * 2**30)
    assert not loss._stores(targets, None, context)
    loss._answers = None
    assert loss.source == "computed beside the student (stored they would have 3.0 GB)"
    assert loss._stores(targets, True, context)
    monkeypatch.setattr("slimgate.steps.training.distillation.count_stored_bytes", lambda *_: 2**30)
    assert loss._stores(targets, None, context)
    assert not loss._stores(targets, False, context)
    with pytest.raises(
        BuildError, match="stored_logits = true is only for answers that depend only on their own row"
    ):
        loss._stores(None, True, context)


VARIANTS = """[variants]
one = {{ steps = [{{ keep_layers = [0, 2] }}, {{ distill = {{ {options} }} }}] }}
two = {{ steps = [{{ keep_layers = [0, 3] }}, {{ distill = {{ {options}, alpha = 0.2 }} }}] }}
"""


def test_students_share_a_teachers_answers_and_are_as_without(tmp_path: Path) -> None:
    options = 'epochs = 2, precision = "float32", learning_rate = 1e-3'
    weights, logs = [], []
    for stored in ("true", "false"):
        text = VARIANTS.format(options=f"{options}, stored_logits = {stored}")
        run = make_tiny_run(tmp_path, store=f"store-{stored}", **{"[variants]\n": text})
        built = [run.build(name).artifact for name in ("one", "two")]
        logs.append([artifact.manifest["log"] for artifact in built])
        weights.append([artifact.load("cpu").network.state_dict() for artifact in built])
    assert [log["teacher_logits"] for log in logs[0]] == [module.COMPUTED, module.TAKEN]
    assert [log["teacher_logits"] for log in logs[1]] == ["computed beside the student"] * 2
    assert all("teacher" in log["seconds"] for log in logs[0])
    assert all("teacher" not in log["seconds"] for log in logs[1])
    for shared, alone in zip(*weights, strict=True):
        for name, weight in alone.items():
            if not name.endswith("key.bias"):  # of which no answer depends: Adam's steps there are rounding
                torch.testing.assert_close(shared[name], weight, rtol=0, atol=1e-3)
    assert len(list((tmp_path / "store-true" / KIND).iterdir())) == 1
    assert not (tmp_path / "store-false" / KIND).exists()


def test_a_student_is_bit_equal_with_and_without_stored_answers(tmp_path: Path) -> None:
    text = VARIANTS.format(options='precision = "float32", learning_rate = 1e-3')
    first, second = (
        make_tiny_run(tmp_path, store=f"store-{names[0]}", **{"[variants]\n": text})
        for names in (("one", "two"), ("two",))
    )
    first.build("one")
    digests = [run.build("two").artifact.digest for run in (first, second)]
    logs = [run.build("two").artifact.manifest["log"]["teacher_logits"] for run in (first, second)]
    assert logs == [module.TAKEN, module.COMPUTED]
    assert digests[0] == digests[1]


def test_the_processes_of_a_step_compute_the_answers_once(tmp_path: Path) -> None:
    text = VARIANTS.format(options='precision = "float32", processes = 2')
    run = make_tiny_run(tmp_path, **{"[variants]\n": text})
    assert run.build("one").artifact.manifest["log"]["processes"] == 2
    assert run.build("two").artifact.manifest["log"]["teacher_logits"] == module.TAKEN
    assert len(list((tmp_path / "store" / KIND).iterdir())) == 1


def test_answers_given_by_hand_are_one_a_row() -> None:
    answers = TeacherAnswers.one_a_row(np.asarray([[1, 2], [3, 4], [5, 6]], dtype=np.float32))
    assert answers.select_answers([2, 0, 0]).tolist() == [[5, 6], [1, 2], [1, 2]]
