"""OpenVINO for decoders: writes answers with a key-value cache that OpenVINO keeps, on the CPU.

    runtime = { name = "openvino_decoder", kv_cache = "u8" }

It runs the artifacts of to_openvino_decoder. Answers are greedy. It also gives the scores of whole texts, so
it serves every task of causal language models. Prompts of one length are answered together, so that nothing
is padded.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from slimgate.errors import BuildError
from slimgate.models.config import read_max_positions
from slimgate.models.openvino_decoder import IDS, PLACES, ROWS, make_decoder_inputs
from slimgate.models.openvino_model import DECODER, FILES, OUTPUT
from slimgate.models.write_by_length import Greedy, Ids, PromptIds, read_prompts
from slimgate.plugins.base import Arrays
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.runtime import Form, Runtime
from slimgate.runtimes import openvino

if TYPE_CHECKING:
    import openvino as ov

    from slimgate.models.openvino_decoder import Numbers
    from slimgate.models.openvino_model import OpenVinoModel
    from slimgate.models.write_answers import SamplingParams


# Bytes of a number in the cache, and of the scale and the zero point that a token of a head has in 8 bits.
CACHE_NUMBER_BYTES = {"f32": 4, "bf16": 2, "f16": 2, "u8": 1}
SCALE_BYTES = 8


class Params(Table):
    inference_precision: Literal["f32", "bf16", "f16"] = "f32"
    """Format in which floating-point operators compute; integer operators stay as they are."""
    kv_cache: Literal["f32", "bf16", "f16", "u8"] | None = None
    """Format of the keys and values of earlier tokens; "u8": 8 bits, with a scale and a zero point for each
    token of a head. Default: the format of inference_precision."""
    dynamic_quantization_group_size: int | None = Field(default=None, ge=0)
    """Number of activations that share a scale before compressed weights; 0: activations stay in float;
    default: OpenVINO's default."""


@dataclass(frozen=True)
class _StartedAnswers:
    """Answers after their first token. token: (rows,) ids; remaining: how many tokens follow."""

    token: Ids
    remaining: int


