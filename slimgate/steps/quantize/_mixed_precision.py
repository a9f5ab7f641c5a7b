"""Which modules of a model mind being made narrow: one at a time, and the fewest that must stay wide.

form = Form(network, wide, narrow)                  the same names in both: name -> module
ranking = sensitivities(form, scores)               the most sensitive first
count = fewest_wide(len(ranking), holds)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Form:
    """A network of which each named module may stand in its wide or in its narrow form."""

    network: nn.Module
    wide: Mapping[str, nn.Module]
    narrow: Mapping[str, nn.Module]

    def keep_wide_(self, names: Collection[str]) -> None:
        """Puts the wide modules where the names say, and the narrow ones everywhere else."""
        for name in self.narrow:
            module = (self.wide if name in names else self.narrow)[name]
            self.network.set_submodule(name, module.eval())


def sensitivities(form: Form, scores: Callable[[], Scores]) -> dict[str, float]:
    """Module -> KL divergence of the answers when it alone is narrow, the largest first.

    scores: (rows, classes) of the network as it stands. It is wide again afterwards.
    """
    names = set(form.narrow)
    form.keep_wide_(names)
    reference, losses = scores(), {}
    for name in form.narrow:
        form.keep_wide_(names - {name})
        losses[name] = mean_divergence(reference, scores())
    form.keep_wide_(names)
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def mean_divergence(reference: Scores, scores: Scores) -> float:
    """Mean over the rows of KL(softmax(reference) ‖ softmax(scores)), in nats."""
    p, q = _log_softmax(reference), _log_softmax(scores)
    return float(np.mean(np.sum(np.exp(p) * (p - q), axis=1)))


def _log_softmax(scores: Scores) -> npt.NDArray[np.float64]:
    shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True)))


def fewest_wide(limit: int, holds: Callable[[int], bool]) -> tuple[int, bool]:
    """(count, whether it holds): the fewest of 0 to `limit` that hold, by halving; `limit` where none does.

    Halving takes it that more never hold worse; where noise breaks that, the count found holds all the same.
    """
    if holds(0):
        return 0, True
    if not limit or not holds(limit):
        return limit, False
    fails, enough = 0, limit
    while enough - fails > 1:
        middle = (fails + enough) // 2
        if holds(middle):
            enough = middle
        else:
            fails = middle
    return enough, True
