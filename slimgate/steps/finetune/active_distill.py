"""Trains the model on the teacher's answers to the few rows that are worth their cost.

    { active_distill = { rows = 900, strategy = "entropy", rounds = 3, epochs = 2 } }
    { active_distill = { rows = 900, strategy = "random", unlabelled = true } }

A teacher's answer costs money or time; rows without answers do not. In each round the student scores the
pool, rows / rounds of its rows are chosen, and the teacher answers them. The student then learns all answers
so far, from the weights that it had before the step. The teacher sees no other row; the log counts those that
it saw.

strategy: which rows are chosen, by the student's probabilities p (Settles 2009, section 3.1):
    least_confidence   1 - the largest p
    margin             the smallest distance between the two largest p
    entropy            - Σ p log p
    k_center           without p: the rows far from all chosen rows, by the inputs of the student's last
                       layer (Sener & Savarese 2018, greedy)
    random             at random, for comparison: in a single round, because no answer changes the choice
The first round is random by default, because an untrained student's uncertainty means nothing.

The pool is the transfer set if the step has one (transfer, unlabelled, augment, as in distill), else the
rows of `train` without their labels: alpha counts as 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from slimgate.plugins.context import BuildContext
from slimgate.steps.finetune._active_choice import Strategy
from slimgate.steps.training.params import DistillationStep, OneTeacherParams

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(OneTeacherParams):
    """What the teacher is asked, in addition to the options of distillation."""

    rows: int = Field(ge=1)
    """Number of rows that the teacher answers, in all rounds together."""
    strategy: Strategy = "entropy"
    """How rows are chosen: at random ("random"), where the student is least certain ("least_confidence",
    "margin", "entropy"), or far from the rows chosen so far ("k_center")."""
    rounds: int = Field(default=3, ge=1, le=1000)
    """Number of rounds; each round chooses rows and trains on them. With strategy = "random" there is one
    round."""
    first: Literal["random", "strategy"] = "random"
    """How the first round chooses rows: at random ("random"), or as `strategy` says ("strategy"), for a
    student that has been trained before."""
    keep_labels: bool = False
    """true: also learn from the labels of the chosen rows, which must be rows of `train`."""
    stored_logits: Literal[True] | None = None
    """Can only be true: the teacher's logits are always computed once, before training."""

    @model_validator(mode="after")
    def _check_options(self) -> Params:
        if self.rounds > self.rows:
            raise ValueError(f"rounds = {self.rounds} was given, expected at most rows = {self.rows}")
        if self.keep_labels and self.adds_rows:
            raise ValueError("keep_labels is for rows of train; rows of a transfer set have no labels")
        return self


class ActiveDistill(DistillationStep[Params]):
    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model after the last round."""
        from slimgate.steps.finetune._active_distill import distill_actively

        distill_actively(model, params, context)
        return model


step = ActiveDistill()
