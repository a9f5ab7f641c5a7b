"""Writes the model as a GGUF file, for llama.cpp and the programs that are built on it.

    { to_gguf = { type = "Q4_0" } }

| type                        | bits of a weight | levels                                   |
|-----------------------------|------------------|------------------------------------------|
| F32, F16, BF16              | 32, 16, 16       | floats                                   |
| Q8_0, Q5_0, Q4_0            | 8.5, 5.5, 4.5    | 32 weights share a scale                 |
| Q5_1, Q4_1                  | 6, 5             | 32 weights share a scale and a minimum   |
| Q6_K to Q2_K, _S, _M and _L | 6.6 to 2.6       | 256 weights share scales of 16 or 32     |
| IQ4_NL to IQ1_S             | 4.5 to 1.6       | levels or patterns from a table          |
| TQ2_0, TQ1_0                | 2.1, 1.7         | -1, 0 and 1                              |
| MXFP4_MOE                   | 4.25             | for the layers of experts only           |

The types of the first three lines need no llama.cpp: weights are rounded to the nearest level. The
scales of Q4_0 have the least squared error, so they keep the levels of
{ gptq = { bits = 4, group_size = 32 } } to the bit. Embeddings and the layer that gives the logits have Q8_0
if the type has fewer than 8 bits. Norms stay float32. Matrices whose rows are not a multiple of 32 become
F16. llama.cpp's own quantizer writes the other types (`llama_model_quantize`; extra `llama-cpp`). It mixes
types as the letters S, M and L say, and uses a larger type if a matrix's rows are not a multiple of 256. With
`importance` it weighs errors by an importance matrix of the calibration rows; IQ1, IQ2, IQ3_XXS, IQ3_XS and
Q2_K_S need one. With `quantizer = "llama_cpp"` it writes the first types too.
To make many types from one file of floats, start `from` a variant of { to_gguf = { type = "F32" } }.
Tensor names, metadata and vocabulary come from llama.cpp's own converter, which the package auto-round
contains. It knows the causal language models of transformers that llama.cpp runs. It needs a tokenizer that
llama.cpp has too: SentencePiece, or byte-level BPE. It also writes sentence encoders like
BERT, with WordPiece, for llama.cpp's embeddings.
The artifact is a folder with the file, config.json and the tokenizer. The runtime llama_cpp computes with the
blocks of the file. Without this runtime, slimgate judges the file as transformers loads it, which unpacks the
weights.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from slimgate._system.requirements import require_package
from slimgate._system.worker import ask_worker
from slimgate.errors import BuildError, SuiteError
from slimgate.models.gguf_file import read_gguf_format
from slimgate.models.llama_cpp_converter import check_tokenizer, digest_checkout, find_unknown_architecture
from slimgate.models.llama_cpp_library import DISTRIBUTION, load_library
from slimgate.models.quantized_files import SERVED
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step
from slimgate.steps.agreement import AnswersBefore
from slimgate.steps.convert import _to_gguf_worker as worker

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from slimgate.models.served import Served
    from slimgate.models.torch_model import TorchModel
    from slimgate.plugins.base import Json

# The change of the answers, in standard deviations of the scores, that rounding alone may cause.
TOLERANCE = {"F32": 0.01, "F16": 0.02, "BF16": 0.2, "Q8_0": 0.5}
LIMIT_SECONDS = 24 * 3600.0

# Types that slimgate writes without llama.cpp.
FLOAT_TYPES = ("F32", "F16", "BF16")
OWN_TYPES = (*FLOAT_TYPES, "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0")
# Types whose levels need an importance matrix: llama.cpp refuses to write them without one.
NEED_IMPORTANCE = frozenset(
    {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "Q2_K_S"}
)
Type = Literal[
    "F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0",
    "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "Q2_K_S",
    "IQ4_NL", "IQ4_XS", "IQ3_M", "IQ3_S", "IQ3_XS", "IQ3_XXS", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M",
    "IQ1_S", "TQ2_0", "TQ1_0", "MXFP4_MOE",
]  # fmt: skip
TensorType = Literal[
    "F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0", "Q3_K", "Q2_K",
    "IQ4_NL", "IQ4_XS", "IQ3_S",
]  # fmt: skip


class Params(Table):
    type: Type = "Q8_0"
    """Format of the weights; `slimgate steps to_gguf` explains each format."""
    quantizer: Literal["slimgate", "llama_cpp"] | None = None
    """Program that quantizes to F32, F16, BF16, Q8_0, Q5_1, Q5_0, Q4_1 and Q4_0; default: slimgate, or
    llama.cpp if importance, tensor_types or pure is given. llama.cpp writes all other types."""
    importance: bool | None = None
    """Weigh errors by the mean square of each input on the calibration rows; default: only for types that
    need this."""
    tensor_types: dict[str, TensorType] = Field(default_factory=dict)
    """Types of some tensors, by regular expressions of their names in the file: { attn_v = "Q8_0" }."""
    pure: bool = False
    """Use one type for all matrices, instead of llama.cpp's mix of types."""
    tolerance: float | None = Field(default=None, gt=0)
    """Largest allowed change of the answers by this step, in standard deviations of the scores; default: 0.01
    with F32, 0.02 with F16, 0.2 with BF16, 0.5 with Q8_0, else any change."""

    @property
    def by_llama_cpp(self) -> bool:
        """Whether llama.cpp's quantizer writes the file."""
        has_options = bool(self.importance or self.tensor_types or self.pure)
        return self.type not in OWN_TYPES or self.quantizer == "llama_cpp" or has_options

    @property
    def needs_importance(self) -> bool:
        """Whether llama.cpp's quantizer gets an importance matrix."""
        return self.type in NEED_IMPORTANCE if self.importance is None else self.importance

    @model_validator(mode="after")
    def _check_quantizer(self) -> Self:
        if self.quantizer == "slimgate" and self.by_llama_cpp:
            raise ValueError(
                f'quantizer = "slimgate" writes {", ".join(OWN_TYPES)} without further options; '
                "leave quantizer out"
            )
        if self.by_llama_cpp and self.type in FLOAT_TYPES:
            raise ValueError(f'type = "{self.type}" is a float format; leave the options of quantization out')
        if self.importance is False and self.type in NEED_IMPORTANCE:
            raise ValueError(f'type = "{self.type}" needs importance; leave importance = false out')
        return self

    @field_validator("tensor_types")
    @classmethod
    def _check_patterns(cls, patterns: dict[str, str]) -> dict[str, str]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f'"{pattern}" is not a regular expression: {error}') from error
        return patterns


