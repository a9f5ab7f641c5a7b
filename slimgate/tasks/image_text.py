"""Image and text: a model of two towers (CLIP) that says which caption goes with an image.

[task]
kind = "image_text"
image = "image"                       # bytes, image columns of the hub, or pixels
caption = "caption"                   # text for training; without it, the first prompt of the row's label
label = "label"
prompt = "a photo of the digit {label}"    # or several prompts: a class counts as the mean over its prompts
names = { 0 = "airplane", 1 = "ship" }     # names of labels in prompts, if labels are numbers or codes

A gate row is classified zero-shot, as the class whose prompts are most similar to the image (Radford et al.
2021, section 3.1). `rank` is the rank of the best prompt of the right class among the prompts of all classes,
as in a search for the image's caption. Training and distillation use the captions of the batch
(ContrastiveObjective). The source "files" reads a column of file names as images. The step in_tower applies
steps to one tower or both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from slimgate.data.images import Pixels
from slimgate.data.labels import check_positive, index_labels, read_classes, refuse_other_spellings
from slimgate.data.parts import is_image
from slimgate.errors import DataError, SuiteError
from slimgate.models.image_text_processor import check_processor
from slimgate.models.pretrained import load_weights, require_weights
from slimgate.models.saved_files import check_tokenizer
from slimgate.outcomes import ClassOutcomes, Ints, Outcomes
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import ModelRef
from slimgate.plugins.params import Table
from slimgate.plugins.rows import Rows, TaskFacts, number_groups
from slimgate.plugins.task import Task
from slimgate.tasks.parts.encoding import EncodedTexts, encode_texts

if TYPE_CHECKING:
    from slimgate.models.image_text_processor import ImageTextProcessor
    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json
    from slimgate.tasks.parts.objectives import Objective


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Images and texts. has_captions: each row has its own text; otherwise every batch has all texts."""

    pixels: Pixels
    texts: EncodedTexts
    has_captions: bool

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(rows,) of 1: images have no tokens, so rows need no sorting."""
        return np.ones(len(self.pixels), dtype=np.int64)

    @property
    def tokens(self) -> int:
        """The number of tokens of all texts."""
        return int(self.texts.lengths.sum())

    @property
    def row_of(self) -> None:
        """None: no row is split."""

    @property
    def columns(self) -> Mapping[str, Sequence[Sequence[int]]]:
        """The tokens of the texts, to compare or count them."""
        return self.texts.columns

    @property
    def side(self) -> str:
        """The side on which texts are padded."""
        return self.texts.side

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """input_ids, attention_mask (texts, tokens) int64, pixel_values (rows, …); tokens: texts' width."""
        texts = positions if self.has_captions else range(len(self.texts))
        return {**self.texts.batch(texts, tokens), "pixel_values": self.pixels.read_pixels(positions)}

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """No arrays."""
        return {}

    def take(self, positions: Sequence[int]) -> EncodedImages:
        """Some of the rows, in that order."""
        texts = self.texts.take(positions) if self.has_captions else self.texts
        return replace(self, pixels=self.pixels.take(positions), texts=texts)

    def join(self, more: EncodedImages) -> EncodedImages:
        """These rows, followed by more rows."""
        texts = self.texts.join(more.texts) if self.has_captions else self.texts
        return replace(self, pixels=self.pixels.join(more.pixels), texts=texts)


NETWORK = "slimgate.models.two_towers:TwoTowers"
RANK = "rank"


