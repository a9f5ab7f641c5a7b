"""A PyTorch model with its tokenizer: saved as safetensors and JSON, loaded again the same.

The folder of an artifact of kind torch (and of the kinds that quantized modules give):

    config.json  model.safetensors  tokenizer files     as transformers writes them
    generation_config.json                              for an encoder-decoder: how its answers begin
    slimgate.json                                       architecture, kind, and what steps changed

A step that changes modules (not only weights) records a modification; on loading, the step's own
`restore(network, spec)` makes the same change to the empty network before the weights are read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import safetensors.torch
import torch
from torch import nn

from slimgate._system import quiet
from slimgate.errors import BuildError
from slimgate.models.replace_modules import restore
from slimgate.models.saved_files import (
    DESCRIPTION,
    load_tokenizer,
    read_description,
    save_config,
    save_tokenizer,
)
from slimgate.models.special_tokens import keep_end_tokens_
from slimgate.plugins.base import Json
from slimgate.plugins.loading import list_code_modules, load_object
from slimgate.plugins.loading import load as load_plugin

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from slimgate.models.two_towers import Tower, TwoTowers
    from slimgate.plugins.models import Model

quiet.hide_import_notes()

WEIGHTS = "model.safetensors"
GENERATION = "generation_config.json"


@dataclass
class TorchModel:
    """A network that predicts, with everything that saving it needs.

    architecture: "module:object" of the class or Auto class whose `from_config` builds the network.
    modifications: the changes that `restore` of the named steps repeats on loading, in order.
    """

    network: nn.Module
    tokenizer: PreTrainedTokenizerBase
    architecture: str
    kind: str = "torch"
    modifications: list[Json] = field(default_factory=list)

    @property
    def config(self) -> PreTrainedConfig:
        return self.network.config

    def note(self, step_name: str, **spec: object) -> None:
        """Records a change of modules, so that it is repeated when the saved model loads.

        `replace_modules_` calls it for the modules that it replaces. On loading, slimgate calls
        `restore(network, spec)` of the step, or the counterpart of `replace_modules_` if the step has none.

        Args:
            step_name: the step, as a suite names it.
            **spec: JSON values that describe the change.
        """
        self.modifications.append({"step": step_name, "spec": spec})

    def code_modules(self) -> list[str]:
        """The modules whose code runs when the saved model predicts, in addition to transformers'."""
        modules: set[str] = set()
        for name in {change["step"] for change in self.modifications}:
            modules.update(list_code_modules("step", name, load_plugin("step", name)))
        return sorted(modules | {self.architecture.partition(":")[0]} - {"transformers"})

    def measure_size(self) -> dict[str, int]:
        """parameters, nonzero_parameters, state_bytes."""
        return measure_size(self.network)

    def save(self, folder: Path) -> None:
        """Writes all files of the artifact. slimgate calls it after the step.

        Args:
            folder: a folder that exists.

        Raises:
            BuildError: if weights are NaN or infinite.
        """
        self.save_network(folder)
        save_tokenizer(self.tokenizer, folder)

    def save_network(self, folder: Path) -> None:
        """Writes all files except those of the tokenizer.

        Args:
            folder: a folder that exists.

        Raises:
            BuildError: if weights are NaN or infinite.
        """
        broken = [
            name
            for name, tensor in self.network.state_dict().items()
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
        ]
        if broken:
            raise BuildError(f"weights are NaN or infinite after the step, first in {broken[0]}: it diverged")
        keep_end_tokens_(self.network)
        save_config(self.config, folder)
        generation: Any = getattr(self.network, "generation_config", None)
        if generation is not None and getattr(self.config, "is_encoder_decoder", False):
            generation.save_pretrained(folder)
        safetensors.torch.save_model(self.network, str(folder / WEIGHTS))
        description = {
            "architecture": self.architecture,
            "kind": self.kind,
            "modifications": self.modifications,
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), "utf-8")


def load_torch_model(
    folder: Path, *, device: str = "cpu", tokenizer: PreTrainedTokenizerBase | None = None
) -> TorchModel:
    """Loads what `TorchModel.save` wrote, in evaluation mode.

    Args:
        folder: the artifact's folder.
        device: the device to load it on.
        tokenizer: the model's tokenizer, if the folder has none.

    Raises:
        BuildError: if the weights do not fit the network, because a step changed modules and did not say so.
    """
    from transformers import AutoConfig, GenerationConfig

    description = read_description(folder)
    network = _make_empty_network(
        description["architecture"], AutoConfig.from_pretrained(folder, trust_remote_code=False)
    )
    _repeat_changes_(network, description["modifications"])
    if (folder / GENERATION).exists():
        network.generation_config = GenerationConfig.from_pretrained(folder)
    _load_weights_(network, folder / WEIGHTS)
    if tokenizer is None:  # a network that reads more than text loads its own
        tokenizer = getattr(network, "load_tokenizer", load_tokenizer)(folder)
    return TorchModel(
        network=network.to(device).eval(),
        tokenizer=tokenizer,
        architecture=description["architecture"],
        kind=description["kind"],
        modifications=list(description["modifications"]),
    )