class ToGguf(Step[Params]):
    takes = frozenset({"torch", "torch_quantized", SERVED})
    gives = "served"
    reads = ("calibration",)
    claims = ()
    packages: tuple[str, ...] = ("gguf", "auto-round")
    requires = ("transformers>=5.18",)  # reads the merges of GGUF files

    def resolve(self, params: Params) -> Step[Any]:
        """The step, which also needs llama.cpp if its quantizer writes the file."""
        return ToGgufByLlamaCpp() if params.by_llama_cpp else self

    def weight_format(self, params: Params) -> str:
        """The format of all types."""
        return "gguf"

    def environment(self, params: Params) -> dict[str, str]:
        """The converter, if it is a checkout of llama.cpp."""
        return digest_checkout()

    def check(self, params: Params, config: Json) -> dict[str, Any]:
        """Returns the configuration. Raises SuiteError for a language model that llama.cpp does not know."""
        if problem := find_unknown_architecture(config.get("architectures") or []):
            raise SuiteError(problem)
        return config

    def check_folder(self, params: Params, folder: Path) -> None:
        """Raises SuiteError for a tokenizer that llama.cpp cannot read."""
        check_tokenizer(folder)

    def apply(self, model: TorchModel | Served, params: Params, context: BuildContext) -> Served:
        """The folder's model. Raises BuildError if llama.cpp cannot hold the model; MissingExtra."""
        from slimgate.models.served import load_written

        before = AnswersBefore(model, context)
        folder = convert_apart(model, params, before.batches, context)
        written = load_written(folder, model, model.measure_size(), context)
        tolerance = params.tolerance or TOLERANCE.get(params.type)
        before.check(written, tolerance=tolerance)
        return written


class ToGgufByLlamaCpp(ToGguf):
    packages = (*ToGguf.packages, DISTRIBUTION)


step = ToGguf()


