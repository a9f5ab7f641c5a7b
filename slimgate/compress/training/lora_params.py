"""Options that every step with adapters has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from slimgate.compress.training.training_params import TrainingParams

Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Strict(False), Field(min_length=1)]


class LoraParams(TrainingParams):
    """r, alpha, dropout, …: the terms of Hu et al. 2022 and of peft.

    alpha: the adapter's weight is alpha / r. targets: "attention" (query, key, value and output), "linear"
    (the feed-forward layers too), or endings of layers' names. merge: into the weights, so that the model is
    as large and as fast as before. train_head: the layer that gives the logits is trained as a whole.
    dropout: of the adapters' inputs; the model's other layers keep their own, and on pruned layers that are
    merged there is none.
    """

    epochs: int = Field(default=3, ge=1, le=1000)
    learning_rate: float = Field(default=1e-3, gt=0, lt=1)
    r: int = Field(default=8, ge=1)
    alpha: float = Field(default=16.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Literal["attention", "linear"] | Names = "linear"
    merge: bool = True
    train_head: bool = True

    def for_training(self) -> LoraParams:
        """What `train` gets, to which dropout is that of the model's own layers."""
        return self.model_copy(update={"dropout": None})
