"""Replaces modules, and records it so that loading an artifact does the same.

    replace_modules_(model, "int8_dynamic", {"bert.pooler.dense": Int8Linear.from_linear(old)})

Loading makes each of them again from its class and options, and then reads the weights. A class of
slimgate.steps.layers returns its options itself (`list_options() -> dict`, the arguments of its constructor);
torch's Linear, Embedding, LayerNorm and Identity are known here. `settings` are numbers of other modules that
belong to the change, such as a head count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from slimgate.errors import BuildError
from slimgate.plugins.base import Json
from slimgate.plugins.loading import load_object

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


def replace_modules_(
    model: TorchModel,
    step_name: str,
    modules: Mapping[str, nn.Module],
    settings: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Replaces modules by name, sets settings, and notes both for `restore`.

    Args:
        model: the TorchModel.
        step_name: the step, whose file has `restore`.
        modules: name -> module, on the model's device.
        settings: name of a module ("" is the network) -> attribute -> value.

    Raises:
        BuildError: for a module whose class does not declare its options.
    """
    spec: Json = {"modules": {name: describe(module) for name, module in modules.items()}}
    if settings:
        spec["settings"] = {name: dict(values) for name, values in settings.items()}
    for name, module in modules.items():
        old = model.network.get_submodule(name)
        model.network.set_submodule(name, module.train(old.training))
    _set_attributes_(model.network, spec.get("settings", {}))
    model.note(step_name, **spec)


def note_untied_tables(network: nn.Module, modules: Mapping[str, nn.Module]) -> dict[str, Any]:
    """Entries for the log, before the replacement: {"warning": …, "untied": names} if it unties a table.

    An output layer and a token table that share a weight are untied if one of them gets a separate weight.
    """
    holders: dict[int, list[str]] = {}
    for name, module in network.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter):
            holders.setdefault(id(weight), []).append(name)
    for shared in holders.values():
        changed = [name for name in shared if name in modules]
        # Kept alive, so that two of them never get the same address.
        after = [getattr(modules[name], "weight", name) if name in modules else None for name in shared]
        if changed and len(shared) > 1 and len(set(map(id, after))) > 1:
            apart = (
                f"{' and '.join(shared)} were one table, and are stored apart now that "
                f"{' and '.join(changed)} changed"
            )
            layers = [modules[name] if name in modules else network.get_submodule(name) for name in shared]
            before, separate = _count_bytes(network.get_submodule(shared[0])), sum(map(_count_bytes, layers))
            advice = (
                "; that takes more bytes: leave embeddings and output_layer out" if separate >= before else ""
            )
            return {"warning": apart + advice, "untied": shared}
    return {}


def _count_bytes(module: nn.Module) -> int:
    """The bytes of its parameters and buffers."""
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())


def restore(network: nn.Module, spec: Json) -> None:
    """Repeats the noted change in an empty network; its weights are read afterwards."""
    for name, (kind, options) in spec.get("modules", {}).items():
        network.set_submodule(name, load_object(kind)(**options))
    _set_attributes_(network, spec.get("settings", {}))


def describe(module: nn.Module) -> tuple[str, Json]:
    """("module:class", options) from which an empty module of the same shape can be made."""
    if type(module) is nn.Linear:
        options: Json = {
            "in_features": module.in_features,
            "out_features": module.out_features,
            "bias": module.bias is not None,
        }
    elif type(module) is nn.Embedding:
        options = {
            "num_embeddings": module.num_embeddings,
            "embedding_dim": module.embedding_dim,
            "padding_idx": module.padding_idx,
        }
    elif type(module) is nn.LayerNorm:
        options = {
            "normalized_shape": list(module.normalized_shape),
            "eps": module.eps,
            "elementwise_affine": module.elementwise_affine,
            "bias": module.bias is not None,
        }
    elif type(module) is nn.Identity:
        options = {}
    elif hasattr(module, "list_options"):
        options = module.list_options()  # type: ignore[operator]
    else:
        raise BuildError(f"{type(module).__name__} does not declare its options, so it could not be loaded")
    return f"{type(module).__module__}:{type(module).__qualname__}", options


def _set_attributes_(network: nn.Module, settings: Mapping[str, Mapping[str, float]]) -> None:
    for name, values in settings.items():
        for attribute, value in values.items():
            setattr(network.get_submodule(name), attribute, value)
