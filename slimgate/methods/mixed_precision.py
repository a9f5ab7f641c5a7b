"""Quantizes all but the layers that mind it most, until the accuracy on `selection` holds.

    { mixed_precision = { drop_points = 0.5, weight_only = { bits = 4, embeddings = 8 } } }

The step named inside (int8_dynamic, int8_static or weight_only), with its own options, says how layers become
narrow. All of them are made so; where
the accuracy on `selection` is then more than drop_points below that of the model as it came, those that are
most sensitive stay as they were: as few as will do, at most max_layers. Sensitivity is the KL divergence of
the answers on the first ranking_rows rows of `calibration` when the layer alone is narrow. The choice goes by
what `selection` shows, not by an interval: the gate judges. Where max_layers are too few, they stay wide and
the log says that the drop did not hold.
Source: Wang et al. 2019 (HAQ) for the idea; NNCF's quantization with accuracy control for the procedure.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from slimgate.methods import int8_dynamic as dynamic
from slimgate.methods import int8_static as static
from slimgate.methods import weight_only as weights
from slimgate.protocols import BuildContext
from slimgate.tables import Table

takes = frozenset({"torch", "torch_quantized"})
gives = "torch_quantized"
reads = ("calibration", "selection")
uses_teacher = False
stochastic = False
claims = ("smaller",)
METHODS = {"int8_dynamic": dynamic, "int8_static": static, "weight_only": weights}


class Params(Table):
    """What may be lost, how many layers may stay wide, and one step that makes layers narrow."""

    drop_points: float = Field(ge=0, lt=100)
    max_layers: int | None = Field(default=None, ge=0)
    ranking_rows: int = Field(default=256, ge=1)
    int8_dynamic: dynamic.Params | None = None
    int8_static: static.Params | None = None
    weight_only: weights.Params | None = None

    @model_validator(mode="after")
    def _one_step(self) -> Params:
        named = [name for name in METHODS if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"{named or 'no step'} came, expected one of {', '.join(METHODS)}")
        return self

    @property
    def step(self) -> str:
        """The name of the step inside."""
        return next(name for name in METHODS if getattr(self, name) is not None)


def apply(model: Any, params: Params, context: BuildContext) -> Any:
    """The model with narrow layers wherever they do no harm."""
    from slimgate.linear_layers import conv1d_to_linear_
    from slimgate.replacing import replace_modules_
    from slimgate.scoring import accuracy_on
    from slimgate.sensitivity import Form, fewest_wide, sensitivities

    conv1d_to_linear_(model)
    narrow = _narrow(model, params, context)
    wide = {name: model.network.get_submodule(name) for name in narrow}
    form, reference = Form(model.network, wide, narrow), accuracy_on(model, context)
    ranking = sensitivities(form, lambda: _ranking_scores(model, params, context))
    names, drops = list(ranking), {}

    def holds(count: int) -> bool:
        form.keep_wide_(names[:count])
        drops[count] = round(100 * (reference - accuracy_on(model, context)), 4)
        return drops[count] <= params.drop_points

    most = len(names) if params.max_layers is None else min(params.max_layers, len(names))
    count, held = fewest_wide(most, holds)
    form.keep_wide_(names)
    replace_modules_(model, "mixed_precision", {name: narrow[name] for name in names[count:]})
    _tell(context, ranking, count, held, drops, reference, wide)
    return model


def _narrow(model: Any, params: Params, context: BuildContext) -> dict[str, Any]:
    """Name -> module, as the step inside makes them in a copy of the model."""
    import copy
    import dataclasses

    twin = dataclasses.replace(
        model, network=copy.deepcopy(model.network), modifications=list(model.modifications)
    )
    own = dataclasses.replace(context, log={})
    METHODS[params.step].apply(twin, getattr(params, params.step), own)
    context.log[params.step] = own.log
    changes = twin.modifications[len(model.modifications) :]
    names = [name for change in changes for name in change["spec"]["modules"]]
    return {name: twin.network.get_submodule(name) for name in names}


def _ranking_scores(model: Any, params: Params, context: BuildContext) -> Any:
    from slimgate.predicting import predict_scores
    from slimgate.protocols import Rows
    from slimgate.runtimes.eager import EagerPredictor

    rows = Rows(context.rows("calibration").table.slice(0, params.ranking_rows))
    encoded = context.task.encode_rows(context.task_params, rows, model.tokenizer)
    return predict_scores(EagerPredictor(model.network, context.device), encoded, batch_size=64)


def _tell(
    context: BuildContext,
    ranking: dict[str, float],
    count: int,
    held: bool,
    drops: dict[int, float],
    reference: float,
    wide: dict[str, Any],
) -> None:
    sizes = {name: sum(p.numel() for p in module.parameters()) for name, module in wide.items()}
    names = list(ranking)
    context.log.update(
        accuracy_before=round(reference, 6),
        drop_points={f"{wide} wide": drop for wide, drop in sorted(drops.items())},
        held=held,
        wide=names[:count],
        weights_wide=sum(sizes[name] for name in names[:count]),
        weights_narrow=sum(sizes[name] for name in names[count:]),
        sensitivity={name: float(f"{value:.4g}") for name, value in ranking.items()},
    )
    if not held:
        context.log["warning"] = (
            f"with {count} layers wide the drop on selection is {drops[count]} points: raise max_layers"
        )


def restore(network: Any, spec: dict[str, Any]) -> None:
    """Puts empty narrow layers where the artifact has them."""
    from slimgate.replacing import restore as again

    again(network, spec)
