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
    """Highest learning rate of AdamW; after the warm-up, the learning rate falls linearly to 0."""
    batch_size: int = Field(default=32, ge=1)
    """Number of rows in a training step."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Weight decay of AdamW."""
    warmup_ratio: float = Field(default=0.06, ge=0, le=1)
    """Share of the training steps, at the beginning, in which the learning rate rises (warm-up)."""
    keep_best: bool = True
    """Keep the epoch with the best metric on `selection`; false keeps the last epoch."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout rate, during training, of every layer that has dropout; default: the model's own rates."""
    layer_drop: float = Field(default=0.0, ge=0, lt=1)
    """Probability that a forward pass skips a block during training (Fan et al. 2020)."""
    freeze_embeddings: bool = False
    """Do not train the embeddings, which saves their gradients and optimizer state."""
    freeze_layers: int = Field(default=0, ge=0)
    """Number of blocks, from the first, that are not trained."""
    processes: int = Field(default=1, ge=1, le=256)
    """Number of CPU processes that share each batch and the suite's threads. The result equals that of one
    process, up to rounding. More than one process is not possible with losses that compare tokens inside the
    models."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the computation: "auto" uses bfloat16 if the machine supports it natively, else
    float32. For a teacher's answers that are stored before training, "auto" uses bfloat16 only if a sample
    of the answers agrees with float32."""

    @model_validator(mode="after")
    def _check_batch_size(self) -> Self:
        if self.batch_size < self.processes:
            raise ValueError(
                f"processes = {self.processes} cannot share batches of {self.batch_size} rows; raise "
                "batch_size"
            )
        return self


class AnswerParams(TrainingParams):
    """Options of training on a teacher's answers and the labels."""

    alpha: float = Field(default=0.5, ge=0, le=1)
    """Weight of the labels in the loss; 1 - alpha is the weight of the teacher's answers."""
    temperature: float = Field(default=2.0, gt=0)
    """Divides the logits of both models before they are compared; more than 1 softens the answers."""
    mse_weight: float = Field(default=0.0, ge=0)
    """Weight in the loss of the mean squared error of the logits, or of the embeddings."""
    hidden_weight: float = Field(default=0.0, ge=0)
    """Weight in the loss of the hidden states' error."""


class LoraParams(TrainingParams):
    """Options of training adapters, in the terms of Hu et al. 2022 and of peft."""

    epochs: int = Field(default=3, ge=1, le=1000)
    learning_rate: float = Field(default=1e-3, gt=0, lt=1)
    r: int = Field(default=8, ge=1)
    """Rank of the adapters."""
    alpha: float = Field(default=16.0, gt=0)
    """Scale of the adapters: an adapter's output is multiplied by alpha / r."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout rate of the adapters' inputs; if an adapter of a pruned layer is to be merged, it has no
    dropout."""
    targets: Literal["attention", "linear"] | Names = "linear"
    """Layers with adapters: "attention" (query, key, value and output), "linear" (these and the feed-forward
    layers), or a list of endings of layer names."""
    merge: bool = True
    """true: merge the adapters into the weights after training, so that the model is as large and as fast as
    before."""
    train_head: bool = True
    """true: also train all weights of the layer that gives the logits."""

    def for_training(self) -> LoraParams:
        """The options for `train`, in which dropout is that of the model's own layers."""
        return self.model_copy(update={"dropout": None})
