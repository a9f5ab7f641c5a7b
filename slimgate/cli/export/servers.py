"""The servers that are documented to load a folder, by the format of its weights, and how transformers does.

From their documentation in 2026: docs.vllm.ai (features/quantization), docs.sglang.io
(advanced_features/quantization), huggingface.co/docs/transformers (quantization),
github.com/ggml-org/llama.cpp. Some serve a format only for some families of models, or on some processors.
"""

from __future__ import annotations

from dataclasses import dataclass

from slimgate.cli.export.forms import Written
from slimgate.models.gguf_encoder import ENCODER

VLLM, SGLANG, TRANSFORMERS, LLAMA_CPP = "vLLM", "SGLang", "transformers", "llama.cpp"
# The commands that start a server for a causal language model in its folder; {file}: the GGUF file.
_STARTS = {
    VLLM: "vllm serve .",
    SGLANG: "python -m sglang.launch_server --model-path .",
    LLAMA_CPP: "llama-server -m {file}",
}


@dataclass(frozen=True)
class Layout:
    """A format of weights. packages: what transformers needs to load it; options: of from_pretrained there,
    with {file} for the GGUF file; imports: names of transformers that the options need.
    """

    servers: tuple[str, ...]
    packages: tuple[str, ...] = ()
    options: str = ""
    imports: str = ""


ENCODER_FILE = "gguf of an encoder"
CAUSAL_LM = "AutoModelForCausalLM"
_ROUNDED = "quantization_config=AutoRoundConfig()"
LAYOUTS = {
    "plain": Layout((VLLM, SGLANG, TRANSFORMERS)),
    "auto-round": Layout((VLLM, SGLANG, TRANSFORMERS), ("auto-round",)),
    "awq": Layout((VLLM, SGLANG, TRANSFORMERS), ("gptqmodel",)),
    "compressed-tensors": Layout((VLLM, SGLANG, TRANSFORMERS), ("compressed-tensors",)),
    "gguf": Layout((LLAMA_CPP, TRANSFORMERS), ("gguf",), 'gguf_file="{file}"'),
    # transformers reads no encoders from GGUF
    ENCODER_FILE: Layout((LLAMA_CPP,)),
    # auto-round loads it, which needs no GPU; gptqmodel would not need the option
    "gptq": Layout((VLLM, SGLANG, TRANSFORMERS), ("auto-round",), _ROUNDED, "AutoRoundConfig"),
    "torchao": Layout((VLLM, SGLANG, TRANSFORMERS), ("torchao",)),
}


def find_layout(written: Written) -> str | None:
    """The format's name in the table; None if the folder is not for servers."""
    return ENCODER_FILE if written.layout and written.auto == ENCODER else written.layout


def format_start_commands(written: Written) -> list[str]:
    """The lines that serve a causal language model from its folder, one for each server; empty for others."""
    layout = LAYOUTS.get(find_layout(written) or "")
    if layout is None or written.auto != CAUSAL_LM:
        return []
    starts = [_STARTS[server] for server in layout.servers if server in _STARTS]
    return [start.replace("{file}", written.gguf or "") for start in starts]


def describe_servers(layout: str | None) -> str | None:
    """`documented to load gptq: vLLM, SGLang, transformers`; None for a format that is not in the table."""
    layout_facts = LAYOUTS.get(layout or "")
    if layout_facts is None:
        return None
    name = "an unquantized folder" if layout == "plain" else layout
    return f"documented to load {name}: {', '.join(layout_facts.servers)}"
