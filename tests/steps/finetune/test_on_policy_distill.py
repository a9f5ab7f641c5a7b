"""The step on_policy_distill: the student writes, the teacher scores each token."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from fixtures.models.building import NEXT_TOKEN, load_tiny, make_tiny_context
from slimgate.errors import BuildError
from slimgate.models.write_answers import Written
from slimgate.steps.finetune import on_policy_distill
from slimgate.steps.finetune._on_policy_distill import OnPolicyLoss, generalized_jsd
from slimgate.tasks import causal_lm
from slimgate.tasks.parts.objectives import NO_ANSWER, encode_training_rows
from slimgate.tasks.parts.prompts import make_written_windows


@pytest.fixture
def student(folders: dict[str, Path], context: Any) -> Any:
    return load_tiny(folders["student"], context)


# --- the divergence


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        (0.0, 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)),
        (1.0, 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)),
        # the mixture is (3/8, 5/8)
        (
            0.5,
            (0.5 * math.log(4 / 3) + 0.5 * math.log(4 / 5) + 0.25 * math.log(2 / 3) + 0.75 * math.log(6 / 5))
            / 2,
        ),
    ],
    ids=["forward KL", "reverse KL", "Jensen-Shannon"],
)
def test_divergences_by_hand(beta: float, expected: float) -> None:
    teacher, student = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    assert generalized_jsd(student, teacher, beta).tolist() == pytest.approx([expected], abs=1e-6)
    assert generalized_jsd(teacher + 3, teacher, beta).tolist() == pytest.approx([0], abs=1e-6)


@pytest.mark.parametrize("beta", [1e-3, 1 - 1e-3])
def test_near_its_ends_the_divergence_is_a_share_of_the_kl(beta: float) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 5, 7, dtype=torch.float64)
    end = generalized_jsd(student, teacher, round(beta))
    near = generalized_jsd(student, teacher, beta) / min(beta, 1 - beta)
    assert torch.allclose(near, end, rtol=2e-2)


# --- what is learnt


def test_written_tokens_count_with_the_end_and_prompts_do_not(student: Any) -> None:
    tokenizer, end = student.tokenizer, student.tokenizer.eos_token_id
    film, plot = tokenizer("film plot", add_special_tokens=False)["input_ids"]
    answers = [
        Written("film", (film,), True),
        Written("", (), True),
        Written("film plot", (film, plot), False),  # cut
        Written("film", (film, plot), True),  # ended by the stop text "plot"
    ]
    windows = make_written_windows(tokenizer, [[7, 8], [7], [7, 8], [9]], answers)
    assert windows.columns["input_ids"] == [[7, 8, film, end], [7, end], [7, 8, film, plot], [9, film, plot]]
    assert windows.list_labels() == [
        [NO_ANSWER, NO_ANSWER, film, end],
        [NO_ANSWER, end],
        [NO_ANSWER, NO_ANSWER, film, plot],
        [NO_ANSWER, film, plot],
    ]


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["references", "the student's answers"])
def test_only_the_tokens_of_answers_have_a_gradient(student: Any, context: Any, share: float) -> None:
    (encoded, targets), seen = encode_training_rows(student, context), []
    student.network.register_forward_hook(lambda _m, _i, output: seen.append(output.logits))
    params = on_policy_distill.Params(student_share=share)
    loss = OnPolicyLoss(student, context.load_teacher(), params, context)
    positions = [0, 1, 2]
    batch = {name: torch.from_numpy(values) for name, values in encoded.batch(positions).items()}
    value = loss(student.network, batch, torch.from_numpy(targets[positions]), positions)
    seen[-1].retain_grad()
    value.backward()  # type: ignore[no-untyped-call]
    moved = seen[-1].grad.abs().sum(-1) > 0
    prompts = [len(ids) for ids in loss._prompts.take(positions).columns["input_ids"]]
    for row, length in enumerate(prompts):
        # the logits at a prompt's last token predict the first of the answer
        assert not moved[row, : length - 1].any()
        assert moved[row, length - 1]
    assert (len(seen) > 1) is bool(share)


def test_the_student_writes_its_share_of_the_batches(student: Any, context: Any) -> None:
    params = on_policy_distill.Params(student_share=0.5, batch_size=4, epochs=2, learning_rate=1e-3)
    on_policy_distill.step.apply(student, params, context)
    wrote = context.log["student_wrote"]
    assert 6 <= wrote["batches"] <= 18  # of 24
    assert wrote["answers"] == 4 * wrote["batches"]
    assert wrote["cut"] <= wrote["answers"]
    assert wrote["cut"] * 6 <= wrote["tokens"] <= wrote["answers"] * 6
    assert set(context.log["loss_parts"]) == {"student", "references"}


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_students_answers_come_nearer_to_the_teacher(student: Any, context: Any, beta: float) -> None:
    teacher = context.load_teacher()
    unseen = replace(context, splits={"train": context.rows("selection")})
    judged = OnPolicyLoss(student, teacher, on_policy_distill.Params(student_share=1.0, beta=beta), unseen)

    def divergence() -> float:
        student.network.eval()
        with torch.no_grad():
            return float(judged(student.network, {}, torch.empty(0), list(range(16))))

    before = divergence()
    params = on_policy_distill.Params(
        student_share=1.0, beta=beta, epochs=8, learning_rate=5e-3, batch_size=16, precision="float32"
    )
    assert on_policy_distill.step.apply(student, params, context) is student
    assert divergence() < 0.6 * before
    assert set(context.log["loss_parts"]) == {"student"}
    assert context.log["teacher"] == "teacher"


def test_the_same_seed_gives_the_same_student(folders: dict[str, Path], context: Any) -> None:
    params = on_policy_distill.Params(epochs=1, learning_rate=1e-2)
    weights = []
    for seed in (0, 0, 1):
        seeded = replace(context, seed=seed, log={})
        student = on_policy_distill.step.apply(load_tiny(folders["student"], context), params, seeded)
        weights.append(student.network.model.embed_tokens.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_network_keeps_its_mode_and_cache(student: Any, context: Any) -> None:
    before = student.network.config.use_cache
    on_policy_distill.step.apply(student, on_policy_distill.Params(student_share=1.0), context)
    assert student.network.config.use_cache is before
    assert not student.network.training


# --- refusals


def test_processes_are_refused_in_the_suite() -> None:
    with pytest.raises(ValidationError, match="processes = 2 split a batch by the tokens of its references"):
        on_policy_distill.Params(processes=2)


def test_a_task_without_answers_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    context = make_tiny_context(tmp_path, task=causal_lm.task, params=NEXT_TOKEN)
    with pytest.raises(BuildError, match="models of task causal_lm write no answers to learn from"):
        on_policy_distill.step.apply(
            load_tiny(folders["student"], context), on_policy_distill.Params(), context
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda student: student.tokenizer.add_tokens(["theatre"]),
            "their tokenizers differ; use sequence_distill",
        ),
        (
            lambda student: student.network.resize_token_embeddings(64),
            "the student scores 64 tokens, the teacher 23; expected the same",
        ),
        (
            lambda student: setattr(student.network.config, "is_encoder_decoder", True),
            "LlamaForCausalLM is not a decoder that generates text; use the step sequence_distill",
        ),
    ],
    ids=["tokenizer", "vocabulary", "encoder-decoder"],
)
def test_students_that_cannot_learn_are_refused(
    student: Any, context: Any, change: Callable[[Any], object], message: str
) -> None:
    change(student)
    with pytest.raises(BuildError, match=message):
        on_policy_distill.step.apply(student, on_policy_distill.Params(), context)
