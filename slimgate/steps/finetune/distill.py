"""Trains the model to answer like a teacher.

    { distill = { alpha = 0.5, temperature = 2.0, epochs = 1 } }
    { distill = { alpha = 0.5, epochs = 3, freeze_embeddings = true } }
    { distill = { teacher = "assistant", hidden_weight = 0.1, relation_weight = 1.0 } }
    { distill = { more_teachers = ["second", "third"], alpha = 0.1, epochs = 3 } }
    { distill = { transfer = "more.txt", augment = { copies = 2, word_mask = 0.1, word_dropout = 0.1 } } }
    { distill = { unlabelled = true, augment = { translator = "mytools.german:there_and_back" } } }

loss = alpha · cross-entropy(labels)
     + (1 - alpha) · T² · KL(softmax(teacher / T) ‖ softmax(student / T)), batchmean     (Hinton et al. 2015)
     + mse_weight · mean squared error of the logits                                     (Ba & Caruana 2014)
     + hidden_weight · mean squared error of the hidden states, or 1 - cosine            (Jiao et al. 2020)
     + attention_weight · mean squared error of the attention scores                     (Jiao et al. 2020)
     + relation_weight · KL of query, key and value relations                            (Wang et al. 2021)

A variant as the teacher is a teacher assistant (Mirzadeh et al. 2020), "self" a born-again network
(Furlanello et al. 2018). The models of more_teachers (Hinton et al. 2015, section 1) must have the same
number of outputs. Embeddings have no mean. Only the first teacher is compared inside the models, and only it
writes rows.

A student of another width learns hidden states through a projection, which is trained too and then dropped.

On rows without labels (transfer, augment, unlabelled) alpha counts as 0. None of their texts may occur in
calibration, selection or gate: such rows are dropped and counted in the log.

    { distill = { generate = { rows = 2000, tokens = 50, prompt_tokens = 4, top_k = 50 }, alpha = 0.5 } }

Rows that the teacher writes count as text like any other, with alpha unchanged. With only_transfer and
alpha = 1 the student sees only the teacher's text, as generations that learn from their ancestors
do (Shumailov et al. 2024).

Stored logits are read by memory map, and every student that learns the same rows from that teacher finds
them in the store. Logits of several teachers are always stored. With alpha = 1, mse_weight = 0 and a label
for every row, the teacher does not run at all.

The teacher reads the rows with its own tokenizer. If the student has another family or tokenizer, the log and
the report have a warning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import Field, model_validator

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import VARIANT_NAME
from slimgate.steps.training.params import DistillationStep, OneTeacherParams

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel
    from slimgate.steps.training.callbacks import TrainingHook


class Params(OneTeacherParams):
    """Options of distillation, in addition to those of training."""

    more_teachers: tuple[Annotated[str, Field(pattern=VARIANT_NAME)], ...] = ()
    """Further models to learn from, named as in `teacher`. Their answers are averaged with the teacher's
    answers before the temperature is applied."""

    @model_validator(mode="after")
    def _check_teachers(self) -> Params:
        if repeated := [n for n, count in Counter((self.teacher, *self.more_teachers)).items() if count > 1]:
            raise ValueError(
                f'more_teachers: "{repeated[0]}" was given twice (the model of `teacher` is already one of '
                "them); name each model once"
            )
        if self.more_teachers and self.stored_logits is False:
            raise ValueError(
                "stored_logits = false is only possible with one teacher; leave stored_logits out"
            )
        return self


D = TypeVar("D", bound=Params)


class Distill(DistillationStep[D]):
    def also_learns_from(self, params: D) -> tuple[str, ...]:
        """The models whose answers are averaged with that teacher's."""
        return params.more_teachers

    def apply(self, model: TorchModel, params: D, context: BuildContext) -> TorchModel:
        """The model after training on the teacher's answers."""
        return distill_model(model, params, context)


step = Distill[Params]()


def distill_model(
    model: TorchModel, params: Params, context: BuildContext, *, hooks: Sequence[TrainingHook] = ()
) -> TorchModel:
    """The model after training on the teacher's answers. hooks: of trainer.py, for steps that do more."""
    from slimgate.steps.training.distillation import (
        DistillationLoss,
        DistillationRows,
        ReadRows,
        describe_mismatch,
        train_by_distillation,
    )
    from slimgate.steps.training.matching import make_matches
    from slimgate.steps.training.teacher_ensemble import Teaching, compute_ensemble_answers

    loaded_teacher = context.load_teacher()
    rows = DistillationRows(model, loaded_teacher, params, context)
    encoded, targets = rows.select_labelled_rows(model)
    student, teacher = ReadRows(model, encoded), rows.read_by(loaded_teacher)
    if warning := describe_mismatch(student, teacher):
        context.log["warning"] = warning
    ensemble = None
    if more := params.more_teachers:
        stored, precision = bool(params.stored_logits), params.precision
        teaching = Teaching(student, targets, teacher, rows, more, context, stored, precision)
        ensemble = partial(compute_ensemble_answers, teaching)
        context.log["more_teachers"] = list(more)
    loss = DistillationLoss(
        student,
        teacher,
        params,
        context,
        targets=targets,
        matches=make_matches(model, loaded_teacher, params, seed=context.seed),
        ensemble=ensemble,
        stored=params.stored_logits,
    )
    train_by_distillation(targets, loss, params, context, hooks=hooks)
    context.log.update(teacher=params.teacher)
    return model