class Params(Table):
    """[task] of an image-text model."""

    image: str
    """The column of images: bytes, images of the hub, or pixels."""
    label: str
    """The column of the label."""
    caption: str | None = None
    """The column of captions for training; default: the first prompt of the row's label."""
    prompt: str | tuple[str, ...] = Field(default="a photo of a {label}", min_length=1)
    """Prompt with {label} for the name of a class. With several prompts, the score of a class is the mean
    over its prompts."""
    positive: str | None = None
    """Which of two labels is the positive label, for precision, recall, f1 and pr_auc; not needed for common
    pairs, such as 0 and 1."""
    names: dict[str, str] | None = None
    """The name of each label in prompts, if the label is a number or a code."""
    max_tokens: int = Field(default=77, ge=2)
    """Largest number of tokens of a text; longer texts are cut."""

    @field_validator("prompt")
    @classmethod
    def _check_prompts(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for prompt in (value,) if isinstance(value, str) else value:
            if prompt.count("{label}") != 1 or set("{}") & set(prompt.replace("{label}", "")):
                raise ValueError(
                    f'"{prompt}" was given, expected {{label}} once, as in "a photo of a {{label}}"'
                )
        return value

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts as stated, with {label} in them."""
        return (self.prompt,) if isinstance(self.prompt, str) else self.prompt

    def list_prompts(self, label: str) -> list[str]:
        """The prompts of a label."""
        return [prompt.format(label=(self.names or {}).get(label, label)) for prompt in self.prompts]


class ImageText(Task[Params]):
    pipeline = "zero-shot-image-classification"

    def columns(self, params: Params) -> tuple[str, ...]:
        """The columns: image, caption if there is one, and label."""
        return tuple(name for name in (params.image, params.caption, params.label) if name)

    def text_columns(self, params: Params) -> tuple[str, ...]:
        """The image: it must not occur in two splits; captions may."""
        return (params.image,)

    def quoted_columns(self, params: Params) -> tuple[str, ...]:
        """The column that is shown for an image when a row is quoted: its caption, else its label."""
        return (params.caption or params.label,)

    def label_column(self, params: Params) -> str:
        """The label: splits are stratified by it."""
        return params.label

    def provides(self) -> frozenset[str]:
        """Predictions and probabilities of the classes, and the rank of the right class's best prompt."""
        return frozenset({"prediction", "probabilities", RANK})

    def facts(self, params: Params, splits: Mapping[str, Rows]) -> TaskFacts:
        """The classes of all splits. Raises DataError if there is only one, or a class has no name."""
        types = [rows.table[params.image].type for rows in splits.values() if len(rows)]
        if wrong := [kind for kind in types if not is_image(kind)]:
            hint = (
                f'source = {{ name = "files", images = ["{params.image}"], … }} reads the files that it names'
            )
            raise DataError(f'column "{params.image}" contains {wrong[0]}, expected images; {hint}')
        classes = read_classes(splits, params.label)
        if len(classes) < 2:
            raise DataError(f'column "{params.label}" has only one label ({classes}); expected at least two')
        if params.names is not None and (unnamed := [name for name in classes if name not in params.names]):
            labels = ", ".join(f'"{name}"' for name in unnamed)
            raise DataError(
                f'[task] names: no name for {labels}, but column "{params.label}" contains these labels'
            )
        refuse_other_spellings(classes, params.label)
        check_positive(params.positive, classes)
        return TaskFacts(classes)

    def targets(self, params: Params, rows: Rows, facts: TaskFacts, encoded: EncodedImages) -> Ints:
        """The index of each row's label, (rows,): captions of one class are right answers for each other."""
        return index_labels(rows, params.label, facts.classes)

    def targets_without_labels(self, params: Params, encoded: EncodedImages, facts: TaskFacts) -> Ints:
        """Each row is a separate class, (rows,): only its own caption is a right answer."""
        return -1 - np.arange(len(encoded.pixels), dtype=np.int64)

    def objective(self, params: Params) -> Objective:
        """Models learn by the symmetric contrastive loss."""
        from slimgate.tasks.parts.embedding_objective import ContrastiveObjective

        return ContrastiveObjective()

    def check_model(self, params: Params, ref: ModelRef, config: Json, facts: TaskFacts | None) -> None:
        """Raises SuiteError if the model of a config.json cannot serve this task."""
        if config.get("model_type") != "clip":
            raise SuiteError(f"{ref.text} is of model_type {config.get('model_type')}, expected clip")
        check_tokenizer(ref)
        check_processor(ref)
        longest = (config.get("text_config") or {}).get("max_position_embeddings") or 77
        if params.max_tokens > longest:
            raise SuiteError(
                f"max_tokens = {params.max_tokens}, but {ref.text} has positions for {longest} tokens"
            )

    def load_reads(self, params: Params, config: Json) -> tuple[str, ...]:
        """None: both towers are complete. Only a fresh model's tokenizer is trained on `train`."""
        return ()

    def load_model(self, params: Params, ref: ModelRef, context: BuildContext) -> TorchModel:
        """Loads the model of a folder, with its tokenizer and its image processing."""
        from slimgate.models.image_text_processor import ImageTextProcessor
        from slimgate.models.pretrained import load_config, load_or_train_tokenizer
        from slimgate.models.seeding import isolated_seed
        from slimgate.models.torch_model import TorchModel
        from slimgate.models.two_towers import TwoTowers

        assert ref.folder is not None
        config = load_config(ref)
        tokenizer = load_or_train_tokenizer(ref, _list_train_texts(params, context), config)
        processor = ImageTextProcessor.from_folder(tokenizer, ref.folder, config)
        processor.check_side(config, ref.text)
        with isolated_seed(context.seed):
            weights = load_weights("AutoModel", ref, dtype="float32", config=config)
        require_weights(ref, weights, context)
        clip = weights.network
        # Evaluation gets the classes from the artifact alone.
        clip.config.id2label = dict(enumerate(context.facts.classes))
        clip.config.label2id = {name: i for i, name in enumerate(context.facts.classes)}
        return TorchModel(TwoTowers(config, clip).to(context.device).eval(), processor, NETWORK)

    def encode_rows(self, params: Params, rows: Rows, tokenizer: ImageTextProcessor) -> EncodedImages:
        """The images with their own captions, for training. tokenizer: an ImageTextProcessor."""
        return _encode_rows(params, rows, tokenizer, list_captions(params, rows), has_captions=True)

    def row_encoder(self, params: Params, folder: Path) -> Callable[[Rows], EncodedImages]:
        """Returns a function that makes inputs of images and the prompts of all classes, to classify them."""
        from transformers import AutoConfig

        from slimgate.models.image_text_processor import ImageTextProcessor

        processor = ImageTextProcessor.from_pretrained(folder)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        prompts = list_class_prompts(params, tuple(config.id2label[i] for i in sorted(config.id2label)))
        return lambda rows: _encode_rows(params, rows, processor, prompts, has_captions=False)

    def outcomes(
        self, facts: TaskFacts, rows: Rows, scores: npt.NDArray[np.float32], params: Params, group: str | None
    ) -> ClassOutcomes:
        """Softmax over the classes, each the mean over its prompts; rank of the right class's best prompt.

        scores: (rows, classes · prompts). Ties count against the right class.
        """
        from scipy.special import softmax

        by_prompt = scores.astype(np.float64).reshape(len(scores), len(facts.classes), -1)
        logits = by_prompt.mean(-1)
        labels = index_labels(rows, params.label, facts.classes)
        best = by_prompt[np.arange(len(labels)), labels].max(-1)
        wrong = np.arange(len(facts.classes)) != labels[:, None]
        ranked_ahead = (by_prompt >= best[:, None, None]) & wrong[:, :, None]
        return ClassOutcomes(
            ids=np.asarray(rows.ids, dtype=np.str_),
            labels=labels,
            predictions=logits.argmax(axis=1).astype(np.int64),
            classes=facts.classes,
            probabilities=softmax(logits, axis=1),
            values={RANK: 1.0 + ranked_ahead.sum(axis=(1, 2))},
            groups=number_groups(rows, group),
            positive=params.positive,
        )

    def with_planted_fault(self, outcomes: Outcomes, rows: Ints) -> Outcomes:
        """The outcomes in which these rows predict the next class, and the right class ranks last."""
        assert isinstance(outcomes, ClassOutcomes)
        ranks = outcomes.column(RANK).copy()
        ranks[rows] = ranks.max() + len(outcomes.classes)
        changed = outcomes.with_wrong_rows(rows)
        return replace(changed, values={**changed.values, RANK: ranks})


task = ImageText()


def _list_train_texts(params: Params, context: BuildContext) -> Iterator[str]:
    """Captions and prompts. The rows are read only if a tokenizer is trained."""
    yield from list_captions(params, context.rows("train"))
    yield from list_class_prompts(params, context.facts.classes)


def list_captions(params: Params, rows: Rows) -> list[str]:
    """The caption of each row; without captions, the first prompt of its label."""
    if params.caption is not None:
        return [str(value) for value in rows.table[params.caption].to_pylist()]
    return [params.list_prompts(str(value))[0] for value in rows.table[params.label].to_pylist()]


def list_class_prompts(params: Params, classes: tuple[str, ...]) -> list[str]:
    """The prompts of all classes; those of one class are adjacent."""
    return [prompt for name in classes for prompt in params.list_prompts(name)]


def _encode_rows(
    params: Params, rows: Rows, processor: ImageTextProcessor, texts: list[str], *, has_captions: bool
) -> EncodedImages:
    from slimgate.data.images import Pixels

    encoded = encode_texts(processor.tokenizer, [texts], max_tokens=params.max_tokens)
    pixels = Pixels(rows.table[params.image].to_pylist(), processor.images)
    return EncodedImages(pixels, encoded, has_captions)
