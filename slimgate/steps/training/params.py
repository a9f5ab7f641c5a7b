"""Options that training steps share."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from slimgate.plugins.params import Table

Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Strict(False), Field(min_length=1)]


class TrainingParams(Table):
    """Options of training, with the names and meanings of transformers."""

    epochs: int = Field(default=1, ge=1, le=1000)
    """Number of passes over all training rows."""
    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    """Highest learning rate of AdamW; it falls linearly to 0."""
    batch_size: int = Field(default=32, ge=1)
    """Number of rows in a training step."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Weight decay of AdamW."""
    warmup_ratio: float = Field(default=0.06, ge=0, le=1)
    """Share of the training steps in which the learning rate rises."""
    keep_best: bool = True
    """Keep the epoch with the best metric on `selection`; false keeps the last epoch."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout of every layer that has some, while training; default: the model's own."""
    layer_drop: float = Field(default=0.0, ge=0, lt=1)
    """Chance that a forward pass leaves a block out while training (Fan et al. 2020)."""
    freeze_embeddings: bool = False
    """Do not train the embeddings, which saves their gradients and optimizer state."""
    freeze_layers: int = Field(default=0, ge=0)
    """Number of the lowest blocks that are not trained."""
    processes: int = Field(default=1, ge=1, le=256)
    """CPU processes that share each batch and the suite's threads. The result is that of one process, up to
    rounding. It cannot be used with losses that compare tokens inside the models."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Format of arithmetic: "auto" takes bfloat16 if the machine computes in it natively, else float32. For
    answers of a teacher that are stored before training, a sample must also agree with float32."""

    @model_validator(mode="after")
    def _a_row_for_each_process(self) -> Self:
        if self.batch_size < self.processes:
            raise ValueError(
                f"processes = {self.processes} cannot share batches of {self.batch_size} rows; raise "
                "batch_size"
            )
        return self


class AnswerParams(TrainingParams):
    """Options of training on a teacher's answers and the labels."""

    alpha: float = Field(default=0.5, ge=0, le=1)
    """Weight of the labels; 1 - alpha is the weight of the teacher's answers."""
    temperature: float = Field(default=2.0, gt=0)
    """Divides the logits of both models before they are compared; more than 1 softens the answers."""
    mse_weight: float = Field(default=0.0, ge=0)
    """Weight of the mean squared error of the logits, or of embeddings."""
    hidden_weight: float = Field(default=0.0, ge=0)
    """Weight of the error of the hidden states."""


class LoraParams(TrainingParams):
    """Options of training adapters, in the terms of Hu et al. 2022 and of peft."""

    epochs: int = Field(default=3, ge=1, le=1000)
    learning_rate: float = Field(default=1e-3, gt=0, lt=1)
    r: int = Field(default=8, ge=1)
    """Rank of the adapters."""
    alpha: float = Field(default=16.0, gt=0)
    """Scale of the adapters: their weight is alpha / r."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of the adapters' inputs; adapters of pruned layers that are merged have no dropout."""
    targets: Literal["attention", "linear"] | Names = "linear"
    """Layers with adapters: "attention" (query, key, value and output), "linear" (the feed-forward layers
    too), or a list of endings of layers' names."""
    merge: bool = True
    """Merge the adapters into the weights, so that the model is as large and as fast as before."""
    train_head: bool = True
    """Train all weights of the layer that gives the logits."""

    def for_training(self) -> LoraParams:
        """The options for `train`, in which dropout is that of the model's own layers."""
        return self.model_copy(update={"dropout": None})