class DecoderPredictor:
    """Wraps a request of a compiled decoder as a Predictor. end_tokens: the tokens that end an answer."""

    def __init__(self, model: OpenVinoModel, params: Params, *, device: str, threads: int) -> None:
        """Raises BuildError for a device other than the CPU, or if kv_cache has no effect."""
        from slimgate.models.special_tokens import list_end_tokens, list_ends

        ends = list_ends(model.config.eos_token_id)
        self.end_tokens = frozenset(list_end_tokens(model.tokenizer).union(ends))
        self._longest = read_max_positions(model.config.to_dict())
        self._greedy = Greedy("openvino_decoder", model.tokenizer, self._longest, self.end_tokens)
        properties = make_properties(params, threads=threads)
        compiled_model = openvino.compile_graph(model.graph, properties, device=device)
        self._cache = properties["KV_CACHE_PRECISION"] if _has_fused_cache(compiled_model) else "f32"
        if params.kv_cache not in (None, self._cache):
            raise BuildError(
                f'kv_cache = "{params.kv_cache}" has no effect: OpenVINO does not fuse the attention of this '
                "model with its key-value cache, so the cache stays float32. Leave kv_cache out"
            )
        self._request: Any = compiled_model.create_infer_request()
        self._bound: dict[str, npt.NDArray[Any]] = {}

    def prepare(self, batch: Arrays) -> PromptIds:
        """The ids of a batch, and how many tokens to write."""
        return read_prompts(batch, self._longest)

    def forward(self, prepared: PromptIds) -> object:
        """The ids of an answer, or the scores of whole texts, to be fetched before the next call."""
        if prepared.count:
            return self.decode(self.prefill(prepared))
        self._request.reset_state()
        self._bind(prepared.ids, np.arange(prepared.ids.shape[1]))
        return self._call()

    def prefill(self, prepared: PromptIds) -> _StartedAnswers:
        """Reads the prompts and chooses the first token of each answer."""
        scores = self._read_texts(prepared.ids)
        self._bind_next(len(prepared.ids))
        return _StartedAnswers(scores.argmax(-1), prepared.count - 1)

    def decode(self, state: _StartedAnswers) -> Ids:
        """(rows, new tokens) ids. End tokens may be among them, and do not end an answer."""
        written = [state.token]
        for _ in range(state.remaining):
            written.append(self._append_tokens(written[-1]).argmax(-1))
        return np.stack(written, axis=1)

    def cache_bytes(self, state: _StartedAnswers) -> int:
        """Bytes of the keys and values that the request holds, from their shapes and format.

        8-bit numbers count with the scale and the zero point of each token of a head, 4 bytes each. Memory
        that OpenVINO allocates ahead is not counted.
        """
        shapes = [variable.state.shape for variable in self._request.query_state()]
        scales = sum(math.prod(shape[:-1]) for shape in shapes) if self._cache == "u8" else 0
        return CACHE_NUMBER_BYTES[self._cache] * sum(map(math.prod, shapes)) + SCALE_BYTES * scales

    def _read_texts(self, ids: Ids) -> npt.NDArray[np.float32]:
        """(rows, vocabulary) scores after the texts, which become the request's state."""
        self._request.reset_state()
        self._bind(ids, np.array([ids.shape[1] - 1]))
        return self._call()[:, 0]

    def _bind_next(self, rows: int) -> None:
        """Binds inputs of one token per row; `_append_tokens` writes to their memory."""
        self._bind(np.zeros((rows, 1)), np.zeros(1))

    def _append_tokens(self, tokens: Ids) -> npt.NDArray[np.float32]:
        """(rows, vocabulary) scores after one more token of each row. tokens: (rows,) ids."""
        self._bound[IDS][:, 0] = tokens
        return self._call()[:, 0]

    def _bind(self, ids: Numbers, places: Numbers) -> None:
        """Makes arrays the inputs of the next calls. places: the positions of `ids` to compute scores at."""
        from openvino import Tensor

        self._bound = make_decoder_inputs(ids, places)
        for name in (IDS, PLACES, ROWS):
            self._request.set_tensor(name, Tensor(self._bound[name], shared_memory=True))

    def _call(self) -> npt.NDArray[np.float32]:
        """The scores of a call, in the request's memory, which the next call overwrites."""
        self._request.start_async()  # faster than `infer`, which also makes dicts
        self._request.wait()
        scores: npt.NDArray[np.float32] = self._request.get_tensor(OUTPUT).data
        return scores

    def fetch(self, output: npt.NDArray[np.float32] | Ids) -> npt.NDArray[np.float32]:
        """(rows, tokens, vocabulary) scores, or (rows, new tokens) ids, copied."""
        return np.array(output, dtype=np.float32)

    def write(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingParams, *, min_new_tokens: int = 0
    ) -> list[list[int]]:
        """The ids of the greedy answers, with the end token. Raises MeasureError if it has to draw."""
        return self._greedy.write(prompts, sampling, lambda ids: self._generate_tokens(ids, min_new_tokens))

    def _generate_tokens(self, ids: Ids, min_new_tokens: int) -> Iterator[Ids]:
        """Yields the (rows,) next tokens. ids: (rows, tokens).

        min_new_tokens: the tokens before which no answer may end.
        """
        ends, scores = sorted(self.end_tokens), self._read_texts(ids)
        self._bind_next(len(ids))
        for position in count():
            if position < min_new_tokens:
                scores[:, ends] = -np.inf
            tokens = scores.argmax(-1)
            yield tokens
            scores = self._append_tokens(tokens)

    def close(self) -> None:
        """Drops the request and with it the graph."""
        self._request = None


def make_properties(params: Params, *, threads: int) -> dict[str, Any]:
    """OpenVINO's properties."""
    shared = openvino.make_properties(_make_graph_params(params), threads=threads)
    return {**shared, **make_answer_properties(params)}


