"""Options that every training step has.

Options that every step with adapters has.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from slimgate.params import Table

Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Strict(False), Field(min_length=1)]


class TrainingParams(Table):
    """epochs, learning_rate, …: transformers' names and meanings; the schedule falls linearly to 0.

    precision: "auto" computes in bfloat16 where the machine does so natively, else in float32.
    keep_best: keep the epoch with the best accuracy on `selection`, else the last.
    dropout: of every layer that has some, while training; default the model's own. layer_drop: the chance
    that a block is left out of a forward pass while training (Fan et al. 2020).
    freeze_embeddings, freeze_layers: the embeddings, or so many of the lowest blocks, are left as they are,
    without gradients and optimiser state (options.py).
    processes: train in so many on the CPU, which share each batch and the suite's threads; the model is that
    of one process, but for rounding (data_parallel.py). Not with what compares tokens inside the models.
    """

    epochs: int = Field(default=1, ge=1, le=1000)
    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    batch_size: int = Field(default=32, ge=1)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_ratio: float = Field(default=0.06, ge=0, le=1)
    keep_best: bool = True
    dropout: float | None = Field(default=None, ge=0, lt=1)
    layer_drop: float = Field(default=0.0, ge=0, lt=1)
    freeze_embeddings: bool = False
    freeze_layers: int = Field(default=0, ge=0)
    processes: int = Field(default=1, ge=1, le=256)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @model_validator(mode="after")
    def _a_row_for_each_process(self) -> Self:
        if self.batch_size < self.processes:
            raise ValueError(
                f"processes = {self.processes} share batches of {self.batch_size}: raise batch_size"
            )
        return self


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
