"""Quantizes all layers except the most sensitive ones, until the accuracy on `selection` holds.

    { mixed_precision = { drop_points = 1, narrow = { gptq = { bits = 3 } }, wide = { int8_dynamic = {} } } }

`narrow` and `wide` each name a step (gptq, int8_dynamic, int8_static or weight_only) with its own options.
All layers that the step reaches become narrow. If the accuracy on `selection` is then more than drop_points
below that of the model before, the most sensitive layers become wide instead. They stay unchanged if there is
no `wide` step or it does not reach them. As few as needed are changed, at most max_layers. Sensitivity is the
KL divergence of the answers on the first ranking_rows rows of `calibration` when only this layer is narrow.
The choice uses the accuracy on `selection`, not an interval: the gate judges. If max_layers are too few, that
many are wide and the log says that the drop did not hold.
Source: NNCF's quantization with accuracy control for the procedure; Dong et al. 2019 (HAWQ) for the ranking.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.quantize import gptq as compensated
from slimgate.steps.quantize import int8_dynamic as dynamic
from slimgate.steps.quantize import int8_static as static
from slimgate.steps.quantize import weight_only as weights

if TYPE_CHECKING:
    from torch import nn

    from slimgate.models.torch_model import TorchModel

# If a token is an answer, this many of each ranking row are used: all of them would fill the memory.
TOKENS_A_ROW = 8
STEPS: dict[str, Step[Any]] = {
    "gptq": compensated.step,
    "int8_dynamic": dynamic.step,
    "int8_static": static.step,
    "weight_only": weights.step,
}
Scores = npt.NDArray[np.float32]


class NamedStep(Table):
    """One step with its options."""

    exactly_one = tuple(STEPS)
    gptq: compensated.Params | None = None
    """Options of the step gptq."""
    int8_dynamic: dynamic.Params | None = None
    """Options of the step int8_dynamic."""
    int8_static: static.Params | None = None
    """Options of the step int8_static."""
    weight_only: weights.Params | None = None
    """Options of the step weight_only."""

    @property
    def name(self) -> str:
        """The name of the step."""
        return next(name for name in STEPS if getattr(self, name) is not None)

    @property
    def changes_tables(self) -> bool:
        """Whether the step also quantizes the token embeddings."""
        return bool(getattr(self, self.name).embeddings)


class Params(Table):
    drop_points: float = Field(ge=0, lt=100)
    """Percentage points of accuracy on `selection` that may be lost."""
    narrow: NamedStep
    """Step with few bits, which slimgate first applies to all layers."""
    wide: NamedStep | None = None
    """Step for the sensitive layers, instead of `narrow`; default: sensitive layers stay unchanged."""
    max_layers: int | None = Field(default=None, ge=0)
    """Largest number of layers that get the step `wide`; default: all."""
    ranking_rows: int = Field(default=256, ge=1)
    """Number of `calibration` rows, the first of the split, on which the sensitivity of layers is
    measured."""


class MixedPrecision(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = "torch_quantized"
    reads = ("calibration", "selection")
    claims = ("smaller",)

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with narrow layers wherever they do no harm."""
        from slimgate.models.plain_layers import convert_scaled_tables_, convert_to_linear_
        from slimgate.models.replace_modules import replace_modules_
        from slimgate.steps.training.scoring import compute_quality

        convert_to_linear_(model)
        if params.narrow.changes_tables or (params.wide is not None and params.wide.changes_tables):
            convert_scaled_tables_(model)  # so that the modules of the steps have the same names in the model
        reference = compute_quality(model, context)
        narrow = _make_modules(model, params.narrow, "narrow", context)
        narrow_layers = {name: model.network.get_submodule(name) for name in narrow}
        wide_layers = _make_modules(model, params.wide, "wide", context) if params.wide else {}
        wide = narrow_layers | {name: module for name, module in wide_layers.items() if name in narrow}
        form = TwoForms(model.network, wide, narrow)
        ranking = compute_sensitivities(form, lambda: _compute_ranking_scores(model, params, context))
        names, drops = list(ranking), {}

        def holds(count: int) -> bool:
            form.keep_wide_(names[:count])
            drops[count] = round(100 * (reference - compute_quality(model, context)), 4)
            return drops[count] <= params.drop_points

        max_layers = len(names) if params.max_layers is None else min(params.max_layers, len(names))
        count, holds_budget = find_fewest_wide(max_layers, holds)
        chosen = {name: (wide if name in names[:count] else narrow)[name] for name in narrow}
        replaced = {name: module for name, module in chosen.items() if module is not narrow_layers[name]}
        form.keep_wide_(names[:count])
        replace_modules_(model, "mixed_precision", replaced)
        context.log["accuracy_before"] = round(reference, 6)
        _log_choice(context, Choice(ranking, count, holds_budget, drops), narrow_layers)
        return model


