"""A tokenizer with an image processor, saved together as transformers' CLIPProcessor does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate.errors import BuildError, SuiteError
from slimgate.models.saved_files import load_tokenizer
from slimgate.plugins.models import ModelRef

if TYPE_CHECKING:
    from transformers import BaseImageProcessor, BatchEncoding, PreTrainedConfig, PreTrainedTokenizerBase

FILES = ("processor_config.json", "preprocessor_config.json")


def check_processor(ref: ModelRef) -> None:
    """Raises SuiteError for a folder that does not say how the model's images are prepared."""
    if ref.folder is None or ref.fresh or any((ref.folder / name).is_file() for name in FILES):
        return
    raise SuiteError(
        f'"{ref.text}": {ref.folder} has no {" or ".join(reversed(FILES))}, which say how images are '
        "resized and normalized; copy the file of the processor that the model was trained with"
    )


class ImageTextProcessor:
    """Prepares rows of an image-text model: `images` for pixels, everything else as its tokenizer does."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, images: BaseImageProcessor) -> None:
        self.tokenizer, self.images = tokenizer, images

    @classmethod
    def from_folder(
        cls, tokenizer: PreTrainedTokenizerBase, folder: Path, config: PreTrainedConfig
    ) -> ImageTextProcessor:
        """With the image processing of a folder, or CLIP's for the configuration if the folder has none."""
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        if any((folder / name).is_file() for name in FILES):
            return cls(tokenizer, CLIPImageProcessorPil.from_pretrained(folder, trust_remote_code=False))
        side = int(config.vision_config.image_size)
        crop = {"height": side, "width": side}
        return cls(tokenizer, CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=crop))

    @classmethod
    def from_pretrained(cls, folder: Path) -> ImageTextProcessor:
        """Loads what `save_pretrained` wrote."""
        from transformers import AutoConfig

        return cls.from_folder(
            load_tokenizer(folder),
            folder,
            AutoConfig.from_pretrained(folder, trust_remote_code=False),
        )

    def save_pretrained(self, folder: Path) -> None:
        """Writes the tokenizer's files and processor_config.json."""
        from transformers import CLIPProcessor

        CLIPProcessor(self.images, self.tokenizer).save_pretrained(folder)

    def check_side(self, config: PreTrainedConfig, where: str) -> None:
        """Raises BuildError if images come out in another size than the model has patches for."""
        expected = int(config.vision_config.image_size)
        size = self.images.crop_size if self.images.do_center_crop else self.images.size
        sides = {int(side) for side in dict(size).values() if side}
        if sides != {expected}:
            raise BuildError(
                f"{where}: its image processor gives images of {sorted(sides)} pixels, but the model expects "
                f"{expected}"
            )

    def __call__(self, *texts: str | Sequence[str], **options: object) -> BatchEncoding:
        return self.tokenizer(*texts, **options)

    def __len__(self) -> int:
        return len(self.tokenizer)

    def __getattr__(self, name: str) -> Any:
        if name in ("tokenizer", "images"):  # not set yet, while the object is copied
            raise AttributeError(name)
        return getattr(self.tokenizer, name)
