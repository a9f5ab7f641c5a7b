"""Does a converted model answer like the original? A build checks this on the calibration rows.

    before = AnswersBefore(model, context)
    ... convert ...
    before.check(converted, tolerance=0.01)

The difference is relative: the largest difference between two scores of the same position, in standard
deviations of the scores before the conversion. It is about 1e-5 for rounding to float32, 1e-2 for bfloat16,
0.1 to 0.5 for int8, and 1 or more for a wrongly built graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slimgate.errors import BuildError
from slimgate.models.predict import split_into_batches
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import find_default_runtime
from slimgate.plugins.models import Predictor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.plugins.models import Model

Scores = npt.NDArray[np.float32]
BATCH_SIZE = 32
# With a vocabulary of 50,000, the scores of a batch have 400 MB. Only MAX_NUMBERS of them are kept.
BATCH_TOKENS = 2048
MAX_NUMBERS = 2**18


class AnswersBefore:
    """The answers of a model on the calibration rows, for a comparison with the converted model's.

    batches: the rows, as `make_calibration_batches` returns them. Raises DataError if there are none.
    """

    def __init__(self, model: Model, context: BuildContext) -> None:
        self.batches, self._context = make_calibration_batches(model.tokenizer, context), context
        self._scores = score_batches(make_default_predictor(model, context), self.batches)

    def check(self, converted: Model, *, tolerance: float | None) -> None:
        """Logs how far the answers differ, and raises BuildError, as `check_agreement` does."""
        after = score_batches(make_default_predictor(converted, self._context), self.batches)
        check_agreement(self._scores, after, self.batches, self._context, tolerance=tolerance)


def make_default_predictor(model: Model, context: BuildContext) -> Predictor:
    """A predictor for a model that a step has made, in the default runtime of its kind.

    Raises BuildError if the kind has no default runtime.
    """
    runtime = find_default_runtime(model.kind)
    if runtime is None:
        raise BuildError(f"no runtime executes models of kind {model.kind}")
    return runtime[1].open_model(model, context)


def make_calibration_batches(tokenizer: PreTrainedTokenizerBase, context: BuildContext) -> list[Arrays]:
    """The calibration rows as a model's inputs, longest first: name -> (rows, tokens) int64 of each batch.

    Raises DataError if the split is empty.
    """
    encoded = context.task.encode_rows(context.task_params, context.rows("calibration"), tokenizer)
    order = np.argsort(-encoded.lengths, kind="stable").tolist()
    return [
        encoded.batch(positions)
        for positions in split_into_batches(encoded.lengths, order, BATCH_SIZE, BATCH_TOKENS)
    ]


def score_batches(predictor: Predictor, batches: Sequence[Arrays]) -> list[Scores]:
    """A model's scores for each batch; with a large vocabulary, only those of every n-th token."""
    return [_thin_scores(predictor.fetch(predictor.forward(predictor.prepare(batch)))) for batch in batches]


def _thin_scores(values: Scores) -> Scores:
    """At most MAX_NUMBERS numbers; two arrays of one shape keep the same positions."""
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

    before, after: (rows, outputs), or (rows, tokens, outputs), in which padding does not count.
    tolerance: in standard deviations of the scores before the conversion; None: no limit.
    Logged: agreement_rows, max_difference (as the scores are), max_difference_relative, tolerance.
    """
    before = [_select_real_tokens(scores, batch) for scores, batch in zip(before, batches, strict=True)]
    after = [_select_real_tokens(scores, batch) for scores, batch in zip(after, batches, strict=True)]
    for expected, scores in zip(before, after, strict=True):
        if scores.shape != expected.shape:
            raise BuildError(f"the converted model gives scores {scores.shape}, expected {expected.shape}")
    all_before, all_after = (np.concatenate([v.reshape(-1) for v in scores]) for scores in (before, after))
    if not np.isfinite(all_after).all():
        raise BuildError("the converted model gives scores that are NaN or infinite on calibration rows")
    largest, spread = float(np.abs(all_before - all_after).max()), float(all_before.std())
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


def _select_real_tokens(values: Scores, batch: Arrays) -> Scores:
    """(rows, tokens, outputs) -> (tokens without padding, outputs); other shapes are unchanged."""
    mask = batch.get("attention_mask")
    if mask is None or values.ndim < 3 or values.shape[:2] != mask.shape:
        return values
    scores: Scores = values[mask.astype(bool)]
    return scores
