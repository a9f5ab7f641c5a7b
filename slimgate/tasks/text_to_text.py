"""Text to text: an encoder-decoder (T5, BART, Marian) answers a text, and scores judge the answer.

[task]
kind = "text_to_text"
text = "article"
reference = "summary"                # text, or a list of texts that are all right
scores = [{ rouge = { variant = "rougeL" } }, "mytools:polite"]
max_tokens = 512
max_new_tokens = 64

Scores, changed answers and their noise floor are those of text_generation. A model reads a text and writes
its answer, which begins with the model's start token. In training, it learns the reference. A timed call
writes as many tokens as the longest reference of its rows has.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import Field

from slimgate.data.guess_input import ExaminedRows
from slimgate.models.config import check_positions
from slimgate.models.saved_files import check_text_to_text
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.tasks.parts.generation import GenerationParams, GenerationTask, read_first_references
from slimgate.tasks.parts.guess_prompts import guess_text_to_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.models.torch_model import TorchModel
    from slimgate.tasks.parts.objectives import Objective, TokenTargets
    from slimgate.tasks.parts.text_pairs import TextPairs


class Params(GenerationParams):
    """[task] of text to text."""

    text: str
    """The column of texts that are answered, with a prefix such as "summarize: " if the model wants one."""
    max_tokens: int = Field(default=512, ge=1)
    """Largest number of tokens of a text, and of a reference in training; longer texts are cut."""


class TextToText(GenerationTask[Params]):
    also_called = ("seq2seq", "summarization", "translation", "text2text_generation")
    pipeline = "text2text-generation"
    snippet_tail = (
        "for text in texts:\n"
        "    source = tokenizer(text, truncation=True, return_tensors='pt')\n"
        "    written = model.generate(**source, max_new_tokens=64, do_sample=False)\n"
        "    print(tokenizer.decode(written[0], skip_special_tokens=True))"
    )
    # BART and Marian count positions from the first token, so texts are padded on the right.
    tokenizer_settings = MappingProxyType({"padding_side": "right", "truncation_side": "right"})

    guess_rank = 7

    def guess(self, sample: ExaminedRows) -> tuple[Json, str] | None:
        """Guesses texts with right answers, for an encoder-decoder."""
        return guess_text_to_text(sample)

    def prompt_column(self, params: Params) -> str:
        """The text."""
        return params.text

    def check_model(self, params: Params, ref: ModelRef, config: Json, facts: TaskFacts | None) -> None:
        """Raises SuiteError if the model of a config.json cannot serve this task."""
        check_text_to_text(ref, config)
        check_positions(params.max_tokens, ref, config)

    def load_model(self, params: Params, ref: ModelRef, context: BuildContext) -> TorchModel:
        """Loads the model of a ref. Raises BuildError if weights are missing."""
        from slimgate.tasks.parts.text_pairs import load_encoder_decoder

        return load_encoder_decoder(ref, context, lambda: self.list_texts(params, context.rows("train")))

    def encode_rows(self, params: Params, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> TextPairs:
        """Texts with their references."""
        from slimgate.tasks.parts.text_pairs import encode_pairs

        return encode_pairs(
            tokenizer,
            [str(text or "") for text in rows.table[params.text].to_pylist()],
            read_first_references(params, rows),
            rows.ids,
            max_tokens=params.max_tokens,
            new_tokens=params.max_new_tokens,
        )

    def encode_prompts(self, params: Params, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> TextPairs:
        """The same encoding as for training, because answers are stored in a separate field."""
        return self.encode_rows(params, rows, tokenizer)

    def targets(self, params: Params, rows: Rows, facts: TaskFacts, encoded: TextPairs) -> TokenTargets:
        """The tokens of the references."""
        return self.targets_without_labels(params, encoded, facts)

    def targets_without_labels(self, params: Params, encoded: TextPairs, facts: TaskFacts) -> TokenTargets:
        """The tokens of the references. Raises DataError for a row without one."""
        from slimgate.tasks.parts.objectives import TokenTargets

        return TokenTargets(encoded.list_labels(), side="right")

    def objective(self, params: Params) -> Objective:
        """Models learn the token at each position of the answer."""
        from slimgate.tasks.parts.objectives import TokenObjective

        return TokenObjective(shifted=False)


task = TextToText()
