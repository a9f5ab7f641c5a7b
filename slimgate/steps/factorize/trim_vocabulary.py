"""Keeps only the tokens that rows use, in the tokenizer and in the model's token table.

    { trim_vocabulary = {} }
    { trim_vocabulary = { min_count = 2, vocab_size = 4000, keep = ["refund"] } }

Tokens are counted as the model reads the rows (cut to max_tokens). With vocab_size the most frequent tokens
stay. If there is room for more, the first tokens of the old vocabulary stay, which is sorted by frequency.
Special and added tokens always stay. Characters (of ASCII and of the tokens that stay) and bytes stay, too,
so that a new word is split into pieces and is not lost. Rows whose tokens all stay are split as before and
get the same answers, to the bit. The log has the share of tokens that changed.

For WordPiece, BPE, Unigram and word-level tokenizers (tokenizer.json). Put it before a step that quantizes
the token table. Source: Abdaoui et al. 2020 (Load What You Need), section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Params(Table):
    corpus: tuple[Literal["train", "calibration", "selection"], ...] = Field(
        default=("train", "calibration", "selection"), min_length=1
    )
    """Splits in which slimgate counts how often each token occurs."""
    min_count: int = Field(default=1, ge=1)
    """Number of times that a token must occur in the splits of `corpus` to be kept."""
    vocab_size: int | None = Field(default=None, ge=1)
    """Total number of tokens to keep; default: all tokens that occur at least min_count times."""
    keep: tuple[str, ...] = ()
    """Words whose tokens are always kept."""


class TrimVocabulary(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    reads = ("train", "calibration", "selection")
    claims = ("smaller", "fewer_parameters")

    def does_without(self, params: Params) -> tuple[str, ...]:
        """The calibration rows, because tokens are counted in all splits that have rows."""
        return ("calibration",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with a smaller vocabulary."""
        from slimgate.steps.factorize._trim_vocabulary import trim_vocabulary_

        context.log.update(trim_vocabulary_(model, params, context))
        return model


step = TrimVocabulary()
