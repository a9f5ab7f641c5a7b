"""The inputs of a model's linear layers on real rows: their magnitudes and how they correlate.

    batches = calibration_batches(model, context)
    watch_inputs(model, {"…query": layer}, batches, lambda name, tokens: …)
    input_norms(model, layers, batches)["…query"]                         # (in_features,)
    compute_input_moments(model, layers, batches)["…query"].covariance    # (in_features, in_features)

Padding does not count. The rows of a batch have the same length, so nothing is padded: a layer inside of a
network often receives its tokens in another shape than the attention mask has, for example an expert, which
receives only some of them. Only texts of a pair and texts next to images are padded, because they belong to
one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from slimgate.errors import BuildError
from slimgate.plugins.base import Arrays, iter_batches
from slimgate.plugins.context import BuildContext
from slimgate.plugins.rows import Encoded
from slimgate.tasks.parts.choice_scores import EncodedQuestions
from slimgate.tasks.parts.encoding import EncodedTexts

if TYPE_CHECKING:
    from slimgate.models.served import Served
    from slimgate.models.torch_model import TorchModel

Batch = dict[str, torch.Tensor]
MASK = "attention_mask"
# Gets the name of a layer and its inputs, (tokens, in_features).
Callback = Callable[[str, torch.Tensor], None]


def calibration_batches(
    model: TorchModel,
    context: BuildContext,
    *,
    split: str = "calibration",
    batch_size: int = 32,
    most_rows: int | None = None,
) -> list[Batch]:
    """Encodes a split's rows as the model's inputs, sorted by length, on the context's device.

    Rows of one length are a batch, so there is no padding. Pairs of texts and images are padded.

    Args:
        model: gives the tokenizer.
        context: the context of the build.
        split: the split to read.
        batch_size: the largest number of rows of a batch.
        most_rows: about how many rows to encode, of all lengths; None: all.

    Returns:
        Batches of (rows, tokens) int64.

    Raises:
        DataError: if the split is empty.
    """
    rows = context.rows(split)
    encoded = context.task.encode_rows(context.task_params, rows, model.tokenizer)
    order = np.argsort(encoded.lengths, kind="stable").tolist()
    if most_rows is not None:
        order = order[:: max(1, len(order) // most_rows)]
    if _has_single_texts(encoded):
        batches = join_equal_rows(list_single_texts(encoded, order), batch_size)
    else:
        batches = [encoded.batch(positions) for positions in iter_batches(order, batch_size)]
    return [
        {name: torch.from_numpy(values).to(context.device) for name, values in batch.items()}
        for batch in batches
    ]


def list_single_texts(encoded: Encoded, positions: Iterable[int]) -> Iterator[Arrays]:
    """Each text of these rows as a batch without padding; texts of a pair or an image stay together."""
    for position in positions:
        batch = encoded.batch([position])
        yield from _split_rows(batch) if _has_single_texts(encoded) else [batch]


def _has_single_texts(encoded: Encoded) -> bool:
    """Whether each row of a batch is one text that a model can compute alone."""
    return isinstance(encoded, EncodedTexts | EncodedQuestions)


def split_by_length(batches: Iterable[Arrays]) -> list[Arrays]:
    """The same rows in batches without padding, none larger than the largest of `batches`.

    batches: arrays that all have the shape of the attention mask.
    """
    batches = list(batches)
    largest = max((_count_rows(batch) for batch in batches), default=1)
    return join_equal_rows((row for batch in batches for row in _split_rows(batch)), largest)


def _split_rows(batch: Arrays) -> list[Arrays]:
    """Each row of a batch as a batch without padding. A batch of one row, or without a mask, has none."""
    if _count_rows(batch) == 1 or MASK not in batch:
        return [batch]
    real = batch[MASK].astype(bool)
    return [
        {name: values[row : row + 1, real[row]] for name, values in batch.items()} for row in range(len(real))
    ]


def _count_rows(batch: Arrays) -> int:
    return len(next(iter(batch.values())))


def join_equal_rows(rows: Iterable[Arrays], batch_size: int) -> list[Arrays]:
    """Joins rows of the same shapes to batches, in the order of their first rows.

    Rows without a token are left out: a network cannot compute them alone.
    """
    groups: dict[tuple[tuple[int, ...], ...], list[Arrays]] = {}
    for row in rows:
        if all(values.size for values in row.values()):
            groups.setdefault(tuple(values.shape for values in row.values()), []).append(row)
    return [
        {name: np.concatenate([row[name] for row in part]) for name in part[0]}
        for group in groups.values()
        for part in iter_batches(group, batch_size)
    ]


def watch_inputs(
    model: TorchModel | Served, layers: Mapping[str, nn.Module], batches: list[Batch], callback: Callback
) -> None:
    """Runs the network over the batches, and calls `callback` with each layer's inputs, without padding.

    Raises BuildError if padding cannot be left out.
    """

    def hook(name: str, batch: Batch) -> Callable[..., None]:
        def call(_module: nn.Module, inputs: tuple[torch.Tensor, ...], *_: object) -> None:
            try:
                tokens = remove_padding(inputs[0].detach(), batch)
            except BuildError as error:
                raise BuildError(f"{name}: {error}") from error
            callback(name, tokens)

        return call

    model.network.eval()
    with torch.no_grad():
        for batch in batches:
            with forward_hooks({layers[name]: hook(name, batch) for name in layers}):
                model.network(**batch)


def remove_padding(values: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(rows, tokens, features) or (rows · tokens, features) -> (real tokens, features).

    Values of another shape, such as vectors of rows or of images, have no padding. Raises BuildError if a
    layer, such as an expert, got only some tokens of a batch with padding.
    """
    mask, vectors = batch.get(MASK), values.reshape(-1, values.shape[-1])
    if mask is None or bool(mask.all()):
        return vectors
    if mask.shape == values.shape[:-1] or (values.dim() == 2 and len(values) == mask.numel()):
        return vectors[mask.bool().flatten()]
    if values.dim() == 2 and len(values) != len(mask) and "pixel_values" not in batch:
        raise BuildError(
            "this layer receives only some tokens of a batch, and those of padding are not known among them; "
            "calibrate on a task whose rows have one text"
        )
    return vectors


