"""A classifier on the mean of the token vectors, for encoders whose pooler was never trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn
from transformers import AutoModel
from transformers.modeling_outputs import SequenceClassifierOutput

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class PooledEncoder(nn.Module, ABC):
    """An encoder without its pooler; a subclass pools the token vectors.

    forward of a subclass: input_ids, attention_mask (rows, tokens) int64 -> logits.
    """

    config: PreTrainedConfig

    def __init__(self, config: PreTrainedConfig, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder: Any = (
            encoder if encoder is not None else AutoModel.from_config(config, trust_remote_code=False)
        )
        self.config = self.encoder.config  # one object, so that both see what a step changes in it
        if hasattr(self.encoder, "pooler"):
            self.encoder.pooler = None

    @classmethod
    def from_config(cls, config: PreTrainedConfig) -> Self:
        """Random weights in the shape of a configuration."""
        return cls(config)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        output_hidden_states: bool = False,
        **unused: object,
    ) -> SequenceClassifierOutput:
        unused.pop("labels", None)
        outputs = self.encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            output_hidden_states=output_hidden_states,
            **unused,
        )
        logits = self.answer(outputs.last_hidden_state, attention_mask)
        return SequenceClassifierOutput(logits=logits, hidden_states=outputs.hidden_states)

    @abstractmethod
    def answer(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The logits. tokens: (rows, tokens, features); mask: (rows, tokens)."""


class MeanPoolingClassifier(PooledEncoder):
    """encoder -> mean over the tokens that are not padding -> dropout -> linear."""

    def __init__(self, config: PreTrainedConfig, encoder: nn.Module | None = None) -> None:
        super().__init__(config, encoder)
        dropout = getattr(config, "classifier_dropout", None)
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1) if dropout is None else dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def answer(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(rows, config.num_labels)."""
        logits: torch.Tensor = self.classifier(self.dropout(average_tokens(tokens, mask)))
        return logits


def average_tokens(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(rows, tokens, features) -> (rows, features): the mean over all tokens except padding."""
    counted = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * counted).sum(1) / counted.sum(1).clamp(min=1e-9)
