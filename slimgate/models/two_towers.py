"""Two encoders, for images and for texts, whose vectors share one space: CLIP (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from transformers import AutoModel
from transformers.modeling_outputs import ImageClassifierOutput

from slimgate.models.image_text_processor import ImageTextProcessor

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Tower = Literal["vision", "text"]
TOWERS: tuple[Tower, ...] = ("vision", "text")
_PARTS = {
    "vision": ("clip.vision_model", "clip.visual_projection"),
    "text": ("clip.text_model", "clip.text_projection"),
}


class TwoTowers(nn.Module):
    """Scores how well each image fits each text.

    forward: pixel_values (images, channels, height, width) float32; input_ids, attention_mask (texts, tokens)
    int64 -> logits (images, texts): cosines times the learned scale. Zero-shot classification and training
    differ only in the texts: prompts of the classes, or captions of the images.
    """

    has_logits_layer = False
    towers = TOWERS
    base_model_prefix = "clip"  # for peft

    def __init__(self, config: PreTrainedConfig, clip: nn.Module | None = None) -> None:
        super().__init__()
        self._tower: Tower | None = None
        self.clip: Any = clip if clip is not None else AutoModel.from_config(config, trust_remote_code=False)

    @classmethod
    def from_config(cls, config: PreTrainedConfig) -> TwoTowers:
        """Random weights in the shape of a configuration."""
        return cls(config)

    @staticmethod
    def load_tokenizer(folder: Path) -> ImageTextProcessor:
        """The tokenizer and the image processing of an artifact's folder."""
        return ImageTextProcessor.from_pretrained(folder)

    @property
    def config(self) -> PreTrainedConfig:
        """The configuration; inside `view_as`, the tower's own."""
        return self.clip.config if self._tower is None else getattr(self.clip.config, f"{self._tower}_config")

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, pixel_values: torch.Tensor
    ) -> ImageClassifierOutput:
        outputs = self.clip(input_ids=input_ids, attention_mask=attention_mask, pixel_values=pixel_values)
        return ImageClassifierOutput(logits=outputs.logits_per_image)

    @contextmanager
    def view_as(self, tower: Tower) -> Iterator[None]:
        """Makes modules, parameters and config those of one tower only.

        Names, forward and state stay those of the whole network. So a step that prunes blocks, quantizes
        layers or trains weights changes only the tower, and the names that it records fit the whole network.
        """
        self._tower = tower
        try:
            yield
        finally:
            self._tower = None

    def update_end_token_(self) -> None:
        """Copies the id of the end token, which trimming changes, from the configuration to its module."""
        text = self.clip.text_model
        if hasattr(text, "eos_token_id"):
            text.eos_token_id = self.clip.config.text_config.eos_token_id

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        for name, module in super().named_modules(memo, prefix, remove_duplicate):
            if module is self or self._is_visible(name.removeprefix(prefix).removeprefix(".")):
                yield name, module

    def _is_visible(self, name: str) -> bool:
        parts = None if self._tower is None else _PARTS[self._tower]
        return parts is None or any(f"{name}.".startswith(f"{part}.") for part in parts)