def _repeat_changes_(network: nn.Module, changes: Sequence[Json]) -> None:
    """Changes the modules of a new network as the steps of the saved one did."""
    for change in changes:
        # the network as the repeated step had it: for two towers, one of them
        tower: Tower | None = change.get("tower")
        with nullcontext() if tower is None else cast("TwoTowers", network).view_as(tower):
            (load_plugin("step", change["step"]).restore or restore)(network, change["spec"])


def _load_weights_(network: nn.Module, file: Path) -> None:
    """Loads the weights of a file. Raises BuildError if they do not fit the network."""
    _share_tensors_(network, file)
    try:
        safetensors.torch.load_model(network, str(file))
    except RuntimeError as error:
        if "state_dict" not in str(error):
            raise
        raise BuildError(
            f"the weights do not fit the network ({' '.join(str(error).split())}); a step that adds, removes "
            "or replaces modules does it with `replace_modules_`, so that they are loaded again"
        ) from error


def convert_to_float32_(model: Model) -> Model:
    """The model in the form that a step changes: if its files keep 16 bits per weight, all become float32."""
    if type(model) is TorchModel and model.config.dtype in (torch.bfloat16, torch.float16):
        model.network.to(torch.float32)
        model.config.dtype = torch.float32
    return model


def _share_tensors_(network: nn.Module, weights: Path) -> None:
    """Shares the tensors that were shared when they were saved: the file's metadata names them.

    Tensors that the file holds separately stay separate, even if their class ties them (T5's head).
    """
    with safetensors.safe_open(str(weights), "pt") as stored:
        aliases, separate_names = stored.metadata() or {}, set(stored.keys())
    _untie_(network, separate_names)
    tensors: dict[str, torch.Tensor] = dict(network.named_parameters(remove_duplicate=False))
    tensors |= dict(network.named_buffers(remove_duplicate=False))
    for alias, name in aliases.items():
        if alias in tensors and name in tensors:
            module, _, attribute = alias.rpartition(".")
            setattr(network.get_submodule(module), attribute, tensors[name])


def _untie_(network: nn.Module, separate_names: set[str]) -> None:
    seen: set[int] = set()
    for name, parameter in list(network.named_parameters(remove_duplicate=False)):
        if name not in separate_names:
            continue
        if id(parameter) in seen:
            module, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(module), attribute, nn.Parameter(parameter.detach().clone()))
        seen.add(id(parameter))


def _make_empty_network(architecture: str, config: PreTrainedConfig) -> nn.Module:
    from transformers.initialization import no_init_weights

    with no_init_weights():
        network = load_object(architecture).from_config(config)
    assert isinstance(network, nn.Module)
    return network


def measure_size(network: nn.Module) -> dict[str, int]:
    """The size of a network.

    parameters: numbers that it multiplies with, including quantized ones (`quantized_weights` of a module
    names buffers that hold one number each; weight_numbers() -> (all, other than zero) counts packed ones);
    nonzero_parameters: those that are not 0;
    state_bytes: the size of its saved state in memory.
    """
    weights: list[torch.Tensor] = list(network.parameters())
    buffers = (getattr(m, name) for m in network.modules() for name in getattr(m, "quantized_weights", ()))
    weights.extend({id(buffer): buffer for buffer in buffers}.values())
    packed = [m.weight_numbers() for m in network.modules() if hasattr(m, "weight_numbers")]  # type: ignore[operator]
    return {
        "parameters": sum(weight.numel() for weight in weights) + sum(total for total, _ in packed),
        "nonzero_parameters": sum(int(torch.count_nonzero(weight)) for weight in weights)
        + sum(nonzero for _, nonzero in packed),
        "state_bytes": len(safetensors.torch.save(_select_distinct(network.state_dict()))),
    }


def _select_distinct(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    by_storage = {(t.data_ptr(), t.shape): (name, t.contiguous()) for name, t in reversed(state.items())}
    return dict(by_storage.values())