def convert_apart(
    model: TorchModel | Served, params: Params, batches: Sequence[Arrays], context: BuildContext
) -> Path:
    """The folder with model.gguf, config.json and the tokenizer. Raises BuildError, MissingExtra.

    batches: calibration rows, from which the importance matrix is computed.
    """
    from slimgate.models.served import Served, copy_served

    folder = context.scratch / "to_gguf"
    folder.mkdir()
    source: Path | None = None
    if isinstance(model, Served):
        source = _find_float_file(model, params)
        copy_served(model.folder, folder / worker.MODEL)
    else:
        for package in ("gguf", "auto_round", "sentencepiece"):
            require_package("to_gguf", package)
        _write_model(model, folder / worker.MODEL)
    request: dict[str, Any] = {"type": params.type, "llama_cpp": None, "source": source and source.name}
    if params.by_llama_cpp:
        load_library("to_gguf")
        request["llama_cpp"] = {
            "tensor_types": params.tensor_types,
            "pure": params.pure,
            "threads": context.threads,
        }
        if params.needs_importance:
            _write_importance(model, batches, folder / worker.IMPORTANCE, context)
    context.log["quantizer"] = "llama.cpp" if params.by_llama_cpp else "slimgate"
    context.log.update(
        ask_worker(worker.__name__, folder, request, limit=LIMIT_SECONDS, failure="to_gguf failed")
    )
    written = folder / worker.WRITTEN
    not_copied = {"modules.json", source.name if source else ""}
    for file in (folder / worker.MODEL).iterdir():
        if file.is_file() and ".safetensors" not in file.name and file.name not in not_copied:
            shutil.copyfile(file, written / file.name)
    return written


def _find_float_file(model: Served, params: Params) -> Path:
    """The GGUF file of floats in a Served model, which another to_gguf has written. Raises BuildError."""
    from slimgate.models.served import find_gguf_file, read_quant_method

    file = find_gguf_file(model.folder)
    scheme = read_gguf_format(file, file.name).scheme if file else read_quant_method(model.folder)
    if file is None or scheme not in FLOAT_TYPES:
        raise BuildError(
            f"its weights are in {scheme}, expected a model of PyTorch, or a GGUF file in "
            f"{', '.join(FLOAT_TYPES)}"
        )
    if not params.by_llama_cpp:
        raise BuildError(
            f"only llama.cpp's quantizer converts a GGUF file to {params.type}; set quantizer = "
            '"llama_cpp", or start from the model of PyTorch'
        )
    return file


def _write_model(model: TorchModel, folder: Path) -> None:
    """Writes the network for llama.cpp's converter, with integer layers converted to floats."""
    from slimgate.models.gguf_encoder import write_encoder
    from slimgate.models.sentence_encoder import SentenceEncoder
    from slimgate.steps.layers.float_layers import (
        check_float_activations,
        list_quantized_layers,
        make_float_layer,
    )

    for name, layer in list_quantized_layers(model.network).items():
        check_float_activations(name, layer)
        model.network.set_submodule(name, make_float_layer(layer))
    if isinstance(model.network, SentenceEncoder):
        folder.mkdir()
        write_encoder(model, folder)
    else:
        from slimgate.models.served import save_plain

        save_plain(model, folder)


def _write_importance(
    model: TorchModel | Served, batches: Sequence[Arrays], file: Path, context: BuildContext
) -> None:
    import numpy as np

    importance: dict[str, Any] = measure_importance(model, batches, context.device)
    np.savez(file, **importance)
    context.log["importance_tokens"] = sum(int(batch["attention_mask"].sum()) for batch in batches)


def measure_importance(
    model: TorchModel | Served, batches: Sequence[Arrays], device: str
) -> dict[str, npt.NDArray[np.float32]]:
    """llama.cpp's importance matrix: name of a layer -> (inputs,) mean square of each input.

    llama.cpp's quantizer weighs the error of a weight by the mean square of its input. Here this is measured
    on the network itself, over the real tokens, as `llama-imatrix` does with llama.cpp. A layer that no token
    reached is left out. batches: of token ids, padded.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    from slimgate.models.sentence_encoder import one_text_a_row
    from slimgate.steps.calibration import MASK, split_by_length, watch_inputs

    squares, tokens_read = dict[str, torch.Tensor](), Counter[str]()

    def add(name: str, tokens: torch.Tensor) -> None:
        squares[name] = squares.get(name, 0) + tokens.double().square().sum(0)
        tokens_read[name] += len(tokens)

    modules = model.network.named_modules()
    layers = {name: layer for name, layer in modules if isinstance(layer, torch.nn.Linear | Conv1D)}
    rows = [
        {name: torch.from_numpy(batch[name]).to(device) for name in ("input_ids", MASK) if name in batch}
        for batch in split_by_length(batches)
    ]
    with one_text_a_row(model.network):
        watch_inputs(model, layers, rows, add)
    return {
        name: (total / tokens_read[name]).float().cpu().numpy()
        for name, total in squares.items()
        if tokens_read[name]
    }
