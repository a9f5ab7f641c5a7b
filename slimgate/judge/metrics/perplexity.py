"""How well a language model predicts text.

| name          | is                                                       | compares                 |
|---------------|----------------------------------------------------------|--------------------------|
| perplexity    | exp(nats / tokens), judged by documents on the log scale | models of one tokenizer  |
| bits_per_byte | nats / ln 2 / bytes of the text in UTF-8                 | models of any tokenizers |

Nats have no upper end, so a bound must assume how bad a document can get that the sample does not have:
DAMAGE nats a token worse than the teacher's, or as bad as the worst that was seen, whichever is more. 1 nat
multiplies the perplexity of a document by 2.7.

A token with none before it is not counted, though its bytes are: for bits_per_byte set add_bos = true and a
stride below max_tokens. A metric of all tokens together, not a mean over documents. Source of bits per byte:
Gao et al. 2020 (The Pile), section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, log

import numpy as np

from slimgate.judge.metrics.base import Documents, Metric, RowMean, RowSums, check_weights
from slimgate.judge.metrics.row_sums import statistic_of_sums
from slimgate.outcomes import Floats, Ints, Outcomes

# Nats a token that a document can lose although no document of the sample lost as much.
DAMAGE = 1.0


def _nats_and_tokens(outcomes: Outcomes) -> tuple[Floats, Ints]:
    return outcomes.column("nats"), outcomes.column("tokens").astype(np.int64)


def _perplexity(outcomes: Outcomes, weights: Floats) -> Floats:
    check_weights(outcomes, weights)
    nats, tokens = _nats_and_tokens(outcomes)
    return np.asarray(np.exp((weights @ nats) / (weights @ tokens)))


def _bits(outcomes: Outcomes) -> Floats:
    return np.stack([outcomes.column("nats") / log(2), outcomes.column("bytes")], axis=1)


def _bit_ends(teacher: Outcomes, variant: Outcomes) -> tuple[float, float]:
    """0, and DAMAGE above the worst row of either model."""
    rates = np.concatenate([_rates(*_bits(one).T) for one in (teacher, variant)])
    return 0.0, float(rates.max()) + _damage_in_bits(teacher)


def _largest_loss_in_bits(teacher: Outcomes, variant: Outcomes) -> float:
    changes = _rates(_bits(variant)[:, 0] - _bits(teacher)[:, 0], _bits(teacher)[:, 1])
    return max(float(np.abs(changes).max()), _damage_in_bits(teacher))


def _rates(amounts: Floats, sizes: Floats) -> Floats:
    return np.divide(amounts, sizes, out=np.zeros_like(amounts), where=sizes > 0)


def _damage_in_bits(outcomes: Outcomes) -> float:
    """DAMAGE in bits per byte: of the row with the most tokens a byte."""
    return DAMAGE / log(2) * float(_rates(outcomes.column("tokens"), outcomes.column("bytes")).max())


_BITS = RowSums(_bits, lambda sums: np.asarray(sums[..., 0] / sums[..., 1]))

METRICS: Mapping[str, Metric] = {
    "perplexity": Metric(
        name="perplexity",
        higher_is_better=False,
        value_range=(1.0, inf),
        needs="nats",
        statistic=_perplexity,
        documents=Documents(_nats_and_tokens),
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
        row_mean=RowMean(lambda outcomes: tuple(_bits(outcomes).T), _bit_ends, _largest_loss_in_bits),
    ),
}
