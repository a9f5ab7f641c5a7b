"""A model as the folder that servers and transformers load, kept as its tool wrote it.

The folder of an artifact of kind served:

    config.json  *.safetensors, or *.gguf  tokenizer files     as the tool wrote them
    slimgate.json                                              the kind, the Auto class, how many weights

Weights stay in the tool's format. transformers loads it by the quantizer that config.json names, or by its
reader of GGUF files. The packages that read GPTQ and AWQ have no wheels for CPUs: auto-round reads GPTQ
instead, and the weights of AWQ become floats (awq_weights.py).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from slimgate._system.json_text import read_json
from slimgate._system.quiet import silent
from slimgate.errors import BuildError
from slimgate.models.awq_weights import load_awq_network
from slimgate.models.gguf_encoder import ENCODER, load_gguf_encoder
from slimgate.models.pretrained import numbers_alone, quiet_transformers
from slimgate.models.saved_files import DESCRIPTION, read_description

KIND = "served"
COUNTS = ("parameters", "nonzero_parameters")
Json = dict[str, Any]


@dataclass
class Served:
    """A folder that servers load, with its network for predictions.

    folder: read only; auto: transformers' Auto class of the network, or SentenceEncoder; counts: parameters
    and nonzero_parameters, of the weights that the files stand for.
    """

    folder: Path
    auto: str
    counts: Json
    device: str = "cpu"
    kind: str = field(default=KIND, init=False)

    @cached_property
    def network(self) -> Any:
        """The network, in evaluation mode, loaded when it is first asked for. Raises BuildError."""
        if self.auto == ENCODER:
            file = gguf_file(self.folder)
            assert file is not None
            return load_gguf_encoder(file, self.config).to(self.device).eval()
        return load_served_network(self.folder, self.auto).to(self.device).eval()

    @cached_property
    def tokenizer(self) -> Any:
        """The folder's tokenizer."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)

    @cached_property
    def config(self) -> Any:
        """The folder's config.json, as transformers reads it."""
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(self.folder, trust_remote_code=False)

    @property
    def architecture(self) -> str:
        """As TorchModel has it."""
        return f"transformers:{self.auto}"

    def footprint(self) -> dict[str, int]:
        """parameters, nonzero_parameters, state_bytes: those of the files that hold weights."""
        files = [*self.folder.glob("*.safetensors"), *self.folder.glob("*.gguf")]
        return {**self.counts, "state_bytes": sum(file.stat().st_size for file in files)}

    def code_modules(self) -> list[str]:
        """The modules of slimgate whose code runs when it predicts: none but for an encoder."""
        return [load_gguf_encoder.__module__] if self.auto == ENCODER else []

    def save(self, folder: Path) -> None:
        """Copies the files, and writes slimgate.json beside them."""
        copy_served(self.folder, folder)
        description = {"kind": self.kind, "auto": self.auto, "counts": self.counts}
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), "utf-8")


def is_served(folder: Path) -> bool:
    """Whether an artifact's folder is of this kind."""
    return bool(read_description(folder).get("kind") == KIND)


def load_served(folder: Path, device: str) -> Served:
    """What `Served.save` wrote."""
    description = read_description(folder)
    return Served(folder, description["auto"], description["counts"], device)


def copy_served(source: Path, target: Path) -> None:
    """Copies the files into a folder that is there, without slimgate.json."""
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(DESCRIPTION))


def gguf_file(folder: Path) -> Path | None:
    """The GGUF file of a folder; None where it has none."""
    return next(iter(sorted(folder.glob("*.gguf"))), None)


def quant_method(folder: Path) -> str | None:
    """The format of a folder's weights, as its config.json names it; "gguf" of a GGUF file."""
    if gguf_file(folder) is not None:
        return "gguf"
    stated = read_json(folder / "config.json").get("quantization_config")
    return str(stated.get("quant_method")) if isinstance(stated, dict) else None


def load_served_network(folder: Path, auto: str) -> Any:
    """The network of a folder, by transformers. Raises BuildError in one line."""
    import torch
    import transformers

    method = quant_method(folder)
    options: Json = {}
    if (weights := gguf_file(folder)) is not None:
        options.update(gguf_file=weights.name, dtype=torch.float32)
    elif method == "gptq":
        options["quantization_config"] = transformers.AutoRoundConfig()
    try:
        with quiet_transformers(), silent(), numbers_alone(str(folder)):
            if method == "awq":
                config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
                return load_awq_network(folder, auto, config)
            network = getattr(transformers, auto).from_pretrained(
                folder, weights_only=True, trust_remote_code=False, **options
            )
            if method == "compressed-tensors":  # else at the first call, which may be timed
                network.hf_quantizer.compressor.decompress_model(network)
            return network
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        said = " ".join(str(error).split())
        raise BuildError(
            f"transformers cannot load the {method or 'plain'} folder as {auto}: {said}"
        ) from error


def load_written(folder: Path, model: Any, counts: Json, context: Any) -> Served:
    """The folder that a step has written of a TorchModel. counts: of the model before.

    Logs the format, and what is in the folder.
    """
    from slimgate.models.stock import auto_class

    kept = {name: counts[name] for name in COUNTS}
    written = Served(folder, auto_class(model), kept, context.device)
    context.log.update(format=quant_method(folder), files=sorted(file.name for file in folder.iterdir()))
    return written
