"""Does a converted model answer like the original? It is checked on calibration rows during the build.

batches = calibration_arrays(model.tokenizer, context)
before = scores(predictor_of(model, context), batches)
... convert ...
check_agreement(before, scores(predictor_of(converted, context), batches), batches, context, tolerance=0.01)

The difference is relative: the largest one between two scores of the same position, in standard deviations of
the parent's scores. Rounding of float32 moves it by about 1e-5, of bfloat16 by 1e-2, int8 by 0.1 to 0.5; a
wrongly built graph by 1 and more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slimgate.errors import BuildError
from slimgate.models.predict import batches as cut_into_batches
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import find_default_runtime
from slimgate.plugins.models import Predictor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.models.protocols import Model

Scores = npt.NDArray[np.float32]
BATCH_SIZE = 32
# A vocabulary has 50,000 scores a token: 400 MB a batch during prediction, of which a part is kept.
BATCH_TOKENS = 2048
MAX_NUMBERS = 2**18


def predictor_of(model: Model, context: BuildContext) -> Predictor:
    """A predictor of a model that a step has made, by the default runtime of its kind.

    Raises BuildError if the kind has none.
    """
    runtime = find_default_runtime(model.kind)
    if runtime is None:
        raise BuildError(f"no runtime executes models of kind {model.kind}")
    return runtime[1].open_model(model, context)


def calibration_arrays(
    tokenizer: PreTrainedTokenizerBase, context: BuildContext, *, batch_size: int = BATCH_SIZE
) -> list[Arrays]:
    """The calibration rows as a model's inputs, longest first: name -> (rows, tokens) int64 of each batch.

    Raises DataError if the split is empty.
    """
    encoded = context.task.encode_rows(context.task_params, context.rows("calibration"), tokenizer)
    order = np.argsort(-encoded.lengths, kind="stable").tolist()
    return [
        encoded.batch(positions)
        for positions in cut_into_batches(encoded.lengths, order, batch_size, BATCH_TOKENS)
    ]


def scores(predictor: Predictor, batches: Sequence[Arrays]) -> list[Scores]:
    """A model's scores for each batch; for a language model only those of every n-th token."""
    return [_thin_scores(predictor.fetch(predictor.forward(predictor.prepare(batch)))) for batch in batches]


def _thin_scores(values: Scores) -> Scores:
    """At most MAX_NUMBERS numbers, from the same positions for every array of one shape."""
    step = -(-values.size // MAX_NUMBERS)
    return values if step < 2 else values[..., ::step].copy()


def check_agreement(
    before: Sequence[Scores],
    after: Sequence[Scores],
    batches: Sequence[Arrays],
    context: BuildContext,
    *,
    tolerance: float | None,
) -> None:
    """Logs how far the answers differ. Raises BuildError if that is more than the tolerance.

    before, after: (rows, outputs), or (rows, tokens, outputs) of which padding does not count.
    tolerance: in standard deviations of the scores before; None: any difference will do.
    Logged: agreement_rows, max_difference (as the scores are), max_difference_relative, tolerance.
    """
    old = [_of_real_tokens(values, batch) for values, batch in zip(before, batches, strict=True)]
    new = [_of_real_tokens(values, batch) for values, batch in zip(after, batches, strict=True)]
    for old_scores, other in zip(old, new, strict=True):
        if old_scores.shape != other.shape:
            raise BuildError(f"the converted model gives scores {other.shape}, expected {old_scores.shape}")
    first, second = (np.concatenate([v.reshape(-1) for v in values]) for values in (old, new))
    if not np.isfinite(second).all():
        raise BuildError("the converted model gives scores that are NaN or infinite on calibration rows")
    largest, spread = float(np.abs(first - second).max()), float(first.std())
    relative = largest / spread if spread > 0 else (0.0 if largest == 0 else float("inf"))
    context.log.update(
        agreement_rows=sum(len(next(iter(batch.values()))) for batch in batches),
        max_difference=round(largest, 6),
        max_difference_relative=round(relative, 6),
        tolerance=tolerance,
    )
    if tolerance is not None and relative > tolerance:
        raise BuildError(
            "the converted model disagrees with the one it was made from: scores of calibration rows lie "
            f"up to {largest:.4g} apart, {relative:.3g} of their standard deviation ({spread:.3g}), "
            f"expected at most {tolerance:g}; set a larger `tolerance` if you accept this"
        )


def _of_real_tokens(values: Scores, batch: Arrays) -> Scores:
    """(rows, tokens, outputs) -> (real tokens, outputs); other shapes are unchanged."""
    mask = batch.get("attention_mask")
    if mask is None or values.ndim < 3 or values.shape[:2] != mask.shape:
        return values
    scores: Scores = values[mask.astype(bool)]
    return scores