def make_answer_properties(params: Params) -> dict[str, Any]:
    """OpenVINO's properties that change the answers.

    They state the format of keys and values, because the default is 8 bits.
    """
    cache = params.kv_cache or params.inference_precision
    return {**openvino.make_answer_properties(_make_graph_params(params)), "KV_CACHE_PRECISION": cache}


def _make_graph_params(params: Params) -> openvino.Params:
    return openvino.Params(
        inference_precision=params.inference_precision,
        dynamic_quantization_group_size=params.dynamic_quantization_group_size,
    )


def _format_decoder_code(params: Params) -> str:
    """The lines that open a decoder with the options that change the answers."""
    return (
        f"settings = {json.dumps(make_answer_properties(params))}\n"
        'model = openvino.compile_model("decoder.xml", "CPU", settings)\n'
        "request, row = model.create_infer_request(), numpy.zeros(1, numpy.int32)\n"
        'ends = json.load(open("config.json"))["eos_token_id"]'
    )


def _has_fused_cache(compiled_model: ov.CompiledModel) -> bool:
    """Whether the attention of a compiled graph reads all of the cache: then it has the stated format."""
    memories = reads = 0
    for operator in compiled_model.get_runtime_model().get_ops():
        layer_type = _read_layer_type(operator)
        memories += layer_type == "MemoryInput"
        if layer_type == "ScaledDotProductAttention":
            sources = [source.get_source_output().get_node() for source in operator.inputs()]
            reads += [_read_layer_type(source) for source in sources].count("MemoryInput")
    return 0 < memories == reads


def _read_layer_type(node: ov.Node) -> str:
    """The kind of an operator of a compiled graph."""
    info = node.get_rt_info()
    return str(info["layerType"].value) if "layerType" in info else ""


class OpenVinoDecoder(Runtime[Params]):
    kinds = frozenset({DECODER})
    obeys_onednn = True
    default_for = kinds
    packages = ("openvino",)
    times_writing = True
    form = Form(
        name=DECODER,
        package="openvino",
        imports="import json\nimport numpy\nimport openvino\nfrom transformers import AutoTokenizer\n",
        load=_format_decoder_code,
        options=("inference_precision", "kv_cache", "dynamic_quantization_group_size"),
        predict="def answer(text):\n"
        "    request.reset_state()\n"
        '    ids, written = tokenizer(text)["input_ids"], []\n'
        "    while len(written) < 64:\n"
        '        inputs = {"input_ids": [ids], "logits_to_keep": [len(ids) - 1], "beam_idx": row}\n'
        '        token = int(request.infer(inputs)["logits"].argmax())\n'
        "        if token in ends:\n"
        "            break\n"
        "        written.append(token)\n"
        "        ids = [token]\n"
        "    return tokenizer.decode(written, skip_special_tokens=True)",
        tail='answers = [answer(text) for text in texts]\nprint(*answers, sep="\\n")',
    )

    def copy(self, artifact: Path, folder: Path) -> None:
        """Copies the graph and its weights, which `openvino.Core` reads."""
        for name in FILES[DECODER]:
            shutil.copyfile(artifact / name, folder / name)

    def load(self, folder: Path, params: Params, *, device: str, threads: int) -> DecoderPredictor:
        """The decoder of an artifact or of an exported folder, on `threads` threads."""
        from slimgate.models.openvino_model import load_openvino_model

        model = load_openvino_model(folder, kind=DECODER, mapped=True)
        return DecoderPredictor(model, params, device=device, threads=threads)

    def load_model(self, folder: Path, device: str) -> OpenVinoModel:
        """The OpenVinoModel of a folder. Raises MissingExtra without openvino."""
        from slimgate.models.openvino_model import load_openvino_model

        return load_openvino_model(folder, kind=DECODER)

    def open_model(self, model: OpenVinoModel, context: BuildContext) -> DecoderPredictor:
        """The predictor of an OpenVinoModel that a step has made."""
        return DecoderPredictor(model, Params(), device=context.device, threads=context.threads)


runtime = OpenVinoDecoder()