step = MixedPrecision()


def _make_modules(model: TorchModel, step: NamedStep, role: str, context: BuildContext) -> dict[str, Any]:
    """Name -> module, which a step makes in a copy of the model."""
    import copy

    copied = dataclasses.replace(
        model, network=copy.deepcopy(model.network), modifications=list(model.modifications)
    )
    step_context = dataclasses.replace(context, log={})
    STEPS[step.name].apply(copied, getattr(step, step.name), step_context)
    context.log[role] = {step.name: step_context.log}
    changes = copied.modifications[len(model.modifications) :]
    names = [name for change in changes for name in change["spec"]["modules"]]
    return {name: copied.network.get_submodule(name) for name in names}


def _compute_ranking_scores(model: TorchModel, params: Params, context: BuildContext) -> Any:
    from slimgate.plugins.rows import Rows
    from slimgate.steps.training.scoring import compute_answers
    from slimgate.tasks.parts.objectives import encode_labelled_rows, make_objective

    rows = Rows(context.rows("calibration").table.slice(0, params.ranking_rows))
    data = encode_labelled_rows(
        model, "calibration", dataclasses.replace(context, splits={"calibration": rows})
    )
    assert data is not None
    objective = make_objective(context.task, context.task_params)
    max_rows = len(rows) * (1 if objective.by_row else TOKENS_A_ROW)
    model.network.eval()
    return compute_answers(model.network, data, objective, limit=max_rows).numpy()


@dataclass(frozen=True)
class Choice:
    """The first `count` layers of the ranking are wide.

    ranking: name -> sensitivity; drops: points of accuracy lost, by the number of wide layers;
    holds_budget: whether the loss is at most drop_points.
    """

    ranking: Mapping[str, float]
    count: int
    holds_budget: bool
    drops: Mapping[int, float]


def _log_choice(context: BuildContext, choice: Choice, layers: Mapping[str, nn.Module]) -> None:
    """Logs the choice. layers: the float layers by name."""
    sizes = {name: sum(p.numel() for p in module.parameters()) for name, module in layers.items()}
    names, count = list(choice.ranking), choice.count
    context.log.update(
        drop_points={f"{wide} wide": drop for wide, drop in sorted(choice.drops.items())},
        held=choice.holds_budget,
        wide_layers=names[:count],
        weights_wide=sum(sizes[name] for name in names[:count]),
        weights_narrow=sum(sizes[name] for name in names[count:]),
        sensitivity={name: float(f"{value:.4g}") for name, value in choice.ranking.items()},
    )
    if not choice.holds_budget:
        drop = choice.drops[count]
        context.log["warning"] = (
            f"with {count} layers wide the drop on selection is {drop} points: raise max_layers"
        )


@dataclass(frozen=True)
class TwoForms:
    """A network in which each named module may be in its wide or in its narrow form.

    form = TwoForms(network, wide, narrow)              # name -> module, the same names in both
    ranking = compute_sensitivities(form, scores)       # the most sensitive first
    count, _ = find_fewest_wide(len(ranking), holds)
    """

    network: nn.Module
    wide: Mapping[str, nn.Module]
    narrow: Mapping[str, nn.Module]

    def keep_wide_(self, names: Collection[str]) -> None:
        """Puts in the wide modules with these names, and the narrow ones everywhere else."""
        for name in self.narrow:
            module = (self.wide if name in names else self.narrow)[name]
            self.network.set_submodule(name, module.eval())


def compute_sensitivities(form: TwoForms, scores: Callable[[], Scores]) -> dict[str, float]:
    """Module -> KL divergence of the answers when it alone is narrow, the largest first.

    scores: (rows, classes) of the network in its current form. It is wide again afterwards.
    """
    names = set(form.narrow)
    form.keep_wide_(names)
    reference, losses = scores(), {}
    for name in form.narrow:
        form.keep_wide_(names - {name})
        losses[name] = compute_mean_divergence(reference, scores())
    form.keep_wide_(names)
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def compute_mean_divergence(reference: Scores, scores: Scores) -> float:
    """Mean over the rows of KL(softmax(reference) ‖ softmax(scores)), in nats."""
    p, q = _log_softmax(reference), _log_softmax(scores)
    return float(np.mean(np.sum(np.exp(p) * (p - q), axis=1)))


def _log_softmax(scores: Scores) -> npt.NDArray[np.float64]:
    shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True)))


def find_fewest_wide(limit: int, holds: Callable[[int], bool]) -> tuple[int, bool]:
    """(count, whether it holds): the fewest of 0 to `limit` that hold, by bisection; `limit` if none does.

    Bisection assumes that more never hold worse; if noise breaks that, the returned count still holds.
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
