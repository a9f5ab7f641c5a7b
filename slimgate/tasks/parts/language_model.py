"""Language models: loading, a check for causality, windows of documents, and scores of tokens.

Documents of any length become windows of a language model, and each token counts once.

    window 1   [t0 t1 t2 t3]              counts t1 t2 t3
    window 2         [t2 t3 t4 t5]        counts t4 t5: the overlap is context, max_tokens - stride tokens

A smaller stride gives tokens more context, and takes more windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch

from slimgate.errors import BuildError
from slimgate.models.pretrained import load_config, load_or_train_tokenizer, load_weights, require_weights
from slimgate.models.seeding import isolated_seed
from slimgate.models.torch_model import TorchModel
from slimgate.outcomes import Floats, Ints
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import ModelRef
from slimgate.tasks.parts.encoding import EncodedTexts, make_right_padded_fields
from slimgate.tasks.parts.objectives import NO_ANSWER

if TYPE_CHECKING:
    from torch import nn

CAUSAL = "transformers:AutoModelForCausalLM"
# How many logits to process at a time. A window of 1,024 tokens of GPT-2's vocabulary has 51 million.
LOGITS_AT_ONCE = 2**24


@torch.no_grad()
def check_causal(network: nn.Module, name: str) -> None:
    """Raises BuildError if the output at a position depends on later tokens. name: of the model."""
    ids = torch.full((2, 4), 2, device=next(network.parameters()).device)
    ids[1, -1] = 1
    first, second = network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    difference = (first - second).abs()
    # Rows of one batch differ by rounding, about 1e-6 of an output in float32 and 1e-2 in 16 bits. A model
    # that sees later tokens differs far more.
    tolerance = 1e-4 if first.dtype == torch.float32 else 3e-2
    if bool(difference[:-1].max() > tolerance * difference[-1].max()):
        raise BuildError(
            f"{name}: {type(network).__name__} sees the tokens that it should predict; expected a model "
            "that reads from left to right (of an encoder's family: is_decoder = true in its config.json)"
        )


def load_language_model(
    ref: ModelRef, context: BuildContext, texts: Callable[[], Sequence[str]]
) -> TorchModel:
    """The TorchModel of a ref. texts(): the texts for the tokenizer of a fresh model.

    Raises BuildError if weights are missing, or the model also reads later tokens.
    """
    model = load_text_model(CAUSAL, ref, context, texts)
    check_causal(model.network, ref.text)
    return model


def load_text_model(
    architecture: str, ref: ModelRef, context: BuildContext, texts: Callable[[], Sequence[str]]
) -> TorchModel:
    """The TorchModel of a ref, by one of transformers' Auto classes. Raises BuildError without weights."""
    assert ref.folder is not None
    config = load_config(ref)
    tokenizer = load_or_train_tokenizer(ref, texts() if ref.fresh else (), config)
    with isolated_seed(context.seed):
        weights = load_weights(architecture.partition(":")[2], ref, config=config)
    require_weights(ref, weights, context)
    return TorchModel(weights.network.to(context.device).eval(), tokenizer, architecture)


def compute_window_sums(logits: npt.NDArray[np.float32], ids: Ints, counted: npt.NDArray[np.bool_]) -> Floats:
    """(windows, 3) float64: nats, tokens and right tokens, over the tokens that count.

    logits: (windows, tokens, vocabulary); those at a position predict the next token. ids, counted:
    (windows, tokens).
    """
    sums = np.zeros((len(ids), 3))
    for row, (scores, tokens, counts) in enumerate(zip(logits, ids, counted, strict=True)):
        places = np.flatnonzero(counts[1:])
        nats, right = sum_token_nats(
            torch.from_numpy(scores), torch.from_numpy(tokens), torch.from_numpy(places)
        )
        sums[row] = nats, len(places), right
    return sums


