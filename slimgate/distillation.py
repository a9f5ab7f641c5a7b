"""The loss of a student that learns from a teacher."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import nn

from slimgate.encoding import EncodedTexts
from slimgate.errors import BuildError
from slimgate.predicting import predict_scores
from slimgate.protocols import BuildContext
from slimgate.runtimes.eager import EagerPredictor


class DistillationParams(Protocol):
    """The weights of the parts of the loss."""

    @property
    def alpha(self) -> float: ...
    @property
    def temperature(self) -> float: ...
    @property
    def mse_weight(self) -> float: ...
    @property
    def hidden_weight(self) -> float: ...


def soft_target_loss(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)), mean over rows.

    student, teacher: logits (rows, classes). 0 for a perfect mimic. Source: Hinton et al. 2015, section 2.
    """
    divergence = nn.functional.kl_div(
        torch.log_softmax(student / temperature, dim=-1),
        torch.softmax(teacher / temperature, dim=-1),
        reduction="batchmean",
    )
    return divergence * temperature**2


def map_layers(student: int, teacher: int) -> list[int]:
    """For each student block, the teacher block it learns from: spread evenly, the last from the last."""
    return [max(0, (2 * (i + 1) * teacher + student) // (2 * student) - 1) for i in range(student)]


def unlike(student: Any, teacher: Any, encoded: EncodedTexts, teacher_encoded: EncodedTexts) -> str | None:
    """Why the student is no kin of the teacher's; None where it is.

    encoded, teacher_encoded: the same rows, by the student's and by the teacher's tokenizer.
    """
    families = [str(model.config.model_type).removeprefix("distil") for model in (student, teacher)]
    pairs = zip(encoded.columns["input_ids"], teacher_encoded.columns["input_ids"], strict=True)
    others = sum(mine != theirs for mine, theirs in pairs)
    found = []
    if families[0] != families[1]:
        found.append(f"the student is of family {families[0]}, the teacher of {families[1]}")
    if others:
        found.append(f"their tokenizers differ on {others} of {len(encoded)} train rows")
    return "; ".join(found) or None


class DistillationLoss:
    """Cross-entropy, soft targets, logits and hidden states, in the shares that the Params say."""

    def __init__(
        self,
        student: Any,
        teacher: Any,
        encoded: EncodedTexts,
        teacher_encoded: EncodedTexts,
        params: DistillationParams,
        context: BuildContext,
    ) -> None:
        """encoded, teacher_encoded: the same rows, by the student's and by the teacher's tokenizer."""
        self._params, self._steps = params, 0
        self._sums: dict[str, float] = defaultdict(float)
        _check_outputs(student, teacher)
        if params.hidden_weight:
            self._layers = _layer_pairs(student, teacher)
            _check_tokens(encoded, teacher_encoded)
            self._teacher, self._encoded = teacher.network, teacher_encoded
            return
        predictor = EagerPredictor(teacher.network, context.device)
        self._logits = torch.from_numpy(
            predict_scores(predictor, teacher_encoded, batch_size=64, progress=context.progress)
        ).to(context.device)

    def __call__(
        self, network: nn.Module, batch: dict[str, torch.Tensor], labels: torch.Tensor, positions: list[int]
    ) -> torch.Tensor:
        params = self._params
        hidden = params.hidden_weight > 0
        student = network(**batch, output_hidden_states=True) if hidden else network(**batch)
        teacher_logits, teacher_hidden = self._teach(positions, labels.device)
        logits = student.logits.float()
        parts: dict[str, tuple[float, Callable[[], torch.Tensor]]] = {
            "labels": (params.alpha, lambda: nn.functional.cross_entropy(logits, labels)),
            "soft": (1 - params.alpha, lambda: soft_target_loss(logits, teacher_logits, params.temperature)),
            "logits": (params.mse_weight, lambda: nn.functional.mse_loss(logits, teacher_logits)),
            "hidden": (
                params.hidden_weight,
                lambda: self._hidden_loss(student.hidden_states, teacher_hidden, batch["attention_mask"]),
            ),
        }
        self._steps += 1
        total = torch.zeros((), device=logits.device)
        for name, (weight, part) in parts.items():
            if weight:
                value = part()
                self._sums[name] += float(value.detach())
                total = total + weight * value
        return total

    def mean_parts(self) -> dict[str, float]:
        """Mean of each part over all steps, before weighting."""
        return {name: round(total / max(self._steps, 1), 4) for name, total in self._sums.items()}

    def _teach(self, positions: list[int], device: torch.device) -> tuple[torch.Tensor, Any]:
        if not self._params.hidden_weight:
            return self._logits[positions], None
        batch = {k: torch.from_numpy(v).to(device) for k, v in self._encoded.batch(positions).items()}
        with torch.no_grad():
            output = self._teacher(**batch, output_hidden_states=True)
        return output.logits.float(), output.hidden_states

    def _hidden_loss(self, student: Any, teacher: Any, mask: torch.Tensor) -> torch.Tensor:
        weights = mask.unsqueeze(-1).float()
        count = weights.sum() * student[0].shape[-1]
        losses = [
            (((student[s + 1] - teacher[t + 1]).float() ** 2) * weights).sum() / count
            for s, t in enumerate(self._layers)
        ]
        return torch.stack(losses).mean()


def _check_outputs(student: Any, teacher: Any) -> None:
    mine, theirs = student.config.num_labels, teacher.config.num_labels
    if mine != theirs:
        raise BuildError(f"distill: the student has {mine} outputs, the teacher {theirs}")


def _check_tokens(student: EncodedTexts, teacher: EncodedTexts) -> None:
    if student.columns["input_ids"] != teacher.columns["input_ids"] or student.side != teacher.side:
        raise BuildError(
            "distill: hidden_weight compares hidden states token by token, and student and teacher have "
            "different tokenizers; set hidden_weight = 0"
        )


def _layer_pairs(student: Any, teacher: Any) -> list[int]:
    mine, theirs = student.config.hidden_size, teacher.config.hidden_size
    if mine != theirs:
        raise BuildError(
            f"distill: hidden_weight needs equal hidden sizes, the student has {mine}, the teacher {theirs}; "
            "set hidden_weight = 0"
        )
    return map_layers(student.config.num_hidden_layers, teacher.config.num_hidden_layers)
