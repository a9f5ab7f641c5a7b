"""How well a language model predicts text.

| name           | is                                                         | compares                |
|----------------|------------------------------------------------------------|-------------------------|
| perplexity     | exp(nats / tokens), judged by documents on the log scale   | models of one tokenizer |
| bits_per_byte  | nats / ln 2 / bytes of the text in UTF-8                   | models of any tokenizer |
| token_accuracy | the share of tokens that are the model's likeliest         | models of one tokenizer |

Nats have no upper end, so a document counts for a change of at most CAP nats a token, and the share of
documents that lost more is judged too; see `slimgate/judge/capped.py`. 1 nat multiplies the perplexity of a
document by 2.7.

The first token has none before it and is not counted, though its bytes are. Two tokenizers may skip other
parts of the text so, and bits_per_byte then refuses to compare their models. With add_bos = true and a stride
below max_tokens, every token is counted.

Each metric is over all tokens together, not a mean over documents. Source of bits per byte: Gao et al. 2020
(The Pile), section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, log

import numpy as np

from slimgate.judge.metrics.base import (
    Documents,
    Metric,
    RowMean,
    RowSums,
    check_weights,
    divide_sums,
    get_share_ends,
    statistic_of_sums,
)
from slimgate.outcomes import Floats, Ints, Outcomes

# Nats a token: the most that a document counts for in a mean, if the budget does not state it.
CAP = 1.0
# Values of a row: how many tokens of its text are not predicted.
SKIPPED = "skipped_tokens"


def _read_nats_and_tokens(outcomes: Outcomes) -> tuple[Floats, Ints]:
    return outcomes.column("nats"), outcomes.column("tokens").astype(np.int64)


def _compute_perplexity(outcomes: Outcomes, weights: Floats) -> Floats:
    check_weights(outcomes, weights)
    nats, tokens = _read_nats_and_tokens(outcomes)
    return np.asarray(np.exp((weights @ nats) / (weights @ tokens)))


def _compute_bits_and_bytes(outcomes: Outcomes) -> Floats:
    return np.stack([outcomes.column("nats") / log(2), outcomes.column("bytes")], axis=1)


def _find_skipped_text(teacher: Outcomes, variant: Outcomes) -> str | None:
    """Why the bits of two models are of other parts of the text; None if they are of the same."""
    if np.array_equal(teacher.column("tokens"), variant.column("tokens")):  # of one tokenizer
        return None
    none = np.zeros(len(teacher))
    skipped = sum(outcomes.values.get(SKIPPED, none) for outcomes in (teacher, variant))
    if not (rows := int(np.count_nonzero(skipped))):
        return None
    return (
        f"teacher and variant have different tokens, and on {rows} of {len(teacher)} rows not every token is "
        "predicted, so the bits would be of different parts of the text; set [task] add_bos = true, and a "
        "stride below max_tokens"
    )


_BITS = RowSums(_compute_bits_and_bytes, divide_sums)
_RIGHT = RowSums(
    lambda outcomes: np.stack([outcomes.column("right_tokens"), outcomes.column("tokens")], axis=1),
    divide_sums,
)

METRICS: Mapping[str, Metric] = {
    "perplexity": Metric(
        name="perplexity",
        higher_is_better=False,
        value_range=(1.0, inf),
        needs="nats",
        statistic=_compute_perplexity,
        documents=Documents(_read_nats_and_tokens),
        unit="percent",
        alike=("tokens",),
    ),
    "bits_per_byte": Metric(
        name="bits_per_byte",
        higher_is_better=False,
        value_range=(0.0, inf),
        needs="bytes",
        statistic=statistic_of_sums(_BITS),
        row_sums=_BITS,
        why_incomparable=_find_skipped_text,
        row_mean=RowMean(
            lambda outcomes: tuple(_compute_bits_and_bytes(outcomes).T),
            lambda *_: (0.0, inf),
            # CAP in bits per byte, from the tokens per byte of all rows
            cap=lambda teacher, _variant: (
                CAP / log(2) * float(teacher.column("tokens").sum() / teacher.column("bytes").sum())
            ),
        ),
    ),
    "token_accuracy": Metric(
        name="token_accuracy",
        higher_is_better=True,
        value_range=(0.0, 1.0),
        needs="right_tokens",
        statistic=statistic_of_sums(_RIGHT),
        row_sums=_RIGHT,
        row_mean=RowMean(
            lambda outcomes: (outcomes.column("right_tokens"), outcomes.column("tokens")), get_share_ends
        ),
        alike=("tokens",),
    ),
}