def sum_token_nats(logits: torch.Tensor, ids: torch.Tensor, places: torch.Tensor) -> tuple[float, float]:
    """The sum of the nats of the tokens after these places, and how many of these tokens are the likeliest.

    logits: (tokens, vocabulary). ids: (tokens,). places: positions in `ids`, without the last one.
    """
    nats = right = 0.0
    step = choose_chunk_size(logits)
    for start in range(0, len(places), step):
        chunk = places[start : start + step]
        scores, following = logits[chunk].float(), ids[chunk + 1]
        nats += float(torch.nn.functional.cross_entropy(scores, following, reduction="none").double().sum())
        right += float((scores.argmax(-1) == following).sum())
    return nats, right


def choose_chunk_size(logits: torch.Tensor) -> int:
    """How many tokens' logits to process at a time."""
    return max(1, LOGITS_AT_ONCE // logits.shape[-1])


@dataclass(frozen=True, eq=False)
class Windows(EncodedTexts):
    """Windows of documents. context: (windows,) as in WindowSpan.

    skipped: (windows,) how many tokens of the text no window predicts; None if they are not counted.
    """

    context: Ints = field(kw_only=True)
    skipped: Ints | None = field(default=None, kw_only=True)

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """counted: (windows, tokens) bool, whether the loss of predicting that token counts; skipped."""
        width = int(max(self.lengths[i] for i in positions))
        places = np.arange(width)
        chosen = list(positions)
        inside = places < self.lengths[chosen][:, None]
        counted = inside & (places >= self.context[chosen][:, None])
        return {"counted": counted} | ({} if self.skipped is None else {"skipped": self.skipped[chosen]})

    def take(self, positions: Sequence[int]) -> Self:
        """Some of the windows, in that order."""
        chosen = list(positions)
        skipped = None if self.skipped is None else self.skipped[chosen]
        return replace(super().take(positions), context=self.context[chosen], skipped=skipped)

    def join(self, more: Self) -> Self:
        """These windows, followed by more windows of the same tokenizer."""
        skipped = None
        if self.skipped is not None and more.skipped is not None:
            skipped = np.concatenate([self.skipped, more.skipped])
        context = np.concatenate([self.context, more.context])
        return replace(super().join(more), context=context, skipped=skipped)

    def list_labels(self) -> list[list[int]]:
        """For each window the ids of tokens that count, and NO_ANSWER for all others."""
        return [
            [NO_ANSWER] * int(context) + list(ids[int(context) :])
            for ids, context in zip(self.columns["input_ids"], self.context, strict=True)
        ]


class WindowSpan(NamedTuple):
    """The tokens of a document that are in a window, from `start` to before `end`.

    context: how many of the window's first tokens are not counted, 1 or more.
    """

    start: int
    end: int
    context: int


def list_window_spans(length: int, *, max_tokens: int, stride: int) -> list[WindowSpan]:
    """The windows of a document of `length` tokens.

    The first token of the document is never counted. With stride = max_tokens the first token of each window
    has nothing before it, and is not counted either.
    """
    spans: list[WindowSpan] = []
    counted_until = 0
    for start in range(0, max(length, 1), stride):
        end = min(start + max_tokens, length)
        spans.append(WindowSpan(start, end, context=max(counted_until - start, 1)))
        counted_until = end
        if end == length:
            break
    return spans


def split_into_windows(
    documents: Sequence[Sequence[int]], *, max_tokens: int, stride: int, padding: int
) -> Windows:
    """The windows of documents of token ids, in the order of the documents. padding: an id to fill up with.

    Padding is on the right, because earlier tokens of a causal model cannot see it there.
    """
    windows = [
        (row, span)
        for row, document in enumerate(documents)
        for span in list_window_spans(len(document), max_tokens=max_tokens, stride=stride)
    ]
    ids = [list(documents[row][span.start : span.end]) for row, span in windows]
    return Windows(
        **make_right_padded_fields(ids, padding=padding),
        row_of=np.asarray([row for row, _ in windows], dtype=np.int64),
        context=np.asarray([span.context for _, span in windows], dtype=np.int64),
    )
