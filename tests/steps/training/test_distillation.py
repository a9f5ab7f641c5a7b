"""slimgate.steps.training.distillation: the loss of worked example 1, by literals, against torch, on both
of its ways.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from fixtures.models.architectures import write_tiny_classifier
from fixtures.models.building import load_tiny, make_tiny_context
from fixtures.models.tiny import BAD, GOOD, OTHER, make_tiny_tokenizer
from slimgate.errors import BuildError
from slimgate.steps.finetune.distill import Params
from slimgate.steps.training.distillation import DistillationLoss, ReadRows, describe_mismatch
from slimgate.steps.training.matching import RelationMatch
from slimgate.steps.training.params import map_layers
from slimgate.tasks.parts.objectives import UNLABELLED, ClassObjective, encode_training_rows


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 8.0])
def test_a_perfect_mimic_loses_nothing(temperature: float) -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5], [30.0, 0.0, -30.0]])
    assert ClassObjective().soft_losses(logits, logits, temperature).mean().item() == pytest.approx(
        0, abs=1e-5
    )
    # logits that differ by a constant a row are the same distribution
    assert ClassObjective().soft_losses(logits + 5, logits, temperature).mean().item() == pytest.approx(
        0, abs=1e-5
    )


def test_soft_targets_by_hand() -> None:
    # teacher (0.75, 0.25), student (0.5, 0.5), T = 1: 0.75 ln 1.5 + 0.25 ln 0.5 = 0.1308
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3), 0.0]])
    assert ClassObjective().soft_losses(student, teacher, 1.0).mean().item() == pytest.approx(
        0.130812, abs=1e-6
    )
    # with logits and temperature doubled the distributions are the same, and T² = 4 counts
    assert ClassObjective().soft_losses(2 * student, 2 * teacher, 2.0).mean().item() == pytest.approx(
        4 * 0.130812, abs=1e-5
    )


def test_soft_targets_are_batchmean_kl_by_squared_temperature() -> None:
    student = torch.tensor([[0.2, -1.0, 3.0], [1.0, 1.0, 1.0]])
    teacher = torch.tensor([[1.0, 0.0, 2.0], [-1.0, 4.0, 0.0]])
    expected = torch.nn.KLDivLoss(reduction="batchmean")(
        (student / 1.5).log_softmax(-1), (teacher / 1.5).softmax(-1)
    )
    assert ClassObjective().soft_losses(student, teacher, 1.5).mean().item() == pytest.approx(
        expected.item() * 2.25, rel=1e-6
    )


def test_the_gradient_pulls_the_student_to_the_teacher() -> None:
    # d/dz of T² KL = T (softmax(z / T) - softmax(teacher / T)) / rows
    student = torch.tensor([[0.0, 0.0], [2.0, 0.0]], requires_grad=True)
    teacher = torch.tensor([[math.log(3) * 2, 0.0], [2.0, 0.0]], requires_grad=True)
    ClassObjective().soft_losses(student, teacher.detach(), 2.0).mean().backward()
    assert student.grad is not None
    torch.testing.assert_close(student.grad, torch.tensor([[-0.25, 0.25], [0.0, 0.0]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [
        (3, 6, [1, 3, 5]),
        (6, 6, [0, 1, 2, 3, 4, 5]),
        (1, 12, [11]),
        (4, 6, [1, 2, 4, 5]),
        (2, 3, [1, 2]),
        (6, 12, [1, 3, 5, 7, 9, 11]),
        (4, 2, [0, 0, 1, 1]),
        (10, 2, [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]),
    ],
)
def test_layers_are_mapped_evenly_and_the_last_to_the_last(
    student: int, teacher: int, pairs: list[int]
) -> None:
    assert map_layers(student, teacher) == pairs


class Pair:
    """A student of 2 blocks and a teacher of 4, their rows, and batches of them."""

    def __init__(
        self, folder: Path, *, student: dict[str, Any] | None = None, architecture: str = "bert"
    ) -> None:
        self.context = make_tiny_context(folder / "rows")
        sizes = {"num_hidden_layers": 2} if architecture == "bert" else {"n_layers": 2}
        small = write_tiny_classifier(
            folder / "small", architecture, seed=1, **{**sizes, "initializer_range": 0.3, **(student or {})}
        )
        self.student = load_tiny(small, self.context)
        self.teacher = load_tiny(write_tiny_classifier(folder / "big", initializer_range=0.3), self.context)
        self.rows = encode_training_rows(self.student, self.context)
        self.teacher_rows = encode_training_rows(self.teacher, self.context)

    def list_sides(self) -> tuple[ReadRows, ReadRows]:
        return ReadRows(self.student, self.rows[0]), ReadRows(self.teacher, self.teacher_rows[0])

    def make_loss(self, **options: Any) -> DistillationLoss:
        return DistillationLoss(*self.list_sides(), Params(**options), self.context)

    def compute_value(self, loss: DistillationLoss, positions: list[int]) -> torch.Tensor:
        batch = {k: torch.from_numpy(v) for k, v in self.rows[0].batch(positions).items()}
        return loss(self.student.network, batch, torch.from_numpy(self.rows[1][positions]), positions)


@pytest.mark.usefixtures("in_float32")
def test_stored_logits_and_a_live_teacher_give_the_same_loss(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    for positions in ([0, 1, 2, 3], [40, 7, 7]):
        stored = pair.compute_value(pair.make_loss(alpha=0.3, temperature=1.5, mse_weight=0.2), positions)
        beside_loss = pair.make_loss(alpha=0.3, temperature=1.5, mse_weight=0.2, hidden_weight=1e-12)
        torch.testing.assert_close(stored, pair.compute_value(beside_loss, positions), atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("in_float32")
def test_a_teachers_stored_and_fresh_answers_give_the_same_loss(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    params = Params(alpha=0.3, relation_weight=0.5)
    matches = [RelationMatch(pair.student, pair.teacher, weight=0.5)]
    values = []
    for stored in (True, False, None):
        for inside in ([], matches):
            loss = DistillationLoss(*pair.list_sides(), params, pair.context, matches=inside, stored=stored)
            mapped = stored or (stored is None and not inside)
            assert ("memory map" in loss.source) == bool(mapped)
            values.append(pair.compute_value(loss, [0, 9, 20]).item())
    assert values[::2] == pytest.approx([values[0]] * 3, abs=1e-5)
    assert values[1::2] == pytest.approx([values[1]] * 3, abs=1e-5)
    assert values[0] != pytest.approx(values[1], abs=1e-4)


@pytest.mark.usefixtures("in_float32")
def test_a_row_without_a_label_learns_from_the_teacher_alone(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    positions = [0, 1, 2]
    batch = {k: torch.from_numpy(v) for k, v in pair.rows[0].batch(positions).items()}
    with torch.no_grad():
        mine, theirs = (m.network(**batch).logits.double() for m in (pair.student, pair.teacher))
    labels = torch.tensor([int(pair.rows[1][0]), UNLABELLED, UNLABELLED])
    kl = ((theirs / 2).softmax(-1) * ((theirs / 2).log_softmax(-1) - (mine / 2).log_softmax(-1))).sum(-1) * 4
    entropy = -mine.log_softmax(-1)[0, labels[0]]
    expected = (0.8 * entropy + 0.2 * kl[0] + kl[1] + kl[2]) / 3
    loss = pair.make_loss(alpha=0.8)(pair.student.network, batch, labels, positions)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    alone = pair.make_loss(alpha=1.0)(pair.student.network, batch, torch.full((3,), UNLABELLED), positions)
    assert alone.item() == pytest.approx(kl.mean().item(), rel=1e-4)


def test_tokens_are_compared_by_text_trimmed_ones_may_be_unknown(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    vocabulary = pair.student.tokenizer.get_vocab()
    words = [*GOOD, *BAD, *OTHER]
    trimmed = [word for word in reversed(words) if word != "film"]
    pair.student.tokenizer = make_tiny_tokenizer(tmp_path / "trimmed", trimmed)
    pair.rows = encode_training_rows(pair.student, pair.context)
    assert pair.rows[0].columns["input_ids"] != pair.teacher_rows[0].columns["input_ids"]
    pair.make_loss(hidden_weight=1.0)
    film = sum(vocabulary["film"] in row for row in pair.teacher_rows[0].columns["input_ids"])
    mismatch = describe_mismatch(*pair.list_sides())
    assert film > 0
    assert mismatch == f"their tokenizers differ on {film} of 48 train rows"


def test_the_parts_add_up_in_their_shares(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    loss = pair.make_loss(alpha=0.8, temperature=1.5, mse_weight=0.5, hidden_weight=0.25)
    total = pair.compute_value(loss, [0, 1, 2, 3, 4]).item()
    parts = loss.compute_mean_parts()
    assert set(parts) == {"labels", "soft", "logits", "hidden"}
    by_hand = 0.8 * parts["labels"] + 0.2 * parts["soft"] + 0.5 * parts["logits"] + 0.25 * parts["hidden"]
    assert total == pytest.approx(by_hand, abs=5e-4)
    assert set(pair.make_loss(alpha=1.0).compute_mean_parts()) == set()


def test_alpha_one_is_the_plain_loss(tmp_path: Path) -> None:
    from slimgate.steps.training.trainer import make_label_loss

    pair = Pair(tmp_path)
    batch = {k: torch.from_numpy(v) for k, v in pair.rows[0].batch([3, 4]).items()}
    labels = torch.from_numpy(pair.rows[1][[3, 4]])
    plain = make_label_loss(ClassObjective())(pair.student.network, batch, labels, [3, 4])
    torch.testing.assert_close(pair.compute_value(pair.make_loss(alpha=1.0), [3, 4]), plain)


def test_the_teacher_is_its_own_perfect_mimic(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.student = pair.teacher
    loss = pair.make_loss(alpha=0.0, mse_weight=1.0, hidden_weight=1.0)
    assert pair.compute_value(loss, [0, 5, 9]).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.usefixtures("in_float32")
def test_the_teacher_reads_pairs_by_its_own_tokenizer(tmp_path: Path) -> None:
    """A DistilBERT student's tokenizer gives no token types; the BERT teacher must see them all the same."""
    from slimgate.plugins.rows import TaskFacts
    from slimgate.tasks import text_classification

    pair = Pair(tmp_path, architecture="distilbert")
    pair.context.task_params = text_classification.Params(text=("text", "file"), label="label", max_tokens=32)
    assert pair.context.facts == TaskFacts(("neg", "pos"))
    pair.rows = encode_training_rows(pair.student, pair.context)
    pair.teacher_rows = encode_training_rows(pair.teacher, pair.context)
    assert "token_type_ids" not in pair.rows[0].columns
    loss = pair.make_loss()
    batch = {k: torch.from_numpy(v) for k, v in pair.teacher_rows[0].batch([4]).items()}
    assert batch["token_type_ids"].sum() > 0
    with torch.no_grad():
        expected = pair.teacher.network(**batch).logits
    teacher_logits, _ = loss._run_teacher([4], torch.from_numpy(pair.rows[1][[4]]))
    torch.testing.assert_close(teacher_logits, expected, atol=1e-5, rtol=1e-5)


def test_hidden_states_of_different_tokenizers_are_an_error(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.rows[0].columns["input_ids"][0][1] += 1  # type: ignore[index]
    with pytest.raises(BuildError, match="different tokenizers; set hidden_weight = 0"):
        pair.make_loss(hidden_weight=1.0)


def test_hidden_states_of_different_width_are_an_error(tmp_path: Path) -> None:
    pair = Pair(tmp_path, student={"hidden_size": 16})
    pair.make_loss()
    with pytest.raises(BuildError, match="student has 16, the teacher 32; set hidden_weight = 0"):
        pair.make_loss(hidden_weight=1.0)


def test_another_number_of_outputs_is_an_error(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.student.config.num_labels = 3
    with pytest.raises(BuildError, match="the student has 3 outputs, the teacher 2"):
        pair.make_loss()