@contextmanager
def forward_hooks(hooks: Mapping[nn.Module, Callable[..., object]]) -> Iterator[None]:
    """Calls hook(module, args, kwargs, output) after each forward pass of a module, within the context."""
    with ExitStack() as stack:
        for module, hook in hooks.items():
            stack.enter_context(module.register_forward_hook(hook, with_kwargs=True))
        yield


@dataclass
class Moments:
    """The inputs of a linear layer: sums over tokens in float64, which give mean and covariance.

    Sums are of differences from `shift`, the first tokens' mean. Products can then be in float32, which is
    twice as fast, although some features' means are far greater than their spread.
    """

    count: int
    shift: Tensor
    total: Tensor
    products: Tensor

    @classmethod
    def empty(cls, features: int, device: torch.device) -> Moments:
        """The moments of no tokens."""
        zeros = torch.zeros(features, dtype=torch.float64, device=device)
        return cls(0, zeros, zeros.clone(), torch.diag(zeros))

    def add_(self, tokens: Tensor) -> None:
        """tokens: (tokens, features)."""
        if not self.count:
            # rounded as the tokens are, so that the subtraction is exact
            self.shift = tokens.mean(0).double()
        values = tokens - self.shift.to(tokens)
        self.count += len(values)
        self.total += values.sum(0)
        self.products += values.t() @ values

    @property
    def mean(self) -> Tensor:
        """(features,)"""
        return self.shift + self.total / max(self.count, 1)

    @property
    def covariance(self) -> Tensor:
        """(features, features)"""
        offset = self.total / max(self.count, 1)  # of the mean from the shift
        return self.products / max(self.count, 1) - torch.outer(offset, offset)

    @property
    def second_moment(self) -> Tensor:
        """X'X / tokens: (features, features)."""
        return self.covariance + torch.outer(self.mean, self.mean)


def compute_input_moments(
    model: TorchModel, layers: Mapping[str, nn.Linear], batches: list[Batch]
) -> dict[str, Moments]:
    """The moments of each layer's inputs, in the network's current state."""
    moments = {name: Moments.empty(layer.in_features, layer.weight.device) for name, layer in layers.items()}
    watch_inputs(model, layers, batches, lambda name, tokens: moments[name].add_(tokens))
    return moments


def compute_second_moments(
    model: TorchModel, layers: Mapping[str, nn.Linear], batches: list[Batch]
) -> dict[str, Tensor]:
    """Mean of x xᵀ over the tokens: (in_features, in_features) float64. Raises BuildError."""
    by_layer = compute_input_moments(model, layers, batches)
    _check_coverage({name: moments.count for name, moments in by_layer.items()})
    return {name: moments.second_moment for name, moments in by_layer.items()}


def input_norms(
    model: TorchModel, layers: Mapping[str, nn.Linear], batches: list[Batch]
) -> dict[str, Tensor]:
    """Measures the inputs of linear layers: their root mean square over the tokens.

    It is Wanda's ‖x‖ up to a factor that all inputs of a layer share.

    Args:
        model: the model that reads the batches.
        layers: name -> layer of the model.
        batches: as from `calibration_batches`.

    Returns:
        By layer, (in_features,) float64.

    Raises:
        BuildError: if a layer received nothing from the rows.
    """
    sums = {
        name: torch.zeros(layer.in_features, dtype=torch.float64, device=layer.weight.device)
        for name, layer in layers.items()
    }
    tokens = dict.fromkeys(layers, 0)

    def add_squares(name: str, inputs: Tensor) -> None:
        sums[name] += inputs.float().square().sum(dim=0)
        tokens[name] += len(inputs)

    watch_inputs(model, layers, batches, add_squares)
    _check_coverage(tokens)
    return {name: (sums[name] / tokens[name]).sqrt() for name in layers}


def _check_coverage(tokens: Mapping[str, int]) -> None:
    unseen = [name for name, count in tokens.items() if not count]
    if unseen:
        raise BuildError(
            f"{len(unseen)} linear layers received nothing from the calibration rows, first {unseen[0]}, so "
            "their inputs cannot be measured; leave these layers out, or use a step without calibration rows"
        )


def compute_inverse_factor(moments: Tensor, damping: float) -> Tensor:
    """The upper Cholesky factor U of the damped inverse: Uᵀ U = (H + λI)⁻¹. float64. Raises BuildError.

    H: `moments`; λ: `damping` times the mean of its diagonal.
    """
    damped = moments.double().clone()
    diagonal = damped.diagonal()
    diagonal += damping * float(diagonal.mean())
    diagonal[diagonal == 0] = 1.0  # inputs that are always 0, without damping
    return _cholesky(torch.cholesky_inverse(_cholesky(damped)), upper=True)


def _cholesky(matrix: Tensor, *, upper: bool = False) -> Tensor:
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(matrix, upper=upper)
    if int(failed):
        raise BuildError(
            f"second moments {tuple(matrix.shape)} of a layer's inputs cannot be inverted; raise damping"
        )
    return factor
