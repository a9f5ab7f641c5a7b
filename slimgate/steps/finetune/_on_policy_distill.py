"""The loss of on-policy distillation: how much student and teacher disagree on the student's own answers."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from slimgate.errors import BuildError
from slimgate.models.generate import can_write
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.task import AnswerPlan
from slimgate.runtimes.eager import EagerPredictor
from slimgate.steps.training.trainer import train
from slimgate.steps.training.written_answers import check_answers_are_written, learn_from_written_answers
from slimgate.tasks.parts.objectives import Labelled, TokenTargets, encode_training_rows, make_objective
from slimgate.tasks.parts.prompts import make_written_windows

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.steps.finetune.on_policy_distill import Params
    from slimgate.tasks.parts.prompts import Prompts

# The distance between the seeds of the answers in two adjacent training steps.
_SEED_STRIDE = 1_000_003


def distill_on_policy(model: TorchModel, params: Params, context: BuildContext) -> None:
    """Trains `model.network` in place; context.log gets mean losses and figures of the student's answers."""
    check_answers_are_written(context)
    teacher = context.load_teacher()
    _check_pair(model, teacher)
    if context.task_params.reference is None:
        context = learn_from_written_answers(teacher, context)
    data = encode_training_rows(model, context)
    loss = OnPolicyLoss(model, teacher, params, context)
    train(model, data, params, context, loss=loss)
    context.log.update(teacher=params.teacher, **loss.list_facts())


def generalized_jsd(student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """(answers,) nats; student, teacher: logits (answers, vocabulary). 0 if they agree.

    beta = 0: KL(teacher ‖ student); 1: KL(student ‖ teacher). Source: Agarwal et al. 2024, section 2.
    """
    p, q = teacher.log_softmax(-1), student.log_softmax(-1)
    if beta in (0, 1):
        return _kl(p, q) if beta == 0 else _kl(q, p)
    mixture = torch.logaddexp(p + np.log(beta), q + np.log1p(-beta))
    return beta * _kl(p, mixture) + (1 - beta) * _kl(q, mixture)


def _kl(first: Tensor, second: Tensor) -> Tensor:
    """KL(first ‖ second) over the last axis, of log-probabilities."""
    return nn.functional.kl_div(second, first, reduction="none", log_target=True).sum(-1)


class OnPolicyLoss:
    """The loss of a batch of train rows. For a share of the batches, the student writes new answers first.

    The context's seed decides which batches these are, and what the student writes.
    """

    def __init__(self, model: TorchModel, teacher: TorchModel, params: Params, context: BuildContext) -> None:
        """context: its train rows have references; the positions in batches refer to them."""
        self._teacher, self._params = teacher.network.eval(), params
        task: Any = context.task  # check_answers_are_written has checked that it writes
        self._task = task
        self._tokenizer, self._device, self._seed = model.tokenizer, context.device, context.seed
        self._options = context.task_params.model_copy(
            update={"temperature": params.sampling_temperature, "repeats": 1}
        )
        rows = context.rows("train")
        self._prompts: Any = task.encode_prompts(self._options, rows, model.tokenizer)
        self._objective = make_objective(context.task, context.task_params)
        self._draws = np.random.default_rng(context.seed)
        self._losses: dict[str, list[float]] = defaultdict(list)
        self._batches = self._answers = self._tokens = self._cut = 0

    def __call__(
        self, network: nn.Module, batch: dict[str, Tensor], labels: Tensor, positions: list[int]
    ) -> Tensor:
        writer = "references"
        if self._draws.random() < self._params.student_share:
            writer = "student"
            batch, labels = self._write_batch(network, positions)
        logits, _ = self._objective.flat(network(**batch).logits, labels)
        with torch.no_grad():
            teacher_logits, _ = self._objective.flat(self._teacher(**batch).logits, labels)
        loss = generalized_jsd(logits, teacher_logits, self._params.beta).mean()
        self._losses[writer].append(float(loss.detach()))
        return loss

    def list_facts(self) -> Json:
        """The mean loss by the writer of the answers, and counts of the student's answers."""
        losses = {name: round(float(np.mean(values)), 4) for name, values in self._losses.items()}
        wrote = {"batches": self._batches, "answers": self._answers, "tokens": self._tokens, "cut": self._cut}
        return {"loss_parts": losses, "student_wrote": wrote}

    def _write_batch(self, network: nn.Module, positions: list[int]) -> tuple[dict[str, Tensor], Tensor]:
        """The student's answers to these prompts: (rows, tokens) inputs, and which tokens count."""
        encoded, targets = self._write_answers(network, self._prompts.take(positions))
        all_rows = range(len(positions))
        arrays = encoded.batch(all_rows)
        batch = {name: torch.from_numpy(values).to(self._device) for name, values in arrays.items()}
        return batch, torch.from_numpy(np.asarray(targets[all_rows])).to(self._device)

    def _write_answers(self, network: nn.Module, prompts: Prompts) -> Labelled:
        """The prompts with the student's answers, and the tokens of these answers as targets; counts them."""
        self._batches += 1
        seed = self._seed + self._batches * _SEED_STRIDE
        options = self._options.model_copy(update={"seed": seed})
        network.eval()
        plan = AnswerPlan(len(prompts))
        written = self._task.answer(options, EagerPredictor(network, self._device), prompts, plan)[:, 0]
        network.train()
        self._answers += len(written)
        self._tokens += sum(len(answer.ids) for answer in written)
        self._cut += sum(not answer.ended for answer in written)
        windows = make_written_windows(self._tokenizer, prompts.columns["input_ids"], list(written))
        return windows, TokenTargets(windows.list_labels(), side=windows.side)


def _check_pair(student: TorchModel, teacher: TorchModel) -> None:
    """Raises BuildError if the tokens of the two models differ, or the student writes no text."""
    network = student.network
    if not can_write(network) or student.config.is_encoder_decoder:
        raise BuildError(
            f"on_policy_distill: {type(network).__name__} is not a decoder that generates text; use "
            "the step sequence_distill"
        )
    if student.tokenizer.get_vocab() != teacher.tokenizer.get_vocab():
        raise BuildError(
            "on_policy_distill: the teacher scores the student's tokens, and their tokenizers differ; use "
            "sequence_distill, which learns from the teacher's text"
        )
    sizes = [model.config.vocab_size for model in (student, teacher)]
    if sizes[0] != sizes[1]:
        raise BuildError(
            f"on_policy_distill: the student scores {sizes[0]} tokens, the teacher {sizes[1]}; expected the "
            "same vocabulary"
        )
